//! One request to an address that a customer has named: guarded, bounded, never followed anywhere else.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, redirect};

use crate::guard::{Blocked, Guard};

/// How much of an answer is read; nothing of it is kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an idle connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Why a request did not arrive. Texts say nothing of what the other side answered but its status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The guard's: nothing was sent.
    #[error("the URL {0}")]
    Blocked(#[from] Blocked),
    /// It was answered with something other than 2xx.
    #[error("answered {status}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// What `Retry-After` asks for, where it is in seconds.
        retry_after: Option<TimeDelta>,
    },
    /// It took too long; the other side may have taken it.
    #[error("took too long")]
    Timeout,
    /// No connection, or it broke; the other side may have taken the request.
    #[error("the connection failed: {0}")]
    Connection(&'static str),
}

/// Sends requests. Clones share its connections.
#[derive(Clone)]
pub struct Poster {
    client: Client,
    guard: Guard,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client")]
pub struct NoClient(#[source] reqwest::Error);

impl Poster {
    /// A poster whose requests take `timeout` at most, from looking up the name to the end of the answer.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(guard: Guard, timeout: Duration) -> Result<Self, NoClient> {
        // Another part of the program may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .dns_resolver(Arc::new(guard.clone()))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(concat!("kabar/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NoClient)?;
        Ok(Self { client, guard })
    }

    /// What decides where this poster may go.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends `body` to `url`; done is any answer 2xx.
    ///
    /// # Errors
    /// [`PostError`]: whatever it is, the same request may be sent again.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: String) -> Result<(), PostError> {
        let url = self.guard.check(url)?;
        let request = self.client.post(url).headers(headers).body(body);
        let mut answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        // Read so that the connection can be used again. The status is the answer: a body that breaks off changes nothing.
        let mut read = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        match status.is_success() {
            true => Ok(()),
            false => Err(PostError::Refused {
                status: status.as_u16(),
                retry_after: retry_after.map(|seconds| TimeDelta::seconds(seconds.into())),
            }),
        }
    }
}

fn failure(error: &reqwest::Error) -> PostError {
    if error.is_timeout() {
        return PostError::Timeout;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(blocked) = error.downcast_ref::<Blocked>() {
            return PostError::Blocked(blocked.clone());
        }
        cause = error.source();
    }
    // Whoever made the endpoint sees this text: more would tell of the network that we are in.
    PostError::Connection(if error.is_connect() { "it could not be made" } else { "it broke off" })
}
