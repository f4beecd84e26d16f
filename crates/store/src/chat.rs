//! Messages: sending, reading, receipts, unread counts.

mod receipts;
mod send;
pub use receipts::{Delivered, Read, mark_delivered, mark_read, unread_totals};
pub use send::{NewMessage, SendError, Sent, send_message};

use crate::{Error, PgConnection};
use protocol::chat::Message;
use protocol::{AppId, RoomId, UserId};

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
    todo!()
}
