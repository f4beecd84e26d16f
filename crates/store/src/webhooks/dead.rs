//! Deliveries that were given up.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use protocol::AppId;
use uuid::Uuid;

use super::queue::promote;
use crate::schema::webhook_deliveries::{self, columns as d};
use crate::schema::webhook_endpoints;
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct DeadLetter {
    /// Of the delivery: `X-Kabar-Webhook-Id`.
    pub id: Uuid,
    /// Where it was to go.
    pub endpoint: Uuid,
    /// The endpoint's address now.
    pub url: String,
    /// Exactly what was sent.
    pub body: String,
    /// How often it was tried since it was enqueued or last replayed.
    pub attempts: i32,
    /// What the last attempt failed with.
    pub last_error: Option<String>,
    /// When it was given up.
    pub dead_at: Option<DateTime<Utc>>,
    /// When it was enqueued, or replayed last.
    pub created_at: DateTime<Utc>,
}

/// Up to `limit` deliveries of the app that were given up, the oldest first.
pub fn dead_letters(conn: &mut PgConnection, app: &AppId, limit: i64) -> Result<Vec<DeadLetter>, Error> {
    let same = webhook_endpoints::app_id.eq(d::app_id).and(webhook_endpoints::id.eq(d::endpoint_id));
    Ok(webhook_deliveries::table
        .inner_join(webhook_endpoints::table.on(same))
        .filter(d::app_id.eq(app).and(d::state.eq("dead")))
        .order((d::dead_at, d::seq))
        .limit(limit)
        .select((
            d::id,
            d::endpoint_id,
            webhook_endpoints::url,
            d::body,
            d::attempts,
            d::last_error,
            d::dead_at,
            d::created_at,
        ))
        .load(conn)?)
}

/// Sends dead letters of the app again, all or those named, in their old order and behind what is pending. Their ids
/// stay, their attempts begin anew. How many there were.
pub fn replay(conn: &mut PgConnection, app: &AppId, ids: Option<&[Uuid]>, now: DateTime<Utc>) -> Result<usize, Error> {
    transaction(conn, |conn| {
        let endpoints = webhook_endpoints::table.filter(webhook_endpoints::app_id.eq(app));
        let locked = endpoints.order(webhook_endpoints::id).select(webhook_endpoints::id).for_no_key_update();
        locked.load::<Uuid>(conn)?;
        // The new numbers are drawn in the order of the old ones.
        let replayed: Vec<Replayed> = diesel::sql_query(
            "WITH chosen AS MATERIALIZED (
                 SELECT id FROM webhook_deliveries
                 WHERE app_id = $1 AND state = 'dead' AND ($2 IS NULL OR id = ANY ($2))
                 ORDER BY seq FOR UPDATE
             ), numbered AS MATERIALIZED (
                 SELECT id, nextval(pg_get_serial_sequence('webhook_deliveries', 'seq')) AS seq FROM chosen
             )
             UPDATE webhook_deliveries AS d
             SET state = 'waiting', dead_at = NULL, attempts = 0, first_attempt_at = NULL, lease = NULL,
                 next_attempt_at = $3, created_at = $3, seq = numbered.seq
             FROM numbered WHERE d.app_id = $1 AND d.id = numbered.id
             RETURNING d.endpoint_id, d.order_key",
        )
        .bind::<Text, _>(app.as_str())
        .bind::<Nullable<Array<SqlUuid>>, _>(ids)
        .bind::<Timestamptz, _>(now)
        .load(conn)?;
        promote(conn, &replayed.iter().map(|one| (app.as_str(), one.endpoint_id, one.order_key.as_str())).collect())?;
        Ok(replayed.len())
    })
}

#[derive(QueryableByName)]
struct Replayed {
    #[diesel(sql_type = SqlUuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = Text)]
    order_key: String,
}

/// Removes dead letters of the app, all or those named. How many there were.
pub fn discard(conn: &mut PgConnection, app: &AppId, ids: Option<&[Uuid]>) -> Result<usize, Error> {
    let dead = webhook_deliveries::table.filter(d::app_id.eq(app).and(d::state.eq("dead")));
    Ok(match ids {
        Some(ids) => diesel::delete(dead.filter(d::id.eq_any(ids))).execute(conn)?,
        None => diesel::delete(dead).execute(conn)?,
    })
}

/// Removes up to `limit` dead letters of any app that were given up before then. How many there were.
pub fn prune(conn: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> Result<usize, Error> {
    let removed = diesel::sql_query(
        "DELETE FROM webhook_deliveries AS d USING (
             SELECT app_id, id FROM webhook_deliveries WHERE state = 'dead' AND dead_at < $1
             ORDER BY dead_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ) AS old WHERE d.app_id = old.app_id AND d.id = old.id",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<diesel::sql_types::BigInt, _>(limit);
    Ok(removed.execute(conn)?)
}
