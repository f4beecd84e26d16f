//! What kabar is told: the defaults of `config.default.toml`, then a file, then the environment.
//!
//! Only this module reads the environment. A [`Settings`] that exists is complete and within its bounds; a key that
//! is unknown or bad is a [`BadSetting`], one line that names it and never repeats a secret.

mod check;
mod listen;
mod notifications;
mod policy;
mod sources;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;

pub use listen::Tls;
pub use notifications::Notifications;
pub(crate) use policy::{changed, parse};
pub use sources::DEFAULTS;
pub use webhooks::{Webhook, Webhooks};

/// One line that says which key is wrong and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadSetting {
    /// The whole path, as `socket.queue_bytes_max`; a file's name where the file itself is bad.
    pub key: String,
    /// What is wrong with it. Holds no secret.
    pub why: String,
}

impl BadSetting {
    pub(crate) fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }
}

/// Everything that can be set. Each key is documented, with unit and bounds, in `config.default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml documents every key, and docs/configuration.md repeats it")]
pub struct Settings {
    pub demo: bool,
    pub server: Server,
    pub tls: Tls,
    pub database: Database,
    #[serde(default)]
    pub apps: Vec<App>,
    pub auth: Auth,
    pub socket: Socket,
    pub history: History,
    pub chat: Chat,
    pub notifications: Notifications,
    pub http: Http,
    pub webhooks: Webhooks,
    pub log: Log,
    #[serde(skip)]
    read: sources::Read,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Server {
    pub public: SocketAddr,
    pub internal: SocketAddr,
    pub workers: usize,
    pub backlog: u32,
    pub drain_seconds: u64,
    #[serde(default)]
    pub unix_socket: Option<PathBuf>,
    pub unix_socket_mode: String,
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Database {
    pub url: SecretString,
    pub data_dir: PathBuf,
    pub pool_size: u32,
    pub acquire_timeout_ms: u64,
    pub statement_timeout_ms: u64,
}

/// One of `[[apps]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct App {
    pub id: String,
    pub key: String,
    pub secret: SecretString,
    #[serde(default)]
    pub previous_secret: Option<SecretString>,
    #[serde(default, deserialize_with = "sources::time")]
    pub previous_secret_until: Option<DateTime<Utc>>,
    #[serde(default)]
    pub policy: protocol::Policy,
    #[serde(default)]
    pub api_keys: Vec<SecretString>,
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
}

/// An algorithm with public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names of RFC 7518")]
pub enum Algorithm {
    RS256,
    ES256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// One of `[[auth.public_keys]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct PublicKey {
    #[serde(default)]
    pub kid: Option<String>,
    pub algorithm: Algorithm,
    pub pem: String,
}

/// `[auth]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Auth {
    #[serde(default)]
    pub jwt_secret: Option<SecretString>,
    #[serde(default)]
    pub public_keys: Vec<PublicKey>,
    #[serde(default)]
    pub jwks_url: Option<String>,
    #[serde(default)]
    pub issuer: Option<String>,
    #[serde(default)]
    pub audience: Option<String>,
    pub leeway_seconds: u64,
    pub lifetime_max_seconds: u64,
    pub ticket_lifetime_seconds: u64,
    pub token_in_query: bool,
}

/// `[socket]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Socket {
    pub activity_timeout_seconds: u64,
    pub pong_timeout_seconds: u64,
    pub message_bytes_max: usize,
    pub fragments_max: u32,
    pub frame_timeout_seconds: u64,
    pub queue_bytes_max: usize,
    pub stall_timeout_seconds: u64,
    pub session_timeout_seconds: u64,
    pub session_heartbeat_seconds: u64,
    pub inbox_bytes_max: usize,
    pub send_buffer_bytes: usize,
    pub channels_per_socket_max: usize,
    pub frames_per_second_max: u32,
    pub client_events_per_second_max: u32,
    pub client_event_bytes_max: usize,
    pub presence_members_max: usize,
    pub presence_info_bytes_max: usize,
    pub token_grace_seconds: u64,
    pub authorization_timeout_seconds: u64,
    pub watchlist_max: usize,
}

/// `[history]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct History {
    pub messages_max: u32,
    pub seconds: u32,
    pub bytes_max: usize,
    pub cache_seconds: u32,
    pub replay_messages_max: u32,
    pub journal_queue_max: usize,
}

