//! 2.15 webhooks: what arrives at an endpoint, and what does not.

use std::collections::{HashMap, VecDeque};

use protocol::Signer;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Socket, TestDatabase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::kabar::{JWT_SECRET, Kabar, command, folder};

const KEY: &str = "hooks";
const SECRET: &str = "hooks-secret-0123456789";
const COUNTS: &str = "hook-counts";

/// A request that came: its path, head in lower case, and body.
struct Request {
    path: String,
    head: String,
    body: String,
}

/// Endpoints of a backend. `/flaky` refuses the first request it gets.
struct Backend {
    address: String,
    requests: UnboundedReceiver<Request>,
    /// Events that came while others were awaited, by path and channel.
    waiting: HashMap<(String, String), VecDeque<Value>>,
}

impl Backend {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = unbounded_channel();
        tokio::spawn(async move {
            let mut flaky = true;
            while let Ok((stream, _)) = listener.accept().await {
                receive(stream, &sender, &mut flaky).await;
            }
        });
        Self { address, requests, waiting: HashMap::new() }
    }

    async fn request(&mut self) -> Request {
        timeout(testkit::PATIENCE, self.requests.recv()).await.expect("a request comes in time").unwrap()
    }

    /// The next event about a channel at an endpoint.
    async fn next(&mut self, path: &str, channel: &str) -> Value {
        let wanted = (path.to_owned(), channel.to_owned());
        loop {
            if let Some(event) = self.waiting.get_mut(&wanted).and_then(VecDeque::pop_front) {
                return event;
            }
            let came = timeout(testkit::PATIENCE, self.requests.recv()).await;
            let Ok(Some(Request { path, body, .. })) = came else {
                panic!("nothing came about {wanted:?}, but {:#?}", self.waiting)
            };
            let body: Value = serde_json::from_str(&body).unwrap();
            for event in body["events"].as_array().unwrap() {
                let about = event["channel"].as_str().unwrap().to_owned();
                self.waiting.entry((path.clone(), about)).or_default().push_back(event.clone());
            }
        }
    }
}

async fn receive(mut stream: TcpStream, to: &UnboundedSender<Request>, flaky: &mut bool) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                break (head.clone(), body.to_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let status = if path == "/flaky" && std::mem::take(flaky) { "500 Sorry" } else { "204 Fine" };
    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").as_bytes()).await;
    let _ = to.send(Request { path, head, body });
}

