//! Sockets over plain HTTP: XHR as pusher-js speaks it, and server-sent events.

use std::time::Duration;

use hub::Config;
use protocol::Policy;
use serde_json::{Value, json};
use testkit::{RawSocket, Socket};

use crate::support::{KEY, Node, app_id, channel_named, path};

/// A request whose response is read piece by piece.
struct Response {
    raw: RawSocket,
    head: String,
    read: String,
}

impl Response {
    async fn of(node: &Node, method: &str, path: &str, body: &str) -> Self {
        let mut raw = RawSocket::connect(node.addr).await;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", node.addr, body.len());
        raw.write(head.as_bytes()).await;
        raw.write(body.as_bytes()).await;
        let head = raw.read_head().await;
        Self { raw, head, read: String::new() }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The next chunk of the body; empty at its end.
    async fn chunk(&mut self) -> String {
        let size = self.line().await;
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let chunk = self.raw.read_exact(size).await;
        self.line().await;
        String::from_utf8(chunk).unwrap()
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.raw.read_exact(1).await[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// The body up to and with the next `end`.
    async fn until(&mut self, end: &str) -> String {
        let read = self.try_until(end).await;
        read.unwrap_or_else(|| panic!("the end came before {end:?}, after {:?}", self.read))
    }

    /// The next line; none at the end of the body.
    async fn try_line(&mut self) -> Option<String> {
        self.try_until("\n").await
    }

    async fn try_until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.read.find(end) {
                let rest = self.read.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.read, rest));
            }
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return None;
            }
            self.read.push_str(&chunk);
        }
    }

    /// The next frame of a streaming response.
    async fn frame(&mut self) -> Value {
        frame(&self.until("\n").await)
    }
}

fn frame(line: &str) -> Value {
    let frames: Vec<String> = serde_json::from_str(line.strip_prefix('a').expect(line)).unwrap();
    serde_json::from_str(&frames[0]).unwrap()
}

fn url(verb: &str) -> String {
    format!("/pusher/app/{KEY}/123/abcd1234/{verb}?protocol=7&client=js&version=8")
}

async fn send(node: &Node, frame: Value) {
    let body = json!([frame.to_string()]).to_string();
    assert_eq!(Response::of(node, "POST", &url("xhr_send"), &body).await.status(), 204);
}

async fn open(node: &Node) -> Response {
    let mut stream = Response::of(node, "POST", &url("xhr_streaming"), "").await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.until("\n").await, "o{}\n");
    assert_eq!(stream.frame().await["event"], "pusher:connection_established");
    stream
}

async fn subscribe(node: &Node, stream: &mut Response, channel: &str) {
    send(node, json!({"event": "pusher:subscribe", "data": {"channel": channel}})).await;
    assert_eq!(stream.frame().await["event"], "pusher_internal:subscription_succeeded");
}

#[tokio::test]
async fn a_streaming_session_is_a_socket_like_any_other() {
    let node = Node::start();
    let mut stream = open(&node).await;
    subscribe(&node, &mut stream, "news").await;
    node.publish("news", "hello", "{\"a\":1}");
    let event = stream.frame().await;
    assert_eq!((event["event"].as_str(), event["data"].as_str()), (Some("hello"), Some("{\"a\":1}")));
    assert_eq!(node.hub.socket_count(), 1);
    // A frame that breaks a limit closes it as it closes a WebSocket.
    send(&node, json!({"event": "x", "data": "y".repeat(70_000)})).await;
    assert_eq!(stream.until("\n").await, "c[1009,\"message too big\"]\n");
    assert_eq!(stream.chunk().await, "", "the response ends");
}

