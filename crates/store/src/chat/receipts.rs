//! Receipts and unread counts.
use crate::{Error, PgConnection};
use chrono::{DateTime, Utc};
use protocol::{AppId, RoomId, UserId};

/// A member's read pointer after [`mark_read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whether this call moved it.
    pub moved: bool,
    /// Everything up to here was read.
    pub last_read_seq: i64,
    /// When it last moved.
    pub read_at: DateTime<Utc>,
    /// What is still unread in this room.
    pub unread: i64,
    /// What is still unread in all rooms of the user.
    pub unread_total: i64,
}

/// A member's delivered pointer after [`mark_delivered`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Whether this call moved it.
    pub moved: bool,
    /// Everything up to here reached one of the user's clients.
    pub last_delivered_seq: i64,
    /// When it last moved.
    pub delivered_at: DateTime<Utc>,
}
/// Moves the read pointer up to `up_to`, at most to the newest message, where `None` means it; never back.
/// What is read counts as delivered. `None` if there is no such room or the user is not in it.
pub fn mark_read(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    room: RoomId,
    up_to: Option<i64>,
) -> Result<Option<Read>, Error> {
    todo!()
}
/// As [`mark_read`], for the delivered pointer.
pub fn mark_delivered(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    room: RoomId,
    up_to: Option<i64>,
) -> Result<Option<Delivered>, Error> {
    todo!()
}
/// What is unread over all rooms, for each of the users, in their order; 0 for somebody unknown.
pub fn unread_totals(conn: &mut PgConnection, app: &AppId, users: &[UserId]) -> Result<Vec<(UserId, i64)>, Error> {
    todo!()
}
