//! Telling: one transaction for a batch, with the lists of all its users locked in one order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use protocol::notification::{DeliveryId, Notification, NotificationId, NotificationType, Transport};
use protocol::{AppId, UserId};
use serde_json::json;

use super::recipients::Recipients;
use super::scheduled::request;
use super::{Asked, Made, NewNotification, Outcome, Plan, Rules, URGENT, plan, unread_counts};
use crate::deliveries::{self, NewDelivery};
use crate::schema::notifications;
use crate::{Error, PgConnection};

/// Rows of one INSERT: Postgres takes 65,535 parameters.
const ROWS_PER_INSERT: usize = 2000;

diesel::define_sql_function! {
    fn clock_timestamp() -> diesel::sql_types::Timestamptz;
}

/// Makes notifications, all of them or none, and answers in the same order.
///
/// Those of one user get the next places of their list, in the order of the batch; no other transaction can get one in
/// between, so the order of commits is the order of `seq`. One whose `source_event` its user was told of, or that stands
/// earlier in the batch, is not made again.
pub fn notify(
    conn: &mut PgConnection,
    app: &AppId,
    rules: &Rules,
    new: &[NewNotification],
) -> Result<Vec<Made>, Error> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    conn.transaction(|conn| {
        let users = users_of(new);
        let mut seqs = lock(conn, app, &users)?;
        let mut known = known(conn, app, &users, new)?;
        let now = diesel::select(clock_timestamp()).get_result(conn)?;
        let mut made = Vec::with_capacity(new.len());
        let (mut later, mut fresh) = (Vec::new(), Vec::new());
        for new in new {
            if let Some(event) = &new.source_event {
                let event = (new.user.clone(), new.r#type.clone(), event.clone());
                if let Some(first) = known.get(&event) {
                    made.push(Made { user: new.user.clone(), id: *first, outcome: Outcome::Known });
                    continue;
                }
                known.insert(event, new.id);
            }
            match new.send_at.filter(|at| *at > now) {
                Some(at) => {
                    later.push(new);
                    made.push(Made { user: new.user.clone(), id: new.id, outcome: Outcome::Scheduled(at) });
                }
                None => {
                    fresh.push(new);
                    // Replaced below, once it is told.
                    made.push(Made { user: new.user.clone(), id: new.id, outcome: Outcome::Known });
                }
            }
        }
        let told = tell(conn, app, rules, &fresh, &mut seqs, now)?;
        insert(conn, app, &fresh, &told, now)?;
        insert_later(conn, app, &later)?;
        let mut outcomes: HashMap<NotificationId, Outcome> = outcomes(conn, app, &fresh, told, now)?.collect();
        for made in &mut made {
            // One that was known carries the id of another, which may stand earlier in this very batch.
            if let Some(outcome) = outcomes.remove(&made.id) {
                made.outcome = outcome;
            }
        }
        Ok(made)
    })
}

/// What was decided about one notification.
pub(super) struct Told {
    pub(super) seq: Option<i64>,
    pub(super) plan: Plan,
    /// The end of its row; deliveries always have one.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// Each user once.
pub(super) fn users_of(new: &[NewNotification]) -> Vec<UserId> {
    let mut users: Vec<_> = new.iter().map(|new| new.user.clone()).collect();
    users.sort();
    users.dedup();
    users
}

/// Holds the lists of these users, in the order of their ids: two batches never wait for each other.
pub(super) fn lock(conn: &mut PgConnection, app: &AppId, users: &[UserId]) -> QueryResult<HashMap<UserId, i64>> {
    let rows: Vec<Inbox> = diesel::sql_query(
        r#"INSERT INTO inboxes AS i (app_id, user_id) SELECT $1, u FROM unnest($2) AS u ORDER BY u COLLATE "C"
           ON CONFLICT (app_id, user_id) DO UPDATE SET last_seq = i.last_seq RETURNING user_id, last_seq"#,
    )
    .bind::<Text, _>(app)
    .bind::<Array<Text>, _>(users)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.last_seq)).collect())
}

