//! Notifications: what one user is told, on which transports, and what becomes of each delivery. JSON in camelCase.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::UserId;
use crate::ids::{brought_id, minted_id};

minted_id! {
    /// A notification: one row telling one user something. Order within a user is its `seq`, never its id.
    NotificationId
}
minted_id! {
    /// One notification by one transport.
    DeliveryId
}
brought_id! {
    /// What kind of thing happened, in upper case, such as `COMMENT_REPLY`; see [`builtin_category`].
    NotificationType, "a notification type", 64
}
brought_id! {
    /// What a user sets preferences for, in lower case, such as `comment`.
    Category, "a category", 64
}

/// How a notification reaches somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// The list in the app, and the user's open sockets.
    #[serde(alias = "pusher")]
    InApp,
    /// Push to a browser or a phone.
    #[serde(alias = "onesignal")]
    Push,
    /// Email.
    Email,
    /// WhatsApp.
    #[serde(alias = "starsender")]
    Whatsapp,
}

impl Transport {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::InApp, Self::Push, Self::Email, Self::Whatsapp];

    /// As it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Push => "push",
            Self::Email => "email",
            Self::Whatsapp => "whatsapp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a transport is in_app, push, email or whatsapp")]
pub struct UnknownTransport;

impl std::str::FromStr for Transport {
    type Err = UnknownTransport;
    /// Takes the old names too: pusher, onesignal, starsender.
    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        match text {
            "in_app" | "pusher" => Ok(Self::InApp),
            "push" | "onesignal" => Ok(Self::Push),
            "email" => Ok(Self::Email),
            "whatsapp" | "starsender" => Ok(Self::Whatsapp),
            _ => Err(UnknownTransport),
        }
    }
}

/// The types that every app has, by category; an app may define more in its configuration.
pub const BUILTIN_TYPES: [(&str, &str); 18] = [
    ("COMMENT", "comment"),
    ("COMMENT_REPLY", "comment"),
    ("MENTION", "comment"),
    ("CHAT_MESSAGE", "chat"),
    ("TRANSACTION_SUCCESS", "transaction"),
    ("TRANSACTION_FAILED", "transaction"),
    ("COURSE_ENROLLED", "course"),
    ("COURSE_DISCUSSION", "course"),
    ("CONTENT_UPDATE", "course"),
    ("EVENT_REMINDER", "event"),
    ("AFFILIATE", "affiliate"),
    ("ACHIEVEMENT", "achievement"),
    ("SYSTEM", "system"),
    ("FOLLOWER", "system"),
    ("POST_NEW", "system"),
    ("MEMBERSHIP", "system"),
    ("PRODUCT_REVIEW", "system"),
    ("TRANSACTION", "transaction"),
];

/// The category of a type that every app has.
pub fn builtin_category(r#type: &str) -> Option<&'static str> {
    BUILTIN_TYPES.iter().find(|(name, _)| *name == r#type).map(|(_, category)| *category)
}

/// A notification as its user sees it, and the data of `notification-new` (there with `unreadCount` beside it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Names it.
    pub id: NotificationId,
    /// Its place in the user's own sequence: 1, 2, 3 and so on in the order of commits.
    pub seq: i64,
    /// Whose it is.
    pub user_id: UserId,
    /// What happened.
    #[serde(rename = "type")]
    pub r#type: NotificationType,
    /// The tab that it is under.
    pub category: Category,
    /// A short line.
    pub title: String,
    /// What it says.
    pub body: String,
    /// Where a click leads: absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// A picture's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Who caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Whatever else the app's own code needs: an object.
    #[serde(default)]
    pub data: serde_json::Map<String, serde_json::Value>,
    /// When it came to be.
    pub created_at: DateTime<Utc>,
    /// When the user saw it in a list.
    pub seen_at: Option<DateTime<Utc>>,
    /// When the user read it.
    pub read_at: Option<DateTime<Utc>>,
    /// When the user put it away.
    pub archived_at: Option<DateTime<Utc>>,
    /// Hidden until then.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// When the user followed its link.
    pub clicked_at: Option<DateTime<Utc>>,
}

/// Data of `notification-new` and, where one notification is meant, of `notification-updated` on `user-{userId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationEvent {
    /// As it is now.
    #[serde(flatten)]
    pub notification: Notification,
    /// What the user had not read when this was stored; `unread-count` follows with what holds then.
    pub unread_count: i64,
}

/// Data of `notification-updated` on `user-{userId}`, where all notifications of the list were meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationsMarked {
    /// Always true: this is not about one of them.
    pub all: bool,
    /// Those with a larger `seq` were not marked.
    pub up_to_seq: i64,
    /// Only those of this category were.
    pub category: Option<Category>,
    /// What was not seen before is, since then.
    pub seen_at: Option<DateTime<Utc>>,
    /// What was not read before is, since then.
    pub read_at: Option<DateTime<Utc>>,
    /// They were put away, then.
    pub archived_at: Option<DateTime<Utc>>,
    /// They hide until then.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// What is still unread.
    pub unread_count: i64,
}

/// Who caused a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The backend's id of them.
    pub id: UserId,
    /// As they are called.
    pub name: String,
    /// Their picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// Why a delivery failed, and so what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The address is dead: it is suppressed, nothing is tried again.
    PermanentRecipient,
    /// The message itself is at fault: dead letter.
    PermanentMessage,
    /// Only an operator can mend it (key, credit, sender): the provider pauses, attempts do not count.
    Operator,
    /// Later may be better.
    Retryable,
    /// It may have been sent: what then, is for the category's policy to say.
    Unknown,
}

impl FailureClass {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PermanentRecipient => "permanent_recipient",
            Self::PermanentMessage => "permanent_message",
            Self::Operator => "operator",
            Self::Retryable => "retryable",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_of_transports_are_taken_and_new_ones_given() {
        for (name, transport) in
            [("pusher", Transport::InApp), ("onesignal", Transport::Push), ("email", Transport::Email)]
        {
            assert_eq!(name.parse(), Ok(transport));
            assert_eq!(serde_json::from_value::<Transport>(name.into()).unwrap(), transport);
        }
        for transport in Transport::ALL {
            assert_eq!(transport.as_str().parse(), Ok(transport));
            assert_eq!(serde_json::to_value(transport).unwrap(), transport.as_str());
        }
        assert_eq!("sms".parse::<Transport>(), Err(UnknownTransport));
    }

    #[test]
    fn every_builtin_type_has_its_category_once() {
        for (name, category) in BUILTIN_TYPES {
            assert_eq!(builtin_category(name), Some(category));
        }
        assert_eq!(builtin_category("NO"), None);
    }
}
