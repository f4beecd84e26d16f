//! Publishing, and who may ask at all.

use protocol::Policy;
use serde_json::{Value, json};

use crate::support::{KEY, history, house, house_with, now, sign};

const EVENTS: &str = "/apps/1/events";

fn event() -> Value {
    json!({ "name": "e", "data": "{}", "channels": ["a"] })
}

fn with(field: &str, value: Value) -> Value {
    let mut event = event();
    event[field] = value;
    event
}

#[actix_web::test]
async fn every_limit_of_a_publish_holds_at_its_edge_and_one_past() {
    let house = house(Policy::default()).await;
    let channels = |count| json!((0..count).map(|at| format!("c{at}")).collect::<Vec<_>>());
    for (body, status, text) in [
        (event(), 200, "{}"),
        (with("data", json!("x".repeat(10_240))), 200, "{}"),
        (
            with("data", json!("x".repeat(10_241))),
            413,
            "The data content of this event exceeds the allowed maximum (10240 bytes)",
        ),
        (with("data", json!({})), 400, "The body is not valid"),
        (with("channels", channels(100)), 200, "{}"),
        (with("channels", channels(101)), 400, "An event must name 1 to 100 channels, not 101"),
        (with("channels", json!([])), 400, "An event must name 1 to 100 channels, not 0"),
        (with("channels", json!(["a b"])), 400, "Invalid channel name \"a b\""),
        (with("channels", json!(["#a"])), 400, "Invalid channel name \"#a\""),
        (with("channels", json!(["#server-to-user-u1"])), 200, "{}"),
        (with("channels", json!(["c".repeat(200)])), 200, "{}"),
        (with("channels", json!(["c".repeat(201)])), 400, "Invalid channel name"),
        (with("name", json!("é".repeat(200))), 200, "{}"),
        (with("name", json!("é".repeat(201))), 400, "The event's name must have 1 to 200 characters"),
        (with("name", json!("")), 400, "The event's name must have 1 to 200 characters"),
        (with("socket_id", json!("1.2")), 200, "{}"),
        (with("socket_id", json!("x")), 400, "The body is not valid: a socket id looks like 123.456"),
        (with("info", json!("cache")), 400, "Unknown info attribute \"cache\""),
        (json!({ "name": "e", "data": "{}" }), 400, "channels is missing"),
        (json!({ "name": "e", "channel": "a" }), 400, "The body is not valid: missing field `data`"),
        (json!({ "name": "e", "data": "\u{1}\"\\é", "channel": "a" }), 200, "{}"),
        (json!([]), 400, "The body is not valid"),
    ] {
        let answer = house.post(EVENTS, &body).await;
        assert_eq!(answer.status, status, "{body} {}", answer.body);
        assert!(answer.body.starts_with(text), "{body} {}", answer.body);
        assert!(status != 200 || answer.body == "{}");
    }
    let batch = |events: Vec<Value>| json!({ "batch": events });
    let one = json!({ "name": "e", "data": "{}", "channel": "a" });
    for (body, status, text) in [
        (batch(vec![one.clone(); 10]), 200, "{}"),
        (batch(vec![one.clone(); 11]), 400, "A batch may have at most 10 events"),
        (batch(vec![]), 200, "{}"),
        (batch(vec![event()]), 400, "Each event of a batch needs its channel"),
    ] {
        let answer = house.post("/apps/1/batch_events", &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{body}");
    }
    house.stop().await;
}

#[actix_web::test]
async fn what_is_published_arrives_and_a_bad_batch_leaves_nothing() {
    let house = house(Policy::default()).await;
    let (mut a, mut b) = (house.socket().await, house.socket().await);
    a.subscribe("a").await;
    b.subscribe("a").await;
    let good = json!({ "name": "good", "data": "1", "channel": "a" });
    let bad = json!({ "batch": [good, { "name": "e", "data": "x".repeat(10_241), "channel": "a" }] });
    assert_eq!(house.post("/apps/1/batch_events", &bad).await.status, 413);
    let batch = json!({ "batch": [{ "name": "one", "data": "1", "channel": "a", "socket_id": b.id() },
        { "name": "two", "data": "2", "channel": "a", "info": "subscription_count,user_count" }] });
    let answer = house.post("/apps/1/batch_events", &batch).await;
    assert_eq!(answer.body, r#"{"batch":[{},{"subscription_count":2}]}"#);
    assert_eq!((a.next().await.event.as_str(), a.next().await.event.as_str()), ("one", "two"));
    assert_eq!(b.next().await.event, "two");
    let info = with("info", json!("user_count,subscription_count"));
    assert_eq!(house.post(EVENTS, &info).await.body, r#"{"channels":{"a":{"subscription_count":2}}}"#);
    assert_eq!(b.next().await.event, "e");

    let path = "/apps/1/channels/a/events";
    let older = |extra: &[(&str, &str)], body: &str| {
        let query = sign(KEY, "POST", path, extra, body, now());
        let (house, uri, body) = (&house, format!("{path}?{query}"), body.to_owned());
        async move { house.raw("POST", &uri, &[], &body).await.0 }
    };
    let answer = older(&[("name", "old"), ("socket_id", &a.id().to_string())], "raw data").await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    let event = b.next().await;
    assert_eq!((event.event.as_str(), event.frame["data"].as_str()), ("old", Some("raw data")));
    assert_eq!(older(&[], "x").await.body, "name is missing");
    assert_eq!(older(&[("name", "e"), ("socket_id", "x")], "x").await.status, 400);
    house.stop().await;
}

#[actix_web::test]
async fn positions_are_answered_where_history_is_kept() {
    let rules = vec![history("kept-", false), history("safe-", true)];
    let house = house(Policy { history: rules, ..Policy::default() }).await;
    let publish = json!({ "name": "e", "data": "1", "channels": ["kept-a", "kept-b"], "info": "position" });
    house.post(EVENTS, &json!({ "name": "e", "data": "0", "channels": ["kept-a"] })).await;
    let told = house.post(EVENTS, &publish).await.json();
    assert_eq!(told["channels"]["kept-a"]["position"]["offset"], 2);
    assert_eq!(told["channels"]["kept-b"]["position"]["offset"], 1);
    let epoch = told["channels"]["kept-a"]["position"]["epoch"].as_str().unwrap();
    assert_eq!(epoch.len(), 16);
    // Without a journal nothing durable is accepted, and then nothing else of the request is.
    let (answer, headers) =
        house.post_with(EVENTS, &[], json!({ "name": "e", "data": "1", "channels": ["kept-a", "safe-a"] })).await;
    assert_eq!((answer.status, headers.get("retry-after").unwrap().to_str().unwrap()), (503, "1"));
    let page = house.get("/apps/1/channels/kept-a/history", &[]).await.json();
    assert_eq!(page["position"], json!({ "epoch": epoch, "offset": 2 }));
    house.stop().await;
}

#[actix_web::test]
async fn only_who_signs_this_request_in_this_time_is_answered() {
    let house = house(Policy::default()).await;
    let body = event().to_string();
    let query = |key: &str, at: i64| sign(key, "POST", EVENTS, &[], &body, at);
    let good = query(KEY, now());
    let upper = good.replace("auth_key=", "AUTH_KEY=").replace("body_md5", "Body_MD5");
    let mut reordered: Vec<_> = good.split('&').collect();
    reordered.reverse();
    let signature = good.rsplit_once('=').unwrap().1;
    for (query, status, text) in [
        (good.clone(), 200, "{}"),
        (upper, 200, "{}"),
        (reordered.join("&"), 200, "{}"),
        (good.replace(signature, &signature.to_uppercase()), 200, "{}"),
        (query(KEY, now() - 595), 200, "{}"),
        (query(KEY, now() + 600), 200, "{}"),
        (query(KEY, now() - 601), 401, "Timestamp expired: Given timestamp ("),
        (query(KEY, now() + 602), 401, "Timestamp expired: Given timestamp ("),
        (
            format!("{good}&info=x"),
            401,
            "Invalid signature: you should have sent HmacSHA256Hex(\"POST\\n/apps/1/events\\n",
        ),
        (format!("auth_key=key1&{good}"), 401, "Invalid signature"),
        (good.replace(signature, ""), 401, "Invalid signature"),
        (query("nobody", now()), 401, "Unknown auth_key \"nobody\""),
        (query("key2", now()), 403, "The auth_key belongs to another app than the one in the path"),
        (good.replace("auth_version=1.0", "auth_version=2.0"), 400, "auth_version must be 1.0"),
        (good.replace("auth_timestamp=", "auth_timestamp=x"), 400, "auth_timestamp must be"),
        (String::new(), 400, "auth_key is missing"),
        (sign(KEY, "POST", EVENTS, &[], "", now()), 400, "body_md5 is missing"),
        (sign(KEY, "POST", EVENTS, &[], "other", now()), 401, "Invalid body_md5"),
    ] {
        let (answer, headers) = house.raw("POST", &format!("{EVENTS}?{query}"), &[], &body).await;
        assert_eq!(answer.status, status, "{query} {}", answer.body);
        assert!(answer.body.starts_with(text), "{query} {}", answer.body);
        let kind = if status == 200 { "application/json" } else { "text/plain; charset=utf-8" };
        assert_eq!(headers.get("content-type").unwrap(), kind);
        assert_eq!(headers.get("x-content-type-options").unwrap(), "nosniff");
    }
    for (method, path, status) in [("GET", EVENTS, 405), ("PUT", "/apps/1/channels", 405), ("GET", "/apps/1/x", 404)] {
        assert_eq!(house.raw(method, path, &[], "").await.0.status, status, "{method} {path}");
    }
    assert_eq!(house.raw("GET", EVENTS, &[], "").await.1.get("allow").unwrap(), "POST");
    house.change(Policy { enabled: false, ..Policy::default() });
    let answer = house.post(EVENTS, event()).await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "The app is disabled"));
    house.stop().await;
}

#[actix_web::test]
async fn an_app_has_limits_of_its_own_and_a_body_is_refused_by_its_length() {
    let policy = Policy { event_bytes_max: Some(20_000), publishes_per_second_max: Some(3), ..Policy::default() };
    let house = house_with(policy, |config| config.publish_body_bytes_max = 30_000).await;
    let sized = |bytes| with("data", json!("x".repeat(bytes)));
    assert_eq!(house.post(EVENTS, sized(20_000)).await.status, 200);
    assert_eq!(house.post(EVENTS, sized(20_001)).await.status, 413);
    let (answer, _) = house.post_with(EVENTS, &[("content-length", "30001")], event()).await;
    assert!(answer.status == 413 && answer.body.contains("(30000 bytes)"), "{answer:?}");
    assert_eq!(house.post(EVENTS, sized(30_000)).await.status, 413);
    let (answer, headers) = house.post_with(EVENTS, &[], with("channels", json!(["a", "b", "c", "d"]))).await;
    assert_eq!(answer.body, "The app may publish at most 3 events in a second, try again");
    assert_eq!((answer.status, headers.get("retry-after").unwrap().to_str().unwrap()), (429, "1"));
    house.stop().await;
}
