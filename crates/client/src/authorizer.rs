//! Who signs subscriptions to private and presence channels.

use std::future::Future;
use std::pin::Pin;

use protocol::{Signer, SocketId};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What goes into `pusher:subscribe` beside the channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Auth {
    /// `KEY:SIGNATURE`.
    pub auth: String,
    /// On presence channels, who joins: a JSON text, sent byte for byte as it was signed.
    #[serde(default)]
    pub channel_data: Option<String>,
}

/// Why a subscription was not signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The signer says no: this user may not.
    #[error("not authorized (status {0})")]
    Refused(u16),
    /// The endpoint was not reached or answered with something else.
    #[error("the auth endpoint is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A signature on its way.
pub type Authorizing<'a> = Pin<Box<dyn Future<Output = Result<Auth, AuthError>> + Send + 'a>>;

/// Signs subscriptions. It is asked anew after each reconnect, because the socket's id is part of what is signed.
pub trait Authorizer: Send + Sync + 'static {
    /// Signs for this socket and channel.
    fn authorize<'a>(&'a self, socket: SocketId, channel: &'a str) -> Authorizing<'a>;
}

/// Asks an HTTP endpoint, as pusher-js does: a form with `socket_id` and `channel_name`.
pub struct EndpointAuthorizer {
    url: String,
    bearer: Option<SecretString>,
    http: reqwest::Client,
}

impl EndpointAuthorizer {
    /// `bearer` goes into `Authorization`.
    pub fn new(url: impl Into<String>, bearer: Option<SecretString>) -> Self {
        Self { url: url.into(), bearer, http: crate::http::client() }
    }
}

impl Authorizer for EndpointAuthorizer {
    fn authorize<'a>(&'a self, socket: SocketId, channel: &'a str) -> Authorizing<'a> {
        Box::pin(async move {
            let socket = socket.to_string();
            let form = [("socket_id", socket.as_str()), ("channel_name", channel)];
            let mut request = self.http.post(&self.url).form(&form);
            if let Some(bearer) = &self.bearer {
                request = request.bearer_auth(bearer.expose_secret());
            }
            let answer = request.send().await.map_err(unavailable)?;
            match answer.status() {
                StatusCode::OK => answer.json().await.map_err(unavailable),
                status if status.is_client_error() => Err(AuthError::Refused(status.as_u16())),
                _ => Err(unavailable(answer.status())),
            }
        })
    }
}

fn unavailable<E: std::fmt::Debug>(error: E) -> AuthError {
    AuthError::Unavailable(format!("{error:?}").into())
}

/// Signs with the app's secret: for programs of a backend, which hold it anyway.
pub struct SecretAuthorizer {
    key: String,
    signer: Signer,
    channel_data: Option<String>,
}

impl SecretAuthorizer {
    /// Signs private channels.
    pub fn new(key: impl Into<String>, secret: &str) -> Self {
        Self { key: key.into(), signer: Signer::new(secret), channel_data: None }
    }

    /// Joins presence channels as this user.
    #[must_use]
    pub fn member(mut self, user_id: &str, user_info: &serde_json::Value) -> Self {
        self.channel_data = Some(serde_json::json!({"user_id": user_id, "user_info": user_info}).to_string());
        self
    }
}

impl Authorizer for SecretAuthorizer {
    fn authorize<'a>(&'a self, socket: SocketId, channel: &'a str) -> Authorizing<'a> {
        let channel_data = self.channel_data.clone().filter(|_| channel.starts_with("presence-"));
        let signature = self.signer.sign_channel(socket, channel, channel_data.as_deref());
        let auth = Auth { auth: format!("{}:{signature}", self.key), channel_data };
        Box::pin(std::future::ready(Ok(auth)))
    }
}
