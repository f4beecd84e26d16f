//! Sending a message: one statement that is its own transaction.

use crate::{Error, PgConnection};
use protocol::chat::{Message, MessageContent, MessageType};
use protocol::{AppId, ClientId, MessageId, RoomId, UserId};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Where to.
    pub room_id: RoomId,
    /// What it is.
    pub r#type: MessageType,
    /// The text.
    pub content: MessageContent,
    /// Where the attachment is.
    pub attachment_url: Option<String>,
    /// The message of the same room that it answers.
    pub reply_to_id: Option<MessageId>,
    /// The sender's own id of it: sent again, the first message is found.
    pub client_id: Option<ClientId>,
}

/// A message that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message; the first one, if this was a retry.
    pub message: Message,
    /// False if the same message was sent before under the same client id: nothing was stored now.
    pub new: bool,
}

/// Why a message was not stored.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such room, or the sender is not in it.
    #[error("there is no such room")]
    NotFound,
    /// The message to answer is not in this room.
    #[error("the message to reply to is not in this room")]
    UnknownReply,
    /// The client id was used in this room for another message.
    #[error("the clientId was used for another message")]
    ClientIdReused,
    /// The database's.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Stores a message under the next `seq` of its room.
pub fn send_message(
    conn: &mut PgConnection,
    app: &AppId,
    sender: &UserId,
    new: &NewMessage,
) -> Result<Sent, SendError> {
    todo!()
}
