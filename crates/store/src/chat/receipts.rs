//! Receipts and unread counts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use protocol::{AppId, RoomId, UserId};

use crate::rooms::view::{unread, unread_by_room};
use crate::schema::{members, rooms};
use crate::transaction::transaction;
use crate::{Error, PgConnection};

diesel::define_sql_function! {
    fn greatest(a: BigInt, b: BigInt) -> BigInt;
}

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
    transaction(conn, |conn| {
        let Some(last_seq) = last_seq(conn, app, user, room)? else { return Ok(None) };
        let target = up_to.unwrap_or(last_seq).min(last_seq);
        let own = members::app_id.eq(app).and(members::room_id.eq(room)).and(members::user_id.eq(user));
        let moved = diesel::update(members::table.filter(own.and(members::last_read_seq.lt(target))))
            .set((
                members::last_read_seq.eq(target),
                members::last_delivered_seq.eq(greatest(members::last_delivered_seq, target)),
                members::read_at.eq(diesel::dsl::now),
            ))
            .execute(conn)?;
        // Read again: somebody else may have moved it further meanwhile.
        let row: Option<(i64, DateTime<Utc>)> =
            members::table.filter(own).select((members::last_read_seq, members::read_at)).first(conn).optional()?;
        let Some((last_read_seq, read_at)) = row else { return Ok(None) };
        let unread = unread_by_room(conn, app, user, &[room])?.first().map_or(0, |(_, count)| *count);
        let unread_total = totals(conn, app, std::slice::from_ref(user))?.first().map_or(0, |(_, count)| *count);
        Ok(Some(Read { moved: moved > 0, last_read_seq, read_at, unread, unread_total }))
    })
}

/// As [`mark_read`], for the delivered pointer.
pub fn mark_delivered(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    room: RoomId,
    up_to: Option<i64>,
) -> Result<Option<Delivered>, Error> {
    transaction(conn, |conn| {
        let Some(last_seq) = last_seq(conn, app, user, room)? else { return Ok(None) };
        let target = up_to.unwrap_or(last_seq).min(last_seq);
        let own = members::app_id.eq(app).and(members::room_id.eq(room)).and(members::user_id.eq(user));
        let moved = diesel::update(members::table.filter(own.and(members::last_delivered_seq.lt(target))))
            .set((members::last_delivered_seq.eq(target), members::delivered_at.eq(diesel::dsl::now)))
            .execute(conn)?;
        let row: Option<(i64, DateTime<Utc>)> = members::table
            .filter(own)
            .select((members::last_delivered_seq, members::delivered_at))
            .first(conn)
            .optional()?;
        Ok(row.map(|(last_delivered_seq, delivered_at)| Delivered {
            moved: moved > 0,
            last_delivered_seq,
            delivered_at,
        }))
    })
}

/// What is unread over all rooms, for each of the users, in their order; 0 for somebody unknown.
pub fn unread_totals(conn: &mut PgConnection, app: &AppId, users: &[UserId]) -> Result<Vec<(UserId, i64)>, Error> {
    let counts: HashMap<UserId, i64> = totals(conn, app, users)?.into_iter().collect();
    Ok(users.iter().map(|user| (user.clone(), counts.get(user).copied().unwrap_or(0))).collect())
}

fn totals(conn: &mut PgConnection, app: &AppId, users: &[UserId]) -> QueryResult<Vec<(UserId, i64)>> {
    unread()
        .filter(members::app_id.eq(app).and(members::user_id.eq_any(users)))
        .group_by(members::user_id)
        .select((members::user_id, diesel::dsl::count_star()))
        .load(conn)
}

/// The room's newest `seq`, if the user is in it. It only grows, so it may be used after this.
fn last_seq(conn: &mut PgConnection, app: &AppId, user: &UserId, room: RoomId) -> QueryResult<Option<i64>> {
    members::table
        .inner_join(rooms::table.on(rooms::app_id.eq(members::app_id).and(rooms::id.eq(members::room_id))))
        .filter(members::app_id.eq(app).and(members::room_id.eq(room)).and(members::user_id.eq(user)))
        .select(rooms::last_seq)
        .first(conn)
        .optional()
}
