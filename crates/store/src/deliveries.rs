//! Deliveries: one notification by one transport, queued until a provider has taken it, and what became of it.
//!
//! ```text
//! enqueue → claim_due → begin_attempt → (the provider) → finish → sent → provider_event → delivered
//!              │             └ rescue_expired: a call that was begun may have been made       └ failed
//!              └ expire, cancel                 finish → skipped | ready again | dead | unknown | failed
//! ```
//!
//! **A delivery is never lost**: it is in one state at any time, and whoever takes it holds it by a lease only. **A
//! provider is called twice only** in the window between its answer and our commit, never where it knows repeats by a
//! key, not at all where the category says at most once, and always flagged `duplicate_possible`. See [`rescue`].
//!
//! **Whose turn it is.** What one app sends by one transport is a lane. A claim shares its limit among the apps that
//! have something due and their lanes; within a lane the smaller `priority` goes first, then the earlier `run_at`. So
//! neither another app's mountain nor a transport that hangs delays anything else.
//!
//! Time is the database's: the clocks of nodes need not agree.

mod attempt;
pub mod backoff;
mod claim;
mod dead;
mod event;
mod finish;
pub mod rescue;
mod suppression;
mod trace;
mod upkeep;
mod wake;

pub use attempt::{Answer, Begun, Outcome, begin_attempt, record};
pub use claim::{Claim, Claimed, claim_due};
pub use dead::{DeadLetter, dead_letters, edit, retry};
pub use event::{Applied, Event, ProviderEvent, provider_event};
pub use finish::{Ended, finish};
pub use rescue::rescue_expired;
pub use suppression::{is_suppressed, suppress, unsuppress};
pub use trace::{Attempt, Count, Story, inspect, stats, trace};
pub use upkeep::{Cancelled, Retention, cancel, expire, prune};
pub use wake::WAKE;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::notification::{Category, DeliveryId, NotificationId, Transport};
use protocol::{AppId, UserId};
use uuid::Uuid;

use crate::schema::deliveries;
use crate::{Error, PgConnection};

/// How much of a reason is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// To be sent at its `run_at`.
    Ready,
    /// A worker has it.
    Leased,
    /// A provider took it.
    Sent,
    /// It arrived.
    Delivered,
    /// It cannot arrive: the address is dead.
    Failed,
    /// A rule said no.
    Skipped,
    /// Its time was over before it was sent.
    Expired,
    /// It was taken back before it was sent.
    Cancelled,
    /// It may have been sent; nobody knows, and it must not be sent twice.
    Unknown,
    /// Given up; an operator may retry it.
    Dead,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::Leased,
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::Skipped,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
        Self::Dead,
    ];

    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no state of a delivery has this name")]
pub struct UnknownState;

impl FromStr for State {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// A column whose CHECK allows only what parses.
fn parsed<T: FromStr>(text: &str) -> QueryResult<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error: T::Err| diesel::result::Error::DeserializationError(error.into()))
}

/// As much of it as is kept.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars_max).collect()
}

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

/// Queues them, in the transaction that makes what they tell of, and wakes who listens on [`WAKE`] if one is due: when
/// that transaction commits, and once however often it queues.
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
    let soon = Utc::now() + wake::WITHIN;
    if new.iter().any(|new| new.run_at <= soon) {
        wake::wake(conn)?;
    }
    Ok(())
}
