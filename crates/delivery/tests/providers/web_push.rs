use std::time::Duration;

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use delivery::address::Subscription;
use delivery::vapid::VapidKey;
use delivery::web_push::{Config, WebPush};
use delivery::{Address, Dedup, Http, Outcome, Provider};
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use protocol::notification::FailureClass::{self, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::http_double::{HttpDouble, Request, Script, html};
use crate::support::{DELIVERY, class, failed, http, outgoing, patient};

const AUTH: [u8; 16] = *b"0123456789abcdef";

/// A browser: it holds the private key, and reads what is pushed to it.
struct Browser(SecretKey);

impl Browser {
    fn new() -> Self {
        Self(SecretKey::from_slice(&[9; 32]).unwrap())
    }

    fn subscribe(&self, endpoint: &str) -> Address {
        let key = URL_SAFE_NO_PAD.encode(self.0.public_key().to_encoded_point(false));
        Address::WebPush(Subscription::parse(endpoint, &key, &URL_SAFE_NO_PAD.encode(AUTH)).unwrap())
    }

    /// RFC 8291, 3.4 and RFC 8188, 2, written from their text: HKDF is two HMACs, and no code of the sender's is used.
    fn read(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        let (length, rest) = rest.split_at(1);
        let (sender, record) = rest.split_at(length[0].into());
        assert_eq!((size, length), (4096_u32.to_be_bytes().as_slice(), [65].as_slice()));
        assert!(body.len() <= 4096);

        let shared = p256::ecdh::diffie_hellman(
            self.0.to_nonzero_scalar(),
            PublicKey::from_sec1_bytes(sender).unwrap().as_affine(),
        );
        let own = self.0.public_key().to_encoded_point(false);
        let prk_key = hmac(&AUTH, &[shared.raw_secret_bytes()]);
        let ikm = hmac(&prk_key, &[b"WebPush: info\0", own.as_bytes(), sender, &[1]]);
        let prk = hmac(salt, &[&ikm]);
        let key = hmac(&prk, &[b"Content-Encoding: aes128gcm\0", &[1]]);
        let nonce = hmac(&prk, &[b"Content-Encoding: nonce\0", &[1]]);

        let nonce: [u8; 12] = nonce[..12].try_into().unwrap();
        let cipher = Aes128Gcm::new_from_slice(&key[..16]).unwrap();
        let mut plain = cipher.decrypt(&nonce.into(), record).unwrap();
        // Padding, if any, follows the delimiter of the last record.
        while plain.last() == Some(&0) {
            plain.pop();
        }
        assert_eq!(plain.pop(), Some(2));
        serde_json::from_slice(&plain).unwrap()
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn web_push(http: Http) -> (WebPush, VapidKey) {
    let key = VapidKey::generate().unwrap();
    let contact = "mailto:ops@kelas.example".parse().unwrap();
    (WebPush::new(Config { name: "web-push".to_owned(), key: key.clone(), contact }, http), key)
}

/// RFC 8292: who has signed, for which push service, until when.
fn check_signature(request: &Request, key: &VapidKey, origin: &str) {
    let authorization = request.header("Authorization").unwrap().strip_prefix("vapid ").unwrap();
    let (token, public) = authorization.split_once(", ").unwrap();
    let (token, public) = (token.strip_prefix("t=").unwrap(), public.strip_prefix("k=").unwrap());
    assert_eq!(public, key.public());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let verifying = VerifyingKey::from_sec1_bytes(&decode(public)).unwrap();
    verifying.verify(signed.as_bytes(), &Signature::from_slice(&decode(signature)).unwrap()).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let parse = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    assert_eq!(parse(header), json!({ "typ": "JWT", "alg": "ES256" }));
    let claims = parse(claims);
    assert_eq!((&claims["aud"], &claims["sub"]), (&origin.into(), &"mailto:ops@kelas.example".into()));
    let lasts = claims["exp"].as_i64().unwrap() - chrono::Utc::now().timestamp();
    assert!((3600..=24 * 3600).contains(&lasts), "{lasts}");
}

#[tokio::test]
async fn a_push_is_signed_by_us_and_readable_by_its_browser() {
    let double =
        HttpDouble::tls([Script::Answer(201, vec![("Location", "https://p.example/m/1".into())], vec![])]).await;
    let (browser, (provider, key)) = (Browser::new(), web_push(patient(&double)));
    assert_eq!(provider.dedup(), Dedup::Soft);
    let outcome = provider.send(&outgoing(browser.subscribe(&format!("{}/push/abc?d=1", double.url)))).await;
    assert_eq!(outcome, Outcome::Sent { message_id: None, note: None });

    let request = double.request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/push/abc?d=1"));
    for (name, value) in [
        ("TTL", "3600"),
        ("Urgency", "high"),
        ("Topic", "post-1"),
        ("Content-Encoding", "aes128gcm"),
        ("Content-Type", "application/octet-stream"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    check_signature(&request, &key, &double.url);
    assert_eq!(
        browser.read(&request.body),
        json!({
            "id": DELIVERY,
            "title": "Komentar Baru",
            "body": "Bob: <b>halo</b> & salam",
            "tag": "post-1",
            "link": "https://kelas.example/posts/1#c2",
            "data": { "postId": 1, "kind": "comment" },
        })
    );
}

#[tokio::test]
async fn a_topic_that_push_services_would_refuse_becomes_one_that_they_take() {
    let accepted = || Script::Answer(201, vec![], vec![]);
    let double = HttpDouble::tls([accepted(), accepted(), accepted()]).await;
    let (browser, (provider, _)) = (Browser::new(), web_push(patient(&double)));
    let mut outgoing = outgoing(browser.subscribe(&double.url));
    outgoing.content.ttl = Duration::from_secs(u64::MAX);
    outgoing.content.urgent = false;
    for key in [Some("chat:room/1 ü\r\nX: y"), Some("chat:room/2"), None] {
        outgoing.content.collapse_key = key.map(str::to_owned);
        assert_eq!(class(&provider.send(&outgoing).await), Ok(None));
    }
    let [one, two, none] = double.requests().try_into().unwrap();
    let (one, two) = (one.header("Topic").unwrap().to_owned(), two.header("Topic").unwrap().to_owned());
    assert_ne!(one, two);
    for topic in [one, two] {
        assert!(topic.len() == 32 && URL_SAFE_NO_PAD.decode(&topic).is_ok(), "{topic}");
    }
    assert_eq!(
        (none.header("Topic"), none.header("Urgency"), none.header("TTL")),
        (None, Some("normal"), Some("2419200"))
    );
    assert_eq!(browser.read(&none.body)["tag"], DELIVERY);
}

#[tokio::test]
async fn every_answer_of_a_push_service_has_its_meaning_and_none_stops_the_provider() {
    let (long, short) = (Duration::from_secs(10), Duration::from_secs(1));
    let wait = Script::Answer(429, vec![("Retry-After", "120".to_owned())], vec![]);
    let rows: Vec<(Script, Duration, Result<Option<String>, FailureClass>)> = vec![
        (Script::Answer(200, vec![], vec![]), long, Ok(None)),
        (Script::Answer(202, vec![], vec![]), long, Ok(None)),
        (Script::Answer(204, vec![], vec![]), long, Ok(None)),
        // The status is the answer, whatever follows.
        (html(201), long, Ok(None)),
        (Script::Half(201), long, Ok(None)),
        (Script::Drip(201), short, Ok(None)),
        (Script::Answer(404, vec![], vec![]), long, Err(PermanentRecipient)),
        (Script::Answer(410, vec![], b"push subscription has expired".to_vec()), long, Err(PermanentRecipient)),
        (Script::Answer(413, vec![], vec![]), long, Err(PermanentMessage)),
        (Script::Answer(400, vec![], vec![]), long, Err(PermanentMessage)),
        (Script::Answer(401, vec![], vec![]), long, Err(Retryable)),
        (Script::Answer(403, vec![], vec![]), long, Err(Retryable)),
        (Script::Answer(302, vec![("Location", "http://127.0.0.1:1/".into())], vec![]), long, Err(Retryable)),
        (wait, long, Err(Retryable)),
        (html(500), long, Err(Retryable)),
        (html(503), long, Err(Retryable)),
        (Script::Hang, short, Err(Unknown)),
        (Script::Cut, long, Err(Unknown)),
    ];
    for (script, deadline, expected) in rows {
        let double = HttpDouble::tls([script]).await;
        let (provider, _) = web_push(http(deadline, Some(&double)));
        let outcome = provider.send(&outgoing(Browser::new().subscribe(&format!("{}/push/secret", double.url)))).await;
        assert_eq!(class(&outcome), expected, "{outcome:?}");
        assert!(!format!("{outcome:?}").contains("/push/secret"));
        if let Outcome::Failed(failed) = outcome
            && failed.status == Some(429)
        {
            assert_eq!(failed.retry_after, Some(Duration::from_secs(120)));
        }
    }
}

#[tokio::test]
async fn an_endpoint_inside_our_network_is_never_called() {
    let canary = HttpDouble::tls([]).await;
    let (provider, _) = web_push(patient(&canary));
    let port = canary.url.rsplit_once(':').unwrap().1;
    for host in ["127.0.0.2", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.9]", "0177.0.0.9"] {
        let outcome = provider.send(&outgoing(Browser::new().subscribe(&format!("https://{host}:{port}/x")))).await;
        let failed = failed(outcome);
        assert!(matches!(failed.class, PermanentRecipient | Retryable), "{host} {failed:?}");
        if host != "localhost" {
            assert_eq!(failed.class, PermanentRecipient, "{host}");
        }
    }
    assert!(canary.requests().is_empty());
    // One whose certificate is nobody's is not talked to either.
    let stranger = HttpDouble::tls([]).await;
    let outcome = provider.send(&outgoing(Browser::new().subscribe(&stranger.url))).await;
    assert_eq!(class(&outcome), Err(Retryable));
    assert!(stranger.requests().is_empty());
}
