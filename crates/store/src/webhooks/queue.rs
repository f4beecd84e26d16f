//! The queue: enqueued with what was told, claimed with a lease, finished by whoever still holds it.
//!
//! Order: within one endpoint only the oldest delivery of an order key is pending, and can be claimed; those behind it
//! wait until it is delivered or given up, and nothing else does. Whatever adds to an endpoint's deliveries or takes one
//! away does so under the endpoint's lock, so that the next one is never overlooked. A lease that runs out can be claimed
//! again, so a delivery may be sent twice but is never lost.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Int4, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use protocol::AppId;
use uuid::Uuid;

use super::endpoints;
use super::occupancy::Occupant;
use crate::schema::webhook_deliveries::{self, columns as d};
use crate::schema::{webhook_endpoints, webhook_occupancy};
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// How much of an error is kept, in characters.
const ERROR_CHARS_MAX: usize = 300;
/// Rows of one INSERT: Postgres takes 65,535 parameters.
const ROWS_PER_INSERT: usize = 1000;

/// A request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The tenant.
    pub app: AppId,
    /// Stays the same over retries; one that is there already is not enqueued again.
    pub id: Uuid,
    /// Where it goes; if that is gone or disabled, it is left out.
    pub endpoint: Uuid,
    /// What it must not overtake: the channel, or empty for everything of the endpoint.
    pub order_key: String,
    /// Exactly what is signed and sent.
    pub body: String,
}

/// Enqueues deliveries, due now and in this order, together with what they tell: who is there and who is not any more.
/// All of it or nothing. How many deliveries were enqueued.
pub fn enqueue(
    conn: &mut PgConnection,
    deliveries: &[NewDelivery],
    there: &[Occupant],
    gone: &[Occupant],
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    transaction(conn, |conn| {
        let wanted: HashSet<Uuid> = deliveries.iter().map(|delivery| delivery.endpoint).collect();
        // In one order, so that two who do this do not wait for each other.
        let enabled: Vec<(AppId, Uuid)> = webhook_endpoints::table
            .filter(webhook_endpoints::enabled.and(webhook_endpoints::id.eq_any(wanted)))
            .select((webhook_endpoints::app_id, webhook_endpoints::id))
            .order((webhook_endpoints::app_id, webhook_endpoints::id))
            .for_no_key_update()
            .load(conn)?;
        let enabled: HashSet<(AppId, Uuid)> = enabled.into_iter().collect();
        let known = || deliveries.iter().filter(|one| enabled.contains(&(one.app.clone(), one.endpoint)));
        let rows: Vec<_> = known()
            .map(|delivery| {
                (
                    d::app_id.eq(&delivery.app),
                    d::id.eq(delivery.id),
                    d::endpoint_id.eq(delivery.endpoint),
                    d::order_key.eq(&delivery.order_key),
                    d::body.eq(&delivery.body),
                    d::next_attempt_at.eq(now),
                    d::created_at.eq(now),
                )
            })
            .collect();
        let mut enqueued = 0;
        for rows in rows.chunks(ROWS_PER_INSERT) {
            enqueued += diesel::insert_into(webhook_deliveries::table)
                .values(rows.to_vec())
                .on_conflict_do_nothing()
                .execute(conn)?;
        }
        promote(conn, &known().map(|one| (one.app.as_str(), one.endpoint, one.order_key.as_str())).collect())?;
        let columns = |occupant: &Occupant| {
            (
                webhook_occupancy::app_id.eq(occupant.app.clone()),
                webhook_occupancy::channel.eq(occupant.channel.clone()),
                webhook_occupancy::user_id.eq(occupant.user.clone().unwrap_or_default()),
            )
        };
        for there in there.chunks(ROWS_PER_INSERT) {
            diesel::insert_into(webhook_occupancy::table)
                .values(there.iter().map(columns).collect::<Vec<_>>())
                .on_conflict_do_nothing()
                .execute(conn)?;
        }
        remove(conn, gone)?;
        Ok(enqueued)
    })
}

/// Whose turn it is among the deliveries of these order keys: the oldest, if that is waiting. Under the endpoints' locks.
pub(super) fn promote(conn: &mut PgConnection, keys: &BTreeSet<(&str, Uuid, &str)>) -> QueryResult<usize> {
    diesel::sql_query(
        "UPDATE webhook_deliveries AS d SET state = 'pending'
         FROM unnest($1, $2, $3) AS k (app_id, endpoint_id, order_key)
         CROSS JOIN LATERAL (
             SELECT q.id, q.state FROM webhook_deliveries AS q
             WHERE q.app_id = k.app_id AND q.endpoint_id = k.endpoint_id AND q.order_key = k.order_key
                 AND q.state <> 'dead'
             ORDER BY q.seq LIMIT 1
         ) AS first
         WHERE first.state = 'waiting' AND d.app_id = k.app_id AND d.id = first.id",
    )
    .bind::<Array<Text>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(keys.iter().map(|key| key.2).collect::<Vec<_>>())
    .execute(conn)
}

