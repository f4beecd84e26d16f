//! What users do with their notifications: each only forward, never undone.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use protocol::notification::{Category, Notification, NotificationId};
use protocol::{AppId, UserId};
use uuid::Uuid;

use super::{Row, unread};
use crate::schema::{inboxes, notifications};
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// Which notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one, wherever it is.
    One(NotificationId),
    /// All that stand in the list, of one category or of every one.
    All(Option<Category>),
}

/// What is done with them. What was done before stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The user saw it in a list.
    pub seen: bool,
    /// The user read it, and so saw it.
    pub read: bool,
    /// The user put it away.
    pub archived: bool,
    /// The user followed its link, and so read it.
    pub clicked: bool,
    /// It hides until then; a later call sets another time.
    pub snoozed_until: Option<DateTime<Utc>>,
}

impl Mark {
    /// Reading alone.
    pub const READ: Self = Self { seen: false, read: true, archived: false, clicked: false, snoozed_until: None };
}

/// What [`mark`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct Marked {
    /// How many it changed.
    pub changed: usize,
    /// The one that was meant, as it is now; none with [`Which::All`].
    pub notification: Option<Notification>,
    /// The newest of the list: what came later was not marked. Only with [`Which::All`].
    pub up_to_seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What is still unread.
    pub unread: i64,
}

/// Marks the user's own notifications. `None` if there is no such notification, or it is another user's.
pub fn mark(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    which: &Which,
    mark: Mark,
) -> Result<Option<Marked>, Error> {
    let (id, category) = match which {
        Which::One(id) => (Some(id.0), None),
        Which::All(category) => (None, category.as_ref().map(Category::as_str)),
    };
    transaction(conn, |conn| {
        // Held: nothing is told meanwhile, and two who mark everything do not wait for each other row by row.
        let up_to_seq: Option<i64> = inboxes::table
            .filter(inboxes::app_id.eq(app).and(inboxes::user_id.eq(user)))
            .select(inboxes::last_seq)
            .for_no_key_update()
            .first(conn)
            .optional()?;
        let at: DateTime<Utc> = diesel::select(super::notify::clock_timestamp()).get_result(conn)?;
        let changed = update(conn, app, user, id, category, mark, at)?;
        let notification = match which {
            Which::All(_) => None,
            Which::One(id) => {
                let own = notifications::app_id.eq(app).and(notifications::user_id.eq(user));
                let row = notifications::table
                    .filter(own.and(notifications::id.eq(*id)).and(notifications::seq.is_not_null()))
                    .select(Row::as_select());
                let Some(row) = row.first(conn).optional()? else { return Ok(None) };
                Some(row.into_notification())
            }
        };
        Ok(Some(Marked {
            changed,
            notification,
            up_to_seq: up_to_seq.unwrap_or(0),
            at,
            unread: unread(conn, app, user)?,
        }))
    })
}

fn update(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    id: Option<Uuid>,
    category: Option<&str>,
    mark: Mark,
    at: DateTime<Utc>,
) -> QueryResult<usize> {
    let read = mark.read || mark.clicked;
    let which = match id {
        Some(_) => "id = $3",
        None => {
            "$3 IS NULL AND archived_at IS NULL AND (snoozed_until IS NULL OR snoozed_until <= now())
             AND (expires_at IS NULL OR expires_at > now())"
        }
    };
    let of = if category.is_some() { "category = $4" } else { "$4 IS NULL" };
    // Reading, by far the most common, has an index of its own that this condition lets Postgres see.
    let new = match (mark.archived, mark.clicked, mark.snoozed_until) {
        (false, false, None) if read => "read_at IS NULL AND archived_at IS NULL",
        _ => "true",
    };
    let new = if id.is_some() { "true" } else { new };
    diesel::sql_query(format!(
        "UPDATE notifications SET
             seen_at = CASE WHEN $5 THEN coalesce(seen_at, $10) ELSE seen_at END,
             read_at = CASE WHEN $6 THEN coalesce(read_at, $10) ELSE read_at END,
             archived_at = CASE WHEN $7 THEN coalesce(archived_at, $10) ELSE archived_at END,
             clicked_at = CASE WHEN $8 THEN coalesce(clicked_at, $10) ELSE clicked_at END,
             snoozed_until = coalesce($9, snoozed_until)
         WHERE app_id = $1 AND user_id = $2 AND seq IS NOT NULL AND {which} AND {of} AND {new}
             AND ($5 AND seen_at IS NULL OR $6 AND read_at IS NULL OR $7 AND archived_at IS NULL
                 OR $8 AND clicked_at IS NULL OR $9 IS NOT NULL AND snoozed_until IS DISTINCT FROM $9)"
    ))
    .bind::<Text, _>(app)
    .bind::<Text, _>(user)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<Nullable<Text>, _>(category)
    .bind::<Bool, _>(mark.seen || read)
    .bind::<Bool, _>(read)
    .bind::<Bool, _>(mark.archived)
    .bind::<Bool, _>(mark.clicked)
    .bind::<Nullable<Timestamptz>, _>(mark.snoozed_until)
    .bind::<Timestamptz, _>(at)
    .execute(conn)
}
