use delivery::address::EmailAddress;
use delivery::mailketing::{Config, Mailketing, Version};
use delivery::{Dedup, Http, Outcome, Provider};
use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use serde_json::json;
use url::form_urlencoded;

use crate::http_double::{HttpDouble, json};
use crate::support::{DELIVERY, EMAIL, SECRET, email, faults, outgoing, patient, table};

const CONTENT: &str = "<p>Bob: &lt;b&gt;halo&lt;/b&gt; &amp; salam</p>\n\
    <p><a href=\"https://kelas.example/posts/1#c2\">https://kelas.example/posts/1#c2</a></p>";

const CONTENT_1: &str = "<p>Halo</p>\n\
    <p><a href=\"https://kabar.kelas.example/u?a=1&amp;b=%27\">https://kabar.kelas.example/u?a=1&amp;b=%27</a></p>";

fn mailketing(version: Version) -> impl Fn(&str, Http) -> Mailketing {
    move |url, http| {
        let from = EmailAddress::parse("kabar@kelas.example", Some("Kelas\r\nBcc: x@y.example")).unwrap();
        let (name, base_url) = ("mailketing".to_owned(), format!("{url}/"));
        Mailketing::new(Config { name, base_url, version, api_token: SECRET.into(), from }, http).unwrap()
    }
}

#[tokio::test]
async fn version_2_is_json_with_the_token_in_a_header() {
    let answer = r#"{"success":true,"data":{"message_id":"m-1"},"message":"Email queued successfully"}"#;
    let double = HttpDouble::plain([json(200, answer)]).await;
    let provider = mailketing(Version::V2)(&double.url, patient(&double));
    assert_eq!(provider.dedup(), Dedup::None);
    let outcome = provider.send(&outgoing(email())).await;
    let note = Some("Email queued successfully".to_owned());
    assert_eq!(outcome, Outcome::Sent { message_id: Some("m-1".to_owned()), note });
    let request = double.request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v2/send"));
    assert_eq!(request.header("X-Api-Token"), Some(SECRET));
    assert_eq!(request.header("Authorization"), None);
    assert_eq!(
        request.json(),
        json!({
            "from_name": "Kelas Bcc: x@y.example",
            "from_email": "kabar@kelas.example",
            "recipient": EMAIL,
            "subject": "Komentar Baru",
            "content": CONTENT,
            "message_id": DELIVERY,
        })
    );
}

#[tokio::test]
async fn version_1_is_a_form_with_the_token_in_it() {
    let double = HttpDouble::plain([json(200, r#"{"status":"success","response":"Mail Sent"}"#)]).await;
    let mut outgoing = outgoing(email());
    outgoing.content.title = "Satu\r\nBcc: x@y.example".to_owned();
    outgoing.content.html = Some("<p>Halo</p>".to_owned());
    outgoing.content.unsubscribe = Some("https://kabar.kelas.example/u?a=1&b='".parse().unwrap());
    let outcome = mailketing(Version::V1)(&double.url, patient(&double)).send(&outgoing).await;
    assert_eq!(outcome, Outcome::Sent { message_id: None, note: Some("Mail Sent".to_owned()) });
    let request = double.request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v1/send"));
    assert_eq!(request.header("Content-Type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("X-Api-Token"), None);
    let fields: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
    let expected = [
        ("api_token", SECRET),
        ("from_name", "Kelas Bcc: x@y.example"),
        ("from_email", "kabar@kelas.example"),
        ("recipient", EMAIL),
        ("subject", "Satu Bcc: x@y.example"),
        ("content", CONTENT_1),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn version_2_fails_in_its_own_words() {
    let refused = |status, message: &str| {
        let errors = format!(r#"{{"recipient":["{EMAIL} / {SECRET}"]}}"#);
        json(status, &format!(r#"{{"success":false,"message":"{message}","errors":{errors}}}"#))
    };
    let rows = vec![
        (refused(422, "The given data was invalid."), Err(PermanentMessage)),
        (refused(401, "Unauthenticated."), Err(Operator)),
        (refused(200, "No Credits, Please Top Up"), Err(Operator)),
        (refused(400, "Unknown Sender, Please Add your Sender Email at Add Domain Menu"), Err(Operator)),
        (refused(200, "Blacklisted"), Err(PermanentRecipient)),
        (refused(200, "Something new"), Err(Retryable)),
        (refused(429, "Too Many Attempts."), Err(Retryable)),
        (refused(500, "Server Error"), Err(Retryable)),
        // Success in words, in a status that is none; and in the other generation's words.
        (json(500, r#"{"success":true}"#), Err(Retryable)),
        (json(200, r#"{"status":"success","response":"Mail Sent"}"#), Err(Unknown)),
        (json(200, r#"{"success":"true"}"#), Err(Unknown)),
        (json(200, r#"[]"#), Err(Unknown)),
        (json(200, r#"{"success":true}"#), Ok(None)),
        (json(201, r#"{"success":true,"data":{"message_id":17}}"#), Ok(Some("17"))),
    ];
    table(|double| mailketing(Version::V2)(&double.url, patient(double)), &outgoing(email()), rows).await;
}

#[tokio::test]
async fn version_1_answers_failures_with_200() {
    let failed = |text: &str| json(200, &format!(r#"{{"status":"failed","response":"{text}"}}"#));
    let rows = vec![
        (failed("User Not Found or Wrong API Token"), Err(Operator)),
        (failed("Access Denied, Invalid Token"), Err(Operator)),
        (failed("Unknown Sender, Please Add your Sender Email at Add Domain Menu"), Err(Operator)),
        (failed("Empty From Name"), Err(Operator)),
        (failed("No Credits, Please Top Up"), Err(Operator)),
        (failed("Empty Recipient, Please Add recipient address"), Err(PermanentMessage)),
        (failed("Blacklisted"), Err(PermanentRecipient)),
        (failed("Empty Subject, Please Add Subject Email"), Err(PermanentMessage)),
        (failed("Empty Content, Please Add Email Content"), Err(PermanentMessage)),
        (failed(&format!("Something new about {EMAIL} with {SECRET}")), Err(Retryable)),
        (json(200, r#"{"success":true}"#), Err(Unknown)),
        (json(200, r#"{"status":"success","message_id":"m-9"}"#), Ok(Some("m-9"))),
    ];
    table(|double| mailketing(Version::V1)(&double.url, patient(double)), &outgoing(email()), rows).await;
}

#[tokio::test]
async fn faults_are_not_taken_for_sent() {
    faults(mailketing(Version::V2), &outgoing(email())).await;
    faults(mailketing(Version::V1), &outgoing(email())).await;
}
