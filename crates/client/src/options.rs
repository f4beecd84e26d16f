//! How a client connects.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::{Authorizer, Backoff};

/// Where to connect and as whom.
#[derive(Clone)]
pub struct Options {
    /// `ws://host:port` or `wss://host`, with a path before `/app` if the server has one.
    pub url: String,
    /// The app's public key.
    pub app_key: String,
    /// A user's JWT: the socket signs in with it after each connect, before it subscribes to anything. kabar only.
    pub token: Option<SecretString>,
    /// Signs subscriptions to private and presence channels. Without one they are asked for unsigned, which kabar
    /// grants on its protected channels to a user who signed in.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// When to come back after the connection broke.
    pub backoff: Backoff,
    /// How long a connection may take until it is established.
    pub connect_timeout: Duration,
    /// The longest silence before a ping; the server may ask for a shorter one.
    pub activity_timeout: Duration,
    /// How long the answer to that ping may take.
    pub pong_timeout: Duration,
    /// Events that wait to be taken. When so many wait, the client reads no more from its socket: nothing is dropped
    /// here, but a server whose own queue fills up in turn will close (4100 at kabar), and the client then reconnects.
    pub queue_events_max: usize,
}

impl Options {
    /// Anonymous, with the defaults of pusher-js: 120 s of silence, 30 s for a pong; 1,024 events may wait.
    pub fn new(url: impl Into<String>, app_key: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            app_key: app_key.into(),
            token: None,
            authorizer: None,
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(10),
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            queue_events_max: 1_024,
        }
    }

    /// With a user's JWT.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(SecretString::from(token.into()));
        self
    }

    /// With a signer of subscriptions.
    #[must_use]
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }
}
