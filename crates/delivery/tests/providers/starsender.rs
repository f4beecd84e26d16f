use delivery::starsender::{Config, Starsender};
use delivery::{Dedup, Http, Provider};
use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use serde_json::json;

use crate::http_double::{HttpDouble, json};
use crate::support::{PHONE, SECRET, class, faults, outgoing, patient, phone, table};

fn starsender(url: &str, http: Http) -> Starsender {
    let (name, base_url) = ("starsender".to_owned(), url.to_owned());
    Starsender::new(Config { name, base_url, device_key: SECRET.into(), delay_seconds: Some(3) }, http).unwrap()
}

#[tokio::test]
async fn the_key_stands_alone_and_the_text_holds_title_and_link() {
    let answer = json(200, r#"{"success":true,"data":{},"message":"Success sent message"}"#);
    let double = HttpDouble::plain([answer.clone(), answer]).await;
    let provider = starsender(&double.url, patient(&double));
    assert_eq!(provider.dedup(), Dedup::None);
    let mut outgoing = outgoing(phone());
    outgoing.content.title = "Komentar *Baru*\r\n".to_owned();
    assert_eq!(class(&provider.send(&outgoing).await), Ok(None));
    outgoing.content.image = Some("https://kelas.example/i.png".parse().unwrap());
    assert_eq!(class(&provider.send(&outgoing).await), Ok(None));

    let [text, media] = double.requests().try_into().unwrap();
    assert_eq!((text.method.as_str(), text.path.as_str()), ("POST", "/api/send"));
    assert_eq!(text.header("Authorization"), Some(SECRET));
    let body = "*Komentar Baru*\n\nBob: <b>halo</b> & salam\n\nhttps://kelas.example/posts/1#c2";
    assert_eq!(text.json(), json!({ "messageType": "text", "to": PHONE, "body": body, "delay": 3 }));
    let file = "https://kelas.example/i.png";
    assert_eq!(media.json(), json!({ "messageType": "media", "to": PHONE, "body": body, "file": file, "delay": 3 }));
}

#[tokio::test]
async fn success_is_what_says_so() {
    let failed =
        |status, message: &str| json(status, &format!(r#"{{"success":false,"data":{{}},"message":"{message}"}}"#));
    let rows = vec![
        (json(200, r#"{"success":true,"data":{"id":41},"message":"ok"}"#), Ok(Some("41"))),
        (json(200, r#"{"success":true,"data":{"message_id":"w-1"}}"#), Ok(Some("w-1"))),
        (json(200, r#"{"success":true,"data":null}"#), Ok(None)),
        (failed(200, &format!("Number {PHONE} is not registered")), Err(PermanentRecipient)),
        (failed(200, "Device disconnected"), Err(Operator)),
        (failed(200, &format!("Invalid API key {SECRET}")), Err(Operator)),
        (failed(401, "Unauthorized"), Err(Operator)),
        (failed(200, "The body field is required."), Err(PermanentMessage)),
        (failed(200, "Something new"), Err(Retryable)),
        (failed(429, "Too many requests"), Err(Retryable)),
        (failed(500, "oops"), Err(Retryable)),
        (json(200, r#"{"status":"ok"}"#), Err(Unknown)),
        (json(504, ""), Err(Unknown)),
        (json(500, r#"{"success":true}"#), Err(Retryable)),
    ];
    table(|double| starsender(&double.url, patient(double)), &outgoing(phone()), rows).await;
}

#[tokio::test]
async fn faults_are_not_taken_for_sent() {
    faults(starsender, &outgoing(phone())).await;
}
