//! What became of one notification, for backends; and taking back what was not sent.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::AppId;
use protocol::notification::{DeliveryId, Notification, NotificationId, Transport};

use super::Row;
use crate::schema::{deliveries as d, notifications};
use crate::transaction::{snapshot, transaction};
use crate::{Error, PgConnection};

/// A notification and its deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// As its user sees it.
    pub notification: Notification,
    /// Whether it stands in the user's list, archived or not.
    pub in_list: bool,
    /// When it will be told; none once it was.
    pub send_at: Option<DateTime<Utc>>,
    /// By other transports, oldest first.
    pub deliveries: Vec<DeliveryTrace>,
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryTrace {
    /// Names it.
    pub id: DeliveryId,
    /// By which transport.
    pub transport: Transport,
    /// Where it is, such as `ready` or `sent`.
    pub state: String,
    /// Why it ended so, in a word.
    pub reason: Option<String>,
    /// When it is or was to be sent.
    pub run_at: DateTime<Utc>,
    /// Attempts so far.
    pub attempt: i32,
    /// Who took it.
    pub provider: Option<String>,
    /// The provider's own id of it.
    pub provider_message_id: Option<String>,
    /// When its state last changed.
    pub updated_at: DateTime<Utc>,
}

type DeliveryRow =
    (DeliveryId, String, String, Option<String>, DateTime<Utc>, i32, Option<String>, Option<String>, DateTime<Utc>);

/// The notification, whosever it is; `None` if there is none.
pub fn trace(conn: &mut PgConnection, app: &AppId, id: NotificationId) -> Result<Option<Trace>, Error> {
    snapshot(conn, |conn| {
        let row: Option<(Row, Option<DateTime<Utc>>)> = notifications::table
            .filter(notifications::app_id.eq(app).and(notifications::id.eq(id)))
            .select((Row::as_select(), notifications::send_at))
            .first(conn)
            .optional()?;
        let Some((row, send_at)) = row else { return Ok(None) };
        let deliveries: Vec<DeliveryRow> = d::table
            .filter(d::app_id.eq(app).and(d::notification_id.eq(id.0)))
            .order(d::id)
            .select((
                d::id,
                d::transport,
                d::state,
                d::reason,
                d::run_at,
                d::attempt,
                d::provider,
                d::provider_message_id,
                d::updated_at,
            ))
            .load(conn)?;
        let deliveries = deliveries.into_iter().filter_map(|row| {
            let (id, transport, state, reason, run_at, attempt, provider, provider_message_id, updated_at) = row;
            let transport = transport.parse().ok()?;
            Some(DeliveryTrace {
                id,
                transport,
                state,
                reason,
                run_at,
                attempt,
                provider,
                provider_message_id,
                updated_at,
            })
        });
        let in_list = row.seq.is_some();
        Ok(Some(Trace { notification: row.into_notification(), in_list, send_at, deliveries: deliveries.collect() }))
    })
}

/// Takes back what was not sent: one that is told later is gone as if it had never been; of one that was told, the
/// deliveries that still wait are cancelled. How many deliveries that were; `None` if there is no such notification.
pub fn cancel(conn: &mut PgConnection, app: &AppId, id: NotificationId) -> Result<Option<usize>, Error> {
    transaction(conn, |conn| {
        let same = notifications::app_id.eq(app).and(notifications::id.eq(id));
        let later = notifications::table.filter(same.and(notifications::send_at.is_not_null()));
        if diesel::delete(later).execute(conn)? > 0 {
            return Ok(Some(0));
        }
        let there: i64 = notifications::table.filter(same).count().get_result(conn)?;
        if there == 0 {
            return Ok(None);
        }
        let waiting = d::app_id.eq(app).and(d::notification_id.eq(id.0)).and(d::state.eq("ready"));
        diesel::update(d::table.filter(waiting))
            .set((d::state.eq("cancelled"), d::reason.eq("cancelled"), d::updated_at.eq(diesel::dsl::now)))
            .execute(conn)
            .map(Some)
    })
}
