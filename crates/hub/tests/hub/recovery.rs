//! What a subscriber gets of the past: all that it missed, once and in order, or a plain no.

use std::sync::Arc;

use hub::{Config, JournalQuery, Publication};
use protocol::{HistoryRule, Policy};
use serde_json::{Value, json};
use testkit::{RawSocket, Socket, masked_frame};

use crate::support::{Node, app_id, channel_named, path};

/// Subscribes and gives what `kabar:position` says.
async fn resume(socket: &mut Socket, channel: &str, more: Value) -> Value {
    let mut data = json!({ "channel": channel });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    socket.send_subscribe(data).await;
    socket.expect_event("pusher_internal:subscription_succeeded").await;
    socket.expect_event("kabar:position").await.data
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_before_anything_new() {
    let node = Node::start();
    let mut first = node.connect().await;
    let position = resume(&mut first, "news", json!({"recover": true})).await;
    assert_eq!((position["offset"].as_u64(), position.get("recovered")), (Some(0), None));
    node.publish("news", "n", "1");
    let seen = first.expect_event("n").await;
    assert_eq!(seen.frame, json!({"event": "n", "channel": "news", "data": "1", "offset": 1}));
    drop(first);
    node.publish("news", "n", "2");
    node.publish("news", "n", "3");
    let mut second = node.connect().await;
    let after = json!({"recover": {"epoch": position["epoch"], "offset": 1}});
    let position = resume(&mut second, "news", after).await;
    assert_eq!((position["offset"].as_u64(), position["recovered"].as_bool()), (Some(3), Some(true)));
    node.publish("news", "n", "4");
    for number in 2..=4 {
        let event = second.expect_event("n").await;
        assert_eq!((event.data.clone(), event.frame["offset"].clone()), (json!(number), json!(number)));
    }
    second.expect_quiet().await;
}

#[tokio::test]
async fn stock_clients_get_the_same_bytes_as_ever() {
    let node = Node::start();
    let (mut stock, mut knowing) = (node.connect().await, node.connect().await);
    stock.subscribe("news").await;
    stock.expect_quiet().await;
    resume(&mut knowing, "news", json!({"recover": true})).await;
    node.publish("news", "n", "1");
    assert_eq!(stock.expect_event("n").await.frame, json!({"event": "n", "channel": "news", "data": "1"}));
    assert_eq!(knowing.expect_event("n").await.frame["offset"], 1);
    // The last one who asked leaves: nobody pays for offsets any more.
    knowing.unsubscribe("news").await;
    node.publish("news", "n", "2");
    assert_eq!(stock.expect_event("n").await.frame, json!({"event": "n", "channel": "news", "data": "2"}));
}

#[tokio::test]
async fn what_cannot_be_given_whole_is_told_plainly() {
    let node = Node::start_with(Config { history_messages_max: 3, ..Config::default() });
    let mut socket = node.connect().await;
    let position = resume(&mut socket, "news", json!({"recover": true})).await;
    socket.unsubscribe("news").await;
    (0..5).for_each(|number| node.publish("news", "n", &number.to_string()));
    let epoch = &position["epoch"];
    for (epoch, offset, missed) in [
        (epoch, 1, None),
        (epoch, 6, None),
        (&json!("00000000000000ff"), 5, None),
        (epoch, 2, Some(3)),
        (epoch, 5, Some(0)),
    ] {
        let told = resume(&mut socket, "news", json!({"recover": {"epoch": epoch, "offset": offset}})).await;
        assert_eq!(told["recovered"], missed.is_some(), "{epoch} {offset}");
        assert_eq!(told["offset"], 5);
        for _ in 0..missed.unwrap_or(0) {
            socket.expect_event("n").await;
        }
        socket.expect_quiet().await;
        socket.unsubscribe("news").await;
    }
}

#[tokio::test]
async fn a_channel_that_keeps_nothing_says_so() {
    let rule =
        |prefix: &str, messages_max| HistoryRule { prefix: prefix.into(), messages_max, seconds: 9, durable: false };
    let policy = Policy { history: vec![rule("live-", 0), rule("short-", 1)], ..Policy::default() };
    let node = Node::start_as(Config::default(), policy);
    let mut socket = node.connect().await;
    assert_eq!(resume(&mut socket, "live-a", json!({"recover": true})).await, json!({}));
    socket.unsubscribe("live-a").await;
    let after = json!({"recover": {"epoch": "0000000000000001", "offset": 0}});
    assert_eq!(resume(&mut socket, "live-a", after).await, json!({"recovered": false}));
    node.publish("live-a", "n", "1");
    assert_eq!(socket.expect_event("n").await.frame.get("offset"), None);
    ["1", "2"].iter().for_each(|data| node.publish("short-a", "n", data));
    resume(&mut socket, "short-a", json!({"rewind": {}})).await;
    assert_eq!(socket.expect_event("n").await.data, 2);
    socket.expect_quiet().await;
}

#[tokio::test]
async fn a_change_of_rules_holds_for_channels_that_are_there() {
    let rule = |messages_max| HistoryRule { prefix: String::new(), messages_max, seconds: 60, durable: false };
    let policy = |messages_max| Policy { history: vec![rule(messages_max)], ..Policy::default() };
    let node = Node::start_as(Config::default(), policy(9));
    (1..=5).for_each(|number| node.publish("a", "n", &number.to_string()));
    node.hub.apps().replace(vec![crate::support::app("1", crate::support::KEY, policy(2))]);
    let kept = async || {
        let query = JournalQuery::Newest { limit: 99, seconds: None };
        let page = node.hub.history(&app_id(), &channel_named("a"), query).await.unwrap();
        page.events.iter().map(|event| event.offset).collect::<Vec<_>>()
    };
    // Heard of once a second.
    while kept().await != [4, 5] {
        tokio::task::yield_now().await;
    }
    node.publish("a", "n", "6");
    assert_eq!(kept().await, [5, 6]);
}

#[tokio::test]
async fn a_rewind_gives_the_newest_and_client_events_are_in_no_history() {
    let node = Node::start();
    let mut early = node.connect().await;
    early.subscribe_private("private-a", crate::support::KEY, crate::support::SECRET).await;
    (1..=5).for_each(|number| node.publish("private-a", "n", &number.to_string()));
    early.send_event("private-a", "client-x", json!({})).await;
    let mut late = node.connect().await;
    let signature = protocol::Signer::new(crate::support::SECRET).sign_channel(late.id(), "private-a", None);
    let auth = format!("{}:{signature}", crate::support::KEY);
    let position = resume(&mut late, "private-a", json!({"auth": auth, "rewind": {"messages": 2}})).await;
    assert_eq!(position["offset"], 5);
    for number in 4..=5 {
        assert_eq!(late.expect_event("n").await.data, number);
    }
    late.expect_quiet().await;
}

#[tokio::test]
async fn who_was_excluded_is_excluded_from_the_past_too() {
    let node = Node::start();
    let mut sender = node.connect().await;
    let position = resume(&mut sender, "a", json!({"recover": true})).await;
    let publication = |data, except| Publication { event: "n", data, except, ..Publication::default() };
    let publish = |publication| node.hub.publish(&app_id(), &channel_named("a"), &publication).unwrap();
    publish(publication("own", Some(sender.id())));
    publish(publication("other", None));
    let (epoch, own) = (&position["epoch"], sender.id().to_string());
    drop(sender);
    let mut again = node.connect().await;
    let after = json!({"recover": {"epoch": epoch, "offset": 0, "socket_id": own}});
    assert_eq!(resume(&mut again, "a", after).await["recovered"], true);
    let event = again.expect_event("n").await;
    assert_eq!((event.data.clone(), &event.frame["offset"]), (json!("other"), &json!(2)));
    again.expect_quiet().await;
}

#[tokio::test]
async fn a_past_larger_than_the_queue_does_not_count_as_reading_slowly() {
    let config = Config { queue_bytes_max: 16 * 1024, send_buffer_bytes: 8 * 1024, ..Config::default() };
    let node = Node::start_with(config);
    let data = "x".repeat(10_000);
    (0..100).for_each(|_| node.publish("big", "n", &data));
    let mut socket = node.connect().await;
    resume(&mut socket, "big", json!({"rewind": {"messages": 100}})).await;
    for _ in 0..100 {
        socket.expect_event("n").await;
    }
    socket.expect_quiet().await;
}

/// A subscriber that is cut off at random, often in the midst of a frame, and comes back.
struct Cut {
    node: Arc<Node>,
    channel: String,
    epoch: Option<String>,
    offset: u64,
    random: u64,
    cuts: u32,
}

impl Cut {
    fn random(&mut self, below: u64) -> u64 {
        // xorshift: the seed is the channel's index, so a failure can be run again.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Reads until `last` was seen.
    async fn run(mut self, last: u64) -> u32 {
        while self.offset < last {
            self.connection(last).await;
            self.cuts += 1;
        }
        self.cuts
    }

    async fn connection(&mut self, last: u64) {
        let mut socket = RawSocket::upgraded(self.node.addr, &path("")).await;
        let recover = match &self.epoch {
            Some(epoch) => json!({ "epoch": epoch, "offset": self.offset }),
            None => json!(true),
        };
        let data = json!({"channel": self.channel, "recover": recover});
        let frame = json!({"event": "pusher:subscribe", "data": data}).to_string();
        socket.write(&masked_frame(0x81, frame.as_bytes())).await;
        let frames = self.random(3000);
        for _ in 0..frames {
            let (opcode, payload) = socket.read_frame().await;
            if opcode == 8 {
                return;
            }
            self.take(&serde_json::from_slice(&payload).unwrap());
            if self.offset == last {
                return;
            }
        }
        // Some bytes of the next frame, which then is lost in the middle.
        let bytes = self.random(40) as usize;
        socket.read_exact(bytes).await;
    }

    fn take(&mut self, frame: &Value) {
        if frame["event"] == "kabar:position" {
            let position: Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
            assert_ne!(position["recovered"], false, "{} at {}", self.channel, self.offset);
            if self.epoch.is_none() {
                self.offset = position["offset"].as_u64().unwrap();
            }
            self.epoch = position["epoch"].as_str().map(str::to_owned);
        } else if let Some(offset) = frame["offset"].as_u64() {
            assert_eq!(offset, self.offset + 1, "{}: lost, repeated or out of order", self.channel);
            self.offset = offset;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_reordered_over_cut_connections() {
    const PUBLISHERS: u64 = 8;
    const EACH: u64 = 12_500;
    const CHANNELS: u64 = 4;
    let config = Config { history_messages_max: 100_000, history_bytes_max: 256 * 1024 * 1024, ..Config::default() };
    let node = Arc::new(Node::start_with(config));
    let mut subscribers = Vec::new();
    for index in 0..2 * CHANNELS {
        let channel = format!("c{}", index % CHANNELS);
        let cut = Cut { node: Arc::clone(&node), channel, epoch: None, offset: 0, random: index + 1, cuts: 0 };
        subscribers.push(tokio::spawn(cut.run(PUBLISHERS * EACH / CHANNELS)));
    }
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let node = Arc::clone(&node);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let channel = channel_named(&format!("c{}", (publisher + number) % CHANNELS));
                    let data = json!([publisher, number]).to_string();
                    let publication = Publication { event: "n", data: &data, ..Publication::default() };
                    while node.hub.publish(&app_id(), &channel, &publication).is_err() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut cuts = 0;
    for subscriber in subscribers {
        cuts += subscriber.await.unwrap();
    }
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert!(cuts > 40, "only {cuts} connections were cut");
}

#[tokio::test]
async fn channels_that_nobody_comes_for_are_kept_within_the_budget() {
    let config = Config { history_bytes_max: 100_000, ..Config::default() };
    let node = Node::start_with(config);
    (0..5000).for_each(|number| node.publish(&format!("c{number}"), "n", "1"));
    let mut socket = node.connect().await;
    let kept = async |socket: &mut Socket, number: u32| {
        resume(socket, &format!("c{number}"), json!({"rewind": {}})).await["offset"] == 1
    };
    assert!(kept(&mut socket, 0).await);
    assert_eq!(socket.expect_event("n").await.data, 1);
    assert!(!kept(&mut socket, 4999).await);
    // It works like any other as long as somebody is there, and is forgotten with them.
    node.publish("c4999", "n", "2");
    assert_eq!(socket.expect_event("n").await.data, 2);
    socket.unsubscribe("c4999").await;
    assert!(!kept(&mut socket, 4999).await);
}
