//! Notifications that are planned: for whom, by what, when. Their texts are rendered when it is known who reads them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use protocol::domain_event::EventId;
use protocol::notification::{Actor, Category, NotificationType, Transport};
use protocol::{RoomId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Recipient {
    /// One user.
    User {
        /// Who.
        user_id: UserId,
    },
    /// Whoever is subscribed by the time that it is sent.
    Subscribers {
        /// To what: `GROUP`, `COURSE`, `EVENT` and so on.
        target_type: String,
        /// To which.
        target_id: String,
        /// But not these.
        exclude: Vec<UserId>,
    },
    /// The members of a room who have not muted it.
    Members {
        /// The room.
        room_id: RoomId,
        /// But not these.
        exclude: Vec<UserId>,
    },
}

/// A notification that a rule made of an event. As JSON it can wait in a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The rule that has its texts.
    pub rule: String,
    /// The event that caused it.
    pub source_event: EventId,
    /// The same for the same event, rule and time before; 220 characters at most. With the recipient it is unique: who
    /// has a notification with it gets no second one.
    pub dedupe: String,
    /// Who is told.
    pub recipient: Recipient,
    /// What kind of thing happened.
    #[serde(rename = "type")]
    pub r#type: NotificationType,
    /// The tab that it is under.
    pub category: Category,
    /// How, and when by each.
    pub transports: Vec<Due>,
    /// A later delivery with the same key replaces an earlier one, where the provider can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse_key: Option<String>,
    /// Who caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What the texts may name.
    #[serde(with = "shared")]
    pub(crate) scope: Arc<Map<String, Value>>,
}

/// When a transport carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    /// By what.
    pub transport: Transport,
    /// Not before.
    pub send_at: DateTime<Utc>,
    /// Not after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a rule wants done about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell them.
    Notify(Box<Planned>),
    /// Whatever waits under the key is cancelled, and these wait there instead.
    Replan {
        /// The key.
        key: String,
        /// When the event happened: what was planned by a later one stays.
        as_of: DateTime<Utc>,
        /// What waits from now on, soonest first; may be nothing.
        planned: Vec<Planned>,
    },
    /// Whatever waits under the key is cancelled.
    Cancel {
        /// The key.
        key: String,
        /// When the event happened: what was planned by a later one stays.
        as_of: DateTime<Utc>,
    },
}

/// A scope as JSON: what it holds.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::{Map, Value};

    pub(super) fn serialize<S: Serializer>(scope: &Arc<Map<String, Value>>, to: S) -> Result<S::Ok, S::Error> {
        scope.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Map<String, Value>>, D::Error> {
        Map::deserialize(from).map(Arc::new)
    }
}
