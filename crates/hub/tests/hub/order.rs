//! One order per channel, and what a slow peer costs the others.

use std::sync::Arc;
use std::time::Duration;

use hub::{Busy, Config, Publication};
use serde_json::json;
use testkit::{RawSocket, masked_frame};

use crate::support::{Node, app_id, channel_named, path};

#[tokio::test]
async fn every_subscriber_sees_concurrent_publications_in_the_same_order() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 500;
    let node = Arc::new(Node::start());
    let mut sockets = Vec::new();
    for _ in 0..6 {
        let mut socket = node.connect().await;
        socket.subscribe("order").await;
        sockets.push(socket);
    }
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let node = Arc::clone(&node);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    node.publish("order", "n", &json!([publisher, number]).to_string());
                }
            })
        })
        .collect();
    let mut first: Vec<serde_json::Value> = Vec::new();
    for (index, socket) in sockets.iter_mut().enumerate() {
        let mut seen = Vec::new();
        for _ in 0..PUBLISHERS * EACH {
            seen.push(socket.expect_event("n").await.data);
        }
        if index == 0 {
            for publisher in 0..PUBLISHERS {
                let own = seen.iter().filter(|data| data[0] == publisher).map(|data| data[1].as_u64().unwrap());
                assert!(own.eq(0..EACH as u64), "publisher {publisher} is out of order");
            }
            first = seen;
        } else {
            assert_eq!(seen, first);
        }
    }
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_with_4100_and_nobody_else_waits() {
    let config = Config { queue_bytes_max: 64 * 1024, send_buffer_bytes: 8 * 1024, ..Config::default() };
    let node = Node::start_with(config);
    let mut good = node.connect().await;
    good.subscribe("flood").await;
    let mut stalled = RawSocket::upgraded(node.addr, &path("")).await;
    stalled.write(&masked_frame(0x81, br#"{"event":"pusher:subscribe","data":{"channel":"flood"}}"#)).await;
    stalled.read_frame().await;
    stalled.read_frame().await;
    let data = "x".repeat(8 * 1024);
    // Far more than loopback's buffers and the queue hold together.
    for number in 0..2000 {
        node.publish("flood", &format!("n{number}"), &data);
        good.expect_event(&format!("n{number}")).await;
        if node.hub.subscription_count(&app_id(), &channel_named("flood")) == 1 {
            assert_eq!(stalled.read_close().await, 4100);
            return;
        }
    }
    panic!("the stalled reader is still subscribed");
}

#[tokio::test]
async fn a_shard_whose_inbox_is_full_refuses_and_loses_nothing_it_took() {
    let node = Node::start_with(Config { inbox_bytes_max: 1, ..Config::default() });
    let mut socket = node.connect().await;
    socket.subscribe("busy").await;
    let mut taken = 0;
    let refused = std::iter::repeat_with(|| {
        let data = taken.to_string();
        let publication = Publication { event: "n", data: &data, ..Publication::default() };
        let result = node.hub.publish(&app_id(), &channel_named("busy"), &publication);
        taken += usize::from(result.is_ok());
        result
    })
    .take(5000)
    .find(Result::is_err);
    assert_eq!(refused, Some(Err(Busy)));
    for number in 0..taken {
        assert_eq!(socket.expect_event("n").await.data, json!(number));
    }
}

#[tokio::test]
async fn a_drain_tells_everybody_to_come_back() {
    let node = Node::start();
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(node.connect().await);
    }
    let hub = node.hub.clone();
    let drain = tokio::spawn(async move { hub.drain(Duration::from_secs(1)).await });
    for mut socket in sockets {
        assert_eq!(socket.expect_close().await, 4200);
    }
    drain.await.unwrap();
    assert_eq!(node.hub.socket_count(), 0);
}

#[tokio::test]
async fn a_drain_is_spread_evenly_over_its_time() {
    const SOCKETS: usize = 400;
    let node = Node::start();
    let closed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..SOCKETS {
        let (mut socket, closed) = (node.connect().await, Arc::clone(&closed));
        tasks.push(tokio::spawn(async move {
            let code = socket.expect_close().await;
            closed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            code
        }));
    }
    let (over, started) = (Duration::from_secs(2), std::time::Instant::now());
    let hub = node.hub.clone();
    let drain = tokio::spawn(async move { hub.drain(over).await });
    // What had been closed by each quarter of the time. Both shards close their own half in random order.
    let mut quarters = Vec::new();
    for quarter in 1..=3 {
        tokio::time::sleep_until((started + over * quarter / 4).into()).await;
        quarters.push(closed.load(std::sync::atomic::Ordering::Relaxed));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 4200);
    }
    drain.await.unwrap();
    for (quarter, closed) in (1..).zip(quarters) {
        let even = SOCKETS * quarter / 4;
        assert!(closed.abs_diff(even) < SOCKETS / 5, "{closed} after quarter {quarter}");
    }
}

#[tokio::test]
async fn one_of_a_thousand_that_stops_reading_costs_the_others_nothing() {
    const READERS: usize = 999;
    let config = Config { queue_bytes_max: 64 * 1024, send_buffer_bytes: 8 * 1024, ..Config::default() };
    let node = Node::start_with(config);
    let mut stalled = RawSocket::upgraded(node.addr, &path("")).await;
    stalled.write(&masked_frame(0x81, br#"{"event":"pusher:subscribe","data":{"channel":"flood"}}"#)).await;
    stalled.read_frame().await;
    stalled.read_frame().await;
    let got = Arc::new(tokio::sync::Semaphore::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let (mut socket, got) = (node.connect().await, Arc::clone(&got));
        socket.subscribe("flood").await;
        readers.spawn(async move {
            for number in 0.. {
                let event = socket.next().await;
                if event.event == "end" {
                    break;
                }
                assert_eq!(event.data[0], number);
                got.add_permits(1);
            }
            socket.expect_quiet().await;
        });
    }
    let everybody = u32::try_from(READERS).unwrap();
    for number in 0.. {
        assert!(number < 2000, "the stalled reader is still subscribed");
        node.publish("flood", "n", &json!([number, "x".repeat(8 * 1024)]).to_string());
        got.acquire_many(everybody).await.unwrap().forget();
        if node.hub.subscription_count(&app_id(), &channel_named("flood")) == READERS {
            break;
        }
    }
    node.publish("flood", "end", "");
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    assert_eq!(stalled.read_close().await, 4100);
}
