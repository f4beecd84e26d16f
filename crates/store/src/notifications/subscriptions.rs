//! What users want to hear of: a group, a course, a post, an event.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;
use protocol::notification::Transport;
use protocol::{AppId, UserId};

use crate::schema::notification_subscriptions as s;
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// Something of the backend's that users can subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What it is, such as `COURSE`.
    pub r#type: String,
    /// Which one.
    pub id: String,
}

/// A user's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// To what.
    pub target: Target,
    /// By which transports; `None` for all.
    pub transports: Option<Vec<Transport>>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

type Row = (String, String, Option<Vec<String>>, DateTime<Utc>);
const COLUMNS: (s::target_type, s::target_id, s::transports, s::created_at) =
    (s::target_type, s::target_id, s::transports, s::created_at);

/// The user's subscriptions, by type and id; only those to `target_type` and `target_id` where they are given.
pub fn subscriptions(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    target_type: Option<&str>,
    target_id: Option<&str>,
) -> Result<Vec<Subscription>, Error> {
    let mut query = s::table
        .filter(s::app_id.eq(app).and(s::user_id.eq(user)))
        .order((s::target_type, s::target_id))
        .select(COLUMNS)
        .into_boxed();
    if let Some(target_type) = target_type {
        query = query.filter(s::target_type.eq(target_type));
    }
    if let Some(target_id) = target_id {
        query = query.filter(s::target_id.eq(target_id));
    }
    Ok(query.load::<Row>(conn)?.into_iter().map(subscription).collect())
}

/// Subscribes the user, or changes by which transports. `None` if they have `per_user_max` others already.
pub fn put_subscription(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    target: &Target,
    transports: Option<&[Transport]>,
    per_user_max: i64,
) -> Result<Option<Subscription>, Error> {
    let transports: Option<Vec<&str>> = transports.map(|all| all.iter().map(|one| one.as_str()).collect());
    transaction(conn, |conn| {
        // Two at once would both count one too few.
        lock_user(conn, app, user)?;
        let same = s::target_type.eq(&target.r#type).and(s::target_id.eq(&target.id));
        let others: i64 = s::table
            .filter(s::app_id.eq(app).and(s::user_id.eq(user)).and(diesel::dsl::not(same)))
            .count()
            .get_result(conn)?;
        if others >= per_user_max {
            return Ok(None);
        }
        let row: Row = diesel::insert_into(s::table)
            .values((
                s::app_id.eq(app),
                s::user_id.eq(user),
                s::target_type.eq(&target.r#type),
                s::target_id.eq(&target.id),
                s::transports.eq(&transports),
            ))
            .on_conflict((s::app_id, s::user_id, s::target_type, s::target_id))
            .do_update()
            .set(s::transports.eq(&transports))
            .returning(COLUMNS)
            .get_result(conn)?;
        Ok(Some(subscription(row)))
    })
}

/// Ends it; whether there was one.
pub fn remove_subscription(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    target: &Target,
) -> Result<bool, Error> {
    let own = s::app_id.eq(app).and(s::user_id.eq(user));
    let same = s::target_type.eq(&target.r#type).and(s::target_id.eq(&target.id));
    Ok(diesel::delete(s::table.filter(own.and(same))).execute(conn)? > 0)
}

/// Who subscribed, and by which transports; `None` for all.
pub type Subscriber = (UserId, Option<Vec<Transport>>);

/// Who wants to hear of it and by which transports (`None` for all), without those in `exclude`; at most `limit`, in
/// the order of their ids, after `after`.
pub fn subscribers(
    conn: &mut PgConnection,
    app: &AppId,
    target: &Target,
    exclude: &[UserId],
    after: Option<&UserId>,
    limit: i64,
) -> Result<Vec<Subscriber>, Error> {
    let rows: Vec<(UserId, Option<Vec<String>>)> = s::table
        .filter(s::app_id.eq(app).and(s::target_type.eq(&target.r#type)).and(s::target_id.eq(&target.id)))
        .filter(s::user_id.gt(after.map_or("", UserId::as_str)))
        .filter(s::user_id.ne_all(exclude))
        .order(s::user_id)
        .select((s::user_id, s::transports))
        .limit(limit)
        .load(conn)?;
    Ok(rows.into_iter().map(|(user, names)| (user, names.map(transports))).collect())
}

fn subscription((r#type, id, names, created_at): Row) -> Subscription {
    Subscription { target: Target { r#type, id }, transports: names.map(transports), created_at }
}

fn transports(names: Vec<String>) -> Vec<Transport> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Held until the transaction ends: what counts a user's own rows goes one after the other.
pub(crate) fn lock_user(conn: &mut PgConnection, app: &AppId, user: &UserId) -> QueryResult<()> {
    diesel::sql_query(
        "INSERT INTO inboxes AS i (app_id, user_id) VALUES ($1, $2)
         ON CONFLICT (app_id, user_id) DO UPDATE SET last_seq = i.last_seq",
    )
    .bind::<Text, _>(app)
    .bind::<Text, _>(user)
    .execute(conn)
    .map(drop)
}
