//! Durable channels over real sockets and a Postgres that comes and goes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_http::{HttpService, Response};
use api::{Api, Auth, Config, PgJournal};
use hub::{Accepted, Apps, Hub, Publication, PublishError};
use protocol::{App, AppId, Channel, HistoryRule};
use serde_json::{Value, json};
use store::Store;
use store::publications::{self, Keep, NewPublication};
use testkit::{Event, PrivatePostgres, Socket};

const KEY: &str = "key1";

/// A Postgres that waits for the disk, with all tables.
async fn durable_postgres() -> PrivatePostgres {
    let on = ["fsync", "full_page_writes", "synchronous_commit"].map(|name| (name.to_owned(), "on".to_owned()));
    let postgres = PrivatePostgres::start_with(on.to_vec()).unwrap();
    open(&postgres).migrate().await.unwrap();
    postgres
}

fn open(postgres: &PrivatePostgres) -> Store {
    Store::open(&store::Config::new(postgres.url().to_owned())).unwrap()
}

fn app_id() -> AppId {
    "1".try_into().unwrap()
}

/// A running node whose `log-…` channels are durable. Everything of it ends with it.
struct Node {
    hub: Hub,
    addr: SocketAddr,
    server: actix_server::ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start(store: Store) -> Self {
        let mut app = App::new(app_id(), KEY.try_into().unwrap(), "app secret").unwrap();
        let rule = HistoryRule { prefix: "log-".into(), messages_max: 1_000, seconds: 3_600, durable: true };
        app.policy.history.push(rule);
        let apps = Apps::new(vec![app]);
        let auth = Auth::hs256("0123456789abcdef0123456789abcdef".to_owned());
        let api = Api::new(Config::new(auth), store.clone(), apps.clone()).unwrap();
        let hub = Hub::new(hub::Config::default(), apps, api.gate());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (handles, handle) = std::sync::mpsc::channel();
        let shared = hub.clone();
        let run = async move {
            shared.keep_with(Arc::new(PgJournal::new(store)));
            let server = actix_server::Server::build().workers(2).disable_signals();
            let server = server.listen("public", listener, move || {
                let not_found = |_| async { Ok::<_, Infallible>(Response::not_found()) };
                HttpService::build().upgrade(shared.shard().upgrade()).finish(not_found).tcp()
            });
            let server = server.unwrap().run();
            handles.send(server.handle()).unwrap();
            server.await.unwrap();
        };
        let thread = std::thread::spawn(move || actix_web::rt::System::new().block_on(run));
        Self { hub, addr, server: handle.recv().unwrap(), thread: Some(thread) }
    }

    async fn accept(&self, channel: &str, data: &str, id: Option<&str>) -> Result<Accepted, PublishError> {
        let (app, channel) = (app_id(), Channel::parse(channel).unwrap());
        let publication = Publication { event: "e", data, ..Publication::default() };
        self.hub.accept(&app, &channel, &publication, id).await
    }

    /// Publishes these numbers; the offset of the last.
    async fn accept_all(&self, channel: &str, numbers: std::ops::RangeInclusive<u64>) -> u64 {
        let mut offset = 0;
        for number in numbers {
            let accepted = self.accept(channel, &number.to_string(), None).await.unwrap();
            offset = accepted.position.expect("durable channels say where it is").offset;
        }
        offset
    }