/// Holds whoever else would add to the endpoint's deliveries or take one away.
fn lock(conn: &mut PgConnection, app: &AppId, endpoint: Uuid) -> QueryResult<()> {
    let same = webhook_endpoints::app_id.eq(app).and(webhook_endpoints::id.eq(endpoint));
    let locked = webhook_endpoints::table.filter(same).select(webhook_endpoints::id).for_no_key_update();
    locked.first::<Uuid>(conn).optional().map(drop)
}

fn remove(conn: &mut PgConnection, gone: &[Occupant]) -> QueryResult<usize> {
    let of = |field: fn(&Occupant) -> &str| gone.iter().map(field).collect::<Vec<_>>();
    diesel::sql_query(
        "DELETE FROM webhook_occupancy AS o USING unnest($1, $2, $3) AS gone (app_id, channel, user_id)
         WHERE o.app_id = gone.app_id AND o.channel = gone.channel AND o.user_id = gone.user_id",
    )
    .bind::<Array<Text>, _>(of(|one| one.app.as_str()))
    .bind::<Array<Text>, _>(of(|one| &one.channel))
    .bind::<Array<Text>, _>(of(|one| one.user.as_deref().unwrap_or_default()))
    .execute(conn)
}

/// What to claim, and for how long.
#[derive(Clone, Debug)]
pub struct Claim {
    /// When it is.
    pub now: DateTime<Utc>,
    /// When the claim ends by itself.
    pub lease_until: DateTime<Utc>,
    /// The most deliveries.
    pub limit: i64,
    /// The most of one endpoint, those of [`Claim::busy`] counted.
    pub per_endpoint: i32,
    /// Endpoints that this worker is sending to already, and how many deliveries.
    pub busy: Vec<(Uuid, i32)>,
}

/// A delivery that is the caller's until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The tenant.
    pub app: AppId,
    /// Stays the same over retries.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint: Uuid,
    /// Who may finish it.
    pub lease: Uuid,
    /// The endpoint's address.
    pub url: String,
    /// The endpoint's further headers.
    pub headers: BTreeMap<String, String>,
    /// Exactly what is signed and sent.
    pub body: String,
    /// This attempt, counted from 1.
    pub attempt: u32,
    /// When the first attempt was made.
    pub first_attempt_at: DateTime<Utc>,
}

/// Claims deliveries that are due, no two of one order key, and counts the attempt before it is made: a worker that dies
/// while it sends must not retry for ever. Nothing due is an empty list.
pub fn claim_due(conn: &mut PgConnection, claim: &Claim) -> Result<Vec<Claimed>, Error> {
    let lease = Uuid::now_v7();
    let (busy, counts): (Vec<Uuid>, Vec<i32>) = claim.busy.iter().copied().unzip();
    // Endpoints in random order: where there is more to do than `limit`, none is always the last.
    let claimed: Vec<ClaimedRow> = diesel::sql_query(
        "WITH claimed AS MATERIALIZED (
             SELECT due.app_id, due.id, e.url, e.headers
             FROM (SELECT * FROM webhook_endpoints WHERE enabled ORDER BY random()) AS e
             LEFT JOIN unnest($1, $2) AS busy (endpoint_id, deliveries) ON busy.endpoint_id = e.id
             CROSS JOIN LATERAL (
                 SELECT q.app_id, q.id FROM webhook_deliveries AS q
                 WHERE q.app_id = e.app_id AND q.endpoint_id = e.id
                     AND q.state = 'pending' AND q.next_attempt_at <= $3
                 ORDER BY q.next_attempt_at, q.seq
                 LIMIT greatest($4 - coalesce(busy.deliveries, 0), 0)
                 FOR UPDATE OF q SKIP LOCKED
             ) AS due
             LIMIT $5
         )
         UPDATE webhook_deliveries AS d
         SET attempts = d.attempts + 1, lease = $6, next_attempt_at = $7,
             first_attempt_at = coalesce(d.first_attempt_at, $3)
         FROM claimed WHERE d.app_id = claimed.app_id AND d.id = claimed.id
         RETURNING d.app_id, d.id, d.endpoint_id, d.body, d.attempts, d.first_attempt_at, claimed.url, claimed.headers",
    )
    .bind::<Array<SqlUuid>, _>(busy)
    .bind::<Array<Int4>, _>(counts)
    .bind::<Timestamptz, _>(claim.now)
    .bind::<Int4, _>(claim.per_endpoint)
    .bind::<BigInt, _>(claim.limit)
    .bind::<SqlUuid, _>(lease)
    .bind::<Timestamptz, _>(claim.lease_until)
    .load(conn)?;
    Ok(claimed.into_iter().map(|row| row.with_lease(lease)).collect())
}

