//! Deliveries that were given up, or of which nobody knows: to be looked at, mended and sent again.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use protocol::notification::{Category, DeliveryId, NotificationId, Transport};
use protocol::{AppId, UserId};
use uuid::Uuid;

use super::wake::wake;
use super::{State, parsed};
use crate::schema::deliveries::{self, columns as d};
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// A delivery that needs an operator. See [`super::inspect`] for its attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Names it.
    pub id: DeliveryId,
    /// What it tells.
    pub notification: Option<NotificationId>,
    /// Whom.
    pub user: UserId,
    /// What kind of thing.
    pub category: Category,
    /// How.
    pub transport: Transport,
    /// [`State::Dead`], or [`State::Unknown`].
    pub state: State,
    /// Why.
    pub reason: Option<String>,
    /// What was to be sent.
    pub content: serde_json::Value,
    /// Attempts that count.
    pub tries: u32,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Up to `limit` deliveries of the app that need an operator, the newest first, from before one that was seen.
pub fn dead_letters(
    conn: &mut PgConnection,
    app: &AppId,
    before: Option<(DateTime<Utc>, DeliveryId)>,
    limit: u32,
) -> Result<Vec<DeadLetter>, Error> {
    let mut query = deliveries::table
        .filter(d::app_id.eq(app).and(d::state.eq("dead").or(d::state.eq("unknown"))))
        .order((d::updated_at.desc(), d::id.desc()))
        .limit(i64::from(limit))
        .select(Row::as_select())
        .into_boxed();
    if let Some((since, id)) = before {
        query = query.filter(d::updated_at.lt(since).or(d::updated_at.eq(since).and(d::id.lt(id))));
    }
    let rows: Vec<Row> = query.load(conn)?;
    Ok(rows.into_iter().map(Row::letter).collect::<QueryResult<_>>()?)
}

/// Changes what is to be sent when it is retried. Providers will not take it for a repeat of what was sent before.
/// `false` if it is not among the dead letters of the app.
pub fn edit(conn: &mut PgConnection, app: &AppId, id: DeliveryId, content: &serde_json::Value) -> Result<bool, Error> {
    let dead = deliveries::table.filter(d::app_id.eq(app).and(d::id.eq(id)));
    let edited = diesel::update(dead.filter(d::state.eq_any(["dead", "unknown"])))
        .set((d::content.eq(content), d::idempotency_key.eq(Uuid::now_v7())))
        .execute(conn)?;
    Ok(edited == 1)
}

/// Queues up to `limit` dead letters of the app again, those named or the oldest of all, due now and with tries of their
/// own. They are worth sending until `expires_at` at least. How many there were.
///
/// Without names, those that may have been sent ([`State::Unknown`]) are left out: who retries one wants it perhaps
/// twice, and says so by naming it.
pub fn retry(
    conn: &mut PgConnection,
    app: &AppId,
    ids: Option<&[DeliveryId]>,
    expires_at: DateTime<Utc>,
    limit: u32,
) -> Result<usize, Error> {
    let ids: Option<Vec<Uuid>> = ids.map(|ids| ids.iter().map(|id| id.0).collect());
    transaction(conn, |conn| {
        let retried = diesel::sql_query(
            "UPDATE deliveries SET state = 'ready', run_at = now(), expires_at = greatest(expires_at, $3), tries = 0,
                 duplicate_possible = duplicate_possible OR state = 'unknown', reason = NULL, updated_at = now()
             WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM deliveries
                 WHERE app_id = $1 AND state IN ('dead', 'unknown')
                     AND CASE WHEN $2 IS NULL THEN state = 'dead' ELSE id = ANY ($2) END
                 ORDER BY updated_at, id LIMIT $4 FOR UPDATE))",
        )
        .bind::<Text, _>(app)
        .bind::<Nullable<Array<SqlUuid>>, _>(&ids)
        .bind::<Timestamptz, _>(expires_at)
        .bind::<BigInt, _>(i64::from(limit))
        .execute(conn)?;
        if retried > 0 {
            wake(conn)?;
        }
        Ok(retried)
    })
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deliveries, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: DeliveryId,
    notification_id: Option<NotificationId>,
    user_id: UserId,
    category: Category,
    transport: String,
    state: String,
    reason: Option<String>,
    content: serde_json::Value,
    tries: i32,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn letter(self) -> QueryResult<DeadLetter> {
        Ok(DeadLetter {
            id: self.id,
            notification: self.notification_id,
            user: self.user_id,
            category: self.category,
            transport: parsed(&self.transport)?,
            state: parsed(&self.state)?,
            reason: self.reason,
            content: self.content,
            tries: self.tries.unsigned_abs(),
            since: self.updated_at,
        })
    }
}
