//! The servers that rows run against, and their apps. Each is started by the first test that needs it and ends with the
//! last that holds it.

use std::future::Future;
use std::sync::{Arc, Mutex, Weak};

use protocol::Signer;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::TestDatabase;
use tokio::runtime::Runtime;

use crate::kabar::{JWT_SECRET, Kabar, command, folder};

/// The key and secret of the vectors that Pusher has published; the app's id is that of its HTTP vector.
pub(crate) const MAIN: App = app("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
/// Its policy is the default: no client events.
pub(crate) const PLAIN: App = app("4", "plain", "plain-secret-0123456789");
pub(crate) const COUNTS: App = app("5", "counts", "counts-secret-0123456789");
pub(crate) const DISABLED: App = app("6", "disabled", "disabled-secret-0123456789");
/// One connection.
pub(crate) const ONE: App = app("7", "one", "one-secret-0123456789");
pub(crate) const ORIGINS: App = app("8", "origins", "origins-secret-0123456789");
/// Three members, two channels a socket, two client events a second, data of 20 bytes.
pub(crate) const SMALL: App = app("9", "small", "small-secret-0123456789");
/// Only those who show somebody's authorization may stay.
pub(crate) const AUTHORIZED: App = app("10", "authorized", "authorized-secret-0123456789");
/// Keeps nothing of the past.
pub(crate) const FORGETFUL: App = app("11", "forgetful", "forgetful-secret-0123456789");

/// One connection from an address.
pub(crate) const ADDRESS: App = app("12", "address", "address-secret-0123456789");
/// One connection of a user.
pub(crate) const USER: App = app("13", "user", "user-secret-0123456789");
/// Two published events a second.
pub(crate) const SLOW: App = app("14", "slow", "slow-secret-0123456789");
/// A signature counts once.
pub(crate) const ONCE: App = app("15", "once", "once-secret-0123456789");
/// Of one row, which may list all of its channels.
pub(crate) const ALONE: App = app("16", "alone", "alone-secret-0123456789");

#[derive(Clone, Copy)]
pub(crate) struct App {
    pub(crate) id: &'static str,
    pub(crate) key: &'static str,
    pub(crate) secret: &'static str,
}

const fn app(id: &'static str, key: &'static str, secret: &'static str) -> App {
    App { id, key, secret }
}

impl App {
    /// The app of this key, as scripts name it.
    pub(crate) fn named(name: &str) -> Self {
        let apps = [
            MAIN, PLAIN, COUNTS, DISABLED, ONE, ORIGINS, SMALL, AUTHORIZED, FORGETFUL, ADDRESS, USER, SLOW, ONCE, ALONE,
        ];
        apps.into_iter().find(|app| app.key == name).unwrap_or_else(|| panic!("there is no app {name}"))
    }

    pub(crate) fn signer(self) -> Signer {
        Signer::new(self.secret)
    }

    fn with(self, policy: Value) -> Value {
        json!({"id": self.id, "key": self.key, "secret": self.secret, "policy": policy})
    }
}

fn apps() -> Value {
    json!([
        MAIN.with(json!({"client_events": true})),
        PLAIN.with(json!({})),
        COUNTS.with(json!({"client_events": true, "subscription_counts": true})),
        DISABLED.with(json!({"enabled": false})),
        ONE.with(json!({"connections_max": 1})),
        ORIGINS.with(json!({"allowed_origins": ["https://good.example"]})),
        SMALL.with(json!({"client_events": true, "presence_members_max": 3, "channels_per_socket_max": 2,
            "client_events_per_second_max": 2, "event_bytes_max": 20})),
        AUTHORIZED.with(json!({"authorized_only": true})),
        FORGETFUL.with(json!({"history": [{"prefix": "", "messages_max": 0, "seconds": 1}]})),
        ADDRESS.with(json!({"connections_per_address_max": 1})),
        USER.with(json!({"connections_per_user_max": 1})),
        SLOW.with(json!({"publishes_per_second_max": 2})),
        ONCE.with(json!({"refuse_replays": true})),
        ALONE.with(json!({})),
    ])
}

/// A kabar that runs, and the runtime that tests against it run on.
pub(crate) struct Server {
    kabar: Kabar,
    pub(crate) client: Client,
    // After the process they belong to.
    _database: TestDatabase,
    _folder: TempDir,
}

/// A server that tests share.
pub(crate) struct Shared {
    settings: &'static [(&'static str, &'static str)],
    running: Mutex<Weak<(Server, Runtime)>>,
}

/// Every setting as it comes: limits are those of the documentation.
pub(crate) static DEFAULTS: Shared = Shared::new(&[]);
/// The shortest times that may be set.
pub(crate) static QUICK: Shared = Shared::new(&[
    ("SOCKET__ACTIVITY_TIMEOUT_SECONDS", "5"),
    ("SOCKET__PONG_TIMEOUT_SECONDS", "1"),
    ("SOCKET__AUTHORIZATION_TIMEOUT_SECONDS", "1"),
    ("SOCKET__SESSION_TIMEOUT_SECONDS", "1"),
    ("SOCKET__SESSION_HEARTBEAT_SECONDS", "1"),
    ("SOCKET__FRAME_TIMEOUT_SECONDS", "1"),
    ("HISTORY__CACHE_SECONDS", "1"),
]);

impl Shared {
    const fn new(settings: &'static [(&'static str, &'static str)]) -> Self {
        Self { settings, running: Mutex::new(Weak::new()) }
    }

    /// Runs a test to its end against the server.
    pub(crate) fn run<F: Future<Output = ()>>(&self, test: impl FnOnce(Arc<(Server, Runtime)>) -> F) {
        let shared = {
            let mut running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            running.upgrade().unwrap_or_else(|| {
                let runtime = Runtime::new().unwrap();
                let started = Arc::new((runtime.block_on(Server::start(self.settings)), runtime));
                *running = Arc::downgrade(&started);
                started
            })
        };
        shared.1.block_on(test(Arc::clone(&shared)));
    }
}

impl Server {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let (folder, database) = (folder(), testkit::database().await);
        let mut command = command(folder.path());
        command.env("KABAR__APPS", apps().to_string()).env("KABAR__DATABASE__URL", &database.url);
        command.env("KABAR__AUTH__JWT_SECRET", JWT_SECRET);
        for (name, value) in settings {
            command.env(format!("KABAR__{name}"), value);
        }
        let mut kabar = Kabar::start(&folder, command).await;
        kabar.ready().await;
        let client = Client::builder().no_proxy().build().unwrap();
        Self { kabar, client, _database: database, _folder: folder }
    }

    /// `host:port`
    pub(crate) fn address(&self) -> &str {
        &self.kabar.public
    }
}
