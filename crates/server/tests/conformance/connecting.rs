//! 2.1 connecting and 2.4 the codes that refuse it.

use testkit::{RawSocket, Socket};

use crate::script::{fits, run};
use crate::server::{ADDRESS, App, DEFAULTS, DISABLED, MAIN, ONE, ORIGINS, Server};

const GREETING: &str =
    r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"…\",\"activity_timeout\":120}"}"#;

/// Connects; the first frame.
async fn first_frame(server: &Server, path: &str) -> (Socket, String) {
    let mut socket = Socket::connect_with(server.address(), path, &[]).await;
    let text = socket.next_text().await;
    (socket, text)
}

fn is_greeting(text: &str) -> bool {
    let start = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\""#;
    let rest = text.strip_prefix(start).and_then(|rest| rest.split_once(r#"\",\"activity_timeout\":120}"}"#));
    let Some((id, "")) = rest else { return false };
    // All server SDKs want `^\d+\.\d+$`; both halves are kept where a JavaScript number is exact.
    let halves: Vec<_> = id.split('.').map(|half| (half, half.parse::<u64>())).collect();
    let is_plain = |(text, half): &(&str, Result<u64, _>)| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && half.as_ref().is_ok_and(|half| *half < 1 << 53)
    };
    halves.len() == 2 && halves.iter().all(is_plain)
}

#[test]
fn a_socket_is_greeted_or_told_by_an_error_and_a_close_code_why_not() {
    let ok = "/app/278d425bdf160c739803";
    let rows = [
        ("2.1 as pusher-js connects", format!("{ok}?protocol=7&client=js&version=8.6.0&flash=false"), None),
        ("2.1 only the protocol is needed", format!("{ok}?protocol=7"), None),
        ("2.1 protocol 5", format!("{ok}?protocol=5"), None),
        ("2.1 protocol 6", format!("{ok}?client=x&protocol=6"), None),
        ("2.1 protocol 4", format!("{ok}?protocol=4"), Some((4007, "Unsupported protocol version"))),
        ("2.1 protocol 8", format!("{ok}?protocol=8"), Some((4007, "Unsupported protocol version"))),
        ("2.1 protocol 0", format!("{ok}?protocol=0"), Some((4007, "Unsupported protocol version"))),
        ("2.1 protocol -7", format!("{ok}?protocol=-7"), Some((4007, "Unsupported protocol version"))),
        ("2.1 no protocol", format!("{ok}?client=js"), Some((4008, "No protocol version supplied"))),
        ("2.1 no query", ok.into(), Some((4008, "No protocol version supplied"))),
        ("2.4 protocol is a word", format!("{ok}?protocol=x"), Some((4006, "Invalid version string format"))),
        ("2.4 protocol is empty", format!("{ok}?protocol="), Some((4006, "Invalid version string format"))),
        (
            "2.4 protocol is no whole number",
            format!("{ok}?protocol=7.0"),
            Some((4006, "Invalid version string format")),
        ),
        ("2.4 an unknown key", "/app/nobody?protocol=7".into(), Some((4001, "Application does not exist"))),
        ("2.4 no key", "/app/?protocol=7".into(), Some((4001, "Application does not exist"))),
        (
            "2.4 a key in another case",
            format!("{}?protocol=7", ok.to_uppercase().replace("/APP", "/app")),
            Some((4001, "Application does not exist")),
        ),
        (
            "2.4 the key is looked at before the version",
            "/app/nobody".into(),
            Some((4001, "Application does not exist")),
        ),
        ("2.4 a disabled app", "/app/disabled?protocol=7".into(), Some((4003, "Application disabled"))),
        ("2.4 a path below a key", format!("{ok}/more?protocol=7"), Some((4005, "Path not found"))),
    ];
    DEFAULTS.run(async |server| {
        for (row, path, refused) in rows {
            let (mut socket, text) = first_frame(&server.0, &path).await;
            match refused {
                None => assert!(is_greeting(&text), "{row}: {text}"),
                Some((code, reason)) => {
                    let error = format!(r#"{{"event":"pusher:error","data":{{"code":{code},"message":"{reason}"}}}}"#);
                    assert_eq!(text, error, "{row}");
                    assert_eq!(socket.expect_close_with().await, (code, reason.to_owned()), "{row}");
                }
            }
        }
        let key = DISABLED.key;
        let refused = Socket::try_connect_with(server.0.address(), &format!("/elsewhere/{key}?protocol=7"), &[]).await;
        assert!(refused.is_err(), "2.1 a path that is not under /app/");
    });
}

#[test]
fn socket_ids_are_of_one_connection_and_do_not_repeat() {
    DEFAULTS.run(async |server| {
        let mut ids = std::collections::HashSet::new();
        for _ in 0..50 {
            assert!(ids.insert(Socket::connect(server.0.address(), MAIN.key).await.id().to_string()), "2.1");
        }
    });
}

#[test]
fn an_app_has_no_more_connections_than_its_quota_and_a_place_is_free_again_once_one_has_left() {
    DEFAULTS.run(async |server| {
        let path = format!("/app/{}?protocol=7", ONE.key);
        let (first, text) = first_frame(&server.0, &path).await;
        assert!(is_greeting(&text), "2.4 at the quota: {text}");
        let (mut second, text) = first_frame(&server.0, &path).await;
        let error = r#"{"event":"pusher:error","data":{"code":4004,"message":"Over connection quota"}}"#;
        assert_eq!(text, error, "2.4 one past the quota");
        assert_eq!(second.expect_close_with().await, (4004, "Over connection quota".into()), "2.4 one past the quota");
        assert_eq!(first.close(1000).await, 1000);
        let (_third, text) = first_frame(&server.0, &path).await;
        assert!(is_greeting(&text), "2.4 after one has left: {text}");
    });
}

#[test]
fn an_address_has_no_more_connections_than_the_policy_says() {
    DEFAULTS.run(async |server| {
        let path = format!("/app/{}?protocol=7", ADDRESS.key);
        let (first, text) = first_frame(&server.0, &path).await;
        assert!(is_greeting(&text), "at the limit: {text}");
        let (mut second, text) = first_frame(&server.0, &path).await;
        let reason = "Too many connections from this address";
        let error = format!(r#"{{"event":"pusher:error","data":{{"code":4103,"message":"{reason}"}}}}"#);
        assert_eq!(text, error, "one past the limit");
        assert_eq!(second.expect_close_with().await, (4103, reason.to_owned()), "one past the limit");
        drop(first);
    });
}

/// Connects as a browser does from this origin; the first frame, and the code it is closed with.
async fn from_origin(server: &Server, app: App, origin: Option<&str>) -> (String, Option<u16>) {
    let mut socket = RawSocket::connect(server.address()).await;
    let origin = origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"));
    let request = format!(
        "GET /app/{}?protocol=7 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{origin}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        app.key
    );
    socket.write(request.as_bytes()).await;
    let head = socket.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101"), "2.1 refusals come after the upgrade: {head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    let (opcode, payload) = socket.read_frame().await;
    assert_eq!(opcode, 1, "2.1 frames are text");
    let text = String::from_utf8(payload).unwrap();
    let code = if text.contains("pusher:error") { Some(socket.read_close().await) } else { None };
    (text, code)
}

#[test]
fn a_browser_connects_only_from_an_origin_that_the_app_allows() {
    let refused = r#"{"event":"pusher:error","data":{"code":4009,"message":"Connection is unauthorized"}}"#;
    let rows = [
        ("the origin that is allowed", ORIGINS, Some("https://good.example"), None),
        ("another scheme", ORIGINS, Some("http://good.example"), Some(4009)),
        ("another port", ORIGINS, Some("https://good.example:8443"), Some(4009)),
        ("another host", ORIGINS, Some("https://bad.example"), Some(4009)),
        ("a host that begins alike", ORIGINS, Some("https://good.example.evil"), Some(4009)),
        ("an opaque origin", ORIGINS, Some("null"), Some(4009)),
        ("no browser", ORIGINS, None, None),
        ("an app that names no origins", MAIN, Some("https://bad.example"), None),
    ];
    DEFAULTS.run(async |server| {
        for (row, app, origin, code) in rows {
            let (text, closed) = from_origin(&server.0, app, origin).await;
            assert_eq!(closed, code, "2.1 {row}: {text}");
            assert!(if code.is_some() { text == refused } else { fits(&text, GREETING) }, "2.1 {row}: {text}");
        }
    });
}

#[test]
fn a_socket_speaks_text_and_the_peers_close_is_answered() {
    DEFAULTS.run(async |server| {
        let path = format!("/app/{}?protocol=7", MAIN.key);
        let (mut socket, _) = first_frame(&server.0, &path).await;
        socket.send_binary(br#"{"event":"pusher:ping","data":{}}"#).await;
        assert_eq!(socket.expect_close().await, 1003, "2.1 binary frames are not supported");
        let (mut socket, _) = first_frame(&server.0, &path).await;
        for payload in [&b""[..], b"ping", &[7; 125]] {
            socket.send_ws_ping(payload).await;
            assert_eq!(socket.expect_ws_pong().await, payload, "2.3 pings of the WebSocket protocol are answered");
        }
        assert_eq!(socket.close(4001).await, 4001, "2.4 a client's own code comes back");
    });
    run(
        &DEFAULTS,
        "
# 2.3 a client that leaves is answered
A here
A bye
",
    );
}
