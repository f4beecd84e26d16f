//! Subscribing, presence and client events, as stock clients see them.

use hub::{Config, Publication};
use serde_json::json;
use testkit::Socket;

use crate::support::{KEY, Node, SECRET, app_id, channel_named, join};

async fn presence(socket: &mut Socket, channel: &str, user: &str) -> testkit::Event {
    join(socket, channel, &json!({"user_id": user, "user_info": {"name": user}})).await
}

#[tokio::test]
async fn a_publication_reaches_subscribers_of_its_channel_and_app_but_not_the_excepted_socket() {
    let node = Node::start();
    let (mut ada, mut bob) = (node.connect().await, node.connect().await);
    let mut stranger = Socket::connect(node.addr, "other-key").await;
    for socket in [&mut ada, &mut bob, &mut stranger] {
        socket.subscribe("news").await;
    }
    let publication =
        Publication { event: "first", data: "{\"n\":1}", except: Some(ada.id()), ..Publication::default() };
    node.hub.publish(&app_id(), &channel_named("news"), &publication).unwrap();
    node.publish("news", "second", "plain text");
    let first = bob.expect_event("first").await;
    assert_eq!(first.frame, json!({"event": "first", "channel": "news", "data": "{\"n\":1}"}));
    assert_eq!(bob.expect_event("second").await.data, json!("plain text"));
    ada.expect_event("second").await;
    stranger.expect_quiet().await;
    assert_eq!(node.hub.subscription_count(&app_id(), &channel_named("news")), 2);
}

#[tokio::test]
async fn after_an_unsubscribe_nothing_of_the_channel_comes() {
    let node = Node::start();
    let mut socket = node.connect().await;
    for channel in ["a", "b", "c"] {
        socket.subscribe(channel).await;
    }
    socket.unsubscribe("a").await;
    for channel in ["a", "b", "c"] {
        node.publish(channel, channel, "");
    }
    socket.expect_event("b").await;
    socket.expect_event("c").await;
    socket.send_json(json!({"event": "pusher:unsubscribe", "data": {"channel": "a"}})).await;
    let error = socket.expect_event("pusher:error").await;
    assert_eq!(error["message"], "No current subscription to channel a, or subscription in progress");
    socket.subscribe("a").await;
    node.publish("a", "again", "");
    socket.expect_event("again").await;
}

#[tokio::test]
async fn a_second_subscription_is_an_error_and_the_first_stays() {
    let node = Node::start();
    let mut socket = node.connect().await;
    socket.subscribe("a").await;
    socket.send_subscribe(json!({"channel": "a"})).await;
    let error = socket.expect_event("pusher:error").await;
    assert_eq!((&error["code"], &error["message"]), (&json!(null), &json!("Existing subscription to channel a")));
    node.publish("a", "still", "");
    socket.expect_event("still").await;
}

#[tokio::test]
async fn private_channels_take_exactly_their_own_signature() {
    let node = Node::start();
    let mut socket = node.connect().await;
    let signer = protocol::Signer::new(SECRET);
    let right = signer.sign_channel(socket.id(), "private-a", None);
    let other = signer.sign_channel("1.1".parse().unwrap(), "private-a", None);
    let refused = [
        (json!({"channel": "private-a"}), "Auth info required to subscribe to private-a"),
        (json!({"channel": "private-a", "auth": "nonsense"}), "Auth value for subscription to private-a is invalid"),
        (
            json!({"channel": "private-a", "auth": format!("other-key:{right}")}),
            "Invalid key in subscription auth data",
        ),
        (json!({"channel": "private-a", "auth": format!("{KEY}:{other}")}), "Invalid signature: Expected HMAC SHA256"),
        (json!({"channel": "private-b", "auth": format!("{KEY}:{right}")}), "Invalid signature"),
        (json!({"channel": "private-a", "auth": format!("{KEY}:{right}"), "channel_data": "{}"}), "Invalid signature"),
    ];
    for (data, text) in refused {
        socket.send_subscribe(data).await;
        let error = socket.expect_event("pusher:error").await;
        assert!(error["message"].as_str().unwrap().starts_with(text), "{error:?}");
        let error = socket.expect_event("pusher:subscription_error").await;
        assert_eq!((&error["type"], &error["status"]), (&json!("AuthError"), &json!(401)));
    }
    socket.subscribe_private("private-a", KEY, SECRET).await;
    // Signed together with channel_data, as pusher-js's own suite does it on private channels too.
    let data = r#"{"anything":1}"#;
    let auth = format!("{KEY}:{}", signer.sign_channel(socket.id(), "private-b", Some(data)));
    socket.send_subscribe(json!({"channel": "private-b", "auth": auth, "channel_data": data})).await;
    socket.expect_event("pusher_internal:subscription_succeeded").await;
}

