//! Sending a message: one statement that is its own transaction.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid};
use protocol::chat::{Message, MessageContent, MessageType, Person};
use protocol::{AppId, ClientId, MessageId, RoomId, UserId};

use crate::rooms::view::{MessageRow, PersonRow};
use crate::schema::{messages, users};
use crate::{Error, PgConnection};

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
///
/// Everything happens in one statement, so a message costs one round trip and one commit, and the room is locked for
/// no longer than that. The room's row lock makes the order of commits the order of `seq`; a statement that fails
/// takes its number back, so there is no gap. Inside a transaction of the caller, an error leaves that one aborted.
pub fn send_message(
    conn: &mut PgConnection,
    app: &AppId,
    sender: &UserId,
    new: &NewMessage,
) -> Result<Sent, SendError> {
    let id = MessageId::mint();
    let stored = match (Insert { app, sender, id, new }).get_result::<Stored>(conn).optional() {
        Ok(stored) => stored.ok_or(SendError::NotFound)?,
        Err(DieselError::DatabaseError(kind, info)) => {
            return match (kind, info.constraint_name()) {
                (DatabaseErrorKind::UniqueViolation, Some("messages_client_id")) => original(conn, app, sender, new),
                (DatabaseErrorKind::ForeignKeyViolation, Some("messages_reply_in_room")) => {
                    Err(SendError::UnknownReply)
                }
                _ => Err(Error::from(DieselError::DatabaseError(kind, info)).into()),
            };
        }
        Err(error) => return Err(Error::from(error).into()),
    };
    let (seq, created_at, name, avatar_url) = stored;
    let message = Message {
        id,
        room_id: new.room_id,
        seq,
        sender_id: sender.clone(),
        sender: Person { id: sender.clone(), name, avatar_url },
        r#type: new.r#type,
        content: new.content.as_str().to_owned(),
        attachment_url: new.attachment_url.clone(),
        reply_to_id: new.reply_to_id,
        client_id: new.client_id.clone(),
        created_at,
    };
    Ok(Sent { message, new: true })
}

/// The message that was sent before under the same client id.
fn original(conn: &mut PgConnection, app: &AppId, sender: &UserId, new: &NewMessage) -> Result<Sent, SendError> {
    let (row, person): (MessageRow, PersonRow) = messages::table
        .inner_join(users::table.on(users::app_id.eq(messages::app_id).and(users::id.eq(messages::sender_id))))
        .filter(messages::app_id.eq(app).and(messages::room_id.eq(new.room_id)))
        .filter(messages::sender_id.eq(sender).and(messages::client_id.eq(new.client_id.as_ref())))
        .select((MessageRow::as_select(), PersonRow::as_select()))
        .first(conn)
        .map_err(Error::from)?;
    let message = row.into_message(person);
    let same = message.r#type == new.r#type
        && message.content == new.content.as_str()
        && message.attachment_url == new.attachment_url
        && message.reply_to_id == new.reply_to_id;
    match same {
        true => Ok(Sent { message, new: false }),
        false => Err(SendError::ClientIdReused),
    }
}

/// `seq`, `created_at`, the sender's name and picture.
type Stored = (i64, DateTime<Utc>, String, Option<String>);

/// The statement. Diesel has no data-modifying CTE of its own; as a type of diesel's it is prepared once per connection.
struct Insert<'a> {
    app: &'a AppId,
    sender: &'a UserId,
    id: MessageId,
    new: &'a NewMessage,
}

impl QueryFragment<Pg> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The clock is read while the row is locked, so created_at follows seq; a clock set back cannot undo that.
        out.push_sql("WITH room AS (UPDATE rooms SET last_seq = last_seq + 1, updated_at = greatest(updated_at, clock_timestamp()) WHERE app_id = ");
        out.push_bind_param::<Text, _>(self.app)?;
        out.push_sql(" AND id = ");
        out.push_bind_param::<Uuid, _>(&self.new.room_id)?;
        out.push_sql(" AND EXISTS (SELECT FROM members m WHERE m.app_id = rooms.app_id AND m.room_id = rooms.id AND m.user_id = ");
        out.push_bind_param::<Text, _>(self.sender)?;
        out.push_sql(") RETURNING app_id, id, last_seq, updated_at), message AS (INSERT INTO messages (app_id, room_id, id, seq, sender_id, type, content, attachment_url, reply_to_id, client_id, created_at) SELECT room.app_id, room.id, ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(", room.last_seq, ");
        out.push_bind_param::<Text, _>(self.sender)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(self.new.r#type.as_str())?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(self.new.content.as_str())?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.new.attachment_url)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Uuid>, _>(&self.new.reply_to_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.new.client_id)?;
        out.push_sql(", room.updated_at FROM room RETURNING app_id, sender_id, seq, created_at) SELECT message.seq, message.created_at, u.name, u.avatar_url FROM message JOIN users u ON u.app_id = message.app_id AND u.id = message.sender_id");
        Ok(())
    }
}

impl QueryId for Insert<'_> {
    type QueryId = Insert<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Insert<'_> {
    type SqlType = (BigInt, Timestamptz, Text, Nullable<Text>);
}

impl RunQueryDsl<PgConnection> for Insert<'_> {}