#[derive(QueryableByName)]
struct Inbox {
    #[diesel(sql_type = Text)]
    user_id: UserId,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
}

type Event = (UserId, NotificationType, String);

/// Which of these their users were told of before. Under the lock nobody adds to them.
fn known(
    conn: &mut PgConnection,
    app: &AppId,
    users: &[UserId],
    new: &[NewNotification],
) -> QueryResult<HashMap<Event, NotificationId>> {
    let events: Vec<&str> = new.iter().filter_map(|new| new.source_event.as_deref()).collect();
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(UserId, NotificationType, Option<String>, NotificationId)> = notifications::table
        .filter(notifications::app_id.eq(app).and(notifications::user_id.eq_any(users)))
        .filter(notifications::source_event.eq_any(events))
        .select((notifications::user_id, notifications::kind, notifications::source_event, notifications::id))
        .load(conn)?;
    Ok(rows.into_iter().filter_map(|(user, kind, event, id)| Some(((user, kind, event?), id))).collect())
}

/// Decides about each, gives places in lists and queues what leaves the house. Their rows are for the caller to write.
pub(super) fn tell(
    conn: &mut PgConnection,
    app: &AppId,
    rules: &Rules,
    new: &[&NewNotification],
    seqs: &mut HashMap<UserId, i64>,
    now: DateTime<Utc>,
) -> Result<Vec<Told>, Error> {
    let users: Vec<UserId> = seqs.keys().cloned().collect();
    let recipients = Recipients::load(conn, app, &users)?;
    let (mut told, mut outside) = (Vec::with_capacity(new.len()), Vec::new());
    for new in new {
        let lifetime = new.lifetime.unwrap_or_else(|| rules.lifetime_of(&new.category));
        let asked = Asked {
            category: &new.category,
            transports: &new.transports,
            urgent: new.priority <= URGENT,
            now,
            expires_at: now + lifetime,
        };
        let plan = plan(rules, &asked, &recipients.of(&new.user, &new.category));
        outside.extend(plan.deliveries.iter().map(|to| delivery(new, *to, asked.expires_at)));
        let seq = seqs.get_mut(&new.user).filter(|_| plan.in_app).map(|seq| {
            *seq += 1;
            *seq
        });
        told.push(Told { seq, plan, expires_at: new.lifetime.map(|lifetime| now + lifetime) });
    }
    diesel::sql_query(
        "UPDATE inboxes AS i SET last_seq = n.last_seq FROM unnest($2, $3) AS n (user_id, last_seq)
         WHERE i.app_id = $1 AND i.user_id = n.user_id AND i.last_seq <> n.last_seq",
    )
    .bind::<Text, _>(app)
    .bind::<Array<Text>, _>(seqs.keys().collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(seqs.values().collect::<Vec<_>>())
    .execute(conn)?;
    deliveries::enqueue(conn, app, &outside)?;
    Ok(told)
}

fn delivery(new: &NewNotification, to: (Transport, DateTime<Utc>), expires_at: DateTime<Utc>) -> NewDelivery {
    let (transport, run_at) = to;
    let mut content = json!({ "title": new.title, "text": new.body });
    if let Some(link) = &new.link {
        content["link"] = json!(link);
    }
    if let Some(image) = &new.image_url {
        content["image"] = json!(image);
    }
    if !new.data.is_empty() {
        content["data"] = json!(new.data);
    }
    NewDelivery {
        id: DeliveryId::mint(),
        notification: Some(new.id),
        user: new.user.clone(),
        category: new.category.clone(),
        transport,
        priority: new.priority,
        run_at,
        expires_at,
        collapse_key: new.collapse_key.clone(),
        content,
    }
}

fn insert(
    conn: &mut PgConnection,
    app: &AppId,
    new: &[&NewNotification],
    told: &[Told],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let rows: Vec<_> = new
        .iter()
        .zip(told)
        .map(|(new, told)| {
            let times = (notifications::created_at.eq(now), notifications::expires_at.eq(told.expires_at));
            (columns(app, new), notifications::seq.eq(told.seq), times)
        })
        .collect();
    for rows in rows.chunks(ROWS_PER_INSERT) {
        diesel::insert_into(notifications::table).values(rows.to_vec()).execute(conn)?;
    }
    Ok(())
}

fn insert_later(conn: &mut PgConnection, app: &AppId, new: &[&NewNotification]) -> QueryResult<()> {
    let rows: Vec<_> = new
        .iter()
        .map(|new| {
            (columns(app, new), notifications::send_at.eq(new.send_at), notifications::request.eq(Some(request(new))))
        })
        .collect();
    for rows in rows.chunks(ROWS_PER_INSERT) {
        diesel::insert_into(notifications::table).values(rows.to_vec()).execute(conn)?;
    }
    Ok(())
}

type Is<C, T> = diesel::dsl::Eq<C, T>;
type Columns<'a> = (
    Is<notifications::app_id, &'a AppId>,
    Is<notifications::id, NotificationId>,
    Is<notifications::user_id, &'a UserId>,
    Is<notifications::kind, &'a NotificationType>,
    Is<notifications::category, &'a str>,
    Is<notifications::title, &'a str>,
    Is<notifications::body, &'a str>,
    Is<notifications::link, Option<&'a str>>,
    Is<notifications::image_url, Option<&'a str>>,
    Is<notifications::actor, Option<serde_json::Value>>,
    Is<notifications::data, serde_json::Value>,
    Is<notifications::source_event, Option<&'a str>>,
);

