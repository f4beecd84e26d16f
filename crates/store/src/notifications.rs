//! Notifications: what users are told, their list, and what they want to be told of.
//!
//! [`notify`] is the one way in. Everything that it causes commits together: the list, its order, and the deliveries by
//! other transports. Unread is always a query, never a stored number that could drift.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use protocol::notification::{Actor, Category, Notification, NotificationId, NotificationType, Transport};
use protocol::{AppId, UserId};

use crate::schema::notifications;
use crate::{Error, PgConnection};

/// Whether a notification stands in its user's list now.
macro_rules! listed {
    () => {
        notifications::seq
            .is_not_null()
            .and(notifications::archived_at.is_null())
            .and(notifications::snoozed_until.is_null().or(notifications::snoozed_until.le(diesel::dsl::now)))
            .and(notifications::expires_at.is_null().or(notifications::expires_at.gt(diesel::dsl::now)))
    };
}

mod list;
mod mark;
mod notify;
mod plan;
mod preferences;
mod quiet;
mod recipients;
mod scheduled;
mod subscriptions;
mod trace;

pub use list::{ListNotifications, Listed, Start, list};
pub use mark::{Mark, Marked, Which, mark};
pub(crate) use notify::clock_timestamp;
pub use notify::notify;
pub use plan::{Asked, Plan, Recipient, Rules, plan};
pub use preferences::{ALL_CATEGORIES, Digest, Preferences, PutPreferences, preferences, put_preferences};
pub use quiet::QuietHours;
pub use scheduled::release_due;
pub(crate) use subscriptions::lock_user;
pub use subscriptions::{
    Subscriber, Subscription, Target, put_subscription, remove_subscription, subscribers, subscriptions,
};
pub use trace::{DeliveryTrace, Trace, cancel, trace};

/// The priority of what quiet hours do not hold up.
pub const URGENT: i16 = 0;
/// The priority of what is nothing special.
pub const NORMAL: i16 = 50;
/// The priority of what goes to many.
pub const BULK: i16 = 100;

/// A notification to be made.
#[derive(Clone, Debug)]
pub struct NewNotification {
    /// Names it; minted by the caller.
    pub id: NotificationId,
    /// Whom it is for. Somebody unknown has a list too.
    pub user: UserId,
    /// What happened.
    pub r#type: NotificationType,
    /// What the user has preferences for.
    pub category: Category,
    /// A short line.
    pub title: String,
    /// What it says.
    pub body: String,
    /// Where a click leads: absolute.
    pub link: Option<String>,
    /// A picture's URL.
    pub image_url: Option<String>,
    /// Who caused it.
    pub actor: Option<Actor>,
    /// Whatever else the app's own code needs.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// How it shall reach them, as far as they want that.
    pub transports: Vec<Transport>,
    /// What it tells of: a user is told once of each, per type.
    pub source_event: Option<String>,
    /// The smaller leaves the house first: [`URGENT`], [`NORMAL`], [`BULK`].
    pub priority: i16,
    /// A later one with the same key replaces it, where the provider can.
    pub collapse_key: Option<String>,
    /// When it is told; now if there is none.
    pub send_at: Option<DateTime<Utc>>,
    /// How long it is worth anything, from when it is told; for ever if there is none, where only the list is meant.
    pub lifetime: Option<TimeDelta>,
}

impl NewNotification {
    /// One with nothing but what must be there, for the list and for push.
    pub fn new(user: UserId, r#type: NotificationType, category: Category, title: &str, body: &str) -> Self {
        Self {
            id: NotificationId::mint(),
            user,
            r#type,
            category,
            title: title.to_owned(),
            body: body.to_owned(),
            link: None,
            image_url: None,
            actor: None,
            data: serde_json::Map::new(),
            transports: vec![Transport::InApp, Transport::Push],
            source_event: None,
            priority: NORMAL,
            collapse_key: None,
            send_at: None,
            lifetime: None,
        }
    }
}

/// What became of a [`NewNotification`].
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Whose it is.
    pub user: UserId,
    /// Its id: that of the first one, where the user was told before.
    pub id: NotificationId,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with a notification.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was told.
    Told {
        /// As it stands in the list; none if it went by other transports only, or nobody wanted it.
        notification: Option<Box<Notification>>,
        /// What the user has not read, this batch counted.
        unread: i64,
        /// What leaves the house.
        outside: Vec<Transport>,
    },
    /// It will be told then.
    Scheduled(DateTime<Utc>),
    /// The user was told of this before, or will be: nothing was done.
    Known,
}

/// What the user has not read: what [`list`] gives with `unread_only`.
pub fn unread_count(conn: &mut PgConnection, app: &AppId, user: &UserId) -> Result<i64, Error> {
    Ok(unread(conn, app, user)?)
}

fn unread(conn: &mut PgConnection, app: &AppId, user: &UserId) -> QueryResult<i64> {
    notifications::table
        .filter(notifications::app_id.eq(app).and(notifications::user_id.eq(user)))
        .filter(listed!().and(notifications::read_at.is_null()))
        .count()
        .get_result(conn)
}

/// The same for each of the users; who has nothing unread is left out.
pub fn unread_counts(conn: &mut PgConnection, app: &AppId, users: &[UserId]) -> Result<Vec<(UserId, i64)>, Error> {
    Ok(notifications::table
        .filter(notifications::app_id.eq(app).and(notifications::user_id.eq_any(users)))
        .filter(listed!().and(notifications::read_at.is_null()))
        .group_by(notifications::user_id)
        .select((notifications::user_id, diesel::dsl::count_star()))
        .load(conn)?)
}

/// A row that was told, without what only the store needs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = notifications, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: NotificationId,
    seq: Option<i64>,
    user_id: UserId,
    kind: NotificationType,
    category: Category,
    title: String,
    body: String,
    link: Option<String>,
    image_url: Option<String>,
    actor: Option<serde_json::Value>,
    data: serde_json::Value,
    created_at: DateTime<Utc>,
    seen_at: Option<DateTime<Utc>>,
    read_at: Option<DateTime<Utc>>,
    archived_at: Option<DateTime<Utc>>,
    snoozed_until: Option<DateTime<Utc>>,
    clicked_at: Option<DateTime<Utc>>,
}

impl Row {
    /// What is in no list has `seq` 0.
    fn into_notification(self) -> Notification {
        Notification {
            id: self.id,
            seq: self.seq.unwrap_or(0),
            user_id: self.user_id,
            r#type: self.kind,
            category: self.category,
            title: self.title,
            body: self.body,
            link: self.link,
            image_url: self.image_url,
            actor: self.actor.and_then(|actor| serde_json::from_value(actor).ok()),
            data: object(self.data),
            created_at: self.created_at,
            seen_at: self.seen_at,
            read_at: self.read_at,
            archived_at: self.archived_at,
            snoozed_until: self.snoozed_until,
            clicked_at: self.clicked_at,
        }
    }
}

/// Whether it is the IANA name of a time zone.
pub fn is_time_zone(name: &str) -> bool {
    name.parse::<chrono_tz::Tz>().is_ok()
}

fn object(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    match value {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}