#[tokio::test]
async fn presence_counts_users_not_sockets() {
    let node = Node::start();
    let (mut ada, mut bob, mut tab) = (node.connect().await, node.connect().await, node.connect().await);
    let joined = presence(&mut ada, "presence-room", "ada").await;
    assert_eq!(joined["presence"]["count"], 1);
    // The documentation's own example: a number.
    let data = json!({"user_id": 10, "user_info": {"name": "Bob"}});
    let joined = join(&mut bob, "presence-room", &data).await;
    assert_eq!(joined["presence"]["ids"], json!(["10", "ada"]));
    assert_eq!(joined["presence"]["hash"]["10"], json!({"name": "Bob"}));
    let added = ada.expect_event("pusher_internal:member_added").await;
    assert_eq!(added.data, json!({"user_id": "10", "user_info": {"name": "Bob"}}));
    let joined = join(&mut tab, "presence-room", &data).await;
    assert_eq!(joined["presence"]["count"], 2);
    bob.close(1000).await;
    tab.unsubscribe("presence-room").await;
    let removed = ada.expect_event("pusher_internal:member_removed").await;
    assert_eq!(removed.data, json!({"user_id": "10"}));
    assert_eq!(node.hub.user_count(&app_id(), &channel_named("presence-room")), 1);
}

#[tokio::test]
async fn a_presence_channel_is_full_one_past_its_limit_and_a_known_user_still_gets_in() {
    let node = Node::start_with(Config { presence_members_max: 2, ..Config::default() });
    let mut sockets = Vec::new();
    for user in ["a", "b", "a"] {
        let mut socket = node.connect().await;
        presence(&mut socket, "presence-x", user).await;
        sockets.push(socket);
    }
    let mut late = node.connect().await;
    let data = r#"{"user_id":"c"}"#;
    let auth = protocol::Signer::new(SECRET).sign_channel(late.id(), "presence-x", Some(data));
    late.send_subscribe(json!({"channel": "presence-x", "auth": format!("{KEY}:{auth}"), "channel_data": data})).await;
    late.expect_event("pusher:error").await;
    let error = late.expect_event("pusher:subscription_error").await;
    assert_eq!((&error["type"], &error["status"]), (&json!("LimitReached"), &json!(4100)));
}

#[tokio::test]
async fn client_events_reach_the_others_with_the_sender_proven() {
    let node = Node::start();
    let (mut ada, mut bob) = (node.connect().await, node.connect().await);
    presence(&mut bob, "presence-x", "bob").await;
    presence(&mut ada, "presence-x", "ada").await;
    bob.expect_event("pusher_internal:member_added").await;
    let sent = json!({"event": "client-hi", "channel": "presence-x", "data": {"a": 1}, "user_id": "mallory"});
    ada.send_json(sent).await;
    let event = bob.expect_event("client-hi").await;
    assert_eq!((event.user_id.as_deref(), &event.data), (Some("ada"), &json!({"a": 1})));
    ada.expect_quiet().await;
    ada.subscribe("public").await;
    for (channel, text) in [("public", "only supported on private"), ("private-no", "not subscribed")] {
        ada.send_event(channel, "client-x", json!({})).await;
        let error = ada.expect_event("pusher:error").await;
        assert!(error["message"].as_str().unwrap().contains(text), "{error:?}");
    }
    for event in ["pusher_internal:member_added", "pusher:nonsense", "made-up"] {
        ada.send_event("presence-x", event, json!({})).await;
        let error = ada.expect_event("pusher:error").await;
        assert!(error["message"].as_str().unwrap().starts_with("Unsupported event"), "{error:?}");
    }
}

#[tokio::test]
async fn client_events_past_the_limit_are_dropped_and_the_connection_stays() {
    let node = Node::start();
    let mut socket = node.connect().await;
    let mut other = node.connect().await;
    socket.subscribe_private("private-x", KEY, SECRET).await;
    other.subscribe_private("private-x", KEY, SECRET).await;
    // A burst may straddle two seconds of the shard's clock, so one past twice the limit is refused for certain.
    for _ in 0..21 {
        socket.send_event("private-x", "client-x", json!("data")).await;
    }
    assert_eq!(socket.next_named("pusher:error").await["code"], 4301);
    other.expect_event("client-x").await;
}

#[tokio::test]
async fn a_socket_has_at_most_so_many_channels() {
    let node = Node::start_with(Config { channels_per_socket_max: 2, ..Config::default() });
    let mut socket = node.connect().await;
    socket.subscribe("a").await;
    socket.subscribe("b").await;
    socket.send_subscribe(json!({"channel": "c"})).await;
    socket.expect_event("pusher:error").await;
    assert_eq!(socket.expect_event("pusher:subscription_error").await["type"], "LimitReached");
    socket.unsubscribe("a").await;
    socket.subscribe("c").await;
}
