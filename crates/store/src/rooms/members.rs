//! Membership of rooms.

use diesel::prelude::*;
use protocol::{AppId, RoomId, UserId};

use super::view::RoomRow;
use crate::schema::{members, rooms};
use crate::transaction::transaction;
use crate::users::ensure_all;
use crate::{Error, PgConnection};

/// Puts people into a room; `None` if there is no such room, else those who were not in it before.
///
/// For whoever joins, unread messages begin at the join. People not known yet are called by their id.
pub fn add_members(
    conn: &mut PgConnection,
    app: &AppId,
    room: RoomId,
    users: &[UserId],
) -> Result<Option<Vec<UserId>>, Error> {
    transaction(conn, |conn| {
        ensure_all(conn, app, users)?;
        // Locked: a message sent meanwhile comes after the join or before it, never half of each.
        let row: Option<RoomRow> = rooms::table
            .filter(rooms::app_id.eq(app).and(rooms::id.eq(room)))
            .select(RoomRow::as_select())
            .for_no_key_update()
            .first(conn)
            .optional()?;
        match row {
            Some(row) => insert(conn, app, &row, users).map(Some),
            None => Ok(None),
        }
    })
}

/// Takes somebody out of a room; `None` if there is no such room, else whether they were in it.
pub fn remove_member(conn: &mut PgConnection, app: &AppId, room: RoomId, user: &UserId) -> Result<Option<bool>, Error> {
    let row = members::app_id.eq(app).and(members::room_id.eq(room)).and(members::user_id.eq(user));
    if diesel::delete(members::table.filter(row)).execute(conn)? > 0 {
        return Ok(Some(true));
    }
    Ok(super::get_any(conn, app, room)?.map(|_| false))
}

/// Who is in the room, by id; empty if there is no such room.
pub fn member_ids(conn: &mut PgConnection, app: &AppId, room: RoomId) -> Result<Vec<UserId>, Error> {
    Ok(members::table
        .filter(members::app_id.eq(app).and(members::room_id.eq(room)))
        .order(members::user_id)
        .select(members::user_id)
        .load(conn)?)
}

/// Whether the user is in the room; false if there is no such room.
pub fn is_member(conn: &mut PgConnection, app: &AppId, room: RoomId, user: &UserId) -> Result<bool, Error> {
    let row = members::app_id.eq(app).and(members::room_id.eq(room)).and(members::user_id.eq(user));
    Ok(diesel::select(diesel::dsl::exists(members::table.filter(row))).get_result(conn)?)
}

/// Puts people into a room whose row is locked or new; those who were not in it before.
pub(super) fn insert(
    conn: &mut PgConnection,
    app: &AppId,
    room: &RoomRow,
    users: &[UserId],
) -> QueryResult<Vec<UserId>> {
    let mut users: Vec<&UserId> = users.iter().collect();
    users.sort();
    users.dedup();
    let rows: Vec<_> = users
        .into_iter()
        .map(|user| {
            (
                members::app_id.eq(app),
                members::room_id.eq(room.id),
                members::user_id.eq(user),
                members::last_read_seq.eq(room.last_seq),
                members::last_delivered_seq.eq(room.last_seq),
                members::joined_seq.eq(room.last_seq),
            )
        })
        .collect();
    diesel::insert_into(members::table)
        .values(rows)
        .on_conflict_do_nothing()
        .returning(members::user_id)
        .get_results(conn)
}