/// The delivery has arrived: it is removed. `false` if somebody else holds it by now.
pub fn delivered(conn: &mut PgConnection, claimed: &Claimed) -> Result<bool, Error> {
    transaction(conn, |conn| {
        lock(conn, &claimed.app, claimed.endpoint)?;
        let done: Option<String> = diesel::delete(webhook_deliveries::table.filter(held(claimed)))
            .returning(d::order_key)
            .get_result(conn)
            .optional()?;
        let Some(order_key) = done else { return Ok(false) };
        promote(conn, &[(claimed.app.as_str(), claimed.endpoint, order_key.as_str())].into())?;
        Ok(true)
    })
}

/// The attempt has failed: the delivery is due again `next`, or given up. `false` if somebody else holds it by now.
///
/// For those behind one that is given up, the time for retries has been running since they were enqueued: an endpoint
/// that is down for hours does not hold up the first of them for as long again, and again.
pub fn failed(
    conn: &mut PgConnection,
    claimed: &Claimed,
    error: &str,
    now: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
) -> Result<bool, Error> {
    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
    let mine = webhook_deliveries::table.filter(held(claimed));
    let released = (d::lease.eq(None::<Uuid>), d::last_error.eq(&error));
    if let Some(next) = next {
        return Ok(diesel::update(mine).set((released, d::next_attempt_at.eq(next))).execute(conn)? == 1);
    }
    transaction(conn, |conn| {
        lock(conn, &claimed.app, claimed.endpoint)?;
        let given_up: Option<(String, i64)> = diesel::update(webhook_deliveries::table.filter(held(claimed)))
            .set((d::lease.eq(None::<Uuid>), d::last_error.eq(&error), d::state.eq("dead"), d::dead_at.eq(now)))
            .returning((d::order_key, d::seq))
            .get_result(conn)
            .optional()?;
        let Some((order_key, seq)) = given_up else { return Ok(false) };
        let behind = webhook_deliveries::table
            .filter(
                d::app_id.eq(&claimed.app).and(d::endpoint_id.eq(claimed.endpoint)).and(d::order_key.eq(&order_key)),
            )
            .filter(d::state.eq("waiting").and(d::first_attempt_at.is_null()).and(d::seq.gt(seq)));
        diesel::update(behind).set(d::first_attempt_at.eq(d::created_at.nullable())).execute(conn)?;
        promote(conn, &[(claimed.app.as_str(), claimed.endpoint, order_key.as_str())].into())?;
        Ok(true)
    })
}

/// How many deliveries of the app wait to be sent.
pub fn pending(conn: &mut PgConnection, app: &AppId) -> Result<i64, Error> {
    Ok(webhook_deliveries::table.filter(d::app_id.eq(app).and(d::state.ne("dead"))).count().get_result(conn)?)
}

type Held<'a> = diesel::dsl::And<
    diesel::dsl::And<diesel::dsl::Eq<d::app_id, &'a AppId>, diesel::dsl::Eq<d::id, Uuid>>,
    diesel::dsl::Eq<d::lease, Uuid>,
    diesel::sql_types::Nullable<diesel::sql_types::Bool>,
>;

fn held(claimed: &Claimed) -> Held<'_> {
    d::app_id.eq(&claimed.app).and(d::id.eq(claimed.id)).and(d::lease.eq(claimed.lease))
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = Text)]
    app_id: AppId,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = Text)]
    body: String,
    #[diesel(sql_type = Int4)]
    attempts: i32,
    #[diesel(sql_type = Timestamptz)]
    first_attempt_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Jsonb)]
    headers: serde_json::Value,
}

impl ClaimedRow {
    fn with_lease(self, lease: Uuid) -> Claimed {
        Claimed {
            app: self.app_id,
            id: self.id,
            endpoint: self.endpoint_id,
            lease,
            url: self.url,
            headers: endpoints::headers(self.headers),
            body: self.body,
            attempt: self.attempts.unsigned_abs(),
            first_attempt_at: self.first_attempt_at,
        }
    }
}
