//! Membership of rooms.

use crate::{Error, PgConnection};
use protocol::{AppId, RoomId, UserId};

/// Puts people into a room; `None` if there is no such room, else those who were not in it before.
pub fn add_members(
    conn: &mut PgConnection,
    app: &AppId,
    room: RoomId,
    users: &[UserId],
) -> Result<Option<Vec<UserId>>, Error> {
    todo!()
}
/// Takes somebody out of a room; `None` if there is no such room, else whether they were in it.
pub fn remove_member(conn: &mut PgConnection, app: &AppId, room: RoomId, user: &UserId) -> Result<Option<bool>, Error> {
    todo!()
}
/// Who is in the room, by id; empty if there is no such room.
pub fn member_ids(conn: &mut PgConnection, app: &AppId, room: RoomId) -> Result<Vec<UserId>, Error> {
    todo!()
}
/// Whether the user is in the room; false if there is no such room.
pub fn is_member(conn: &mut PgConnection, app: &AppId, room: RoomId, user: &UserId) -> Result<bool, Error> {
    todo!()
}
