use delivery::onesignal::{Config, OneSignal};
use delivery::{Address, Dedup, Http, Outcome, Provider};
use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable};
use serde_json::json;

use crate::http_double::{HttpDouble, Script, json};
use crate::support::{DELIVERY, SECRET, class, faults, outgoing, patient, phone, table};

fn onesignal(url: &str, http: Http) -> OneSignal {
    let (name, base_url, app_id) = ("onesignal".to_owned(), url.to_owned(), "app-1".to_owned());
    OneSignal::new(Config { name, base_url, app_id, api_key: SECRET.into() }, http).unwrap()
}

fn user() -> Address {
    Address::OneSignalUser("user-7".parse().unwrap())
}

#[tokio::test]
async fn the_call_names_the_user_by_alias_and_the_delivery_by_its_key() {
    let double = HttpDouble::plain([json(200, r#"{"id":"n-1","external_id":null}"#)]).await;
    let outcome = onesignal(&double.url, patient(&double)).send(&outgoing(user())).await;
    assert_eq!(outcome, Outcome::Sent { message_id: Some("n-1".to_owned()), note: None });
    let request = double.request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/notifications"));
    assert_eq!(request.header("Authorization"), Some(&*format!("Key {SECRET}")));
    assert_eq!(
        request.json(),
        json!({
            "app_id": "app-1",
            "include_aliases": { "external_id": ["user-7"] },
            "target_channel": "push",
            "idempotency_key": DELIVERY,
            "headings": { "en": "Komentar Baru" },
            "contents": { "en": "Bob: <b>halo</b> & salam" },
            "url": "https://kelas.example/posts/1#c2",
            "data": { "postId": 1, "kind": "comment" },
            "collapse_id": "post-1",
            "web_push_topic": "post-1",
            "ttl": 3600,
            "priority": 10,
        })
    );
}

#[tokio::test]
async fn the_same_delivery_has_the_same_key_and_a_replay_is_told() {
    let replayed = Script::Answer(200, vec![("Idempotent-Replayed", "true".to_owned())], br#"{"id":"n-1"}"#.to_vec());
    let double = HttpDouble::plain([Script::Cut, replayed]).await;
    let provider = onesignal(&double.url, patient(&double));
    assert_eq!(provider.dedup(), Dedup::Key);
    assert!(class(&provider.send(&outgoing(user())).await).is_err());
    let again = provider.send(&outgoing(user())).await;
    assert_eq!(
        again,
        Outcome::Sent { message_id: Some("n-1".to_owned()), note: Some("it had this one already".to_owned()) }
    );
    let keys: Vec<_> = double.requests().iter().map(|request| request.json()["idempotency_key"].clone()).collect();
    assert_eq!(keys, [DELIVERY, DELIVERY]);
}

#[tokio::test]
async fn nobody_subscribed_is_neither_sent_nor_a_failure() {
    for errors in
        [r#"["All included players are not subscribed"]"#, r#"{"invalid_aliases":{"external_id":["user-7"]}}"#]
    {
        let answer = json(200, &format!(r#"{{"id":"","external_id":null,"errors":{errors}}}"#));
        let double = HttpDouble::plain([answer.clone(), answer]).await;
        let provider = onesignal(&double.url, patient(&double));
        let outcome = provider.send(&outgoing(user())).await;
        assert_eq!(outcome, Outcome::NoRecipient { note: "no_subscription".to_owned() });
        // One device of a user's that is gone, is gone.
        let device = Address::OneSignalSubscription("device-1".parse().unwrap());
        assert_eq!(class(&provider.send(&outgoing(device)).await), Err(PermanentRecipient));
        assert_eq!(double.requests()[1].json()["include_subscription_ids"], json!(["device-1"]));
        assert!(double.requests()[1].json().get("include_aliases").is_none());
    }
}

#[tokio::test]
async fn every_shape_of_error_is_understood() {
    let rows = vec![
        (json(200, r#"{"id":"n-2","errors":{"invalid_aliases":{"external_id":["x"]}}}"#), Ok(Some("n-2"))),
        (json(200, r#"{"success":false}"#), Err(protocol::notification::FailureClass::Unknown)),
        (
            json(400, r#"{"errors":["You must include which players, segments, or tags you wish to send this to."]}"#),
            Err(PermanentMessage),
        ),
        (json(400, r#"{"errors":["app_id not found. You may be missing it"]}"#), Err(Operator)),
        (json(400, r#"{"errors":[{"code":"x","title":"Bad","meta":{}}]}"#), Err(PermanentMessage)),
        (json(400, r#"{"errors":"Bad"}"#), Err(PermanentMessage)),
        (
            json(
                403,
                r#"{"errors":["Access denied.  Please include an 'Authorization: ...' header with a valid API key"]}"#,
            ),
            Err(Operator),
        ),
        (json(404, r#"{"success":false}"#), Err(Operator)),
        (json(429, r#"{"errors":["API rate limit exceeded"],"limit":"150"}"#), Err(Retryable)),
        (json(503, r#"{"errors":["Service temporarily unavailable"]}"#), Err(Retryable)),
        (json(504, r#"{}"#), Err(Retryable)),
    ];
    table(|double| onesignal(&double.url, patient(double)), &outgoing(user()), rows).await;
}

#[tokio::test]
async fn faults_are_not_taken_for_sent() {
    faults(onesignal, &outgoing(user())).await;
}

#[tokio::test]
async fn an_address_of_another_kind_is_refused_before_anything_is_sent() {
    let double = HttpDouble::plain([]).await;
    let outcome = onesignal(&double.url, patient(&double)).send(&outgoing(phone())).await;
    assert_eq!(class(&outcome), Err(PermanentMessage));
    assert!(double.requests().is_empty());
}
