//! Rooms and who is in them.

use chrono::{DateTime, Utc};
use protocol::chat::{Room, RoomType};
use protocol::{AppId, RoomId, UserId};

use crate::{Error, PgConnection};

mod list;
mod members;
mod view;

pub use list::{Cursor, InvalidCursor, ListRooms, list};
pub use members::{add_members, is_member, member_ids, remove_member};

/// A room to be made.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// `Group` or `Support`; direct rooms come from [`start_direct`], the database refuses them here.
    pub r#type: RoomType,
    /// The name to show.
    pub title: Option<String>,
    /// Who is in it. The creator is added by itself. People not known yet are called by their id.
    pub members: Vec<UserId>,
    /// Who made it; `None` for a backend.
    pub created_by: Option<UserId>,
}

/// A room as such, seen by nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    /// Unique everywhere.
    pub id: RoomId,
    /// What kind of room it is.
    pub r#type: RoomType,
    /// Groups have one.
    pub title: Option<String>,
    /// The `seq` of the newest message, 0 when there is none.
    pub last_seq: i64,
    /// Who made it; `None` for a backend.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was made or last written in.
    pub updated_at: DateTime<Utc>,
}

/// Makes a room. The answer is the same for each of its members.
pub fn create(conn: &mut PgConnection, app: &AppId, new: &NewRoom) -> Result<Room, Error> {
    todo!()
}

/// The one direct room of two people as `user` sees it, and whether it was made just now.
///
/// Two calls at once, in either order of the two, find the same room. Whoever had left it is in it again.
pub fn start_direct(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    other: &UserId,
) -> Result<(Room, bool), Error> {
    todo!()
}

/// The room as `viewer` sees it; `None` if it does not exist or the viewer is not in it. `online` is always false here.
pub fn get(conn: &mut PgConnection, app: &AppId, viewer: &UserId, room: RoomId) -> Result<Option<Room>, Error> {
    todo!()
}

/// The room, whoever asks: for backends.
pub fn get_any(conn: &mut PgConnection, app: &AppId, room: RoomId) -> Result<Option<RoomSummary>, Error> {
    todo!()
}

/// Gives the room another title, or none. `None` if there is no such room. Does not move it in room lists.
pub fn update_title(
    conn: &mut PgConnection,
    app: &AppId,
    room: RoomId,
    title: Option<&str>,
) -> Result<Option<RoomSummary>, Error> {
    todo!()
}

/// Deletes the room with its messages and members; whether there was one.
pub fn delete(conn: &mut PgConnection, app: &AppId, room: RoomId) -> Result<bool, Error> {
    todo!()
}
