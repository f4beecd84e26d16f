//! What subscribers and watchers are told beside events, and what an observer is.

use std::sync::Arc;

use hub::{Config, Publication};
use protocol::{Policy, Signer};
use serde_json::{Value, json};
use testkit::Socket;

use crate::support::{KEY, Node, Recorder, SECRET, app_id, channel_named, join};

/// Signs in as Pusher's own form does it, with a watchlist.
async fn sign_in_watching(socket: &mut Socket, user: &str, watchlist: &[&str]) {
    let data = json!({"id": user, "watchlist": watchlist}).to_string();
    let auth = format!("{KEY}:{}", Signer::new(SECRET).sign_user(socket.id(), &data));
    socket.send_json(json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": data}})).await;
    socket.expect_event("pusher:signin_success").await;
}

async fn watched(socket: &mut Socket) -> Value {
    let event = socket.expect_event("pusher_internal:watchlist_events").await;
    assert_eq!(event.channel, None);
    event.data["events"].clone()
}

#[tokio::test]
async fn a_cache_channel_replays_its_last_event_first() {
    let node = Node::start();
    let mut early = node.connect().await;
    early.subscribe("cache-a").await;
    let miss = early.expect_event("pusher:cache_miss").await;
    assert_eq!(miss.frame, json!({"event": "pusher:cache_miss", "channel": "cache-a"}));
    node.publish("cache-a", "n", "1");
    node.publish("cache-a", "n", "2");
    let ephemeral = Publication { event: "x", data: "", ephemeral: true, ..Publication::default() };
    node.hub.publish(&app_id(), &channel_named("cache-a"), &ephemeral).unwrap();
    // It outlives its last subscriber.
    drop(early);
    let mut late = node.connect().await;
    late.subscribe("cache-a").await;
    assert_eq!(late.expect_event("n").await.frame, json!({"event": "n", "channel": "cache-a", "data": "2"}));
    late.expect_quiet().await;
    let cached = node.hub.cached(&app_id(), &channel_named("cache-a")).unwrap();
    assert_eq!((cached.event.as_str(), cached.data.as_str(), cached.left.as_secs() > 1700), ("n", "2", true));
}

#[tokio::test]
async fn a_cached_event_runs_out() {
    let config = Config { cache_seconds: 0, ..Config::default() };
    let node = Node::start_with(config);
    node.publish("cache-a", "n", "1");
    let mut socket = node.connect().await;
    socket.subscribe("cache-a").await;
    socket.expect_event("pusher:cache_miss").await;
    assert_eq!(node.hub.cached(&app_id(), &channel_named("cache-a")), None);
}

#[tokio::test]
async fn subscribers_are_counted_where_the_app_wants_it() {
    let policy = Policy { subscription_counts: true, ..Policy::default() };
    let node = Node::start_as(Config::default(), policy);
    let mut first = node.connect().await;
    first.subscribe("a").await;
    let count = first.expect_event("pusher_internal:subscription_count").await;
    assert_eq!(count.frame["data"], r#"{"subscription_count":1}"#);
    let mut second = node.connect().await;
    second.subscribe("a").await;
    for socket in [&mut first, &mut second] {
        assert_eq!(socket.expect_event("pusher_internal:subscription_count").await["subscription_count"], 2);
    }
    second.unsubscribe("a").await;
    assert_eq!(first.expect_event("pusher_internal:subscription_count").await["subscription_count"], 1);
    join(&mut first, "presence-a", &json!({"user_id": "1"})).await;
    first.expect_quiet().await;
}

#[tokio::test]
async fn above_a_hundred_the_count_is_told_only_now_and_then() {
    let policy = Policy { subscription_counts: true, ..Policy::default() };
    let node = Node::start_as(Config::default(), policy);
    let mut sockets = Vec::new();
    for _ in 0..105 {
        let mut socket = node.connect().await;
        socket.subscribe("a").await;
        sockets.push(socket);
    }
    let mut told = Vec::new();
    while told.last() != Some(&105) {
        let count = sockets[0].expect_event("pusher_internal:subscription_count").await;
        told.push(count["subscription_count"].as_u64().unwrap());
    }
    assert_eq!(told[..100], (1..=100).collect::<Vec<_>>());
    // One in five seconds; were each told, there would be five.
    assert!(told.len() <= 102, "{told:?}");
}

#[tokio::test]
async fn a_watcher_is_told_who_is_there_and_then_each_change() {
    let node = Node::start();
    let _there = node.connect_as("there").await;
    let mut watcher = node.connect().await;
    sign_in_watching(&mut watcher, "w", &["there", "away", "away"]).await;
    let now = json!([{"name": "online", "user_ids": ["there"]}, {"name": "offline", "user_ids": ["away"]}]);
    assert_eq!(watched(&mut watcher).await, now);
    let first = node.connect_as("away").await;
    assert_eq!(watched(&mut watcher).await, json!([{"name": "online", "user_ids": ["away"]}]));
    let second = node.connect_as("away").await;
    first.close(1000).await;
    watcher.expect_quiet().await;
    second.close(1000).await;
    assert_eq!(watched(&mut watcher).await, json!([{"name": "offline", "user_ids": ["away"]}]));
    // A list that replaces the first.
    sign_in_watching(&mut watcher, "w", &["other"]).await;
    assert_eq!(watched(&mut watcher).await, json!([{"name": "offline", "user_ids": ["other"]}]));
    let _away = node.connect_as("away").await;
    watcher.expect_quiet().await;
}

#[tokio::test]
async fn of_a_watchlist_that_is_too_long_the_first_are_watched() {
    let node = Node::start_with(Config { watchlist_max: 2, ..Config::default() });
    let mut watcher = node.connect().await;
    sign_in_watching(&mut watcher, "w", &["a", "b", "c"]).await;
    assert_eq!(watcher.expect_event("pusher:error").await["code"], 4302);
    assert_eq!(watched(&mut watcher).await, json!([{"name": "offline", "user_ids": ["a", "b"]}]));
    let _c = node.connect_as("c").await;
    watcher.expect_quiet().await;
}

#[tokio::test]
async fn an_observer_is_told_in_order() {
    let policy = Policy { client_events: true, subscription_counts: true, ..Policy::default() };
    let node = Node::start_as(Config::default(), policy);
    let recorder = Arc::new(Recorder::default());
    node.hub.observe_with(recorder.clone());
    let (mut ada, mut bob) = (node.connect().await, node.connect().await);
    join(&mut ada, "presence-a", &json!({"user_id": "ada"})).await;
    join(&mut bob, "presence-a", &json!({"user_id": "bob"})).await;
    ada.expect_event("pusher_internal:member_added").await;
    ada.send_event("presence-a", "client-x", json!({"n": 1})).await;
    bob.expect_event("client-x").await;
    // The sender is answered once its event is dealt with.
    ada.expect_quiet().await;
    let event = r#"client-x presence-a {"n":1} Some("ada")"#;
    assert_eq!(recorder.take(), ["occupied presence-a", "added presence-a ada", "added presence-a bob", event]);
    bob.unsubscribe("presence-a").await;
    ada.unsubscribe("presence-a").await;
    assert_eq!(recorder.take(), ["removed presence-a bob", "removed presence-a ada", "vacated presence-a"]);
    for socket in [&mut ada, &mut bob] {
        socket.subscribe("cache-a").await;
    }
    let counted = ["occupied cache-a", "miss cache-a", "count cache-a 1", "count cache-a 2"];
    assert_eq!(recorder.take(), counted);
    // Another app's doings are nobody's business here.
    let mut other = Socket::connect(node.addr, "other-key").await;
    other.subscribe("a").await;
    assert_eq!(recorder.take(), Vec::<String>::new());
}
