//! 2.16 the XHR fallback: lines as pusher-js reads them.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use testkit::RawSocket;

use crate::request::{Request, send};
use crate::script::fits;
use crate::server::{DEFAULTS, MAIN, QUICK, Server};

const ESTABLISHED: &str = r#"a["{\"event\":\"pusher:connection_established\",\"data\":\"{\\\"socket_id\\\":\\\"…\\\",\\\"activity_timeout\\\":…}\"}"]"#;
const PING: &str = r#"["{\"event\":\"pusher:ping\",\"data\":{}}"]"#;
const PONG: &str = r#"a["{\"event\":\"pusher:pong\",\"data\":{}}"]"#;
const QUERY: &str = "?protocol=7&client=js&version=8.6.0&t=1&n=1";

/// A session's path below an app's key, new each time.
fn session(key: &str) -> String {
    static SESSIONS: AtomicU32 = AtomicU32::new(0);
    format!("/pusher/app/{key}/123/session{}", SESSIONS.fetch_add(1, Ordering::Relaxed))
}

/// A response that is read line by line while it lasts.
struct Lines {
    raw: RawSocket,
    head: String,
    read: String,
}

impl Lines {
    async fn of(server: &Server, path: &str) -> Self {
        Self::asked(server, "POST", path).await
    }

    async fn asked(server: &Server, method: &str, path: &str) -> Self {
        let mut raw = RawSocket::connect(server.address()).await;
        raw.write(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
        let head = raw.read_head().await.to_lowercase();
        Self { raw, head, read: String::new() }
    }

    /// The next line; none where the response ends.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.read.split_once('\n') {
                let line = line.to_owned();
                self.read = rest.to_owned();
                return Some(line);
            }
            let mut size = String::new();
            while !size.ends_with("\r\n") {
                size.push(self.raw.read_exact(1).await[0].into());
            }
            let bytes = usize::from_str_radix(size.trim(), 16).unwrap();
            let chunk = self.raw.read_exact(bytes + 2).await;
            if bytes == 0 {
                assert_eq!(self.read, "", "2.16 every line ends");
                return None;
            }
            self.read.push_str(std::str::from_utf8(&chunk[..bytes]).unwrap());
        }
    }

    async fn expect(&mut self, row: &str, wanted: &[&str]) {
        for wanted in wanted {
            let came = self.next().await.unwrap_or_else(|| panic!("2.16 {row}: the end came before {wanted}"));
            assert!(fits(&came, wanted), "2.16 {row}: wanted {wanted}\n came {came}");
        }
    }
}

#[test]
fn a_stream_opens_with_o_and_carries_each_frame_as_a_line() {
    DEFAULTS.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let mut lines = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
        assert!(lines.head.starts_with("http/1.1 200 "), "2.16 lines count only with 200: {}", lines.head);
        assert!(lines.head.contains("access-control-allow-origin: *\r\n"), "2.16 any origin: {}", lines.head);
        lines.expect("the first lines", &["o{}", ESTABLISHED]).await;
        let to = format!("{path}/xhr_send{QUERY}");
        assert_eq!(send(server, "POST", &to, PING).await, (204, String::new()), "2.16 sending");
        lines.expect("a frame", &[PONG]).await;
        assert_eq!(send(server, "POST", &to, "[]").await.0, 204, "2.16 a heartbeat of the client");
        let subscribe = r#"["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"xhr\",\"auth\":\"\"}}","{\"event\":\"pusher:ping\",\"data\":{}}"]"#;
        assert_eq!(send(server, "POST", &to, subscribe).await.0, 204);
        let succeeded = r#"a["{\"event\":\"pusher_internal:subscription_succeeded\",\"channel\":\"xhr\",\"data\":\"{}\"}"]"#;
        lines.expect("many frames, in their order", &[succeeded, PONG]).await;
        let event = r#"{"name":"e","channel":"xhr","data":"line\nend é"}"#;
        assert_eq!(Request::new(MAIN, "POST", "events", event).send(server).await.0, 200);
        lines.expect("a published event", &[r#"a["{\"event\":\"e\",\"channel\":\"xhr\",\"data\":\"line\\nend é\"}"]"#]).await;
        for bad in ["", "{}", "[1]", "nothing"] {
            assert_eq!(send(server, "POST", &to, bad).await.0, 400, "2.16 a body that is no array of strings: {bad}");
        }
        assert_eq!(send(server, "POST", &to, PING).await.0, 204);
        lines.expect("a refused body changes nothing", &[PONG]).await;
    });
}

