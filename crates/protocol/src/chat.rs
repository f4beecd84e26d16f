//! Chat as clients see it: rooms, messages and the events about them. JSON in camelCase.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{ClientId, MessageId, RoomId, UserId};

/// What kind of room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum RoomType {
    /// Two people; one room per pair.
    Direct,
    /// Any number of people.
    Group,
    /// A person and those who help.
    Support,
}

impl RoomType {
    /// As it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "DIRECT",
            Self::Group => "GROUP",
            Self::Support => "SUPPORT",
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum MessageType {
    /// Text, perhaps with an attachment.
    #[default]
    Text,
    /// A picture; `attachmentUrl` says where.
    Image,
    /// Any other file; `attachmentUrl` says where.
    File,
}

impl MessageType {
    /// As it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Image => "IMAGE",
            Self::File => "FILE",
        }
    }
}

/// The text of a message: surrounding space removed, no control characters but tab and line feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MessageContent(String);

/// Text that cannot be a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContent {
    /// Nothing but space, and no attachment either.
    #[error("content may not be empty")]
    Empty,
    /// Over the limit.
    #[error("content may have at most {chars_max} characters")]
    TooLong {
        /// The limit.
        chars_max: usize,
    },
    /// A control character, NUL among them.
    #[error("content may not hold control characters other than tab and line feed")]
    Control,
}

impl MessageContent {
    /// Takes 1 to `chars_max` characters; `\r\n` becomes `\n`.
    ///
    /// # Errors
    /// See [`InvalidContent`].
    pub fn parse(text: &str, chars_max: usize) -> Result<Self, InvalidContent> {
        let text = text.trim().replace("\r\n", "\n");
        if text.is_empty() {
            return Err(InvalidContent::Empty);
        }
        Self::check(text, chars_max)
    }

    /// As [`MessageContent::parse`], but nothing at all is fine: the message has an attachment.
    ///
    /// # Errors
    /// See [`InvalidContent`].
    pub fn parse_caption(text: &str, chars_max: usize) -> Result<Self, InvalidContent> {
        Self::check(text.trim().replace("\r\n", "\n"), chars_max)
    }

    fn check(text: String, chars_max: usize) -> Result<Self, InvalidContent> {
        if text.chars().take(chars_max + 1).count() > chars_max {
            return Err(InvalidContent::TooLong { chars_max });
        }
        match text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            true => Err(InvalidContent::Control),
            false => Ok(Self(text)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person as others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The backend's id of the user.
    pub id: UserId,
    /// The name to show.
    pub name: String,
    /// A picture.
    pub avatar_url: Option<String>,
}

/// A chat message, whole: in answers and as the data of `new-message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Unique everywhere.
    pub id: MessageId,
    /// Where it was written.
    pub room_id: RoomId,
    /// Its place in the room: 1, 2, 3, … without gap, in the order in which messages were committed.
    pub seq: i64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// The writer as they are known now.
    pub sender: Person,
    /// What it is.
    pub r#type: MessageType,
    /// The text; empty only beside an attachment.
    pub content: String,
    /// Where the attachment is.
    pub attachment_url: Option<String>,
    /// The message that this one answers.
    pub reply_to_id: Option<MessageId>,
    /// The sender's own id of it.
    pub client_id: Option<ClientId>,
    /// When it was committed.
    pub created_at: DateTime<Utc>,
}

/// One member of a room, with the receipts that others may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoomMember {
    /// The backend's id of the user.
    pub id: UserId,
    /// The name to show.
    pub name: String,
    /// A picture.
    pub avatar_url: Option<String>,
    /// Whether one of the user's sockets is connected.
    pub online: bool,
    /// Everything up to here was read.
    pub last_read_seq: i64,
    /// Everything up to here reached one of the user's clients.
    pub last_delivered_seq: i64,
}

/// A room as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// Unique everywhere.
    pub id: RoomId,
    /// What kind of room it is.
    pub r#type: RoomType,
    /// Groups have one.
    pub title: Option<String>,
    /// The `seq` of the newest message, 0 when there is none.
    pub last_seq: i64,
    /// The newest message.
    pub last_message: Option<Message>,
    /// Others' messages after the member's read pointer.
    pub unread: i64,
    /// Everybody in it, the member too.
    pub members: Vec<RoomMember>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When something was last written or changed; the list is sorted by it.
    pub updated_at: DateTime<Utc>,
}

/// Data of `typing` on `chat-{roomId}`. The server sends `isTyping: false` by itself 3 s after the last sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Typing {
    /// Who types.
    pub user_id: UserId,
    /// Their name, to be shown.
    pub user_name: String,
    /// Whether they do.
    pub is_typing: bool,
}

/// Data of `message-delivered` on `chat-{roomId}`: messages reached one of a member's clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveredReceipt {
    /// Where.
    pub room_id: RoomId,
    /// Whose pointer.
    pub user_id: UserId,
    /// Everything up to here.
    pub last_delivered_seq: i64,
    /// When.
    pub delivered_at: DateTime<Utc>,
}

/// Data of `message-read` on `chat-{roomId}`: a member's read pointer moved forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadReceipt {
    /// Where.
    pub room_id: RoomId,
    /// Whose pointer.
    pub user_id: UserId,
    /// Everything up to here.
    pub last_read_seq: i64,
    /// When.
    pub read_at: DateTime<Utc>,
}

/// Data of `unread-count` on `user-{userId}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreadCount {
    /// Unread notifications.
    pub notifications: i64,
    /// Unread messages over all rooms.
    pub chat: i64,
}

/// Data of `room-removed` on `user-{userId}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRemoved {
    /// The room that the user is no longer in.
    pub room_id: RoomId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_trimmed_and_refused_one_past_its_limits() {
        let parse = |text: &str| MessageContent::parse(text, 5);
        assert_eq!(parse("  hi\r\n ").unwrap().as_str(), "hi");
        assert_eq!(parse("ééééé").unwrap().as_str(), "ééééé");
        assert_eq!(parse("a\n\tb").unwrap().as_str(), "a\n\tb");
        assert_eq!(parse("123456"), Err(InvalidContent::TooLong { chars_max: 5 }));
        assert_eq!(parse(" \n "), Err(InvalidContent::Empty));
        assert_eq!(parse("a\0b"), Err(InvalidContent::Control));
        assert_eq!(parse("a\u{1b}b"), Err(InvalidContent::Control));
        assert_eq!(MessageContent::parse_caption("", 5).unwrap().as_str(), "");
    }
}
