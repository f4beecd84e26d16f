//! The bodies of Pusher's HTTP API for publishing.

use serde::{Deserialize, Serialize};

use crate::SocketId;

/// The most channels one publish may name (Pusher HTTP API).
pub const CHANNELS_PER_PUBLISH_MAX: usize = 100;
/// The most events in one batch (Pusher HTTP API).
pub const EVENTS_PER_BATCH_MAX: usize = 10;
/// The longest event name, in characters, that Pusher's SDKs let through.
pub const EVENT_NAME_CHARS_MAX: usize = 200;

/// `POST /apps/{id}/events`: one event for one or many channels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishRequest {
    /// The event's name.
    pub name: String,
    /// The payload; a string, usually holding JSON.
    pub data: String,
    /// Where it goes; up to [`CHANNELS_PER_PUBLISH_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The older form of `channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// A socket that shall not get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<SocketId>,
    /// Attributes to answer with: `user_count`, `subscription_count`, comma between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
}

/// `POST /apps/{id}/batch_events`: up to [`EVENTS_PER_BATCH_MAX`] events, one channel each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchRequest {
    /// In the order in which they are published.
    pub batch: Vec<BatchEvent>,
}

/// One event of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchEvent {
    /// The event's name.
    pub name: String,
    /// The payload.
    pub data: String,
    /// Where it goes.
    pub channel: String,
    /// A socket that shall not get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<SocketId>,
    /// Attributes to answer with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
}
