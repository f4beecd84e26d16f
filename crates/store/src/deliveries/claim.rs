//! Claiming: one statement that shares its limit among apps and transports, and leases what it takes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Double, Int2, Int4, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use protocol::notification::{Category, DeliveryId, NotificationId, Transport};
use protocol::{AppId, UserId};
use uuid::Uuid;

use super::parsed;
use crate::{Error, PgConnection};

/// What to claim, and for how long.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who claims.
    pub worker: Uuid,
    /// The most deliveries.
    pub limit: u32,
    /// How many more may be under way by each transport; one that is not named is not claimed.
    pub transports: Vec<(Transport, u32)>,
    /// How many more of an app may be under way, where [`Claim::apps`] does not say.
    pub per_app: u32,
    /// How many more of these apps.
    pub apps: Vec<(AppId, u32)>,
    /// After how long others may have them: the provider's timeout and a minute.
    pub lease: Duration,
}

/// A delivery that is the caller's until its lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The tenant.
    pub app: AppId,
    /// Names it.
    pub id: DeliveryId,
    /// What it tells.
    pub notification: Option<NotificationId>,
    /// Whom.
    pub user: UserId,
    /// For their preferences.
    pub category: Category,
    /// How.
    pub transport: Transport,
    /// The smaller goes first.
    pub priority: i16,
    /// Since when it was due.
    pub run_at: DateTime<Utc>,
    /// Worth nothing after.
    pub expires_at: DateTime<Utc>,
    /// This claim's number: with [`Claimed::worker`], who may finish it.
    pub attempt: i32,
    /// Attempts that count, this one among them.
    pub tries: u32,
    /// Who holds it.
    pub worker: Uuid,
    /// Until when, by the database's clock.
    pub lease_until: DateTime<Utc>,
    /// A later one with the same key replaces it, where the provider can.
    pub collapse_key: Option<String>,
    /// What is to be sent.
    pub content: serde_json::Value,
    /// Who was called last: where that may have succeeded, another one would make a double of it.
    pub provider: Option<String>,
    /// The same for each call with this content: by it a provider may know a repeat.
    pub idempotency_key: Uuid,
    /// An earlier attempt may have arrived.
    pub duplicate_possible: bool,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
}

/// Leases deliveries that are due to this worker, and counts the attempt before it is made: a worker that dies over a
/// delivery must not retry it for ever.
///
/// The limit is shared: an app has an equal part of it, and so has each transport of the app, even if another one leaves
/// some of its own. So fewer than the limit does not mean that nothing is left; an empty answer does, or that others are
/// claiming it. What is past its `expires_at` expires here instead of being claimed.
pub fn claim_due(conn: &mut PgConnection, claim: &Claim) -> Result<Vec<Claimed>, Error> {
    loop {
        let rows: Vec<Row> = Statement::of(claim).load(conn)?;
        let found = rows.len();
        let leased = rows.into_iter().filter(|row| row.state == "leased");
        let mut claimed = leased.map(|row| row.claimed(claim.worker)).collect::<QueryResult<Vec<_>>>()?;
        // Only expired ones stood in front: what is behind them waits no longer for that.
        if claimed.is_empty() && found > 0 {
            continue;
        }
        claimed.sort_by_key(|one| (one.priority, one.run_at, one.id));
        return Ok(claimed);
    }
}

/// The statement. As a type of diesel's it is prepared once per connection.
struct Statement<'a> {
    claim: &'a Claim,
    transports: Vec<&'static str>,
    transports_free: Vec<i64>,
    apps: Vec<&'a str>,
    apps_free: Vec<i64>,
    seconds: f64,
    per_app: i64,
    limit: i64,
}

impl<'a> Statement<'a> {
    fn of(claim: &'a Claim) -> Self {
        Self {
            claim,
            transports: claim.transports.iter().map(|(transport, _)| transport.as_str()).collect(),
            transports_free: claim.transports.iter().map(|(_, free)| i64::from(*free)).collect(),
            apps: claim.apps.iter().map(|(app, _)| app.as_str()).collect(),
            apps_free: claim.apps.iter().map(|(_, free)| i64::from(*free)).collect(),
            seconds: claim.lease.as_secs_f64(),
            per_app: i64::from(claim.per_app),
            limit: i64::from(claim.limit),
        }
    }
}