fn columns<'a>(app: &'a AppId, new: &'a NewNotification) -> Columns<'a> {
    (
        notifications::app_id.eq(app),
        notifications::id.eq(new.id),
        notifications::user_id.eq(&new.user),
        notifications::kind.eq(&new.r#type),
        notifications::category.eq(new.category.as_str()),
        notifications::title.eq(new.title.as_str()),
        notifications::body.eq(new.body.as_str()),
        notifications::link.eq(new.link.as_deref()),
        notifications::image_url.eq(new.image_url.as_deref()),
        notifications::actor.eq(new.actor.as_ref().map(|actor| json!(actor))),
        notifications::data.eq(serde_json::Value::Object(new.data.clone())),
        notifications::source_event.eq(new.source_event.as_deref()),
    )
}

/// What the caller is answered, by id. Their rows are written.
pub(super) fn outcomes<'a>(
    conn: &mut PgConnection,
    app: &AppId,
    new: &'a [&'a NewNotification],
    told: Vec<Told>,
    now: DateTime<Utc>,
) -> Result<impl Iterator<Item = (NotificationId, Outcome)> + use<'a>, Error> {
    let mut users: Vec<UserId> = new.iter().map(|new| new.user.clone()).collect();
    users.sort();
    users.dedup();
    let unread: HashMap<UserId, i64> = unread_counts(conn, app, &users)?.into_iter().collect();
    Ok(new.iter().zip(told).map(move |(new, told)| {
        let outcome = Outcome::Told {
            notification: told.seq.map(|seq| Box::new(notification(new, seq, now))),
            unread: unread.get(&new.user).copied().unwrap_or(0),
            outside: told.plan.deliveries.iter().map(|(transport, _)| *transport).collect(),
        };
        (new.id, outcome)
    }))
}

fn notification(new: &NewNotification, seq: i64, created_at: DateTime<Utc>) -> Notification {
    Notification {
        id: new.id,
        seq,
        user_id: new.user.clone(),
        r#type: new.r#type.clone(),
        category: new.category.clone(),
        title: new.title.clone(),
        body: new.body.clone(),
        link: new.link.clone(),
        image_url: new.image_url.clone(),
        actor: new.actor.clone(),
        data: new.data.clone(),
        created_at,
        seen_at: None,
        read_at: None,
        archived_at: None,
        snoozed_until: None,
        clicked_at: None,
    }
}
