//! Deliveries that end without being sent, and forgetting those that have ended. In small steps.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text, Uuid as SqlUuid};
use protocol::AppId;
use protocol::notification::NotificationId;

use crate::{Error, PgConnection};

/// Ends up to `limit` deliveries that were not sent in time. How many there were.
pub fn expire(conn: &mut PgConnection, limit: u32) -> Result<usize, Error> {
    let expired = diesel::sql_query(
        "UPDATE deliveries SET state = 'expired', updated_at = now() WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM deliveries
             WHERE state = 'ready' AND expires_at <= now() AND expires_at > '-infinity'
             ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))",
    )
    .bind::<BigInt, _>(i64::from(limit));
    Ok(expired.execute(conn)?)
}

/// What taking a notification back could still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Will not be sent.
    pub cancelled: usize,
    /// Are being sent right now; if that fails, they are not tried again.
    pub under_way: usize,
}

/// Takes a notification's deliveries back, as far as they have not been sent.
pub fn cancel(conn: &mut PgConnection, app: &AppId, notification: NotificationId) -> Result<Cancelled, Error> {
    // A worker has those that are leased: without time left, they cannot become ready again.
    let states: Vec<State> = diesel::sql_query(
        "UPDATE deliveries SET reason = 'cancelled', updated_at = now(),
             state = CASE state WHEN 'ready' THEN 'cancelled' ELSE state END,
             expires_at = CASE state WHEN 'ready' THEN expires_at ELSE least(expires_at, now()) END
         WHERE app_id = $1 AND notification_id = $2 AND state IN ('ready', 'leased') RETURNING state",
    )
    .bind::<Text, _>(app)
    .bind::<SqlUuid, _>(notification)
    .load(conn)?;
    let cancelled = states.iter().filter(|row| row.state == "cancelled").count();
    Ok(Cancelled { cancelled, under_way: states.len() - cancelled })
}

#[derive(QueryableByName)]
struct State {
    #[diesel(sql_type = Text)]
    state: String,
}

/// How long deliveries are kept after they have ended, with all their attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended as they should.
    pub finished: Duration,
    /// Those that were given up, or of which nobody knows.
    pub dead: Duration,
}

/// Removes up to `limit` deliveries of each kind that are kept no longer, the oldest first. How many there were.
pub fn prune(conn: &mut PgConnection, retention: &Retention, limit: u32) -> Result<usize, Error> {
    let finished = diesel::sql_query(
        "DELETE FROM deliveries WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM deliveries
             WHERE state IN ('sent', 'delivered', 'failed', 'skipped', 'expired', 'cancelled')
                 AND updated_at < now() - make_interval(secs => $1)
             ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind::<Double, _>(retention.finished.as_secs_f64())
    .bind::<BigInt, _>(i64::from(limit))
    .execute(conn)?;
    let dead = diesel::sql_query(
        "DELETE FROM deliveries WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM deliveries
             WHERE state IN ('dead', 'unknown') AND updated_at < now() - make_interval(secs => $1)
             ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind::<Double, _>(retention.dead.as_secs_f64())
    .bind::<BigInt, _>(i64::from(limit))
    .execute(conn)?;
    Ok(finished + dead)
}
