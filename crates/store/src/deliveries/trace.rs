//! The whole story of a delivery, and how many there are of each kind.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use protocol::notification::{Category, DeliveryId, NotificationId, Transport};
use protocol::{AppId, UserId};
use uuid::Uuid;

use super::{State, parsed};
use crate::schema::attempts::{self, columns as a};
use crate::schema::deliveries::{self, columns as d};
use crate::transaction::snapshot;
use crate::{Error, PgConnection};

/// A delivery with every call that was made for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
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
    /// Where it is.
    pub state: State,
    /// Why, in a word or as the provider said.
    pub reason: Option<String>,
    /// What is sent.
    pub content: serde_json::Value,
    /// When it is due, or was.
    pub run_at: DateTime<Utc>,
    /// Worth nothing after.
    pub expires_at: DateTime<Utc>,
    /// Attempts that count.
    pub tries: u32,
    /// It may have arrived twice.
    pub duplicate_possible: bool,
    /// Who was called last.
    pub provider: Option<String>,
    /// How that one calls the message.
    pub provider_message_id: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it came to be as it is.
    pub updated_at: DateTime<Utc>,
    /// When it arrived, by the provider.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When it was opened, by the provider.
    pub read_at: Option<DateTime<Utc>>,
    /// In the order in which they were made.
    pub attempts: Vec<Attempt>,
}

/// A call of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = attempts, check_for_backend(diesel::pg::Pg))]
pub struct Attempt {
    /// The claim that it was made under.
    pub number: i32,
    /// 1, 2, … within the claim.
    pub call: i32,
    /// Who was called.
    pub provider: String,
    /// Whom it was to reach.
    pub address: String,
    /// When it was put on record, right before the call.
    pub started_at: DateTime<Utc>,
    /// When it was answered; without it, the call may have been made.
    pub finished_at: Option<DateTime<Utc>>,
    /// `sent`, or a class of failure.
    pub outcome: Option<String>,
    /// Of HTTP, where it was spoken.
    pub http_status: Option<i32>,
    /// How the provider calls the message.
    pub provider_message_id: Option<String>,
    /// What it said.
    pub answer: Option<String>,
    /// An earlier call may have arrived when this one was made.
    pub duplicate_possible: bool,
}

/// One delivery of the app; `None` if there is none.
pub fn inspect(conn: &mut PgConnection, app: &AppId, id: DeliveryId) -> Result<Option<Story>, Error> {
    snapshot(conn, |conn| {
        let row = deliveries::table.filter(d::app_id.eq(app).and(d::id.eq(id)));
        let rows: Vec<Row> = row.select(Row::as_select()).load(conn)?;
        Ok(stories(conn, app, rows)?.pop())
    })
}

/// All that was done to tell a notification: its deliveries in the order in which they were queued. Empty if there are
/// none.
pub fn trace(conn: &mut PgConnection, app: &AppId, notification: NotificationId) -> Result<Vec<Story>, Error> {
    snapshot(conn, |conn| {
        let rows: Vec<Row> = deliveries::table
            .filter(d::app_id.eq(app).and(d::notification_id.eq(notification.0)))
            .order((d::created_at, d::id))
            .select(Row::as_select())
            .load(conn)?;
        stories(conn, app, rows)
    })
}

fn stories(conn: &mut PgConnection, app: &AppId, rows: Vec<Row>) -> QueryResult<Vec<Story>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let attempts: Vec<(DeliveryId, Attempt)> = attempts::table
        .filter(a::app_id.eq(app).and(a::delivery_id.eq_any(ids)))
        .order((a::number, a::call))
        .select((a::delivery_id, Attempt::as_select()))
        .load(conn)?;
    let of = |id: DeliveryId| attempts.iter().filter(move |(of, _)| *of == id).map(|(_, attempt)| attempt.clone());
    rows.into_iter().map(|row| row.story(of)).collect()
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
    run_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    tries: i32,
    duplicate_possible: bool,
    provider: Option<String>,
    provider_message_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
    read_at: Option<DateTime<Utc>>,
}

impl Row {
    fn story<I: Iterator<Item = Attempt>>(self, attempts: impl Fn(DeliveryId) -> I) -> QueryResult<Story> {
        Ok(Story {
            id: self.id,
            notification: self.notification_id,
            user: self.user_id,
            category: self.category,
            transport: parsed(&self.transport)?,
            state: parsed(&self.state)?,
            reason: self.reason,
            content: self.content,
            run_at: self.run_at,
            expires_at: self.expires_at,
            tries: self.tries.unsigned_abs(),
            duplicate_possible: self.duplicate_possible,
            provider: self.provider,
            provider_message_id: self.provider_message_id,
            created_at: self.created_at,
            updated_at: self.updated_at,
            delivered_at: self.delivered_at,
            read_at: self.read_at,
            attempts: attempts(self.id).collect(),
        })
    }
}

/// How many deliveries are in one state by one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Where they are.
    pub state: State,
    /// How they go.
    pub transport: Transport,
    /// How many.
    pub count: u64,
    /// Since when the oldest is so; of [`State::Ready`], since when it is due: later than now if none is due yet.
    pub oldest: DateTime<Utc>,
    /// How long ago that is in seconds, by the database's clock; 0 for what is still to come.
    pub oldest_seconds: u64,
}

/// How many deliveries there are, of one app or of all. Reads all that are kept: for people and metrics, not for each
/// claim.
pub fn stats(conn: &mut PgConnection, app: Option<&AppId>) -> Result<Vec<Count>, Error> {
    let rows: Vec<CountRow> = diesel::sql_query(
        "SELECT state, transport, count(*) AS count, min(since) AS oldest,
             greatest(extract(epoch FROM now() - min(since)), 0)::bigint AS seconds
         FROM (SELECT state, transport, CASE state WHEN 'ready' THEN run_at ELSE updated_at END AS since
               FROM deliveries WHERE $1 IS NULL OR app_id = $1) d
         GROUP BY state, transport ORDER BY state, transport",
    )
    .bind::<Nullable<Text>, _>(app)
    .load(conn)?;
    let count = |row: CountRow| {
        Ok(Count {
            state: parsed(&row.state)?,
            transport: parsed(&row.transport)?,
            count: row.count.unsigned_abs(),
            oldest: row.oldest,
            oldest_seconds: row.seconds.unsigned_abs(),
        })
    };
    Ok(rows.into_iter().map(count).collect::<QueryResult<_>>()?)
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Text)]
    transport: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Timestamptz)]
    oldest: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    seconds: i64,
}
