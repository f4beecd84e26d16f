//! Bodies of the REST interface: what comes in and goes out, as documented in the OpenAPI description.

use chrono::{DateTime, Utc};
use protocol::chat::{Message, MessageType, Room, RoomType};
use protocol::{ClientId, MessageId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) mod notifications;

/// A page of rooms.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rooms {
    pub(crate) rooms: Vec<Room>,
    /// Opaque; null after the last page.
    pub(crate) next_cursor: Option<String>,
}

/// A page of messages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Messages {
    pub(crate) messages: Vec<Message>,
    /// Opaque; null after the last page.
    pub(crate) next_cursor: Option<String>,
}

/// A message to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendMessage {
    pub(crate) room_id: RoomId,
    #[serde(default)]
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) r#type: MessageType,
    /// An absolute http or https URL.
    pub(crate) attachment_url: Option<String>,
    pub(crate) reply_to_id: Option<MessageId>,
    /// The sender's own id: sent again, the first message is the answer.
    pub(crate) client_id: Option<ClientId>,
}

/// A stored message.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageAnswer {
    pub(crate) message: Message,
}

/// Whom to start a room with: one person, or several.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartRoom {
    /// One other person.
    pub(crate) participant_id: Option<UserId>,
    /// Several; not for DIRECT.
    pub(crate) participant_ids: Option<Vec<UserId>>,
    pub(crate) r#type: RoomType,
    /// At most 200 characters; not for DIRECT.
    pub(crate) title: Option<String>,
}

/// A room.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoomAnswer {
    pub(crate) room: Room,
}

/// Whether the caller types.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetTyping {
    pub(crate) room_id: RoomId,
    pub(crate) is_typing: bool,
}

/// Up to where messages were read, or reached the caller.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MoveReceipt {
    pub(crate) room_id: RoomId,
    /// A `seq`; the newest message if it is missing.
    pub(crate) up_to: Option<i64>,
}

/// What is still unread in the room.
#[derive(Serialize, ToSchema)]
pub(crate) struct Unread {
    pub(crate) unread: i64,
}

/// The caller's delivered pointer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveredAnswer {
    pub(crate) last_delivered_seq: i64,
}

/// A subscription to be signed, as Pusher's clients send it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AuthorizeChannel {
    pub(crate) socket_id: String,
    pub(crate) channel_name: String,
}

/// A signed subscription.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelAuth {
    pub(crate) auth: String,
    /// JSON text; goes to the server as it is.
    pub(crate) channel_data: String,
}

/// A sign-in to be signed, as Pusher's clients send it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AuthenticateUser {
    pub(crate) socket_id: String,
}

/// A signed sign-in.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserAuth {
    pub(crate) auth: String,
    /// JSON text; goes to the server as it is.
    pub(crate) user_data: String,
}

/// A ticket that opens one socket.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    pub(crate) ticket: String,
    pub(crate) expires_at: DateTime<Utc>,
}

/// A user as the backend describes them: replaces what was known.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutUser {
    pub(crate) name: String,
    pub(crate) avatar_url: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) time_zone: Option<String>,
}

/// A user as the backend described them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserAnswer {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) avatar_url: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) time_zone: Option<String>,
}

/// Whom a token shall be for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MintToken {
    pub(crate) user_id: UserId,
    /// An hour if it is missing; a day at most.
    pub(crate) ttl_seconds: Option<u64>,
}

/// A token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenAnswer {
    pub(crate) token: String,
    pub(crate) expires_at: DateTime<Utc>,
}

/// A room that a backend makes.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MakeRoom {
    pub(crate) r#type: RoomType,
    pub(crate) title: Option<String>,
    pub(crate) member_ids: Vec<UserId>,
}

/// A room as such, with its members' ids.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomSummary {
    pub(crate) id: RoomId,
    pub(crate) r#type: RoomType,
    pub(crate) title: Option<String>,
    pub(crate) last_seq: i64,
    pub(crate) created_by: Option<UserId>,
    pub(crate) member_ids: Vec<UserId>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// A room as such.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoomSummaryAnswer {
    pub(crate) room: RoomSummary,
}

/// A room's new title; null takes it away.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PatchRoom {
    pub(crate) title: Option<String>,
}

/// People to be put into a room.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddMembers {
    pub(crate) user_ids: Vec<UserId>,
}

/// Who was not in the room before.
#[derive(Serialize, ToSchema)]
pub(crate) struct AddedMembers {
    pub(crate) added: Vec<UserId>,
}

/// Data of `room-updated`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomUpdated {
    pub(crate) room_id: RoomId,
    pub(crate) title: Option<String>,
}
