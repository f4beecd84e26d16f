//! Rooms and who is in them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::chat::{Room, RoomType};
use protocol::{AppId, RoomId, UserId};

use crate::schema::{members as members_table, rooms};
use crate::transaction::{snapshot, transaction};
use crate::users::ensure_all;
use crate::{Error, PgConnection};

mod list;
mod members;
pub(crate) mod view;

use view::RoomRow;

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
    let mut people = new.members.clone();
    people.extend(new.created_by.clone());
    people.sort();
    people.dedup();
    let room = transaction(conn, |conn| {
        ensure_all(conn, app, &people)?;
        let row: RoomRow = diesel::insert_into(rooms::table)
            .values((
                rooms::app_id.eq(app),
                rooms::id.eq(RoomId::mint()),
                rooms::kind.eq(new.r#type.as_str()),
                rooms::title.eq(new.title.as_deref()),
                rooms::created_by.eq(new.created_by.as_ref()),
            ))
            .returning(RoomRow::as_returning())
            .get_result(conn)?;
        members::insert(conn, app, &row, &people)?;
        // Nothing is unread yet, so it does not matter whose eyes these are.
        match people.first() {
            Some(viewer) => view::views(conn, app, viewer, vec![row]),
            None => Ok(vec![row.into_empty()]),
        }
    })?;
    one(room)
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
    let mut people = [user.clone(), other.clone()];
    people.sort();
    // Ids hold no control characters, so no other pair has this key.
    let dm_key = [people[0].as_str(), people[1].as_str()].join("\u{1f}");
    let (room, created) = transaction(conn, |conn| {
        ensure_all(conn, app, &people)?;
        // Of two at once, the second waits here for the first and then inserts nothing.
        let created: Option<RoomRow> = diesel::insert_into(rooms::table)
            .values((
                rooms::app_id.eq(app),
                rooms::id.eq(RoomId::mint()),
                rooms::kind.eq(RoomType::Direct.as_str()),
                rooms::dm_key.eq(&dm_key),
                rooms::created_by.eq(user),
            ))
            .on_conflict((rooms::app_id, rooms::dm_key))
            .do_nothing()
            .returning(RoomRow::as_returning())
            .get_result(conn)
            .optional()?;
        let new = created.is_some();
        let row = match created {
            Some(row) => row,
            None => rooms::table
                .filter(rooms::app_id.eq(app).and(rooms::dm_key.eq(&dm_key)))
                .select(RoomRow::as_select())
                .for_no_key_update()
                .first(conn)?,
        };
        members::insert(conn, app, &row, &people)?;
        Ok((view::views(conn, app, user, vec![row])?, new))
    })?;
    Ok((one(room)?, created))
}

/// The room as `viewer` sees it; `None` if it does not exist or the viewer is not in it. `online` is false everywhere.
pub fn get(conn: &mut PgConnection, app: &AppId, viewer: &UserId, room: RoomId) -> Result<Option<Room>, Error> {
    let row = members_table::table
        .inner_join(rooms::table.on(rooms::app_id.eq(members_table::app_id).and(rooms::id.eq(members_table::room_id))))
        .filter(members_table::app_id.eq(app))
        .filter(members_table::room_id.eq(room).and(members_table::user_id.eq(viewer)))
        .select(RoomRow::as_select());
    let views = snapshot(conn, |conn| {
        let row: Option<RoomRow> = row.first(conn).optional()?;
        view::views(conn, app, viewer, row.into_iter().collect())
    })?;
    Ok(views.into_iter().next())
}

/// The room, whoever asks: for backends.
pub fn get_any(conn: &mut PgConnection, app: &AppId, room: RoomId) -> Result<Option<RoomSummary>, Error> {
    let row: Option<RoomRow> = rooms::table
        .filter(rooms::app_id.eq(app).and(rooms::id.eq(room)))
        .select(RoomRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.map(RoomRow::into_summary))
}

/// Gives the room another title, or none. `None` if there is no such room. Does not move it in room lists.
pub fn update_title(
    conn: &mut PgConnection,
    app: &AppId,
    room: RoomId,
    title: Option<&str>,
) -> Result<Option<RoomSummary>, Error> {
    let row: Option<RoomRow> = diesel::update(rooms::table.filter(rooms::app_id.eq(app).and(rooms::id.eq(room))))
        .set(rooms::title.eq(title))
        .returning(RoomRow::as_returning())
        .get_result(conn)
        .optional()?;
    Ok(row.map(RoomRow::into_summary))
}

/// Deletes the room with its messages and members; whether there was one.
pub fn delete(conn: &mut PgConnection, app: &AppId, room: RoomId) -> Result<bool, Error> {
    Ok(diesel::delete(rooms::table.filter(rooms::app_id.eq(app).and(rooms::id.eq(room)))).execute(conn)? > 0)
}

fn one(rooms: Vec<Room>) -> Result<Room, Error> {
    rooms.into_iter().next().ok_or_else(|| diesel::result::Error::NotFound.into())
}