#[tokio::test]
async fn polls_get_what_waits_and_the_session_lives_between_them() {
    let node = Node::start();
    let poll = async || {
        let mut response = Response::of(&node, "POST", &url("xhr"), "").await;
        let mut body = String::new();
        loop {
            match response.chunk().await {
                end if end.is_empty() => return body,
                chunk => body.push_str(&chunk),
            }
        }
    };
    assert!(poll().await.starts_with("o{}\n"));
    send(&node, json!({"event": "pusher:subscribe", "data": {"channel": "news"}})).await;
    let mut seen = String::new();
    while !seen.contains("subscription_succeeded") {
        seen.push_str(&poll().await);
    }
    for n in 0..100 {
        node.publish("news", "tick", &n.to_string());
    }
    let mut ticks = Vec::new();
    while ticks.len() < 100 {
        ticks.extend(poll().await.lines().map(|line| frame(line)["data"].clone()));
    }
    assert_eq!(ticks, (0..100).map(|n| json!(n.to_string())).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_request_takes_the_session_over_and_nothing_is_lost() {
    let node = Node::start();
    let mut stream = open(&node).await;
    subscribe(&node, &mut stream, "news").await;
    let filler = "x".repeat(9_000);
    // Well over the length at which pusher-js opens a new request.
    for n in 0..40 {
        node.publish("news", "tick", &format!("{n} {filler}"));
    }
    let (mut got, mut length) = (0, 0);
    let mut expect = |event: Value| {
        assert!(event["data"].as_str().unwrap().starts_with(&format!("{got} ")), "{event}");
        got += 1;
        got
    };
    while length <= 256 * 1024 {
        let line = stream.until("\n").await;
        length += line.len();
        expect(frame(&line));
    }
    let mut second = Response::of(&node, "POST", &url("xhr_streaming"), "").await;
    while expect(second.frame().await) < 40 {}
    assert_eq!(stream.chunk().await, "", "the first response ended without a line more");
    assert_eq!(node.hub.socket_count(), 1);
}

#[tokio::test]
async fn a_session_without_a_request_ends_and_one_that_is_not_there_cannot_be_sent_to() {
    let node = Node::start_with(Config { session_timeout: Duration::from_secs(1), ..Config::default() });
    let response = Response::of(&node, "POST", &url("xhr_send"), "[]").await;
    assert_eq!(response.status(), 404);
    let mut stream = open(&node).await;
    subscribe(&node, &mut stream, "idle").await;
    drop(stream);
    let gone = async {
        while node.hub.socket_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(testkit::PATIENCE, gone).await.expect("the session ends");
    assert_eq!(node.hub.subscription_count(&app_id(), &channel_named("idle")), 0);
    assert_eq!(Response::of(&node, "POST", &url("xhr_send"), "[]").await.status(), 404);
    open(&node).await;
}

#[tokio::test]
async fn a_session_that_takes_too_little_is_closed_as_too_slow() {
    let node = Node::start_with(Config { queue_bytes_max: 100_000, ..Config::default() });
    let mut stream = open(&node).await;
    subscribe(&node, &mut stream, "news").await;
    // Nobody polls: the pipe fills, then the socket's queue.
    drop(stream);
    let mut other = Socket::connect_with(node.addr, &path(""), &[]).await;
    other.established().await;
    other.subscribe("news").await;
    for _ in 0..40 {
        node.publish("news", "tick", &"x".repeat(9_000));
        other.next_named("tick").await;
    }
    let mut stream = Response::of(&node, "POST", &url("xhr_streaming"), "").await;
    assert!(stream.until("]\nc[").await.starts_with("a["));
    assert!(stream.until("\n").await.starts_with("4100,"));
    other.expect_quiet().await;
}

#[tokio::test]
async fn silence_brings_heartbeats_and_answers_polls() {
    let node = Node::start_with(Config { session_heartbeat: Duration::from_secs(1), ..Config::default() });
    let mut stream = open(&node).await;
    assert_eq!(stream.until("\n").await, "h\n");
    assert_eq!(stream.until("\n").await, "h\n");
    let mut poll = Response::of(&node, "POST", &url("xhr"), "").await;
    assert_eq!(poll.chunk().await, "h\n");
    assert_eq!(poll.chunk().await, "");
}

#[tokio::test]
async fn a_draining_node_closes_sessions_with_4200() {
    let node = Node::start();
    let mut stream = open(&node).await;
    let (_, line) = tokio::join!(node.hub.drain(Duration::from_secs(1)), stream.until("\n"));
    assert!(line.starts_with("c[4200,"), "{line}");
    assert_eq!(node.hub.socket_count(), 0);
}

#[tokio::test]
async fn a_refusal_and_bad_requests_are_told() {
    let node = Node::start();
    let mut stream = Response::of(&node, "POST", "/app/nobody/1/a/xhr_streaming?protocol=7", "").await;
    assert_eq!(stream.until("\n").await, "o{}\n");
    assert_eq!(stream.frame().await["event"], "pusher:error");
    assert!(stream.until("\n").await.starts_with("c[4001,"));

    let _open = open(&node).await;
    assert_eq!(Response::of(&node, "POST", &url("xhr_send"), "{}").await.status(), 400);
    assert_eq!(Response::of(&node, "GET", &url("xhr"), "").await.status(), 405);
    assert_eq!(Response::of(&node, "POST", "/app/a/b/c/d", "").await.status(), 404);
    let preflight = Response::of(&node, "OPTIONS", &url("xhr_send"), "").await;
    assert_eq!(preflight.status(), 204);
    let head = preflight.head.to_lowercase();
    assert!(head.contains("access-control-allow-origin: *") && head.contains("content-type"), "{head}");
}

#[tokio::test]
async fn sessions_count_for_the_policy_as_sockets_do() {
    let policy = Policy { connections_max: Some(1), ..Policy::default() };
    let node = Node::with_policy(Config::default(), policy);
    let stream = open(&node).await;
    let mut other = Response::of(&node, "POST", &format!("/app/{KEY}/1/other/xhr?protocol=7"), "").await;
    other.until("c[4004,\"Over connection quota\"]\n").await;
    let refused = Response::of(&node, "GET", &format!("/app/{KEY}/sse?protocol=7"), "").await;
    assert_eq!(refused.status(), 429);
    drop(stream);
}

/// The next event that is no sign of life: its id, where it has one, and its frame.
async fn next_event(events: &mut Response) -> (Option<String>, Value) {
    loop {
        let event = events.until("\n\n").await;
        let (mut id, mut data) = (None, None);
        for line in event.lines() {
            id = line.strip_prefix("id: ").map(str::to_owned).or(id);
            data = line.strip_prefix("data: ").map(str::to_owned).or(data);
        }
        if let Some(data) = data {
            return (id, serde_json::from_str(&data).unwrap());
        }
    }
}

#[tokio::test]
async fn a_reader_of_events_that_comes_back_gets_what_it_missed() {
    let node = Node::start();
    let url = format!("/app/{KEY}/sse?protocol=7&channels=a,b");
    let named = async |events: &mut Response, name: &str| loop {
        let (id, frame) = next_event(events).await;
        if frame["event"] == name {
            return (id, frame);
        }
    };
    let mut events = Response::of(&node, "GET", &url, "").await;
    for _ in 0..2 {
        named(&mut events, "kabar:position").await;
    }
    node.publish("a", "n", "1");
    let (id, _) = named(&mut events, "n").await;
    drop(events);
    ["2", "3"].iter().for_each(|data| node.publish("a", "n", data));
    node.publish("b", "n", "4");
    let back = format!("{url}&last_event_id={}", id.unwrap().replace(' ', "%20"));
    let mut events = Response::of(&node, "GET", &back, "").await;
    let mut ids = Vec::new();
    for number in 2..=4 {
        let (id, frame) = named(&mut events, "n").await;
        assert_eq!(frame["data"], number.to_string());
        ids.push(id.unwrap());
    }
    assert!(ids[0].contains(":2 b:") && ids[1].contains(":3 b:") && ids[2].ends_with(":1"), "{ids:?}");
}

#[tokio::test]
async fn server_sent_events_bring_the_frames_of_the_named_channels() {
    let node = Node::start_with(Config { session_heartbeat: Duration::from_secs(1), ..Config::default() });
    let url = format!("/app/{KEY}/sse?protocol=7&channels=news,private-x");
    let mut events = Response::of(&node, "GET", &url, "").await;
    assert!(events.head.to_lowercase().contains("content-type: text/event-stream"));
    let next = async |events: &mut Response| next_event(events).await.1;
    assert_eq!(next(&mut events).await["event"], "pusher:connection_established");
    assert_eq!(next(&mut events).await["event"], "pusher_internal:subscription_succeeded");
    assert_eq!(next(&mut events).await["event"], "kabar:position");
    assert_eq!(next(&mut events).await["event"], "pusher:error", "a private channel takes a signature");
    assert_eq!(next(&mut events).await["event"], "pusher:subscription_error");
    node.publish("news", "hello", "1");
    assert_eq!(next(&mut events).await["event"], "hello");
    assert_eq!(events.until("\n\n").await, ":\n\n", "a sign of life");
    drop(events);
    let gone = async {
        while node.hub.socket_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(testkit::PATIENCE, gone).await.expect("its socket ends with the response");
    assert_eq!(Response::of(&node, "GET", "/app/nobody/sse?protocol=7", "").await.status(), 404);
}

#[tokio::test]
async fn server_sent_events_reach_protected_channels_with_a_ticket_and_stay_while_silent() {
    let config = Config {
        session_heartbeat: Duration::from_secs(1),
        activity_timeout: Duration::from_secs(1),
        pong_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let node = Node::start_with(config);
    let url = format!("/app/{KEY}/sse?protocol=7&ticket=ada&channels=user-ada");
    let mut events = Response::of(&node, "GET", &url, "").await;
    events.until("pusher:signin_success").await;
    events.until("subscription_succeeded").await;
    events.until("kabar:position").await;
    events.until("\n\n").await;
    for _ in 0..4 {
        assert!(events.until("\n\n").await.ends_with(":\n\n"), "nothing but signs of life");
    }
}

#[tokio::test]
async fn many_sessions_on_both_threads_miss_nothing_and_leave_nothing_behind() {
    let node = Node::start_with(Config { session_timeout: Duration::from_secs(1), ..Config::default() });
    let base = |n: usize| format!("/app/{KEY}/{n}/many");
    let request = async |n: usize, verb: &str, body: &str| {
        Response::of(&node, "POST", &format!("{}/{verb}?protocol=7", base(n)), body).await
    };
    let subscribe = json!([json!({"event": "pusher:subscribe", "data": {"channel": "news"}}).to_string()]).to_string();
    let mut streams = Vec::new();
    for n in 0..30 {
        let verb = if n % 2 == 0 { "xhr" } else { "xhr_streaming" };
        let mut first = request(n, verb, "").await;
        first.until("connection_established").await;
        assert_eq!(request(n, "xhr_send", &subscribe).await.status(), 204);
        streams.push(first);
    }
    let news = channel_named("news");
    let all = async {
        while node.hub.subscription_count(&app_id(), &news) < 30 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(testkit::PATIENCE, all).await.expect("every session subscribes");
    // Those who poll come back again and again, in the midst of what is published.
    let publish = async {
        for n in 0..500 {
            node.publish("news", "tick", &n.to_string());
            tokio::task::yield_now().await;
        }
    };
    let read = async |n: usize, mut response: Response| {
        let mut expected = 0;
        while expected < 500 {
            let line = match response.try_line().await {
                Some(line) => line,
                None => {
                    response = request(n, "xhr", "").await;
                    continue;
                }
            };
            let event = if line.starts_with('a') { frame(&line) } else { Value::Null };
            if event["event"] == "tick" {
                assert_eq!(event["data"], expected.to_string());
                expected += 1;
            }
        }
    };
    let readers = streams.into_iter().enumerate().map(|(n, stream)| read(n, stream));
    tokio::join!(publish, futures_util::future::join_all(readers));
    let gone = async {
        while node.hub.socket_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(testkit::PATIENCE, gone).await.expect("every session ends");
}
