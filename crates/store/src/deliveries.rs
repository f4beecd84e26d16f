//! Deliveries: one notification by one transport, queued until a provider has taken it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::notification::{Category, DeliveryId, NotificationId, Transport};
use protocol::{AppId, UserId};
use uuid::Uuid;

use crate::schema::deliveries;
use crate::{Error, PgConnection};

/// A delivery to be queued.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Names it.
    pub id: DeliveryId,
    /// What it tells; none where it tells of something that is in no list.
    pub notification: Option<NotificationId>,
    /// Whom.
    pub user: UserId,
    /// For their preferences, which are looked at again when it is sent.
    pub category: Category,
    /// How; not [`Transport::InApp`], which needs no queue.
    pub transport: Transport,
    /// The smaller goes first: 0 urgent, 50 normal, 100 bulk.
    pub priority: i16,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// Not after: then it is worth nothing any more.
    pub expires_at: DateTime<Utc>,
    /// A later one with the same key replaces it, where the provider can.
    pub collapse_key: Option<String>,
    /// What is to be sent, in the user's language: `{title, text, html?, link?, image?, data?}`.
    pub content: serde_json::Value,
}

/// Queues them, in the transaction that makes what they tell of.
pub fn enqueue(conn: &mut PgConnection, app: &AppId, new: &[NewDelivery]) -> Result<(), Error> {
    let rows: Vec<_> = new
        .iter()
        .map(|new| {
            (
                deliveries::app_id.eq(app),
                deliveries::id.eq(new.id),
                deliveries::notification_id.eq(new.notification.map(|id| -> Uuid { id.0 })),
                deliveries::user_id.eq(&new.user),
                deliveries::category.eq(new.category.as_str()),
                deliveries::transport.eq(new.transport.as_str()),
                deliveries::state.eq("ready"),
                deliveries::priority.eq(new.priority),
                deliveries::run_at.eq(new.run_at),
                deliveries::expires_at.eq(new.expires_at),
                deliveries::collapse_key.eq(new.collapse_key.as_deref()),
                deliveries::content.eq(&new.content),
            )
        })
        .collect();
    // Postgres takes 65,535 parameters a statement.
    for rows in rows.chunks(2000) {
        diesel::insert_into(deliveries::table).values(rows).execute(conn)?;
    }
    Ok(())
}