    /// A socket that subscribes like this, and what `kabar:position` told it.
    async fn subscribed(&self, data: Value) -> (Socket, Value) {
        let mut socket = Socket::connect(self.addr, KEY).await;
        socket.send_subscribe(data).await;
        socket.expect_event("pusher_internal:subscription_succeeded").await;
        let position = socket.expect_event("kabar:position").await.data;
        (socket, position)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.server.stop(false));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The next event has this number for its offset and its data.
async fn expect(socket: &mut Socket, number: u64) {
    let Event { data, frame, .. } = socket.expect_event("e").await;
    assert_eq!((data, &frame["offset"]), (json!(number), &json!(number)));
}

fn recover(channel: &str, position: &Value) -> Value {
    json!({ "channel": channel, "recover": { "epoch": position["epoch"], "offset": position["offset"] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_gets_exactly_what_it_missed_after_everything_was_restarted() {
    let mut postgres = durable_postgres().await;
    let first = Node::start(open(&postgres));
    let (mut socket, mut known) = first.subscribed(json!({ "channel": "log-a", "recover": true })).await;
    assert_eq!((&known["offset"], &known["recovered"]), (&json!(0), &Value::Null));
    assert_eq!(first.accept_all("log-a", 1..=3).await, 3);
    for number in 1..=3 {
        expect(&mut socket, number).await;
    }
    known["offset"] = json!(3);
    drop(socket);
    assert_eq!(first.accept_all("log-a", 4..=8).await, 8);
    drop(first);
    postgres.stop();
    postgres.start_again().unwrap();

    let second = Node::start(open(&postgres));
    let (mut socket, now) = second.subscribed(recover("log-a", &known)).await;
    assert_eq!(now, json!({ "epoch": known["epoch"], "offset": 8, "recovered": true }));
    for number in 4..=8 {
        expect(&mut socket, number).await;
    }
    assert_eq!(second.accept_all("log-a", 9..=9).await, 9);
    expect(&mut socket, 9).await;
    socket.expect_quiet().await;

    let (mut newest, _) = second.subscribed(json!({ "channel": "log-a", "rewind": { "messages": 4 } })).await;
    for number in 6..=9 {
        expect(&mut newest, number).await;
    }
    newest.expect_quiet().await;
    let (mut recent, _) = second.subscribed(json!({ "channel": "log-a", "rewind": { "seconds": 600 } })).await;
    for number in 1..=9 {
        expect(&mut recent, number).await;
    }
    let (mut unused, _) =
        second.subscribed(json!({ "channel": "log-unused", "rewind": { "messages": 10, "seconds": 60 } })).await;
    unused.expect_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_told_when_what_it_missed_is_gone() {
    let postgres = durable_postgres().await;
    let store = open(&postgres);
    let first = Node::start(store.clone());
    let (_, known) = first.subscribed(json!({ "channel": "log-a", "recover": true })).await;
    first.accept_all("log-a", 1..=5).await;
    drop(first);
    let keep = |_: &AppId, _: &str| Keep { messages_max: 2, seconds: 60 };
    let trimmed = store.run(move |conn| publications::trim(conn, None, keep)).await.unwrap();
    assert_eq!((trimmed.publications, trimmed.next), (3, None));

    let second = Node::start(store);
    let position = |offset: u64| json!({ "epoch": known["epoch"], "offset": offset });
    let (mut lost, now) = second.subscribed(recover("log-a", &position(2))).await;
    assert_eq!(now, json!({ "epoch": known["epoch"], "offset": 5, "recovered": false }));
    let (mut whole, now) = second.subscribed(recover("log-a", &position(3))).await;
    assert_eq!(now["recovered"], true);
    for number in 4..=5 {
        expect(&mut whole, number).await;
    }
    let other = json!({ "epoch": "00000000000000ff", "offset": 5 });
    assert_eq!(second.subscribed(recover("log-a", &other)).await.1["recovered"], false);
    second.accept_all("log-a", 6..=6).await;
    expect(&mut whole, 6).await;
    expect(&mut lost, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_publishing_is_refused_and_afterwards_nothing_is_missing() {
    let mut postgres = durable_postgres().await;
    let node = Node::start(open(&postgres));
    let (mut socket, start) = node.subscribed(json!({ "channel": "log-a", "recover": true })).await;
    node.accept_all("log-a", 1..=2).await;
    postgres.stop();
    let asked = Instant::now();
    let refused = (0..20).map(|n| {
        let (hub, id) = (node.hub.clone(), format!("retried-{n}"));
        tokio::spawn(async move {
            let publication = Publication { event: "e", data: "3", ..Publication::default() };
            hub.accept(&app_id(), &Channel::parse("log-a").unwrap(), &publication, Some(&id)).await
        })
    });
    for refused in refused.collect::<Vec<_>>() {
        assert_eq!(refused.await.unwrap(), Err(PublishError::Unavailable));
    }
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    let mut other = Socket::connect(node.addr, KEY).await;
    other.subscribe("live").await;
    node.accept("live", "still", None).await.unwrap();
    assert_eq!(other.next_named("e").await.data, "still");

    postgres.start_again().unwrap();
    // As if one of them had been committed just before Postgres went.
    let store = open(&postgres);
    let late = move |conn: &mut store::PgConnection| {
        let app = app_id();
        let new =
            NewPublication { app: &app, channel: "log-a", event: "e", data: "3", except: None, id: Some("retried-0") };
        publications::append(conn, &[new])
    };
    assert_eq!(store.run(late).await.unwrap()[0].position.offset, 3);
    for number in 1..=3 {
        expect(&mut socket, number).await;
    }
    let retried = node.accept("log-a", "3", Some("retried-0")).await.unwrap();
    assert!(retried.duplicate && retried.position.is_some_and(|position| position.offset == 3));
    assert_eq!(node.accept_all("log-a", 4..=5).await, 5);
    for number in 4..=5 {
        expect(&mut socket, number).await;
    }
    socket.expect_quiet().await;
    let (mut all, now) = node.subscribed(recover("log-a", &start)).await;
    assert_eq!(now["recovered"], true);
    for number in 1..=5 {
        expect(&mut all, number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_killed_has_everything_that_was_acknowledged() {
    let postgres = durable_postgres().await;
    let node = Node::start(open(&postgres));
    let (mut socket, start) = node.subscribed(json!({ "channel": "log-a", "recover": true })).await;
    let (mut acknowledged, mut crashed) = (Vec::new(), false);
    // Retried under the same id until there is an answer.
    for number in 1..=60_u64 {
        loop {
            match node.accept("log-a", &number.to_string(), Some(&number.to_string())).await {
                Ok(accepted) => {
                    acknowledged.push(accepted.position.unwrap().offset);
                    break;
                }
                Err(error) => assert_eq!(error, PublishError::Unavailable),
            }
        }
        if number == 20 && !std::mem::replace(&mut crashed, true) {
            postgres.crash().unwrap();
        }
    }
    assert_eq!(acknowledged, (1..=60).collect::<Vec<_>>(), "each is stored once, at its own place");
    for number in 1..=60 {
        expect(&mut socket, number).await;
    }
    drop(node);
    let after = Node::start(open(&postgres));
    let (mut all, now) = after.subscribed(recover("log-a", &start)).await;
    assert_eq!(now["recovered"], true);
    for number in 1..=60 {
        expect(&mut all, number).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_postgres_stores_late_is_delivered() {
    let postgres = durable_postgres().await;
    let node = Node::start(open(&postgres));
    let (mut socket, _) = node.subscribed(json!({ "channel": "log-a", "recover": true })).await;
    node.accept_all("log-a", 1..=1).await;
    postgres.freeze().unwrap();
    let asked = Instant::now();
    assert_eq!(node.accept("log-a", "2", None).await, Err(PublishError::Unavailable));
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    postgres.thaw().unwrap();
    // Nobody publishes again: what was given up is found without.
    for number in 1..=2 {
        expect(&mut socket, number).await;
    }
    socket.expect_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_may_lose_what_it_committed_is_refused() {
    let database = testkit::database().await;
    let node = Node::start(database.store.clone());
    assert_eq!(node.accept("log-a", "1", None).await, Err(PublishError::Unavailable));
    let top = database.store.run(|conn| publications::position(conn, &app_id(), "log-a")).await.unwrap();
    assert_eq!(top.offset, 0, "nothing was stored");
    let mut socket = Socket::connect(node.addr, KEY).await;
    socket.send_subscribe(json!({ "channel": "log-a", "recover": true })).await;
    assert_eq!(socket.next_named("pusher:subscription_error").await["status"], 503);
}
