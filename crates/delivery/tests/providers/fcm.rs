use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use delivery::fcm::{Config, Fcm, InvalidAccount, ServiceAccount};
use delivery::{Address, Dedup, Http, Outcome, Outgoing, Provider};
use protocol::notification::FailureClass::{self, Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::http_double::{HttpDouble, Request, Script, html, json};
use crate::support::{DELIVERY, SECRET, class, failed, http, outgoing, patient};

/// Made for these tests, and good for nothing else.
const KEY: &str = include_str!("test_key.pem");
const DEVICE: &str = "device-token-1";

fn account(token_uri: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": "kelas-1",
        "private_key_id": "key-1",
        "private_key": KEY,
        "client_email": "kabar@kelas-1.iam.gserviceaccount.com",
        "token_uri": token_uri,
    })
}

fn fcm(google: &HttpDouble, url: &str, http: Http) -> Fcm {
    let account = ServiceAccount::parse(&account(&format!("{}/token", google.url)).to_string().into()).unwrap();
    Fcm::new(Config { name: "fcm".to_owned(), base_url: url.to_owned(), account }, http)
}

fn device() -> Outgoing {
    outgoing(Address::Fcm(DEVICE.parse().unwrap()))
}

fn token(token: &str, seconds: u64) -> Script {
    json(200, &format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#))
}

fn sent() -> Script {
    json(200, r#"{"name":"projects/kelas-1/messages/0:1"}"#)
}

/// RFC 7523: signed by the account's key, for Google, for an hour.
fn check_grant(request: &Request, audience: &str) {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/token"));
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let [(grant_type, grant), (name, assertion)] = fields.try_into().unwrap();
    assert_eq!((grant_type.as_str(), name.as_str()), ("grant_type", "assertion"));
    assert_eq!(grant, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let der: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    public.verify(signed.as_bytes(), &decode(signature)).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let parse = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    assert_eq!(parse(header), json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    let claims = parse(claims);
    assert_eq!(claims["iss"], "kabar@kelas-1.iam.gserviceaccount.com");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
    assert_eq!(claims["aud"], audience);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

#[tokio::test]
async fn a_message_goes_with_a_token_that_the_service_account_was_given() {
    let google = HttpDouble::plain([token(SECRET, 3599)]).await;
    let double = HttpDouble::plain([sent()]).await;
    let provider = fcm(&google, &double.url, patient(&double));
    assert_eq!(provider.dedup(), Dedup::Soft);
    let message_id = Some("projects/kelas-1/messages/0:1".to_owned());
    assert_eq!(provider.send(&device()).await, Outcome::Sent { message_id, note: None });
    check_grant(&google.request(), &format!("{}/token", google.url));

    let request = double.request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/projects/kelas-1/messages:send"));
    assert_eq!(request.header("Authorization"), Some(&*format!("Bearer {SECRET}")));
    let mut body = request.json();
    let expires = body["message"]["apns"]["headers"]["apns-expiration"].take();
    let lasts = expires.as_str().unwrap().parse::<i64>().unwrap() - chrono::Utc::now().timestamp();
    assert!((3590..=3600).contains(&lasts), "{lasts}");
    let link = "https://kelas.example/posts/1#c2";
    assert_eq!(
        body,
        json!({
            "message": {
                "token": DEVICE,
                "notification": { "title": "Komentar Baru", "body": "Bob: <b>halo</b> & salam" },
                "data": { "postId": "1", "kind": "comment", "link": link, "deliveryId": DELIVERY },
                "android": {
                    "priority": "HIGH", "ttl": "3600s", "collapse_key": "post-1", "notification": { "tag": "post-1" },
                },
                "webpush": {
                    "headers": { "TTL": "3600", "Urgency": "high" },
                    "notification": { "tag": "post-1" },
                    "fcm_options": { "link": link },
                },
                "apns": { "headers": { "apns-priority": "10", "apns-expiration": null, "apns-collapse-id": "post-1" } },
            },
            "validate_only": false,
        })
    );
}

#[tokio::test]
async fn many_at_once_ask_for_one_token_and_a_refused_one_is_replaced() {
    let google = HttpDouble::plain([token("first", 3599), token("second", 3599)]).await;
    let refused =
        json(401, r#"{"error":{"code":401,"status":"UNAUTHENTICATED","message":"Request had invalid credentials"}}"#);
    let scripts = (0..5).map(|_| sent()).chain([refused, sent()]);
    let double = HttpDouble::plain(scripts).await;
    let provider = fcm(&google, &double.url, patient(&double));
    let one = device();
    let (a, b, c, d, e) = tokio::join!(
        provider.send(&one),
        provider.send(&one),
        provider.send(&one),
        provider.send(&one),
        provider.send(&one)
    );
    for outcome in [a, b, c, d, e] {
        assert!(class(&outcome).is_ok(), "{outcome:?}");
    }
    assert_eq!(google.requests().len(), 1);
    assert_eq!(class(&provider.send(&one).await), Err(Retryable));
    assert!(class(&provider.send(&one).await).is_ok());
    let used: Vec<_> = double.requests().iter().map(|call| call.header("Authorization").unwrap().to_owned()).collect();
    assert_eq!(used[5..], ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn a_token_about_to_end_is_not_used_again() {
    let google = HttpDouble::plain([token("short", 300), token("long", 3599)]).await;
    let double = HttpDouble::plain([sent(), sent(), sent()]).await;
    let provider = fcm(&google, &double.url, patient(&double));
    for _ in 0..3 {
        assert!(class(&provider.send(&device()).await).is_ok());
    }
    assert_eq!(google.requests().len(), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_nothing_is_in_doubt() {
    for (script, expected) in [
        (json(400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#), Operator),
        (json(401, r#"{"error":"invalid_client"}"#), Operator),
        (json(500, "{}"), Retryable),
        (json(429, "{}"), Retryable),
        (html(200), Retryable),
        (json(200, &format!(r#"{{"access_token":"{SECRET}"}}"#)), Retryable),
        (Script::Cut, Retryable),
        (Script::Hang, Retryable),
    ] {
        let google = HttpDouble::plain([script]).await;
        let double = HttpDouble::plain([]).await;
        let provider = fcm(&google, &double.url, http(Duration::from_secs(1), None));
        let outcome = provider.send(&device()).await;
        assert_eq!(class(&outcome), Err(expected), "{outcome:?}");
        assert!(double.requests().is_empty());
    }
}

#[tokio::test]
async fn what_fcm_says_has_its_meaning() {
    let error = |status: u16, name: &str, details: Value| {
        let message = format!("about {DEVICE} with {SECRET}");
        let error = json!({ "code": status, "status": name, "message": message, "details": details });
        json(status, &json!({ "error": error }).to_string())
    };
    let code =
        |code: &str| json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }]);
    let field = |field: &str| json!([{ "fieldViolations": [{ "field": field, "description": "Invalid" }] }]);
    let rows: Vec<(Script, Result<(), FailureClass>)> = vec![
        (error(404, "NOT_FOUND", code("UNREGISTERED")), Err(PermanentRecipient)),
        (error(404, "NOT_FOUND", json!([])), Err(Operator)),
        (error(403, "PERMISSION_DENIED", code("SENDER_ID_MISMATCH")), Err(PermanentRecipient)),
        (error(403, "PERMISSION_DENIED", json!([])), Err(Operator)),
        (error(400, "INVALID_ARGUMENT", field("message.token")), Err(PermanentRecipient)),
        (error(400, "INVALID_ARGUMENT", field("message.data[0].value")), Err(PermanentMessage)),
        (error(400, "INVALID_ARGUMENT", code("INVALID_ARGUMENT")), Err(PermanentMessage)),
        (error(401, "UNAUTHENTICATED", code("THIRD_PARTY_AUTH_ERROR")), Err(Operator)),
        (error(429, "RESOURCE_EXHAUSTED", code("QUOTA_EXCEEDED")), Err(Retryable)),
        (error(500, "INTERNAL", code("INTERNAL")), Err(Retryable)),
        (error(503, "UNAVAILABLE", code("UNAVAILABLE")), Err(Retryable)),
        (html(502), Err(Retryable)),
        (html(200), Err(Unknown)),
        (json(200, "{}"), Err(Unknown)),
        (Script::Half(200), Err(Unknown)),
        (Script::Cut, Err(Unknown)),
        (Script::Answer(200, vec![], vec![b' '; 300_000]), Err(Unknown)),
    ];
    for (script, expected) in rows {
        let google = HttpDouble::plain([token(SECRET, 3599)]).await;
        let double = HttpDouble::plain([script]).await;
        let outcome = fcm(&google, &double.url, patient(&double)).send(&device()).await;
        assert_eq!(class(&outcome).map(drop), expected, "{outcome:?}");
        assert!(!format!("{outcome:?}").contains(DEVICE));
        let failed = failed(outcome);
        if failed.status == Some(429) {
            assert_eq!(failed.retry_after, Some(Duration::from_secs(60)));
        }
    }
    let google = HttpDouble::plain([token(SECRET, 3599)]).await;
    let double = HttpDouble::plain([Script::Hang]).await;
    let outcome = fcm(&google, &double.url, http(Duration::from_secs(1), None)).send(&device()).await;
    assert_eq!(class(&outcome), Err(Unknown));
}

#[test]
fn a_file_that_is_no_service_account_is_refused_without_being_shown() {
    let parse = |account: &Value| ServiceAccount::parse(&account.to_string().into());
    let good = account("https://oauth2.googleapis.com/token");
    assert!(!format!("{:?}", parse(&good).unwrap()).contains("BEGIN"));
    for (field, value, error) in [
        ("project_id", json!("../x"), InvalidAccount::File),
        ("project_id", json!(""), InvalidAccount::File),
        ("client_email", json!(null), InvalidAccount::File),
        ("private_key", json!("canary-secret"), InvalidAccount::Key),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(parse(&bad).err(), Some(error), "{field}");
    }
}
