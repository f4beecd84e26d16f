//! A client against a server that the test plays, over real sockets.

use std::time::Duration;

use crate::peer::{Server, connect, next, soon};
use client::{Client, Event, Events, Options, Refused, SecretAuthorizer};
use protocol::{Epoch, Position, Signer, frame};
use serde_json::json;

fn subscribed(channel: &str) -> Event {
    Event::Subscribed { channel: channel.into(), members: Vec::new() }
}

async fn closed(events: &mut Events) -> (Option<u16>, Option<Duration>) {
    match next(events).await {
        Event::Closed { code, retry_in } => (code, retry_in),
        other => panic!("{other:?} instead of the close"),
    }
}

async fn connected(events: &mut Events) {
    let event = next(events).await;
    assert!(matches!(event, Event::Connected(_)), "{event:?}");
}

#[tokio::test]
async fn subscriptions_come_back_after_a_reconnect_signed_for_the_new_socket() {
    let server = Server::start().await;
    let authorizer = SecretAuthorizer::new("key", "secret").member("ada", &json!({}));
    let (client, mut events) = connect(server.options().authorizer(authorizer));
    for channel in ["a", "presence-b", "gone"] {
        client.subscribe(channel).unwrap();
    }
    let mut first = server.accept("1.1").await;
    connected(&mut events).await;
    let mut asked: Vec<_> = [first.receive().await, first.receive().await, first.receive().await].into();
    asked.sort_by_key(|frame| frame["data"]["channel"].to_string());
    assert_eq!(asked[0]["data"], json!({"channel": "a", "recover": true}));
    client.unsubscribe("gone").unwrap();
    let unsubscribe = json!({"event": "pusher:unsubscribe", "data": {"channel": "gone"}});
    assert_eq!(first.receive().await, unsubscribe);
    first.close(4200).await;
    assert_eq!(closed(&mut events).await, (Some(4200), Some(Duration::ZERO)));

    let mut second = server.accept("2.2").await;
    connected(&mut events).await;
    assert_eq!(second.grant("a").await["auth"], json!(null));
    let data = second.grant("presence-b").await;
    let signature =
        Signer::new("secret").sign_channel("2.2".parse().unwrap(), "presence-b", data["channel_data"].as_str());
    assert_eq!(data["auth"], format!("key:{signature}"));
    assert_eq!((next(&mut events).await, next(&mut events).await), (subscribed("a"), subscribed("presence-b")));
}

