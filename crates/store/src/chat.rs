//! Messages: sending, reading, receipts, unread counts.

use diesel::prelude::*;
use protocol::chat::Message;
use protocol::{AppId, RoomId, UserId};

use crate::rooms::is_member;
use crate::rooms::view::{MessageRow, PersonRow};
use crate::schema::{messages, users};
use crate::{Error, PgConnection};

mod receipts;
mod send;

pub use receipts::{Delivered, Read, mark_delivered, mark_read, unread_totals};
pub use send::{NewMessage, SendError, Sent, send_message};

/// Which messages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Newest first, those with a smaller `seq`; `None` begins with the newest of all.
    Before(Option<i64>),
    /// Oldest first, those with a larger `seq`: catching up.
    After(i64),
}

/// A page of the room's messages, at most `limit`; `None` if there is no such room or the user is not in it.
pub fn messages(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    room: RoomId,
    page: Page,
    limit: i64,
) -> Result<Option<Vec<Message>>, Error> {
    if !is_member(conn, app, room, user)? {
        return Ok(None);
    }
    let query = messages::table
        .inner_join(users::table.on(users::app_id.eq(messages::app_id).and(users::id.eq(messages::sender_id))))
        .filter(messages::app_id.eq(app).and(messages::room_id.eq(room)))
        .select((MessageRow::as_select(), PersonRow::as_select()))
        .limit(limit.max(0));
    let rows: Vec<(MessageRow, PersonRow)> = match page {
        Page::Before(None) => query.order(messages::seq.desc()).load(conn)?,
        Page::Before(Some(seq)) => query.filter(messages::seq.lt(seq)).order(messages::seq.desc()).load(conn)?,
        Page::After(seq) => query.filter(messages::seq.gt(seq)).order(messages::seq).load(conn)?,
    };
    Ok(Some(rows.into_iter().map(|(message, sender)| message.into_message(sender)).collect()))
}
