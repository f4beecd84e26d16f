//! A user's room list, page by page, in an order that holds still while people write.
//!
//! A room that is written in rises to the top. Paging by the newest position alone would lose a room that rises past
//! the reader between two pages. So later pages sort by where each room was at a fixed moment, the horizon, which the
//! cursor carries; and rooms that were written in around that moment and were already shown are named in the cursor.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::{case_when, exists, not};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use protocol::chat::Room;
use protocol::{AppId, RoomId, UserId};

use super::view::{RoomRow, views};
use crate::schema::{members, messages, rooms, users};
use crate::transaction::snapshot;
use crate::{Error, PgConnection};

/// How long before the first page the horizon lies. A message takes its time while it holds the room's lock, so one
/// that is older than this was committed, and seen, when the first page was read.
const HORIZON_BEFORE: TimeDelta = TimeDelta::seconds(2);

/// Where a page of the room list ended. Opaque on the wire: `Display` writes it, `FromStr` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    position: DateTime<Utc>,
    id: RoomId,
    horizon: DateTime<Utc>,
    /// Shown on the first page and written in after the horizon.
    shown: Vec<RoomId>,
}

/// Text that no [`Cursor`] was written as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that was handed out")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, horizon) = (self.position.timestamp_micros(), self.horizon.timestamp_micros());
        write!(f, "{position}_{}_{horizon}", self.id)?;
        self.shown.iter().try_for_each(|id| write!(f, "_{id}"))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.split('_');
        let mut next = || parts.next().ok_or(InvalidCursor);
        let time = |text: &str| {
            let micros = text.parse().map_err(|_| InvalidCursor)?;
            DateTime::from_timestamp_micros(micros).filter(|time| *time < DateTime::<Utc>::MAX_UTC).ok_or(InvalidCursor)
        };
        let position = time(next()?)?;
        let id = next()?.parse().map_err(|_| InvalidCursor)?;
        let horizon = time(next()?)?;
        let shown = parts.map(|id| id.parse().map_err(|_| InvalidCursor)).collect::<Result<_, _>>()?;
        Ok(Self { position, id, horizon, shown })
    }
}

/// Which rooms are asked for.
#[derive(Clone, Debug)]
pub struct ListRooms {
    /// The most rooms on this page, at least 1.
    pub limit: i64,
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<Cursor>,
    /// Only rooms with another member whose name contains this, upper and lower case alike.
    pub search: Option<String>,
}

diesel::define_sql_function! {
    fn coalesce(found: Nullable<Timestamptz>, or: Timestamptz) -> Timestamptz;
}
diesel::define_sql_function! {
    fn clock_timestamp() -> Timestamptz;
}
diesel::alias!(members as others: Others);

/// One page of the user's rooms, last written first, and where the next page begins: `None` after the last.
///
/// Following the cursors shows every room once, whatever is written meanwhile. `online` is false everywhere. Always
/// the same number of queries.
pub fn list(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    list: &ListRooms,
) -> Result<(Vec<Room>, Option<Cursor>), Error> {
    let limit = list.limit.max(1);
    snapshot(conn, |conn| {
        let horizon = match &list.cursor {
            Some(cursor) => cursor.horizon,
            // The database's clock: it is the one that rooms carry.
            None => diesel::select(clock_timestamp()).get_result::<DateTime<Utc>>(conn)? - HORIZON_BEFORE,
        };
        let mut rows = page(conn, app, user, list, horizon, limit + 1)?;
        let more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|(last, position)| Cursor {
            position: *position,
            id: last.id,
            horizon,
            shown: match &list.cursor {
                Some(cursor) => cursor.shown.clone(),
                None => rows.iter().filter(|(room, _)| room.updated_at > horizon).map(|(room, _)| room.id).collect(),
            },
        });
        let rows = rows.into_iter().map(|(room, _)| room).collect();
        Ok((views(conn, app, user, rows)?, next))
    })
}

/// Rooms with the position that they are sorted by.
fn page(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    list: &ListRooms,
    horizon: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<(RoomRow, DateTime<Utc>)>> {
    let mut query = members::table
        .inner_join(rooms::table.on(rooms::app_id.eq(members::app_id).and(rooms::id.eq(members::room_id))))
        .filter(members::app_id.eq(app).and(members::user_id.eq(user)))
        .limit(limit)
        .into_boxed();
    if let Some(search) = &list.search {
        let found =
            others
                .inner_join(users::table.on(
                    users::app_id.eq(others.field(members::app_id)).and(users::id.eq(others.field(members::user_id))),
                ))
                .filter(others.field(members::app_id).eq(rooms::app_id))
                .filter(others.field(members::room_id).eq(rooms::id))
                .filter(others.field(members::user_id).ne(user))
                .filter(users::name.ilike(containing(search)).escape('\\'));
        query = query.filter(exists(found));
    }
    let Some(cursor) = &list.cursor else {
        return query
            .order((rooms::updated_at.desc(), rooms::id.desc()))
            .select((RoomRow::as_select(), rooms::updated_at))
            .load(conn);
    };
    let written = messages::table
        .filter(messages::app_id.eq(rooms::app_id).and(messages::room_id.eq(rooms::id)))
        .filter(messages::created_at.le(horizon))
        .order(messages::seq.desc())
        .select(messages::created_at)
        .limit(1)
        .single_value();
    let position =
        case_when(rooms::updated_at.gt(horizon), coalesce(written, rooms::created_at)).otherwise(rooms::updated_at);
    let after = position.lt(cursor.position).or(position.eq(cursor.position).and(rooms::id.lt(cursor.id)));
    query
        .filter(after)
        .filter(not(rooms::id.eq_any(&cursor.shown)))
        .order((position.desc(), rooms::id.desc()))
        .select((RoomRow::as_select(), position))
        .load(conn)
}

/// A LIKE pattern for text that contains `text`, whose own marks mean nothing.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.trim().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_out_and_anything_else_is_refused() {
        let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        let mut cursor =
            Cursor { position: at(1_700_000_000_000_001), id: RoomId::mint(), horizon: at(5), shown: vec![] };
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        cursor.shown = vec![RoomId::mint(), RoomId::mint()];
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        for bad in ["", "_", "1_2_3", "x", "9223372036854775807_a_1", &format!("{cursor}_"), &format!("{cursor}x")] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
    }

    #[test]
    fn marks_of_a_pattern_are_taken_literally() {
        assert_eq!(containing(r" 50%_\ "), r"%50\%\_\\%");
    }
}
