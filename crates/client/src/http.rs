//! The HTTP side: signed publishing as a Pusher server SDK does it, and what a user's client reads of a chat.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::chat::Message;
use protocol::publish::{BatchRequest, PublishRequest};
use protocol::{RoomId, Signer, signature};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call over HTTP did not work.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server answered with another status than it should; its text says why.
    #[error("status {status}: {text}")]
    Status {
        /// The status.
        status: u16,
        /// The body, its first 1,000 characters.
        text: String,
    },
    /// No answer, or one that cannot be read.
    #[error("the server did not answer properly")]
    Unanswered(#[from] reqwest::Error),
}

impl HttpError {
    /// Whether a later try may well succeed: no answer at all, a server error, or too many requests.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::Unanswered(_) => true,
        }
    }
}

/// Publishes events with an app's secret. Cloning shares the connections, which are kept alive.
#[derive(Clone)]
pub struct Publisher {
    base_url: String,
    app_id: String,
    key: String,
    signer: Signer,
    http: reqwest::Client,
}

impl Publisher {
    /// `base_url` is `http://host:port` or `https://host`.
    pub fn new(base_url: &str, app_id: impl Into<String>, key: impl Into<String>, secret: &str) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            app_id: app_id.into(),
            key: key.into(),
            signer: Signer::new(secret),
            http: client(),
        }
    }

    /// Publishes one event to one or many channels. Once it returns, the server has taken it.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn publish(&self, event: &PublishRequest) -> Result<(), HttpError> {
        self.post("events", event).await
    }

    /// Publishes up to [`protocol::publish::EVENTS_PER_BATCH_MAX`] events in their order.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn publish_batch(&self, batch: &BatchRequest) -> Result<(), HttpError> {
        self.post("batch_events", batch).await
    }

    async fn post<B: Serialize>(&self, what: &str, body: &B) -> Result<(), HttpError> {
        let body = serde_json::to_vec(body).expect("strings and numbers always serialise");
        let path = format!("/apps/{}/{what}", self.app_id);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let query = signature::sign_request(&self.key, &self.signer, "POST", &path, &body, now);
        let request = self.http.post(format!("{}{path}?{query}", self.base_url));
        let answer = request.header(CONTENT_TYPE, "application/json").body(body).send().await?;
        expect(answer, StatusCode::OK).await?;
        Ok(())
    }
}

/// What a signed-in user's client reads over REST.
#[derive(Clone)]
pub struct ChatApi {
    base_url: String,
    token: SecretString,
    http: reqwest::Client,
}

/// A page of a room's messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<Message>,
    /// Asks for the next page; none at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

impl ChatApi {
    /// `base_url` is `http://host:port` or `https://host`.
    pub fn new(base_url: &str, token: impl Into<String>) -> Self {
        let base_url = base_url.trim_end_matches('/').to_owned();
        Self { base_url, token: SecretString::from(token.into()), http: client() }
    }

    /// The room's messages after `seq`, oldest first, `limit` at most.
    ///
    /// # Errors
    /// See [`HttpError`]; 404 where the user is no member.
    pub async fn messages_after(&self, room: RoomId, seq: i64, limit: usize) -> Result<MessagePage, HttpError> {
        self.get(&format!("/api/chat/messages?roomId={room}&after={seq}&limit={limit}")).await
    }

    /// The `seq` of the room's newest message, 0 where there is none.
    ///
    /// # Errors
    /// See [`HttpError`]; 404 where the user is no member.
    pub async fn last_seq(&self, room: RoomId) -> Result<i64, HttpError> {
        let page: MessagePage = self.get(&format!("/api/chat/messages?roomId={room}&limit=1")).await?;
        Ok(page.messages.first().map_or(0, |message| message.seq))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, HttpError> {
        let request = self.http.get(format!("{}{path}", self.base_url)).bearer_auth(self.token.expose_secret());
        Ok(expect(request.send().await?, StatusCode::OK).await?.json().await?)
    }
}

async fn expect(answer: reqwest::Response, wanted: StatusCode) -> Result<reqwest::Response, HttpError> {
    if answer.status() == wanted {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default().chars().take(1_000).collect();
    Err(HttpError::Status { status, text })
}

pub(crate) fn client() -> reqwest::Client {
    crate::tls::prepare();
    // No proxy: the environment is read in one place only, which is not here.
    let client = reqwest::Client::builder().timeout(TIMEOUT).tcp_nodelay(true).no_proxy().build();
    client.expect("the provider of TLS was chosen just before")
}
