//! Starting, failing, healing, stopping.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::json;
use testkit::{PrivatePostgres, RawSocket, Socket};

use crate::kabar::{KEY, Kabar, SECRET, command, folder, postmaster, with_app};

#[tokio::test]
async fn sockets_outlive_a_postgres_that_goes_and_comes_back() {
    let folder = folder();
    let mut postgres = PrivatePostgres::start().unwrap();
    let kabar = Kabar::on(&folder, postgres.url()).await;
    let ada = kabar.token("ada").await;
    let mut socket = Socket::connect(&kabar.public, KEY).await;
    socket.subscribe("news").await;

    postgres.stop();
    kabar.ready_becomes(503, Duration::from_secs(2)).await;
    assert_eq!(kabar.fetch("/health/live", &[]).await.status(), 200);
    let bearer = format!("Bearer {ada}");
    assert_eq!(kabar.fetch("/api/chat/rooms", &[("authorization", &bearer)]).await.status(), 503);
    socket.expect_quiet().await;

    postgres.start_again().unwrap();
    kabar.ready_becomes(200, Duration::from_secs(15)).await;
    kabar.post("/api/chat/start", &ada, json!({"participantId": "budi", "type": "DIRECT"})).await;
    socket.expect_quiet().await;
}

#[tokio::test]
async fn a_start_without_postgres_is_live_and_becomes_ready_with_it() {
    let folder = folder();
    let mut postgres = PrivatePostgres::start().unwrap();
    postgres.stop();
    let mut start = with_app(command(folder.path()));
    start.env("KABAR__DATABASE__URL", postgres.url());
    let mut kabar = Kabar::start(&folder, start).await;
    assert_eq!(kabar.fetch("/health/live", &[]).await.status(), 200);
    assert_eq!(kabar.fetch("/health/ready", &[]).await.status(), 503);
    Socket::connect(&kabar.public, KEY).await.subscribe("news").await;
    postgres.start_again().unwrap();
    kabar.ready().await;
    assert_eq!(kabar.fetch("/health/ready", &[]).await.status(), 200);
}

#[tokio::test]
async fn sigterm_closes_sockets_with_4200_stops_postgres_and_exits_with_0() {
    let folder = folder();
    let mut kabar = Kabar::start(&folder, with_app(command(folder.path()))).await;
    kabar.ready().await;
    assert!(kabar.postmaster().is_some());
    let mut socket = Socket::connect(&kabar.public, KEY).await;
    kabar.signal(Signal::SIGTERM);
    assert_eq!(socket.expect_close().await, 4200);
    assert_eq!(kabar.ended().await.code(), Some(0));
    assert!(postmaster(folder.path()).is_none(), "Postgres was left running");
}

#[tokio::test]
async fn while_draining_it_is_not_ready_accepts_nobody_and_a_second_signal_ends_it() {
    let (folder, database) = (folder(), testkit::database().await);
    let mut start = with_app(command(folder.path()));
    start.env("KABAR__DATABASE__URL", &database.url).env("KABAR__SERVER__DRAIN_SECONDS", "600");
    let mut kabar = Kabar::start(&folder, start).await;
    kabar.ready().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(Socket::connect(&kabar.public, KEY).await);
    }
    kabar.signal(Signal::SIGINT);
    kabar.logged("stopping").await;
    kabar.ready_becomes(503, Duration::from_secs(2)).await;
    let refused = async { while tokio::net::TcpStream::connect(&kabar.public).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(2), refused).await.expect("nobody is accepted any more");
    kabar.signal(Signal::SIGINT);
    assert_eq!(kabar.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_request_that_is_under_way_at_a_stop_is_answered() {
    let (folder, database) = (folder(), testkit::database().await);
    let mut kabar = Kabar::on(&folder, &database.url).await;
    let ada = kabar.token("ada").await;
    let body = json!({"participantId": "budi", "type": "DIRECT"}).to_string();
    let (addr, bytes) = (&kabar.public, body.len());
    let mut request = RawSocket::connect(addr).await;
    let head = format!(
        "POST /api/chat/start HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {ada}\r\n\
         Content-Type: application/json\r\nContent-Length: {bytes}\r\nExpect: 100-continue\r\n\r\n"
    );
    request.write(head.as_bytes()).await;
    // Its interim answer proves that the request has begun.
    assert!(request.read_head().await.starts_with("HTTP/1.1 100"));
    let event = r#"{"name":"e","data":"1","channel":"a"}"#;
    let signer = protocol::Signer::new(SECRET);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let query = protocol::signature::sign_request(KEY, &signer, "POST", "/apps/1/events", event.as_bytes(), now);
    let mut publish = RawSocket::connect(addr).await;
    let head = format!(
        "POST /apps/1/events?{query} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        event.len()
    );
    publish.write(head.as_bytes()).await;
    assert!(publish.read_head().await.starts_with("HTTP/1.1 100"));
    kabar.signal(Signal::SIGTERM);
    kabar.logged("stopping").await;
    publish.write(event.as_bytes()).await;
    let answer = publish.read_head().await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    request.write(body.as_bytes()).await;
    let answer = request.read_head().await.to_lowercase();
    assert!(answer.starts_with("http/1.1 201") && answer.contains("connection: close"), "{answer}");
    assert_eq!(kabar.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_postgres_that_a_killed_kabar_left_is_taken_over_with_its_data() {
    let folder = folder();
    let mut first = Kabar::start(&folder, with_app(command(folder.path()))).await;
    first.ready().await;
    let ada = first.token("ada").await;
    first.post("/api/chat/start", &ada, json!({"participantId": "budi", "type": "DIRECT"})).await;
    let left = first.postmaster().unwrap();
    first.signal(Signal::SIGKILL);
    first.ended().await;
    assert!(kill(left, None).is_ok(), "a killed kabar cannot stop its Postgres");

    let mut second = Kabar::start(&folder, with_app(command(folder.path()))).await;
    second.ready().await;
    assert_eq!(second.get("/api/chat/rooms", &ada).await["rooms"].as_array().unwrap().len(), 1);
    second.signal(Signal::SIGTERM);
    assert!(second.ended().await.success());
    assert!(postmaster(folder.path()).is_none());
}