/// `ready` leaps from one (app, transport, priority) to the next, so its cost is their number and not the queue's
/// length; `due` keeps those whose first is due. `LIMIT` with `ORDER BY` wherever the planner could otherwise prefer to
/// read the whole table, and `ctid` because its guesses do not matter there.
const LANES: &str = "WITH RECURSIVE ready (app_id, transport, priority) AS (
    (SELECT d.app_id, d.transport, d.priority FROM deliveries d WHERE d.state = 'ready'
     ORDER BY d.app_id, d.transport, d.priority LIMIT 1)
    UNION ALL
    SELECT next.* FROM ready r CROSS JOIN LATERAL (
        SELECT d.app_id, d.transport, d.priority FROM deliveries d
        WHERE d.state = 'ready' AND (d.app_id, d.transport, d.priority) > (r.app_id, r.transport, r.priority)
        ORDER BY d.app_id, d.transport, d.priority LIMIT 1
    ) next
), due AS MATERIALIZED (
    SELECT r.* FROM ready r CROSS JOIN LATERAL (
        SELECT FROM deliveries d WHERE d.state = 'ready' AND d.app_id = r.app_id AND d.transport = r.transport
            AND d.priority = r.priority AND d.run_at <= now()
        ORDER BY d.run_at, d.id LIMIT 1
    ) first
), lane AS MATERIALIZED (
    SELECT due.app_id, due.transport, min(due.priority) AS best, random() AS roll,
        min(t.free) AS transport_free, min(coalesce(a.free, s.per_app)) AS app_free, min(s.total) AS total
    FROM due CROSS JOIN (SELECT ";

/// Parts of a whole differ by one at most; who has the larger one is drawn by lot, the most urgent first.
const SHARES: &str = ") AS t (transport, free) ON t.transport = due.transport
    WHERE t.free > 0 AND coalesce(a.free, s.per_app) > 0
    GROUP BY due.app_id, due.transport
), ranked AS (
    SELECT l.*, count(*) OVER app AS lanes_of_app, row_number() OVER app_order AS in_app,
        count(*) OVER transport AS lanes_of_transport, row_number() OVER transport_order AS in_transport,
        (SELECT count(DISTINCT app_id) FROM lane) AS apps
    FROM lane l WINDOW app AS (PARTITION BY app_id), app_order AS (PARTITION BY app_id ORDER BY best, roll),
        transport AS (PARTITION BY transport), transport_order AS (PARTITION BY transport ORDER BY best, roll)
), shared AS MATERIALIZED (
    SELECT app_id, transport, best, roll, total, least(
        (total + apps * lanes_of_app - 1) / (apps * lanes_of_app),
        app_free / lanes_of_app + (in_app <= app_free % lanes_of_app)::int,
        transport_free / lanes_of_transport + (in_transport <= transport_free % lanes_of_transport)::int
    ) AS share FROM ranked
)
UPDATE deliveries AS d
SET state = CASE WHEN expires_at > now() THEN 'leased' WHEN reason = 'cancelled' THEN 'cancelled' ELSE 'expired' END,
    attempt = attempt + (expires_at > now())::int, tries = tries + (expires_at > now())::int,
    reason = CASE WHEN expires_at <= now() THEN reason END, updated_at = now(),
    lease = CASE WHEN expires_at > now() THEN ";

const PICKS: &str = ") END
WHERE d.ctid = ANY (ARRAY(
    SELECT pick.ctid FROM (SELECT * FROM shared WHERE share > 0 ORDER BY best, roll) s
    CROSS JOIN LATERAL (
        SELECT one.ctid
        FROM (SELECT due.priority FROM due WHERE due.app_id = s.app_id AND due.transport = s.transport
              ORDER BY due.priority) p
        CROSS JOIN LATERAL (
            SELECT q.ctid FROM deliveries q
            WHERE q.state = 'ready' AND q.app_id = s.app_id AND q.transport = s.transport
                AND q.priority = p.priority AND q.run_at <= now()
            ORDER BY q.run_at, q.id LIMIT s.share FOR UPDATE SKIP LOCKED
        ) one LIMIT s.share
    ) pick LIMIT (SELECT min(total) FROM shared)
))
RETURNING d.state, d.app_id, d.id, d.notification_id, d.user_id, d.category, d.transport, d.priority, d.run_at,
    d.expires_at, d.attempt, d.tries, d.lease_until, d.collapse_key, d.content, d.provider, d.idempotency_key,
    d.duplicate_possible, d.created_at";

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(LANES);
        out.push_bind_param::<BigInt, _>(&self.per_app)?;
        out.push_sql("::bigint AS per_app, ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql("::bigint AS total) s LEFT JOIN unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.apps)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.apps_free)?;
        out.push_sql(") AS a (app_id, free) ON a.app_id = due.app_id JOIN unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.transports)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.transports_free)?;
        out.push_sql(SHARES);
        out.push_bind_param::<SqlUuid, _>(&self.claim.worker)?;
        out.push_sql("::uuid END, lease_until = CASE WHEN expires_at > now() THEN now() + make_interval(secs => ");
        out.push_bind_param::<Double, _>(&self.seconds)?;
        out.push_sql(PICKS);
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = Statement<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Statement<'_> {
    type SqlType = (
        Text,
        Text,
        SqlUuid,
        Nullable<SqlUuid>,
        Text,
        Text,
        Text,
        Int2,
        Timestamptz,
        Timestamptz,
        Int4,
        Int4,
        Nullable<Timestamptz>,
        Nullable<Text>,
        Jsonb,
        Nullable<Text>,
        SqlUuid,
        Bool,
        Timestamptz,
    );
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

#[derive(Queryable)]
struct Row {
    state: String,
    app: AppId,
    id: DeliveryId,
    notification: Option<NotificationId>,
    user: UserId,
    category: Category,
    transport: String,
    priority: i16,
    run_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    attempt: i32,
    tries: i32,
    lease_until: Option<DateTime<Utc>>,
    collapse_key: Option<String>,
    content: serde_json::Value,
    provider: Option<String>,
    idempotency_key: Uuid,
    duplicate_possible: bool,
    created_at: DateTime<Utc>,
}

impl Row {
    fn claimed(self, worker: Uuid) -> QueryResult<Claimed> {
        Ok(Claimed {
            app: self.app,
            id: self.id,
            notification: self.notification,
            user: self.user,
            category: self.category,
            transport: parsed(&self.transport)?,
            priority: self.priority,
            run_at: self.run_at,
            expires_at: self.expires_at,
            attempt: self.attempt,
            tries: self.tries.unsigned_abs(),
            worker,
            lease_until: self.lease_until.unwrap_or(self.run_at),
            collapse_key: self.collapse_key,
            content: self.content,
            provider: self.provider,
            idempotency_key: self.idempotency_key,
            duplicate_possible: self.duplicate_possible,
            created_at: self.created_at,
        })
    }
}
