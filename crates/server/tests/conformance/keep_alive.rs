//! 2.3 keep-alive, and what else only time shows: 2.10 how long a cache lasts, 2.12 authorized connections.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Socket;
use tokio::join;

use crate::request::Request;
use crate::server::{AUTHORIZED, App, MAIN, QUICK, Server};

async fn connect(server: &Server, app: App) -> Socket {
    let mut socket = Socket::connect_with(server.address(), &format!("/app/{}?protocol=7", app.key), &[]).await;
    assert_eq!(socket.established().await["activity_timeout"], 5, "2.1 clients are told the setting");
    socket
}

#[test]
fn a_silent_socket_is_pinged_and_closed_with_4201_and_one_that_answers_is_not() {
    QUICK.run(async |server| {
        let (mut silent, mut answering) = (connect(&server.0, MAIN).await, connect(&server.0, MAIN).await);
        let began = Instant::now();
        let dies = async {
            assert_eq!(silent.next_text().await, r#"{"event":"pusher:ping","data":{}}"#, "2.3");
            assert!(began.elapsed() >= Duration::from_secs(5), "2.3 pinged before its time");
            let closed = silent.expect_close_with().await;
            assert_eq!(closed, (4201, "Pong reply not received in time".into()), "2.3");
        };
        let lives = async {
            answering.expect_event("pusher:ping").await;
            answering.send_text(r#"{"event":"pusher:pong","data":{}}"#).await;
        };
        let mut speaking = connect(&server.0, MAIN).await;
        // Sent beneath the protocol: any message counts as life.
        let speaks = async {
            let mut clock = tokio::time::interval(Duration::from_secs(2));
            for _ in 0..5 {
                clock.tick().await;
                speaking.send_ws_ping(b"life").await;
                // A ping of the server's would be what comes first.
                assert_eq!(speaking.expect_ws_pong().await, b"life", "2.3");
            }
        };
        join!(dies, lives, speaks);
        answering.expect_quiet().await;
    });
}

#[test]
fn who_is_nobody_in_an_app_that_wants_authorized_connections_is_closed_with_4009() {
    QUICK.run(async |server| {
        let mut nobody = connect(&server.0, AUTHORIZED).await;
        nobody.subscribe("public").await;
        let mut private = connect(&server.0, AUTHORIZED).await;
        private.subscribe_private("private-a", AUTHORIZED.key, AUTHORIZED.secret).await;
        let mut present = connect(&server.0, AUTHORIZED).await;
        present.subscribe_presence("presence-a", AUTHORIZED.key, AUTHORIZED.secret, "1", json!({})).await;
        let mut signed_in = connect(&server.0, AUTHORIZED).await;
        let data = r#"{"id":"1"}"#;
        let auth = format!("{}:{}", AUTHORIZED.key, AUTHORIZED.signer().sign_user(signed_in.id(), data));
        signed_in.send_json(json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": data}})).await;
        signed_in.expect_event("pusher:signin_success").await;
        let mut later = connect(&server.0, AUTHORIZED).await;
        for socket in [&mut nobody, &mut later] {
            let refused = socket.expect_event("pusher:error").await;
            assert_eq!(refused["code"], 4009, "2.12");
            assert_eq!(socket.expect_close().await, 4009, "2.12");
        }
        // They came before the last of those who were closed.
        for socket in [&mut private, &mut present, &mut signed_in] {
            socket.expect_quiet().await;
        }
    });
}

#[test]
fn a_cached_event_is_gone_after_its_time() {
    QUICK.run(async |server| {
        let body = r#"{"name":"e","channel":"cache-brief","data":"1"}"#;
        let (status, _) = Request::new(MAIN, "POST", "events", body).send(&server.0).await;
        assert_eq!(status, 200);
        let mut socket = connect(&server.0, MAIN).await;
        socket.subscribe("cache-brief").await;
        assert_eq!(socket.next_text().await, r#"{"event":"e","channel":"cache-brief","data":"1"}"#, "2.10");
        let missed = async {
            loop {
                let mut socket = connect(&server.0, MAIN).await;
                socket.subscribe("cache-brief").await;
                if socket.next().await.event == "pusher:cache_miss" {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(5), missed).await.is_ok(), "2.10 it lasts longer");
    });
}

#[test]
fn a_frame_that_is_begun_is_ended_in_time() {
    QUICK.run(async |server| {
        let mut socket = connect(&server.0, MAIN).await;
        let frame = testkit::masked_frame(0x81, br#"{"event":"pusher:ping"}"#);
        socket.send_raw(&frame[..10]).await;
        let reason = "A frame was not completed in time".to_owned();
        assert_eq!(socket.expect_close_with().await, (4202, reason), "docs/protocol.md, close codes");
    });
}
