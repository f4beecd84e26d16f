//! Chat rooms over connections that break: every message once, in order.

use crate::peer::{Server, connect, soon};
use client::{ChatApi, Publisher, RoomEvent, RoomStream, Start};
use protocol::publish::PublishRequest;
use protocol::signature::SignedQuery;
use protocol::{MessageId, RoomId, Signer, frame};
use serde_json::{Value, json};

fn message(room: RoomId, seq: i64) -> Value {
    json!({
        "id": MessageId::mint(), "roomId": room, "seq": seq, "senderId": "bob",
        "sender": {"id": "bob", "name": "Bob", "avatarUrl": null}, "type": "TEXT", "content": format!("m{seq}"),
        "attachmentUrl": null, "replyToId": null, "clientId": null, "createdAt": "2026-01-01T00:00:00Z",
    })
}

fn page(room: RoomId, seqs: &[i64]) -> String {
    let messages: Vec<_> = seqs.iter().map(|&seq| message(room, seq)).collect();
    json!({"messages": messages, "nextCursor": null}).to_string()
}

fn live(room: RoomId, seq: i64) -> String {
    let (channel, data) = (format!("chat-{room}"), message(room, seq).to_string());
    frame::ChannelEvent { event: "new-message", channel: &channel, data: &data, user_id: None }.encode()
}

/// The next messages' `seq`; other events are skipped.
async fn seqs(stream: &mut RoomStream, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        match soon(stream.next()).await.expect("the client goes on") {
            RoomEvent::Message(message) => seqs.push(message.seq),
            RoomEvent::Other(_) => {}
            RoomEvent::Lost(room) => panic!("{room} is lost"),
        }
    }
    seqs
}

#[tokio::test]
async fn every_message_comes_once_and_in_order_over_gaps_repeats_failures_and_reconnects() {
    let (server, rest, room) = (Server::start().await, Server::start().await, RoomId::mint());
    let options = server.options();
    let backoff = options.backoff.clone();
    let (client, events) = connect(options);
    let api = ChatApi::new(&rest.address("http"), "jwt");
    let mut stream = RoomStream::new(client, events, api).backoff(backoff);
    stream.follow(room, Start::After(3)).unwrap();
    let channel = format!("chat-{room}");

    let mut first = server.accept("1.1").await;
    let script = async {
        first.grant(&channel).await;
        // 5 is live and already in the page; 6 follows; 7 is missing when 8 comes.
        for seq in [5, 6, 6, 8, 9] {
            first.send(&live(room, seq)).await;
        }
        let (line, _) = rest.answer(200, &page(room, &[4, 5])).await;
        assert_eq!(line, format!("GET /api/chat/messages?roomId={room}&after=3&limit=100 HTTP/1.1"));
        rest.answer(503, "").await;
        let (line, _) = rest.answer(200, &page(room, &[7, 8])).await;
        assert!(line.contains("after=6&"), "{line}");
        first
    };
    let (first, seen) = tokio::join!(script, seqs(&mut stream, 6));
    assert_eq!(seen, [4, 5, 6, 7, 8, 9]);
    assert_eq!(stream.last_seq(room), Some(9));

    first.close(4200).await;
    let script = async {
        let mut second = server.accept("2.2").await;
        second.grant(&channel).await;
        second.send(&live(room, 12)).await;
        let (line, _) = rest.answer(200, &page(room, &[10, 11])).await;
        assert!(line.contains("after=9&"), "{line}");
        second
    };
    let (_second, seen) = tokio::join!(script, seqs(&mut stream, 3));
    assert_eq!(seen, [10, 11, 12]);
}

#[tokio::test]
async fn a_room_followed_from_now_on_starts_after_its_newest_message_and_ends_when_it_is_lost() {
    let (server, rest, room) = (Server::start().await, Server::start().await, RoomId::mint());
    let (client, events) = connect(server.options());
    let mut stream = RoomStream::new(client, events, ChatApi::new(&rest.address("http"), "jwt"));
    stream.follow(room, Start::Now).unwrap();
    let script = async {
        let mut peer = server.accept("1.1").await;
        peer.grant(&format!("chat-{room}")).await;
        let (line, _) = rest.answer(200, &page(room, &[41])).await;
        assert!(line.ends_with("&limit=1 HTTP/1.1"), "{line}");
        peer.send(&live(room, 42)).await;
        peer.send(&live(room, 44)).await;
        rest.answer(404, "{}").await;
        peer
    };
    let listen = async {
        let mut seen = seqs(&mut stream, 1).await;
        match soon(stream.next()).await {
            Some(RoomEvent::Lost(lost)) => assert_eq!(lost, room),
            Some(RoomEvent::Message(message)) => seen.push(message.seq),
            other => panic!("{other:?}"),
        }
        seen
    };
    let (_peer, seen) = tokio::join!(script, listen);
    assert_eq!(seen, [42]);
    assert_eq!(stream.last_seq(room), None);
}

#[tokio::test]
async fn a_publish_is_signed_and_its_refusal_told() {
    let rest = Server::start().await;
    let publisher = Publisher::new(&rest.address("http"), "1", "key", "secret");
    let (name, channels) = ("e".into(), vec!["c".into()]);
    let event = PublishRequest { name, data: "{}".into(), channels, channel: None, socket_id: None, info: None };
    let (request, published) = tokio::join!(rest.answer(200, "{}"), publisher.publish(&event));
    published.unwrap();
    let (line, body) = request;
    let query = line.strip_prefix("POST /apps/1/events?").and_then(|rest| rest.strip_suffix(" HTTP/1.1")).unwrap();
    let signed = SignedQuery::parse("POST", "/apps/1/events", query);
    let now = signed.get("auth_timestamp").unwrap().parse().unwrap();
    signed.verify(&Signer::new("secret"), body.as_bytes(), now).unwrap();
    let (_, refused) = tokio::join!(rest.answer(413, "too much"), publisher.publish(&event));
    assert_eq!(refused.unwrap_err().to_string(), "status 413: too much");
}
