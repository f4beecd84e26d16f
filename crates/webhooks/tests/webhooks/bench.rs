//! Everything of one node, stepped by hand.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::{AppId, AppKey, Signer};
use store::Store;
use testkit::TestDatabase;
use tokio::sync::{Notify, watch};
use webhooks::guard::{Guard, SystemResolver};
use webhooks::post::Poster;
use webhooks::{Clock, Config, Endpoint, Endpoints, Event, Recorder, Sender, Tracker};

pub(crate) const SECRET: &str = "7ad3773142a6692b25b8";

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<Mutex<DateTime<Utc>>>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(DateTime::from_timestamp_millis(1_327_078_148_132).unwrap())))
    }

    pub(crate) fn pass(&self, delta: TimeDelta) {
        *self.0.lock().unwrap() += delta;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

pub(crate) fn app(id: &str) -> AppId {
    AppId::try_from(id).unwrap()
}

pub(crate) fn endpoint(of: &str, url: &str) -> Endpoint {
    Endpoint {
        app: app(of),
        id: uuid::Uuid::now_v7(),
        url: url.to_owned(),
        events: Vec::new(),
        channel_prefix: None,
        headers: [].into(),
        batching: false,
        enabled: true,
        configured: false,
    }
}

pub(crate) fn occupied(channel: &str) -> Event {
    Event::ChannelOccupied { channel: channel.to_owned() }
}

pub(crate) fn vacated(channel: &str) -> Event {
    Event::ChannelVacated { channel: channel.to_owned() }
}

pub(crate) fn added(channel: &str, user: &str) -> Event {
    Event::MemberAdded { channel: channel.to_owned(), user_id: user.to_owned() }
}

pub(crate) fn removed(channel: &str, user: &str) -> Event {
    Event::MemberRemoved { channel: channel.to_owned(), user_id: user.to_owned() }
}

pub(crate) fn client_event(channel: &str, data: &str) -> Event {
    Event::ClientEvent {
        channel: channel.to_owned(),
        event: "client-x".to_owned(),
        data: data.to_owned(),
        socket_id: "1.2".parse().unwrap(),
        user_id: None,
    }
}

pub(crate) fn config() -> Config {
    Config { allowed_hosts: vec!["127.0.0.1".to_owned()], ..Config::default() }
}

pub(crate) fn poster(config: &Config) -> Poster {
    let allowed = config.allowed_hosts.iter().map(|host| host.parse().unwrap()).collect();
    Poster::new(Guard::new(allowed, Arc::new(SystemResolver::default())), config.timeout).unwrap()
}

pub(crate) fn credentials(app: &AppId) -> Option<(AppKey, Signer)> {
    let key = AppKey::try_from(format!("key-{app}")).unwrap();
    (app.as_str() != "unserved").then(|| (key, Signer::new(SECRET)))
}

/// One node.
pub(crate) struct Bench {
    pub(crate) clock: ManualClock,
    pub(crate) tracker: Tracker,
    pub(crate) recorder: Recorder,
    pub(crate) sender: Sender,
    pub(crate) store: Store,
}

impl Bench {
    /// A node that has just started.
    pub(crate) async fn start(store: &Store, config: &Config, clock: &ManualClock, configured: Vec<Endpoint>) -> Self {
        let mut node = Self::unloaded(store, config, clock, configured);
        node.recorder.load().await.unwrap();
        node
    }

    pub(crate) fn unloaded(store: &Store, config: &Config, clock: &ManualClock, configured: Vec<Endpoint>) -> Self {
        let time = || Arc::new(clock.clone());
        let tracker = Tracker::new(config, time());
        let (endpoints, enqueued) = (Endpoints::default(), Arc::new(Notify::new()));
        let recorder = Recorder::new(
            store.clone(),
            tracker.clone(),
            endpoints.clone(),
            watch::channel(configured).1,
            config.clone(),
            time(),
            Arc::clone(&enqueued),
        );
        let sender = Sender::new(
            store.clone(),
            endpoints,
            Arc::new(credentials),
            poster(config),
            config.clone(),
            time(),
            enqueued,
        );
        Self { clock: clock.clone(), tracker, recorder, sender, store: store.clone() }
    }

    /// On a fresh database with these endpoints.
    pub(crate) async fn with(endpoints: Vec<Endpoint>, config: Config) -> (TestDatabase, Self) {
        let db = testkit::database().await;
        add(&db.store, endpoints).await;
        let node = Self::start(&db.store, &config, &ManualClock::new(), Vec::new()).await;
        (db, node)
    }

    pub(crate) fn observe(&self, of: &str, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.tracker.observe(&app(of), event));
    }

    /// Stores all that is due.
    pub(crate) async fn record(&mut self) {
        while self.recorder.step().await.unwrap() {}
    }

    /// Stores and sends until nothing is due any more. How many attempts that took.
    pub(crate) async fn settle(&mut self) -> usize {
        self.record().await;
        let mut attempts = 0;
        loop {
            match self.sender.step().await.unwrap() {
                0 => return attempts,
                more => attempts += more,
            }
        }
    }

    pub(crate) async fn after(&mut self, delta: TimeDelta) -> usize {
        self.clock.pass(delta);
        self.settle().await
    }

    pub(crate) async fn dead(&self, of: &str) -> Vec<store::webhooks::DeadLetter> {
        let of = app(of);
        self.store.run(move |conn| store::webhooks::dead_letters(conn, &of, 100)).await.unwrap()
    }

    pub(crate) async fn pending(&self, of: &str) -> i64 {
        let of = app(of);
        self.store.run(move |conn| store::webhooks::pending(conn, &of)).await.unwrap()
    }

    pub(crate) async fn told(&self) -> usize {
        self.store.run(store::webhooks::occupancy).await.unwrap().len()
    }
}

pub(crate) async fn add(store: &Store, endpoints: Vec<Endpoint>) {
    let add = move |conn: &mut store::PgConnection| {
        endpoints.iter().try_for_each(|endpoint| store::webhooks::create(conn, endpoint).map(|added| assert!(added)))
    };
    store.run(add).await.unwrap();
}