/// `[chat]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Chat {
    pub content_chars_max: usize,
    pub typing_seconds: u64,
    pub unread_interval_ms: u64,
    pub room_members_max: usize,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Http {
    pub header_timeout_seconds: u64,
    pub keep_alive_seconds: u64,
    pub connections_per_worker_max: usize,
    pub body_bytes_max: usize,
    pub publish_body_bytes_max: usize,
    pub event_bytes_max: usize,
    pub idempotency_keys_max: usize,
    pub idempotency_seconds: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

impl Settings {
    /// Reads everything: `file` must exist when it is given; `./kabar.toml` may.
    ///
    /// # Errors
    /// The first key that is unknown or bad.
    pub fn load(file: Option<&Path>) -> Result<Self, BadSetting> {
        Self::from_sources(file, std::env::vars_os())
    }

    /// As [`Settings::load`], with an environment of the caller's.
    ///
    /// # Errors
    /// The first key that is unknown or bad.
    pub fn from_sources(
        file: Option<&Path>,
        environment: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, BadSetting> {
        let settings = sources::read(file, environment)?;
        check::check(&settings)?;
        Ok(settings)
    }

    /// The keys other than those of apps that `other` has another value for: what only a restart can change.
    pub fn needs_restart(&self, other: &Self) -> Vec<String> {
        self.read.differs(&other.read)
    }

    /// Whether the private Postgres is asked for.
    pub fn is_embedded(&self) -> bool {
        secrecy::ExposeSecret::expose_secret(&self.database.url) == "embedded"
    }

    /// The limits of sockets, as the hub wants them.
    pub fn hub(&self) -> hub::Config {
        let socket = &self.socket;
        hub::Config {
            activity_timeout: Duration::from_secs(socket.activity_timeout_seconds),
            pong_timeout: Duration::from_secs(socket.pong_timeout_seconds),
            message_bytes_max: socket.message_bytes_max,
            fragments_max: socket.fragments_max,
            frame_timeout: Duration::from_secs(socket.frame_timeout_seconds),
            queue_bytes_max: socket.queue_bytes_max,
            stall_timeout: Duration::from_secs(socket.stall_timeout_seconds),
            session_timeout: Duration::from_secs(socket.session_timeout_seconds),
            session_heartbeat: Duration::from_secs(socket.session_heartbeat_seconds),
            inbox_bytes_max: socket.inbox_bytes_max,
            send_buffer_bytes: socket.send_buffer_bytes,
            channels_per_socket_max: socket.channels_per_socket_max,
            frames_per_second_max: socket.frames_per_second_max,
            client_events_per_second_max: socket.client_events_per_second_max,
            client_event_bytes_max: socket.client_event_bytes_max,
            presence_members_max: socket.presence_members_max,
            presence_info_bytes_max: socket.presence_info_bytes_max,
            token_grace: Duration::from_secs(socket.token_grace_seconds),
            authorization_timeout: Duration::from_secs(socket.authorization_timeout_seconds),
            watchlist_max: socket.watchlist_max,
            cache_seconds: self.history.cache_seconds,
            history_messages_max: self.history.messages_max,
            history_seconds: self.history.seconds,
            history_bytes_max: self.history.bytes_max,
            replay_messages_max: self.history.replay_messages_max,
            journal_queue_max: self.history.journal_queue_max,
            token_in_query: self.auth.token_in_query,
            trusted_proxies: self.server.parse_trusted_proxies().expect("settings are checked"),
        }
    }

    /// How REST behaves. `kept` is the secret that signs tokens where the configuration has no key of any kind.
    pub fn api(&self, kept: &SecretString) -> api::Config {
        let Auth { jwt_secret, public_keys, jwks_url, .. } = &self.auth;
        let keys = match (jwks_url, public_keys.is_empty()) {
            (Some(url), _) => api::Keys::Jwks { url: url.clone() },
            (None, false) => api::Keys::Public(public_keys.iter().map(PublicKey::api).collect()),
            (None, true) => api::Keys::Hs256(jwt_secret.as_ref().unwrap_or(kept).clone()),
        };
        let auth = api::Auth {
            keys,
            issuer: self.auth.issuer.clone(),
            audience: self.auth.audience.clone(),
            leeway: Duration::from_secs(self.auth.leeway_seconds),
            lifetime_max: Duration::from_secs(self.auth.lifetime_max_seconds),
        };
        api::Config {
            auth,
            content_chars_max: self.chat.content_chars_max,
            typing_timeout: Duration::from_secs(self.chat.typing_seconds),
            unread_interval: Duration::from_millis(self.chat.unread_interval_ms),
            ticket_lifetime: Duration::from_secs(self.auth.ticket_lifetime_seconds),
            event_bytes_max: self.http.event_bytes_max,
            publish_body_bytes_max: self.http.publish_body_bytes_max,
            idempotency_keys_max: self.http.idempotency_keys_max,
            idempotency_lifetime: Duration::from_secs(self.http.idempotency_seconds),
            body_bytes_max: self.http.body_bytes_max,
            room_members_max: self.chat.room_members_max,
            notifications: self.notifications(),
        }
    }

    /// Whether users' tokens are signed with a secret that kabar makes for itself.
    pub fn keeps_own_secret(&self) -> bool {
        self.auth.jwt_secret.is_none() && self.auth.public_keys.is_empty() && self.auth.jwks_url.is_none()
    }

    /// Where the database is and how it is used; `url` is the private one's where that is asked for.
    pub fn store(&self, url: SecretString) -> store::Config {
        store::Config {
            url,
            pool_size: self.database.pool_size,
            acquire_timeout: Duration::from_millis(self.database.acquire_timeout_ms),
            statement_timeout: Duration::from_millis(self.database.statement_timeout_ms),
        }
    }
}

impl PublicKey {
    fn api(&self) -> api::PublicKey {
        let algorithm = match self.algorithm {
            Algorithm::RS256 => api::PublicAlgorithm::Rs256,
            Algorithm::ES256 => api::PublicAlgorithm::Es256,
            Algorithm::EdDsa => api::PublicAlgorithm::EdDsa,
        };
        api::PublicKey { kid: self.kid.clone(), algorithm, pem: self.pem.clone() }
    }
}
