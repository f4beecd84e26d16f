//! Bad input: the right code, no panic, nobody else harmed.

use std::time::Duration;

use hub::Config;
use serde_json::json;
use testkit::{RawSocket, Socket, masked_frame};

use crate::support::{KEY, Node, path};

#[tokio::test]
async fn a_socket_that_cannot_be_served_is_accepted_and_closed_with_its_code() {
    let node = Node::start();
    let cases = [
        ("/app/nobody?protocol=7".to_owned(), 4001),
        ("/app/?protocol=7".to_owned(), 4001),
        (format!("/app/{KEY}/more?protocol=7"), 4005),
        (format!("/app/{KEY}"), 4008),
        (format!("/app/{KEY}?protocol=seven"), 4006),
        (format!("/app/{KEY}?protocol=4"), 4007),
        (format!("/app/{KEY}?protocol=8"), 4007),
    ];
    for (path, code) in cases {
        let mut socket = Socket::connect_with(node.addr, &path, &[]).await;
        assert_eq!(socket.expect_event("pusher:error").await["code"], code, "{path}");
        assert_eq!(socket.expect_close().await, code, "{path}");
    }
    for protocol in [5, 6, 7] {
        let mut socket = Socket::connect_with(node.addr, &format!("/app/{KEY}?protocol={protocol}"), &[]).await;
        assert_eq!(socket.established().await["activity_timeout"], 120);
    }
}

#[tokio::test]
async fn broken_frames_close_with_the_code_of_the_rule_they_break() {
    let node = Node::start_with(Config { message_bytes_max: 1000, fragments_max: 3, ..Config::default() });
    let mut witness = node.connect().await;
    let mut unmasked = masked_frame(0x81, b"{}");
    unmasked[1] &= 0x7f;
    let cases = [
        ("binary", masked_frame(0x82, b"{}"), 1003),
        ("unmasked", unmasked, 1002),
        ("reserved bits", masked_frame(0xf1, b"{}"), 1002),
        ("bad UTF-8", masked_frame(0x81, b"\xff"), 1007),
        ("too big", masked_frame(0x81, &[b' '; 1001]), 1009),
        ("a declared 8 GiB", vec![0x81, 0xff, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 4], 1009),
        ("too many fragments", [masked_frame(0x01, b" "), masked_frame(0x00, b" ").repeat(3)].concat(), 1009),
    ];
    for (name, bytes, code) in cases {
        let mut socket = RawSocket::upgraded(node.addr, &path("")).await;
        socket.read_frame().await;
        socket.write(&bytes).await;
        assert_eq!(socket.read_close().await, code, "{name}");
    }
    witness.subscribe("unharmed").await;
}

#[tokio::test]
async fn fragments_and_pieces_are_put_together() {
    let node = Node::start();
    let mut socket = RawSocket::upgraded(node.addr, &path("")).await;
    socket.read_frame().await;
    let (head, tail) = r#"{"event":"pusher:ping","data":{}}"#.split_at(9);
    let bytes =
        [masked_frame(0x01, head.as_bytes()), masked_frame(0x89, b"hi"), masked_frame(0x80, tail.as_bytes())].concat();
    for byte in bytes {
        socket.write(&[byte]).await;
    }
    assert_eq!(socket.read_frame().await, (0x0a, b"hi".to_vec()));
    assert_eq!(socket.read_frame().await, (0x01, protocol::frame::PONG.as_bytes().to_vec()));
}

#[tokio::test]
async fn nonsense_in_a_frame_is_answered_and_the_socket_stays() {
    let node = Node::start();
    let mut socket = node.connect().await;
    let deep = "[".repeat(10_000);
    for text in ["", "x", "[]", "{}", "null", r#"{"event":7}"#, r#"{"event":"pusher:subscribe"}"#, &deep] {
        socket.send_text(text).await;
        assert_eq!(socket.expect_event("pusher:error").await["code"], json!(null), "{text:.20}");
    }
    for name in ["", "a b", "#x", "a:b", "é", &"x".repeat(201)] {
        socket.send_subscribe(json!({"channel": name})).await;
        socket.expect_event("pusher:error").await;
        assert_eq!(socket.expect_event("pusher:subscription_error").await["status"], 400);
    }
    socket.subscribe("fine").await;
}

#[tokio::test]
async fn a_flood_of_pings_is_cut_off() {
    let node = Node::start_with(Config { frames_per_second_max: 100, ..Config::default() });
    let mut witness = node.connect().await;
    let mut socket = RawSocket::upgraded(node.addr, &path("")).await;
    socket.read_frame().await;
    // Twice the limit and one more: a burst may straddle two seconds.
    socket.write(&masked_frame(0x89, b"").repeat(201)).await;
    assert_eq!(socket.read_close().await, 4101);
    witness.subscribe("unharmed").await;
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_closed_and_one_that_stalls_within_a_frame_too() {
    let second = Duration::from_secs(1);
    let times = Config { activity_timeout: second, pong_timeout: second, frame_timeout: second, ..Config::default() };
    let node = Node::start_with(times);
    let mut silent = RawSocket::upgraded(node.addr, &path("")).await;
    let mut stalled = RawSocket::upgraded(node.addr, &path("")).await;
    for socket in [&mut silent, &mut stalled] {
        socket.read_frame().await;
    }
    stalled.write(&[0x81]).await;
    assert_eq!(stalled.read_close().await, 4202);
    assert_eq!(silent.read_frame().await, (0x01, protocol::frame::PING.as_bytes().to_vec()));
    assert_eq!(silent.read_close().await, 4201);
}

#[tokio::test]
async fn what_is_no_handshake_gets_an_http_answer() {
    let node = Node::start();
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        ("GET /elsewhere", "upgrade: websocket\r\nsec-websocket-version: 13\r\n", key, "404"),
        ("POST /app/x", "upgrade: websocket\r\nsec-websocket-version: 13\r\n", key, "405"),
        ("GET /app/x", "upgrade: websocket\r\nsec-websocket-version: 8\r\n", key, "426"),
        ("GET /app/x", "upgrade: websocket\r\nsec-websocket-version: 13\r\n", "", "400"),
    ];
    for (line, headers, key, status) in cases {
        let mut socket = RawSocket::connect(node.addr).await;
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n{headers}{key}\r\n");
        socket.write(request.as_bytes()).await;
        let head = socket.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {headers}: {head}");
    }
}
