//! Bad tokens, in a table; one good one beside them.

use serde_json::{Value, json};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn tokens() -> Tokens {
    let mut auth = Auth::hs256(SECRET.to_owned());
    auth.issuer = Some("https://app.example".into());
    auth.audience = Some("kabar".into());
    Tokens::new(&auth).unwrap()
}

fn raw(header: &str, claims: &str, secret: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn good_claims() -> Value {
    json!({ "sub": "ada", "exp": unix_now() + 60, "iss": "https://app.example", "aud": "kabar", "app": "1" })
}

fn with(field: &str, value: Value) -> String {
    let mut claims = good_claims();
    claims[field] = value;
    raw(HS256, &claims.to_string(), SECRET)
}

fn without(field: &str) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().unwrap().remove(field);
    raw(HS256, &claims.to_string(), SECRET)
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

#[tokio::test]
async fn bad_tokens_are_refused() {
    let (now, good) = (unix_now(), good_claims().to_string());
    let valid = raw(HS256, &good, SECRET);
    let (signed, _) = valid.rsplit_once('.').unwrap();
    let doubled = good.replacen('{', r#"{"sub":"eve","#, 1);
    let header = |header: &str| raw(header, &good, SECRET);
    let table = [
        ("nothing", String::new()),
        ("no dots", "abc".into()),
        ("one dot", "a.b".into()),
        ("four parts", format!("{valid}.x")),
        ("empty signature", format!("{signed}.")),
        ("no signature", signed.to_owned()),
        ("too long", format!("{valid}{}", "a".repeat(TOKEN_BYTES_MAX))),
        ("padding", format!("{valid}=")),
        ("alg none", header(r#"{"alg":"none"}"#)),
        ("alg None", header(r#"{"alg":"None"}"#)),
        ("alg nOnE", header(r#"{"alg":"nOnE"}"#)),
        (
            "alg none unsigned",
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(&good)),
        ),
        ("alg HS384", header(r#"{"alg":"HS384"}"#)),
        ("alg HS512", header(r#"{"alg":"HS512"}"#)),
        ("alg RS256", header(r#"{"alg":"RS256"}"#)),
        ("alg missing", header(r#"{"typ":"JWT"}"#)),
        ("alg twice", header(r#"{"alg":"HS256","alg":"none"}"#)),
        ("crit", header(r#"{"alg":"HS256","crit":["x"],"x":1}"#)),
        ("kid path", header(r#"{"alg":"HS256","kid":"../../etc/passwd"}"#)),
        ("kid sql", header(r#"{"alg":"HS256","kid":"' OR 1=1"}"#)),
        ("kid number", header(r#"{"alg":"HS256","kid":7}"#)),
        ("header no JSON", header("alg=HS256")),
        ("other secret", raw(HS256, &good, "another secret of thirty-two byte")),
        ("empty secret", raw(HS256, &good, "")),
        ("sub twice", raw(HS256, &doubled, SECRET)),
        ("claims no JSON", raw(HS256, "sub=ada", SECRET)),
        ("claims a list", raw(HS256, "[]", SECRET)),
        ("sub missing", without("sub")),
        ("sub empty", with("sub", json!(""))),
        ("sub space", with("sub", json!(" "))),
        ("sub number", with("sub", json!(7))),
        ("sub null", with("sub", Value::Null)),
        ("sub too long", with("sub", json!("x".repeat(129)))),
        ("sub control", with("sub", json!("a\nb"))),
        ("exp missing", without("exp")),
        ("exp past", with("exp", json!(now - 6))),
        ("exp string", with("exp", json!((now + 60).to_string()))),
        ("exp float", with("exp", json!(now as f64 + 60.5))),
        ("exp negative", with("exp", json!(-1))),
        ("exp year 9999", with("exp", json!(253_402_300_799_u64))),
        ("exp over the lifetime", with("exp", json!(now + 24 * 3600 + 60))),
        ("exp largest", with("exp", json!(u64::MAX))),
        ("nbf future", with("nbf", json!(now + 60))),
        ("nbf string", with("nbf", json!("0"))),
        ("iat future", with("iat", json!(now + 60))),
        ("iss other", with("iss", json!("https://evil.example"))),
        ("iss missing", without("iss")),
        ("aud other", with("aud", json!("other"))),
        ("aud others", with("aud", json!(["a", "b"]))),
        ("aud missing", without("aud")),
        ("app number", with("app", json!(1))),
    ];
    let tokens = tokens();
    for (what, token) in table {
        let answer = tokens.verify(&token).await;
        assert!(matches!(answer, Err(TokenRefused::No(_))), "{what}: {answer:?}");
    }
    assert_eq!(tokens.verify(&valid).await.unwrap().user.as_str(), "ada");
}

#[tokio::test]
async fn no_byte_of_a_token_can_be_changed() {
    let (tokens, valid) = (tokens(), with("name", json!("Ada")));
    for place in 0..valid.len() {
        let mut changed = valid.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(tokens.verify(&changed).await.is_err(), "byte {place}");
    }
}

#[tokio::test]
async fn a_minted_token_is_accepted_and_says_whose_it_is() {
    let auth = Auth::hs256(SECRET.to_owned());
    let (app, user) = (AppId::try_from("1").unwrap(), UserId::try_from("ada").unwrap());
    let to = MintFor { app: &app, user: &user, name: Some("Ada"), role: None };
    let minted = mint(&auth, &to, Duration::from_secs(60)).unwrap();
    let claims = Tokens::new(&auth).unwrap().verify(&minted.token).await.unwrap();
    assert_eq!((claims.user, claims.app.as_deref(), claims.name.as_deref()), (user.clone(), Some("1"), Some("Ada")));
    assert_eq!(claims.expires_at, minted.expires_at);
    for lifetime in [0, 24 * 3600 + 1] {
        assert!(matches!(mint(&auth, &to, Duration::from_secs(lifetime)), Err(MintError::Lifetime { .. })));
    }
}

#[test]
fn a_configuration_that_is_not_safe_is_refused() {
    assert!(matches!(Tokens::new(&Auth::hs256("short".to_owned())), Err(InvalidAuth::ShortSecret)));
    assert!(matches!(Tokens::new(&Auth::new(Keys::Public(vec![]))), Err(InvalidAuth::Kid)));
    for url in ["http://keys.example/jwks", "ftp://localhost/x", "jwks", "http://127.0.0.1.evil.example/"] {
        let auth = Auth::new(Keys::Jwks { url: url.into() });
        assert!(matches!(Tokens::new(&auth), Err(InvalidAuth::JwksUrl)), "{url}");
    }
    for url in ["https://keys.example/jwks", "http://127.0.0.1:9/jwks", "http://[::1]:9/jwks"] {
        assert!(Tokens::new(&Auth::new(Keys::Jwks { url: url.into() })).is_ok(), "{url}");
    }
}