/// A kabar that tells the backend.
async fn start(backend: &Backend) -> (Kabar, (TempDir, TestDatabase)) {
    let (folder, database) = (folder(), testkit::database().await);
    let url = |path: &str| format!("http://{}/{path}", backend.address);
    let apps = json!([
        {"id": "1", "key": KEY, "secret": SECRET, "policy": {"client_events": true}, "webhooks": [
            {"url": url("all")},
            {"url": url("some"), "events": ["cache_miss"], "channel_prefix": "cache-some"},
            {"url": url("flaky"), "events": ["channel_occupied"], "channel_prefix": "flaky"},
            {"url": url("batch"), "batching": true, "channel_prefix": "batch", "headers": {"X-Own": "yes"}},
        ]},
        {"id": "2", "key": COUNTS, "secret": SECRET, "policy": {"subscription_counts": true},
            "webhooks": [{"url": url("counts"), "events": ["subscription_count"]}]},
    ]);
    let mut command = command(folder.path());
    command.env("KABAR__APPS", apps.to_string()).env("KABAR__DATABASE__URL", &database.url);
    command.env("KABAR__AUTH__JWT_SECRET", JWT_SECRET).env("KABAR__WEBHOOKS__ALLOWED_HOSTS", r#"["127.0.0.1"]"#);
    command.env("KABAR__WEBHOOKS__LEAVE_DELAY_MS", "1000");
    let mut kabar = Kabar::start(&folder, command).await;
    kabar.ready().await;
    (kabar, (folder, database))
}

async fn connect(kabar: &Kabar) -> Socket {
    Socket::connect(&kabar.public, KEY).await
}

#[tokio::test]
async fn what_happens_on_a_channel_is_told_once_and_in_its_order() {
    let mut backend = Backend::listen().await;
    let (kabar, _kept) = start(&backend).await;
    let (mut ada, mut bob) = (connect(&kabar).await, connect(&kabar).await);
    let occupied = |channel: &str| json!({"name": "channel_occupied", "channel": channel});
    let vacated = |channel: &str| json!({"name": "channel_vacated", "channel": channel});

    // Public and private: the first subscription and the last.
    ada.subscribe_private("private-a", KEY, SECRET).await;
    assert_eq!(backend.next("/all", "private-a").await, occupied("private-a"), "2.15");
    bob.subscribe_private("private-a", KEY, SECRET).await;
    bob.unsubscribe("private-a").await;
    bob.subscribe("gone").await;
    assert_eq!(backend.next("/all", "gone").await, occupied("gone"), "2.15");
    // Who is back in time was never away.
    ada.unsubscribe("private-a").await;
    ada.subscribe_private("private-a", KEY, SECRET).await;
    bob.unsubscribe("gone").await;
    assert_eq!(backend.next("/all", "gone").await, vacated("gone"), "2.15");
    ada.send_event("private-a", "client-x", json!({"a": 1})).await;
    let event = json!({"name": "client_event", "channel": "private-a", "event": "client-x", "data": "{\"a\":1}",
        "socket_id": ada.id().to_string()});
    assert_eq!(backend.next("/all", "private-a").await, event, "2.15");
    drop(ada);
    assert_eq!(backend.next("/all", "private-a").await, vacated("private-a"), "2.15 a disconnect");
}

#[tokio::test]
async fn members_are_told_by_user_and_client_events_with_their_sender() {
    let mut backend = Backend::listen().await;
    let (kabar, _kept) = start(&backend).await;
    let (mut ada, mut tab, mut bob) = (connect(&kabar).await, connect(&kabar).await, connect(&kabar).await);
    let room = "presence-a";
    let member = |name: &str, user: &str| json!({"name": name, "channel": room, "user_id": user});
    ada.subscribe_presence(room, KEY, SECRET, "1", json!({})).await;
    let first = [backend.next("/all", room).await, backend.next("/all", room).await];
    assert_eq!(first, [json!({"name": "channel_occupied", "channel": room}), member("member_added", "1")], "2.15");
    tab.subscribe_presence(room, KEY, SECRET, "1", json!({})).await;
    bob.subscribe_presence(room, KEY, SECRET, "2", json!({})).await;
    assert_eq!(backend.next("/all", room).await, member("member_added", "2"), "2.15 a second tab is not told");
    bob.send_event(room, "client-x", json!("text")).await;
    let event = json!({"name": "client_event", "channel": room, "event": "client-x", "data": "text",
        "socket_id": bob.id().to_string(), "user_id": "2"});
    assert_eq!(backend.next("/all", room).await, event, "2.15");
    tab.unsubscribe(room).await;
    bob.unsubscribe(room).await;
    assert_eq!(backend.next("/all", room).await, member("member_removed", "2"), "2.15 nor is one that leaves");
    drop((ada, tab));
    let mut last = [backend.next("/all", room).await, backend.next("/all", room).await];
    last.sort_by_key(|event| event["name"].to_string());
    assert_eq!(last, [json!({"name": "channel_vacated", "channel": room}), member("member_removed", "1")], "2.15");
}

#[tokio::test]
async fn a_request_is_signed_has_one_event_and_is_sent_again_until_it_is_taken() {
    let mut backend = Backend::listen().await;
    let (kabar, _kept) = start(&backend).await;
    let mut ada = connect(&kabar).await;
    ada.subscribe("flaky").await;
    let mut attempts = Vec::new();
    while attempts.len() < 2 {
        let request = backend.request().await;
        if request.path == "/flaky" {
            attempts.push(request);
        }
    }
    let header = |request: &Request, name: &str| {
        let value = request.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        value.unwrap_or_else(|| panic!("2.15 no {name}: {}", request.head))
    };
    for request in &attempts {
        assert!(request.head.starts_with("post /flaky http/1.1"), "2.15 {}", request.head);
        assert_eq!(header(request, "content-type"), "application/json", "2.15 exactly that");
        assert_eq!(header(request, "x-pusher-key"), KEY, "2.15");
        let signature = header(request, "x-pusher-signature");
        assert!(Signer::new(SECRET).verify(&[&request.body], &signature), "2.15 over the bytes sent");
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert!(body["time_ms"].is_u64() && body.as_object().unwrap().len() == 2, "2.15 {body}");
        assert_eq!(body["events"], json!([{"name": "channel_occupied", "channel": "flaky"}]), "2.15 one event");
    }
    let id = |request: &Request| header(request, "x-kabar-webhook-id");
    assert_eq!((id(&attempts[0]), &attempts[0].body), (id(&attempts[1]), &attempts[1].body), "2.15 the same again");
}

#[tokio::test]
async fn misses_counts_filters_and_batches_go_where_they_are_wanted() {
    let mut backend = Backend::listen().await;
    let (kabar, _kept) = start(&backend).await;
    let (mut ada, mut bob) = (connect(&kabar).await, connect(&kabar).await);
    let occupied = |channel: &str| json!({"name": "channel_occupied", "channel": channel});
    let missed = |channel: &str| json!({"name": "cache_miss", "channel": channel});
    for socket in [&mut ada, &mut bob] {
        for channel in ["cache-other", "cache-some"] {
            socket.subscribe(channel).await;
            socket.expect_event("pusher:cache_miss").await;
        }
    }
    for channel in ["cache-other", "cache-some"] {
        let both = [backend.next("/all", channel).await, backend.next("/all", channel).await];
        assert!(both.contains(&occupied(channel)) && both.contains(&missed(channel)), "2.15 {both:?}");
    }
    assert_eq!(backend.next("/some", "cache-some").await, missed("cache-some"), "2.15 only what is wanted");
    ada.subscribe("batch-a").await;
    ada.subscribe("batch-b").await;
    for channel in ["batch-a", "batch-b"] {
        assert_eq!(backend.next("/batch", channel).await, occupied(channel), "2.15");
        assert_eq!(backend.next("/all", channel).await, occupied(channel), "2.15");
    }
    let mut counted = Socket::connect(&kabar.public, COUNTS).await;
    counted.subscribe("a").await;
    let count = json!({"name": "subscription_count", "channel": "a", "subscription_count": 1});
    assert_eq!(backend.next("/counts", "a").await, count, "2.15");
    // Two sockets have missed each of them, and it was told once. Nothing went where it was not wanted.
    drop((ada, bob));
    for channel in ["cache-other", "cache-some"] {
        let vacated = json!({"name": "channel_vacated", "channel": channel});
        assert_eq!(backend.next("/all", channel).await, vacated, "2.15");
    }
    let left: Vec<_> =
        backend.waiting.iter().filter(|((path, _), events)| path != "/all" && !events.is_empty()).collect();
    assert!(left.is_empty() || left.iter().all(|((path, _), _)| path == "/batch"), "2.15 {left:?}");
}