#[test]
fn a_poll_is_answered_with_the_lines_that_wait() {
    DEFAULTS.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let poll = format!("{path}/xhr{QUERY}");
        let mut came = String::new();
        while came.lines().count() < 2 {
            let (status, text) = send(server, "POST", &poll, "").await;
            assert_eq!(status, 200, "2.16");
            came.push_str(&text);
        }
        assert!(fits(&came, &format!("o{{}}\n{ESTABLISHED}\n")), "2.16 polls: {came}");
        assert_eq!(send(server, "POST", &format!("{path}/xhr_send{QUERY}"), PING).await.0, 204);
        assert_eq!(send(server, "POST", &poll, "").await, (200, format!("{PONG}\n")), "2.16 polls");
    });
}

#[test]
fn a_later_request_takes_the_session_over_without_opening_it_again() {
    DEFAULTS.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let mut first = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
        first.expect("the first lines", &["o{}", ESTABLISHED]).await;
        let mut second = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
        assert_eq!(first.next().await, None, "2.16 the request before ends");
        assert_eq!(send(server, "POST", &format!("{path}/xhr_send"), PING).await.0, 204);
        second.expect("what comes goes to the later one, and there is no second o", &[PONG]).await;
    });
}

#[test]
fn a_stream_rests_after_256_kib_and_the_next_one_goes_on_where_it_was() {
    DEFAULTS.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let mut lines = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
        lines.expect("the first lines", &["o{}", ESTABLISHED]).await;
        let subscribe = r#"["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"xhr-long\"}}"]"#;
        assert_eq!(send(server, "POST", &format!("{path}/xhr_send"), subscribe).await.0, 204);
        lines.expect("subscribed", &["…subscription_succeeded…"]).await;
        for number in 0..30 {
            let data = format!("{number} {}", "x".repeat(10_200));
            let body = serde_json::json!({"name": "e", "channel": "xhr-long", "data": data}).to_string();
            assert_eq!(Request::new(MAIN, "POST", "events", &body).send(server).await.0, 200);
        }
        let (mut units, mut next) = (0, 0);
        while next < 30 {
            // As pusher-js does it: past that length it asks anew, and reads what is left of the request before.
            if units > 262_144 {
                lines = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
                units = 0;
            }
            let line = lines.next().await.unwrap_or_else(|| panic!("2.16 ended after {next} events, {units} units"));
            assert!(line.contains(&format!(r#"\"data\":\"{next} x"#)), "2.16 event {next} is missing: {line:.120}");
            units += line.len() + 1;
            next += 1;
        }
    });
}

#[test]
fn what_closes_a_socket_closes_a_session_with_the_same_code() {
    let unknown = [
        "o{}",
        r#"a["{\"event\":\"pusher:error\",\"data\":{\"code\":4001,\"message\":\"Application does not exist\"}}"]"#,
        r#"c[4001,"Application does not exist"]"#,
    ];
    let version = [
        "o{}",
        r#"a["{\"event\":\"pusher:error\",\"data\":{\"code\":4007,\"message\":\"Unsupported protocol version\"}}"]"#,
        r#"c[4007,"Unsupported protocol version"]"#,
    ];
    let disabled = [
        "o{}",
        r#"a["{\"event\":\"pusher:error\",\"data\":{\"code\":4003,\"message\":\"Application disabled\"}}"]"#,
        r#"c[4003,"Application disabled"]"#,
    ];
    DEFAULTS.run(async |server| {
        for (row, key, query, wanted) in [
            ("an unknown key", "nobody", QUERY, unknown),
            ("an unsupported version", MAIN.key, "?protocol=8", version),
            ("a disabled app", "disabled", QUERY, disabled),
        ] {
            let mut lines = Lines::of(&server.0, &format!("{}/xhr_streaming{query}", session(key))).await;
            lines.expect(row, &wanted).await;
            assert_eq!(lines.next().await, None, "2.16 {row}: the response ends");
        }
    });
}

#[test]
fn a_session_signs_in_and_is_terminated_as_a_socket_is() {
    DEFAULTS.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let mut lines = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
        lines.expect("the first lines", &["o{}"]).await;
        let established = lines.next().await.unwrap().replace('\\', "");
        let (_, rest) = established.split_once(r#""socket_id":""#).unwrap();
        let (id, data) = (rest.split_once('"').unwrap().0.parse().unwrap(), r#"{"id":"xhr"}"#);
        let auth = format!("{}:{}", MAIN.key, MAIN.signer().sign_user(id, data));
        let frame = json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": data}});
        let body = json!([frame.to_string()]).to_string();
        assert_eq!(send(server, "POST", &format!("{path}/xhr_send{QUERY}"), &body).await.0, 204);
        lines.expect("signing in", &["a[…pusher:signin_success…]"]).await;
        assert_eq!(Request::new(MAIN, "POST", "users/xhr/terminate_connections", "{}").send(server).await.0, 200);
        lines.expect("terminated", &["a[…pusher:error…4009…]", r#"c[4009,"Connection is unauthorized"]"#]).await;
        assert_eq!(lines.next().await, None, "2.16 the response ends");
    });
}

#[test]
fn what_is_no_session_is_told_by_a_status() {
    DEFAULTS.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let rows = [
            ("sending to an unknown session", "POST", format!("{path}/xhr_send"), "[]", 404),
            ("a path of nothing", "POST", format!("{path}/xhr_nothing"), "[]", 404),
            ("a session without its second part", "POST", format!("/app/{}/123/xhr", MAIN.key), "", 404),
            ("another method", "GET", format!("{path}/xhr"), "", 405),
            ("a preflight", "OPTIONS", format!("{path}/xhr_send"), "", 204),
        ];
        for (row, method, path, body, status) in rows {
            assert_eq!(send(server, method, &path, body).await.0, status, "2.16 {row}");
        }
    });
}

#[test]
fn silence_is_filled_with_h_and_a_session_that_nobody_receives_from_ends() {
    QUICK.run(async |server| {
        let (server, path) = (&server.0, session(MAIN.key));
        let mut lines = Lines::of(server, &format!("{path}/xhr_streaming{QUERY}")).await;
        lines.expect("heartbeats", &["o{}", ESTABLISHED, "h", "h"]).await;
        drop(lines);
        let gone = async { while send(server, "POST", &format!("{path}/xhr_send"), "[]").await.0 != 404 {} };
        assert!(tokio::time::timeout(testkit::PATIENCE, gone).await.is_ok(), "2.16 the session ends");
    });
}

#[test]
fn events_are_streamed_to_who_only_listens_and_a_refusal_is_a_status() {
    DEFAULTS.run(async |server| {
        let (server, query) = (&server.0, "sse?protocol=7&channels=sse-a,private-a");
        let mut lines = Lines::asked(server, "GET", &format!("/app/{}/{query}", MAIN.key)).await;
        assert!(lines.head.contains("content-type: text/event-stream\r\n"), "docs/protocol.md, SSE: {}", lines.head);
        let established = r#"data: {"event":"pusher:connection_established","data":"…"}"#;
        let succeeded = r#"data: {"event":"pusher_internal:subscription_succeeded","channel":"sse-a","data":"{}"}"#;
        let refused = [r#"data: {"event":"pusher:error",…"#, "", r#"data: {"event":"pusher:subscription_error",…"#, ""];
        let position = r#"data: {"event":"kabar:position","channel":"sse-a","data":"{\"epoch\":…,\"offset\":0}"}"#;
        lines.expect("SSE", &[established, "", succeeded, "", "id: sse-a:…:0", position, ""]).await;
        lines.expect("SSE", &refused).await;
        let event = r#"{"name":"e","channel":"sse-a","data":"1"}"#;
        assert_eq!(Request::new(MAIN, "POST", "events", event).send(server).await.0, 200);
        lines
            .expect("SSE", &["id: sse-a:…:1", r#"data: {"event":"e","channel":"sse-a","data":"1","offset":1}"#, ""])
            .await;
        for (row, path, status) in [
            ("an unknown key", "/app/nobody/sse?protocol=7", 404),
            ("a disabled app", "/app/disabled/sse?protocol=7", 403),
            ("no version", "/app/plain/sse", 400),
        ] {
            assert_eq!(send(server, "GET", path, "").await.0, status, "docs/protocol.md, SSE: {row}");
        }
    });
}
