//! What an app's policy bounds, and whose address counts.

use std::net::SocketAddr;

use hub::{Config, TrustedProxies};
use protocol::Policy;
use testkit::{PATIENCE, RawSocket, Socket};
use tokio::time::timeout;

use crate::support::{Node, path};

/// Upgrades with one more header; what the server says to it: an open socket, or the close code.
async fn arrive(addr: SocketAddr, header: &str) -> Result<RawSocket, u16> {
    let mut socket = RawSocket::connect(addr).await;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{header}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        path("")
    );
    socket.write(request.as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101"));
    let (_, first) = socket.read_frame().await;
    match String::from_utf8(first).unwrap().contains("pusher:connection_established") {
        true => Ok(socket),
        false => Err(socket.read_close().await),
    }
}

#[tokio::test]
async fn a_disabled_app_takes_no_sockets() {
    let node = Node::with_policy(Config::default(), Policy { enabled: false, ..Policy::default() });
    let mut socket = Socket::connect_with(node.addr, &path(""), &[]).await;
    assert_eq!(socket.expect_event("pusher:error").await["code"], 4003);
    assert_eq!(socket.expect_close().await, 4003);
}

#[tokio::test]
async fn only_listed_origins_come_in_and_those_who_send_none() {
    let policy = Policy { allowed_origins: vec!["https://good.example".into()], ..Policy::default() };
    let node = Node::with_policy(Config::default(), policy);
    assert!(arrive(node.addr, "Origin: https://good.example").await.is_ok());
    assert!(arrive(node.addr, "X-Nothing: 1").await.is_ok());
    assert_eq!(arrive(node.addr, "Origin: https://good.example.evil.example").await.err(), Some(4009));
    assert_eq!(arrive(node.addr, "Origin: \u{e9}").await.err(), Some(4009));
}

#[tokio::test]
async fn one_socket_over_the_apps_quota_is_refused_until_another_ends() {
    let node = Node::with_policy(Config::default(), Policy { connections_max: Some(2), ..Policy::default() });
    let (first, _second) = (node.connect().await, node.connect().await);
    for _ in 0..3 {
        let mut third = Socket::connect_with(node.addr, &path(""), &[]).await;
        assert_eq!(third.expect_close().await, 4004);
    }
    // The place is free as soon as the server has answered the close.
    assert_eq!(first.close(1000).await, 1000);
    node.connect().await;
}

#[tokio::test]
async fn sockets_are_counted_by_the_address_that_a_trusted_proxy_tells() {
    let policy = || Policy { connections_per_address_max: Some(1), ..Policy::default() };
    let trusting = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    let behind = Node::with_policy(Config { trusted_proxies: trusting, ..Config::default() }, policy());
    let from = |address: &str| format!("X-Forwarded-For: {address}");
    let first = arrive(behind.addr, &from("2001:db8::1")).await.unwrap();
    assert_eq!(arrive(behind.addr, &from("2001:db8::2")).await.err(), Some(4103), "one /64");
    let _other = arrive(behind.addr, &from("2001:db8:1::1")).await.unwrap();
    assert_eq!(arrive(behind.addr, &from("198.51.100.1, 2001:db8:1::1")).await.err(), Some(4103), "a forged hop");
    drop(first);
    let again = async { while arrive(behind.addr, &from("2001:db8::2")).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("the place of a socket that ended is free");

    let plain = Node::with_policy(Config::default(), policy());
    let _first = arrive(plain.addr, &from("198.51.100.1")).await.unwrap();
    assert_eq!(arrive(plain.addr, &from("198.51.100.2")).await.err(), Some(4103), "nobody is trusted");
}
