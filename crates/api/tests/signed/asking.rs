//! Channels, users, histories, and the end of a user's connections.

use protocol::{Policy, Signer};
use serde_json::json;

use crate::support::{KEY, SECRET, history, house, now, sign};

#[actix_web::test]
async fn channels_and_their_users_are_told_as_documented() {
    let house = house(Policy::default()).await;
    let (mut ada, mut bob, mut third) = (house.socket().await, house.socket().await, house.socket().await);
    ada.subscribe_presence("presence-a", KEY, SECRET, "ada", json!({})).await;
    bob.subscribe_presence("presence-a", KEY, SECRET, "bob", json!({})).await;
    third.subscribe_presence("presence-a", KEY, SECRET, "bob", json!({})).await;
    bob.subscribe("cache-x").await;
    house.post("/apps/1/events", json!({ "name": "e", "data": "\"v\"", "channel": "cache-y" })).await;
    let all = r#"{"channels":{"cache-x":{},"presence-a":{}}}"#;
    let cached = house.get("/apps/1/channels/cache-y", &[("info", "cache")]).await.json();
    assert_eq!((&cached["occupied"], &cached["cache"]["data"]), (&json!(false), &json!("\"v\"")));
    assert!((1795..=1800).contains(&cached["cache"]["ttl"].as_u64().unwrap()), "{cached}");
    let prefix = |value| ("filter_by_prefix", value);
    for (path, extra, status, body) in [
        ("", &[][..], 200, all),
        ("", &[prefix("presence-")], 200, r#"{"channels":{"presence-a":{}}}"#),
        ("", &[prefix("presence-"), ("info", "user_count")], 200, r#"{"channels":{"presence-a":{"user_count":2}}}"#),
        (
            "",
            &[prefix("cache-"), ("info", "subscription_count")],
            200,
            r#"{"channels":{"cache-x":{"subscription_count":1}}}"#,
        ),
        ("", &[prefix("none")], 200, r#"{"channels":{}}"#),
        ("", &[("info", "user_count")], 400, "user_count needs a filter_by_prefix that starts with presence-"),
        (
            "",
            &[prefix("cache-"), ("info", "user_count")],
            400,
            "user_count needs a filter_by_prefix that starts with presence-",
        ),
        ("", &[("info", "cache")], 400, "Unknown info attribute \"cache\""),
        ("/presence-a", &[], 200, r#"{"occupied":true}"#),
        (
            "/presence-a",
            &[("info", "user_count,subscription_count")],
            200,
            r#"{"occupied":true,"user_count":2,"subscription_count":3}"#,
        ),
        ("/presence-none", &[("info", "user_count")], 200, r#"{"occupied":false,"user_count":0}"#),
        ("/presence-a", &[("info", "cache")], 400, "cache is known only of cache channels"),
        (
            "/cache-x",
            &[("info", "cache,subscription_count")],
            200,
            r#"{"occupied":true,"subscription_count":1,"cache":null}"#,
        ),
        ("/cache-x", &[("info", "user_count")], 400, "user_count is known only of presence channels"),
        ("/cache%2Dx", &[], 200, r#"{"occupied":true}"#),
        ("/presence-a/users", &[], 200, r#"{"users":[{"id":"ada"},{"id":"bob"}]}"#),
        ("/cache-x/users", &[], 400, "Users are known only of presence channels"),
        ("/presence-a/stats", &[], 200, r#"{"occupied":true,"user_count":2,"connection_count":3}"#),
        ("/cache-x/stats", &[], 200, r#"{"occupied":true,"connection_count":1}"#),
    ] {
        let answer = house.get(&format!("/apps/1/channels{path}"), extra).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path} {extra:?}");
    }
    house.stop().await;
}

#[actix_web::test]
async fn a_user_is_disconnected_under_both_paths() {
    let house = house(Policy::default()).await;
    for path in ["/apps/1/users/u%401/terminate_connections", "/users/u@1/terminate_connections"] {
        let mut socket = house.socket().await;
        let data = r#"{"id":"u@1"}"#;
        let auth = format!("{KEY}:{}", Signer::new(SECRET).sign_user(socket.id(), data));
        socket.send_json(json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": data } })).await;
        socket.expect_event("pusher:signin_success").await;
        let answer = house.post(path, "{}").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
        assert_eq!(socket.expect_close().await, 4009);
    }
    let long = format!("/apps/1/users/{}/terminate_connections", "u".repeat(129));
    assert_eq!(house.post(&long, "{}").await.status, 400);
    assert_eq!(house.post(&long.replace("/uu", "/u"), "{}").await.body, "{}");
    // The alias has no app in its path: the key says whose user it is.
    let other = sign("key2", "POST", "/users/u/terminate_connections", &[], "", now());
    let (answer, _) = house.raw("POST", &format!("/users/u/terminate_connections?{other}"), &[], "").await;
    assert_eq!(answer.status, 200);
    house.stop().await;
}

#[actix_web::test]
async fn history_is_read_from_a_position_or_from_its_end() {
    let rules = vec![history("kept-", false), history("safe-", true)];
    let house = house(Policy { history: rules, ..Policy::default() }).await;
    for at in 1..=3 {
        house.post("/apps/1/events", json!({ "name": "e", "data": at.to_string(), "channel": "kept-a" })).await;
    }
    let read = async |channel: &str, extra: &[(&str, &str)]| {
        house.get(&format!("/apps/1/channels/{channel}/history"), extra).await
    };
    let all = read("kept-a", &[]).await.json();
    let epoch = all["position"]["epoch"].as_str().unwrap();
    let event = |at: u64| json!({ "offset": at, "event": "e", "data": at.to_string() });
    assert_eq!(all["events"], json!([event(1), event(2), event(3)]));
    assert_eq!((&all["complete"], &all["position"]["offset"]), (&json!(true), &json!(3)));
    assert_eq!(read("kept-a", &[("limit", "1"), ("seconds", "60")]).await.json()["events"], json!([event(3)]));
    let after = |offset| [("after_epoch", epoch), ("after_offset", offset)];
    let page = read("kept-a", &after("1")).await.json();
    assert_eq!((&page["events"], &page["complete"]), (&json!([event(2), event(3)]), &json!(true)));
    let page = read("kept-a", &[("after_epoch", epoch), ("after_offset", "0"), ("limit", "2")]).await.json();
    assert_eq!((&page["events"], &page["complete"]), (&json!([event(1), event(2)]), &json!(false)));
    let gone = read("kept-a", &[("after_epoch", "0000000000000000"), ("after_offset", "1")]).await.json();
    assert_eq!((&gone["events"], &gone["complete"]), (&json!([]), &json!(false)));
    assert_eq!(read("kept-none", &[]).await.body, r#"{"position":null,"complete":true,"events":[]}"#);
    for (extra, status) in [
        (&[("limit", "1000")][..], 200),
        (&[("limit", "1001")], 400),
        (&[("limit", "0")], 400),
        (&[("limit", "x")], 400),
        (&[("seconds", "0")], 400),
        (&[("after_epoch", "x"), ("after_offset", "1")], 400),
        (&[("after_offset", "1")], 400),
        (&[("after_epoch", epoch), ("after_offset", "1"), ("seconds", "1")], 400),
    ] {
        let answer = read("kept-a", extra).await;
        assert_eq!(answer.status, status, "{extra:?} {}", answer.body);
    }
    assert_eq!(read("safe-a", &[]).await.status, 503);
    house.stop().await;
}
