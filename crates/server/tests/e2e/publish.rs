//! Publishing over HTTP to a channel that Postgres keeps, over a restart.

use std::time::UNIX_EPOCH;

use nix::sys::signal::Signal;
use protocol::Signer;
use protocol::signature::sign_request;
use serde_json::{Value, json};
use testkit::RawSocket;

use crate::kabar::{KEY, Kabar, SECRET, command, folder, with_app};

const EVENTS: &str = "/apps/1/events";

fn signed(method: &str, path: &str, body: &str) -> String {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    format!("{path}?{}", sign_request(KEY, &Signer::new(SECRET), method, path, body.as_bytes(), now))
}

/// Publishes with this key: the answer, and whether it was that of an earlier request.
async fn publish(kabar: &Kabar, key: &str, body: &Value) -> (Value, bool) {
    let body = body.to_string();
    let url = format!("http://{}{}", kabar.public, signed("POST", EVENTS, &body));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(url).header("idempotency-key", key).body(body).send().await.unwrap();
    let (status, replayed) = (answer.status(), answer.headers().contains_key("idempotent-replayed"));
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    (serde_json::from_str(&text).unwrap(), replayed)
}

#[tokio::test]
async fn a_durable_event_with_a_key_is_stored_once_over_a_restart() {
    // The private Postgres: that of the other tests may lose what it has committed, and is refused.
    let folder = folder();
    let start = || {
        let mut start = with_app(command(folder.path()));
        let rule = json!({"prefix": "orders-", "messages_max": 100, "seconds": 3600, "durable": true});
        let app = json!([{"id": "1", "key": KEY, "secret": SECRET, "policy": {"history": [rule]}}]);
        start.env("KABAR__APPS", app.to_string());
        start
    };
    let event = json!({"name": "paid", "data": "1", "channels": ["orders-1", "orders-2"], "info": "position"});
    let mut kabar = Kabar::start(&folder, start()).await;
    kabar.ready().await;
    let (first, replayed) = publish(&kabar, "order-1", &event).await;
    assert_eq!((&first["channels"]["orders-1"]["position"]["offset"], replayed), (&json!(1), false));
    assert_eq!(publish(&kabar, "order-1", &event).await, (first.clone(), true));
    kabar.signal(Signal::SIGTERM);
    kabar.ended().await;

    let mut kabar = Kabar::start(&folder, start()).await;
    kabar.ready().await;
    assert_eq!(publish(&kabar, "order-1", &event).await, (first.clone(), true), "Postgres remembers it");
    let path = "/apps/1/channels/orders-1/history";
    let history: Value = kabar.fetch(&signed("GET", path, ""), &[]).await.json().await.unwrap();
    let position = &first["channels"]["orders-1"]["position"];
    let kept = json!({"position": position, "complete": true, "events": [{"offset": 1, "event": "paid", "data": "1"}]});
    assert_eq!(history, kept);
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_unless_the_body_is_long() {
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = Kabar::on(&folder, &database.url).await;
    let mut connection = RawSocket::connect(&kabar.public).await;
    let good = json!({"name": "e", "data": "1", "channel": "a"}).to_string();
    let request = |uri: &str, body: &str| {
        format!("POST {uri} HTTP/1.1\r\nHost: kabar\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    for (uri, status) in [(format!("{EVENTS}?auth_key=nobody"), "401"), (signed("POST", EVENTS, &good), "200")] {
        connection.write(request(&uri, &good).as_bytes()).await;
        let head = connection.read_head().await.to_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status}")) && !head.contains("connection: close"), "{head}");
        let (_, length) = head.split_once("content-length: ").unwrap();
        connection.read_exact(length.lines().next().unwrap().parse().unwrap()).await;
    }
    let long = "x".repeat(64 * 1024 + 1);
    connection.write(request(&format!("{EVENTS}?auth_key=nobody"), &long).as_bytes()).await;
    let head = connection.read_head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
}
