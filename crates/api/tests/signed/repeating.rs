//! What is sent twice is done once.

use futures_util::future::join_all;
use protocol::Policy;
use serde_json::json;

use crate::support::{KEY, house, now, sign};

const EVENTS: &str = "/apps/1/events";

#[actix_web::test]
async fn a_hundred_requests_with_one_key_are_one_delivery() {
    let house = house(Policy::default()).await;
    let mut socket = house.socket().await;
    socket.subscribe("a").await;
    let event = json!({ "name": "e", "data": "1", "channel": "a", "info": "subscription_count" });
    let headers = [("idempotency-key", "order-1")];
    let answers = join_all((0..100).map(|_| house.post_with(EVENTS, &headers, &event))).await;
    let replayed = answers.iter().filter(|(_, headers)| headers.contains_key("idempotent-replayed")).count();
    assert_eq!(replayed, 99);
    for (answer, _) in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].0.body));
    }
    let changed = json!({ "name": "e", "data": "2", "channel": "a" });
    let (answer, _) = house.post_with(EVENTS, &headers, &changed).await;
    assert_eq!((answer.status, answer.body.as_str()), (409, "The Idempotency-Key was used for another request"));
    let batch = json!({ "batch": [{ "name": "b", "data": "1", "channel": "a" }] });
    assert_eq!(house.post_with("/apps/1/batch_events", &headers, &batch).await.0.status, 409);
    house.post_with("/apps/1/batch_events", &[("idempotency-key", "order-2")], &batch).await;
    let (_, again) = house.post_with("/apps/1/batch_events", &[("idempotency-key", "order-2")], &batch).await;
    assert_eq!(again.get("idempotent-replayed").unwrap(), "true");
    house.post(EVENTS, &changed).await;
    let next = [socket.next().await, socket.next().await, socket.next().await];
    let told = next.each_ref().map(|event| (event.event.as_str(), event.frame["data"].as_str().unwrap()));
    assert_eq!(told, [("e", "1"), ("b", "1"), ("e", "2")]);
    house.stop().await;
}

#[actix_web::test]
async fn a_key_has_1_to_255_visible_characters_and_a_refused_request_may_be_sent_again() {
    let house = house(Policy { event_bytes_max: Some(1), ..Policy::default() }).await;
    let event = json!({ "name": "e", "data": "12", "channel": "a" });
    let one = json!({ "name": "e", "data": "1", "channel": "a" });
    for (key, status) in
        [("k", 200), ("!~", 200), (&*"k".repeat(255), 200), (&*"k".repeat(256), 400), ("", 400), ("a b", 400)]
    {
        assert_eq!(house.post_with(EVENTS, &[("idempotency-key", key)], &one).await.0.status, status, "{key}");
    }
    let headers = [("idempotency-key", "again")];
    assert_eq!(house.post_with(EVENTS, &headers, &event).await.0.status, 413);
    house.change(Policy::default());
    let (answer, told) = house.post_with(EVENTS, &headers, &event).await;
    assert_eq!((answer.status, told.contains_key("idempotent-replayed")), (200, false));
    house.stop().await;
}

#[actix_web::test]
async fn a_signature_counts_once_where_the_app_says_so() {
    let house = house(Policy { refuse_replays: true, ..Policy::default() }).await;
    let mut socket = house.socket().await;
    socket.subscribe("a").await;
    let body = json!({ "name": "e", "data": "1", "channel": "a" }).to_string();
    let uri = format!("{EVENTS}?{}", sign(KEY, "POST", EVENTS, &[], &body, now()));
    let (url, signature) = uri.rsplit_once('=').unwrap();
    let louder = format!("{url}={}", signature.to_uppercase());
    let (first, headers) = house.raw("POST", &uri, &[], &body).await;
    assert!(first.status == 200 && !headers.contains_key("idempotent-replayed"));
    for (uri, headers) in [(&uri, &[][..]), (&louder, &[]), (&uri, &[("idempotency-key", "new")])] {
        let (again, headers) = house.raw("POST", uri, headers, &body).await;
        assert_eq!((&again, headers.get("idempotent-replayed").unwrap().as_bytes()), (&first, &b"true"[..]));
    }
    let asked = sign(KEY, "GET", "/apps/1/channels/a", &[], "", now());
    for occupied in [true, false] {
        let (answer, _) = house.raw("GET", &format!("/apps/1/channels/a?{asked}"), &[], "").await;
        assert_eq!(answer.json(), json!({ "occupied": occupied }), "a question is asked anew");
        if occupied {
            assert_eq!(socket.next().await.event, "e");
            socket.expect_quiet().await;
            socket.unsubscribe("a").await;
        }
    }
    house.stop().await;
}