#[tokio::test]
async fn after_a_reconnect_the_client_asks_for_what_it_missed_and_says_when_that_is_gone() {
    let server = Server::start().await;
    let (client, mut events) = connect(server.options());
    client.subscribe("a").unwrap();
    let mut first = server.accept("1.1").await;
    connected(&mut events).await;
    assert_eq!(first.grant("a").await["recover"], true);
    let at = |offset| Position { epoch: Epoch(7), offset };
    let event = |offset: u64| format!(r#"{{"event":"n","channel":"a","data":"x","offset":{offset}}}"#);
    first.send(&frame::position("a", Some(at(3)), None)).await;
    first.send(&event(4)).await;
    assert_eq!(next(&mut events).await, subscribed("a"));
    assert!(matches!(next(&mut events).await, Event::Message(message) if message.offset == Some(4)));
    first.close(4200).await;
    closed(&mut events).await;

    let mut second = server.accept("2.2").await;
    connected(&mut events).await;
    let recover = json!({"epoch": Epoch(7), "offset": 4, "socket_id": "1.1"});
    assert_eq!(second.grant("a").await["recover"], recover);
    second.send(&frame::position("a", Some(at(6)), Some(true))).await;
    second.send(&event(5)).await;
    // Cut off before the sixth: that is still missing.
    assert_eq!(next(&mut events).await, subscribed("a"));
    assert!(matches!(next(&mut events).await, Event::Message(message) if message.offset == Some(5)));
    second.close(4200).await;
    closed(&mut events).await;

    let mut third = server.accept("3.3").await;
    connected(&mut events).await;
    assert_eq!(third.grant("a").await["recover"]["offset"], 5);
    third.send(&frame::position("a", Some(at(900)), Some(false))).await;
    assert_eq!(next(&mut events).await, subscribed("a"));
    assert_eq!(next(&mut events).await, Event::Missed { channel: "a".into() });
}

#[tokio::test]
async fn a_close_below_4100_stops_the_client_for_good() {
    let server = Server::start().await;
    let (client, mut events) = connect(server.options());
    let peer = server.accept_silent().await;
    peer.close(4001).await;
    assert_eq!(closed(&mut events).await, (Some(4001), None));
    assert_eq!(soon(events.next()).await, None);
    assert_eq!(client.subscribe("a"), Err(Refused::Stopped));
}

#[tokio::test]
async fn a_close_from_4100_on_waits_for_the_pause_and_a_broken_connection_is_tried_again() {
    let server = Server::start().await;
    let options = server.options();
    let pause = options.backoff.pause;
    let (_client, mut events) = connect(options);
    let peer = server.accept("1.1").await;
    connected(&mut events).await;
    peer.close(4100).await;
    let (code, retry_in) = closed(&mut events).await;
    assert!(code == Some(4100) && retry_in.is_some_and(|wait| wait >= pause), "{retry_in:?}");
    drop(server.accept("1.2").await);
    connected(&mut events).await;
    let (code, retry_in) = closed(&mut events).await;
    assert!(code.is_none() && retry_in.is_some(), "{code:?} {retry_in:?}");
    server.accept("1.3").await;
    connected(&mut events).await;
}

#[tokio::test]
async fn a_signed_in_client_subscribes_only_once_the_sign_in_is_answered() {
    let server = Server::start().await;
    let (client, mut events) = connect(server.options().token("jwt"));
    client.subscribe("user-ada").unwrap();
    let mut peer = server.accept("1.1").await;
    assert_eq!(peer.receive().await, json!({"event": "pusher:signin", "data": {"token": "jwt"}}));
    peer.send(&frame::signin_success(r#"{"id":"ada"}"#)).await;
    peer.grant("user-ada").await;
    connected(&mut events).await;
    assert_eq!(next(&mut events).await, Event::SignedIn(r#"{"id":"ada"}"#.into()));
    assert_eq!(next(&mut events).await, subscribed("user-ada"));
    client.sign_in("jwt2").unwrap();
    assert_eq!(peer.receive().await["data"]["token"], "jwt2");
}

#[tokio::test]
async fn pings_are_answered_and_silence_is_asked_about_before_it_ends_the_connection() {
    let server = Server::start().await;
    let ms = Duration::from_millis;
    let options = Options { activity_timeout: ms(20), pong_timeout: ms(1_000), ..server.options() };
    let (_client, mut events) = connect(options);
    let mut peer = server.accept("1.1").await;
    peer.send(frame::PING).await;
    let mut heard = vec![peer.receive().await["event"].clone(), peer.receive().await["event"].clone()];
    heard.sort_by_key(ToString::to_string);
    assert_eq!(heard, ["pusher:ping", "pusher:pong"]);
    connected(&mut events).await;
    // The pong stays away.
    peer.ended().await;
    assert_eq!(closed(&mut events).await.0, None);
}

#[tokio::test]
async fn client_events_leave_as_json_and_come_with_their_sender() {
    let server = Server::start().await;
    let (client, mut events) = connect(server.options());
    let mut peer = server.accept("1.1").await;
    connected(&mut events).await;
    let data = serde_json::value::RawValue::from_string(r#"{"x": 1}"#.into()).unwrap();
    client.trigger("presence-a", "client-x", &data).unwrap();
    assert_eq!(peer.receive().await, json!({"event": "client-x", "channel": "presence-a", "data": {"x": 1}}));
    let event = frame::ChannelEvent { event: "client-x", channel: "presence-a", data: "1", user_id: Some("bob") };
    peer.send(&event.encode()).await;
    let Event::Message(message) = next(&mut events).await else { panic!("no message") };
    assert_eq!((message.data.as_str(), message.user_id.as_deref()), ("1", Some("bob")));
}

#[tokio::test]
async fn nothing_is_lost_while_the_queue_of_events_is_full() {
    let server = Server::start().await;
    let (_client, mut events) = connect(Options { queue_events_max: 1, ..server.options() });
    let mut peer = server.accept("1.1").await;
    for n in 0..100 {
        let data = n.to_string();
        peer.send(&frame::ChannelEvent { event: "e", channel: "c", data: &data, user_id: None }.encode()).await;
    }
    connected(&mut events).await;
    for n in 0..100 {
        let Event::Message(message) = next(&mut events).await else { panic!("no message {n}") };
        assert_eq!(message.data, n.to_string());
    }
}

#[tokio::test]
async fn the_connection_closes_with_its_last_handle() {
    let server = Server::start().await;
    let (client, mut events): (Client, Events) = connect(server.options());
    let peer = server.accept("1.1").await;
    connected(&mut events).await;
    drop(client);
    peer.ended().await;
    assert_eq!(soon(events.next()).await, None);
}
