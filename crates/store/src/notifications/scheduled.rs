//! What is told later: kept as rows that are in no list, and told when their time has come.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use protocol::AppId;
use protocol::notification::{NotificationId, Transport};
use serde::{Deserialize, Serialize};

use super::notify::{Told, clock_timestamp, lock, outcomes, tell, users_of};
use super::{Made, NewNotification, Row, Rules};
use crate::schema::notifications;
use crate::{Error, PgConnection};

/// What the row has no column for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    transports: Vec<Transport>,
    priority: i16,
    collapse_key: Option<String>,
    lifetime_seconds: Option<i64>,
}

pub(super) fn request(new: &NewNotification) -> serde_json::Value {
    let request = Request {
        transports: new.transports.clone(),
        priority: new.priority,
        collapse_key: new.collapse_key.clone(),
        lifetime_seconds: new.lifetime.map(|lifetime| lifetime.num_seconds()),
    };
    serde_json::to_value(request).expect("a request has string keys and no fallible parts")
}

/// Tells up to `limit` scheduled notifications whose time has come, in its order, whichever app they are of.
///
/// Several nodes may do this at once: none tells what another tells. Preferences are those of now. Fewer than `limit`
/// were all there are.
pub fn release_due(conn: &mut PgConnection, rules: &Rules, limit: i64) -> Result<Vec<(AppId, Made)>, Error> {
    conn.transaction(|conn| {
        let due: Vec<(AppId, Row, serde_json::Value)> = notifications::table
            .filter(notifications::send_at.le(diesel::dsl::now))
            .order((notifications::send_at, notifications::id))
            .select((notifications::app_id, Row::as_select(), notifications::request.assume_not_null()))
            .limit(limit)
            .for_update()
            .skip_locked()
            .load(conn)?;
        let mut by_app: BTreeMap<AppId, Vec<NewNotification>> = BTreeMap::new();
        for (app, row, request) in due {
            by_app.entry(app).or_default().push(new(row, request));
        }
        let now = diesel::select(clock_timestamp()).get_result(conn)?;
        let mut made = Vec::new();
        for (app, new) in by_app {
            let mut seqs = lock(conn, &app, &users_of(&new))?;
            let new: Vec<&NewNotification> = new.iter().collect();
            let told = tell(conn, &app, rules, &new, &mut seqs, now)?;
            for (new, told) in new.iter().zip(&told) {
                put(conn, &app, new.id, told, now)?;
            }
            let outcomes = outcomes(conn, &app, &new, told, now)?;
            let users = new.iter().map(|new| new.user.clone());
            made.extend(users.zip(outcomes).map(|(user, (id, outcome))| (app.clone(), Made { user, id, outcome })));
        }
        Ok(made)
    })
}

fn new(row: Row, request: serde_json::Value) -> NewNotification {
    // Written by `request` above; what an older version left out has no effect.
    let request = serde_json::from_value(request).unwrap_or(Request {
        transports: vec![Transport::InApp],
        priority: super::NORMAL,
        collapse_key: None,
        lifetime_seconds: None,
    });
    let row = row.into_notification();
    NewNotification {
        id: row.id,
        user: row.user_id,
        r#type: row.r#type,
        category: row.category,
        title: row.title,
        body: row.body,
        link: row.link,
        image_url: row.image_url,
        actor: row.actor,
        data: row.data,
        transports: request.transports,
        source_event: None,
        priority: request.priority,
        collapse_key: request.collapse_key,
        send_at: None,
        lifetime: request.lifetime_seconds.and_then(TimeDelta::try_seconds),
    }
}

fn put(
    conn: &mut PgConnection,
    app: &AppId,
    id: NotificationId,
    told: &Told,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::update(notifications::table.filter(notifications::app_id.eq(app).and(notifications::id.eq(id))))
        .set((
            notifications::seq.eq(told.seq),
            notifications::send_at.eq(None::<DateTime<Utc>>),
            notifications::request.eq(None::<serde_json::Value>),
            notifications::created_at.eq(now),
            notifications::expires_at.eq(told.expires_at),
        ))
        .execute(conn)
}
