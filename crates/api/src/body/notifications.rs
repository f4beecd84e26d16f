//! Bodies about notifications.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protocol::UserId;
use protocol::notification::{Actor, Category, DeliveryId, Notification, NotificationId, NotificationType, Transport};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of the caller's list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notifications {
    pub(crate) notifications: Vec<Notification>,
    /// All that is unread, whatever was asked for.
    pub(crate) unread_count: i64,
    pub(crate) pagination: Pagination,
}

/// Where a page is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pagination {
    pub(crate) limit: i64,
    /// Null where the page began at a cursor.
    pub(crate) offset: Option<i64>,
    /// How many there are on all pages; null where the page began at a cursor.
    pub(crate) total: Option<i64>,
    pub(crate) has_more: bool,
    /// Opaque; null after the last page.
    pub(crate) next_cursor: Option<String>,
}

/// What is done with one notification, or with all of the list. Nothing but `id` or `markAll` means that it was read.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatchNotifications {
    pub(crate) id: Option<NotificationId>,
    #[serde(default)]
    pub(crate) mark_all: bool,
    /// With `markAll`, only these.
    pub(crate) category: Option<Category>,
    #[serde(default)]
    pub(crate) seen: bool,
    #[serde(default)]
    pub(crate) read: bool,
    #[serde(default)]
    pub(crate) archived: bool,
    #[serde(default)]
    pub(crate) clicked: bool,
    /// Hidden until then: in the future.
    pub(crate) snoozed_until: Option<DateTime<Utc>>,
}

/// What is unread after that.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatchedNotifications {
    pub(crate) success: bool,
    pub(crate) unread_count: i64,
}

/// What holds for the caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreferencesAnswer {
    /// Category → transport → whether it is on.
    pub(crate) categories: BTreeMap<String, BTreeMap<Transport, bool>>,
    pub(crate) quiet_hours: Option<QuietHours>,
    /// IANA name.
    pub(crate) time_zone: Option<String>,
    /// BCP 47.
    pub(crate) locale: Option<String>,
    /// off, hourly, daily or weekly.
    pub(crate) digest: &'static str,
}

/// Local times between which only what is urgent leaves the house; they may lie on two days.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct QuietHours {
    /// As `22:00`.
    pub(crate) from: String,
    /// As `07:00`.
    pub(crate) until: String,
}

/// What the caller changes. What is left out stays; null goes back to the default.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutPreferences {
    /// Category, or `*` for all that nothing is said of → transport → on, off, or null.
    #[serde(default)]
    pub(crate) categories: BTreeMap<String, BTreeMap<Transport, Option<bool>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<QuietHours>)]
    pub(crate) quiet_hours: Option<Option<QuietHours>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) time_zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) locale: Option<Option<String>>,
    /// off, hourly, daily or weekly.
    pub(crate) digest: Option<String>,
}

/// Tells null from nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What the caller wants to hear of.
#[derive(Serialize, ToSchema)]
pub(crate) struct Subscriptions {
    pub(crate) subscriptions: Vec<Subscription>,
}

/// A subscription.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscription {
    /// Such as `COURSE`.
    pub(crate) target_type: String,
    pub(crate) target_id: String,
    /// Null for all.
    pub(crate) transports: Option<Vec<Transport>>,
    pub(crate) created_at: DateTime<Utc>,
}

/// A subscription.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubscriptionAnswer {
    pub(crate) subscription: Subscription,
}

/// What the caller subscribes to.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutSubscription {
    /// Such as `COURSE`, 1 to 64 characters.
    pub(crate) target_type: String,
    /// 1 to 200 characters.
    pub(crate) target_id: String,
    /// Null or left out for all.
    pub(crate) transports: Option<Vec<Transport>>,
}

/// A device that signs in: a browser's push subscription as it is, or a token or player id.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutDevice {
    /// web_push, fcm or onesignal; web_push if it is left out.
    pub(crate) kind: Option<String>,
    /// The endpoint, registration token, or subscription or player id; `endpoint` and `playerId` mean the same.
    #[serde(alias = "endpoint", alias = "playerId")]
    pub(crate) address: String,
    /// Of web_push.
    pub(crate) keys: Option<DeviceKeys>,
}

/// Of a browser's push subscription, in base64url.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceKeys {
    pub(crate) p256dh: String,
    pub(crate) auth: String,
}

/// Which device is forgotten.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RemoveDevice {
    pub(crate) id: Option<Uuid>,
    /// As when it signed in.
    #[serde(alias = "endpoint", alias = "playerId")]
    pub(crate) address: Option<String>,
}

/// A device of the caller, without its keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) id: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) address: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
}

/// A device.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceAnswer {
    pub(crate) device: Device,
}

/// What is told, and to whom: one of `userId`, `userIds`, or `targetType` with `targetId`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendNotification {
    pub(crate) user_id: Option<UserId>,
    pub(crate) user_ids: Option<Vec<UserId>>,
    /// Those who subscribed to it, such as `COURSE`.
    pub(crate) target_type: Option<String>,
    pub(crate) target_id: Option<String>,
    /// Not these: who did it knows already.
    #[serde(default)]
    pub(crate) exclude: Vec<UserId>,
    pub(crate) r#type: NotificationType,
    /// Needed only for types that are not known.
    pub(crate) category: Option<Category>,
    /// 1 to 200 characters.
    pub(crate) title: String,
    /// At most 4,000 characters.
    #[serde(default)]
    pub(crate) body: String,
    /// http or https, or a path that begins with `/`.
    pub(crate) link: Option<String>,
    /// http or https.
    pub(crate) image_url: Option<String>,
    pub(crate) actor: Option<Actor>,
    /// At most 8 KiB.
    #[serde(default)]
    pub(crate) data: serde_json::Map<String, serde_json::Value>,
    /// in_app and push if it is left out; pusher, onesignal and starsender are taken as well.
    pub(crate) transports: Option<Vec<Transport>>,
    /// Now if it is left out.
    pub(crate) send_at: Option<DateTime<Utc>>,
    /// From when it is told; it leaves the list then, too.
    pub(crate) ttl_seconds: Option<i64>,
    /// What it tells of, in your own words: each user is told once of it, per type. 1 to 200 characters.
    pub(crate) source_event: Option<String>,
    /// urgent (no quiet hours), normal or bulk.
    pub(crate) priority: Option<String>,
    /// A later one with the same key replaces it on a phone. 1 to 64 characters.
    pub(crate) collapse_key: Option<String>,
}

/// What was made of it, for each user.
#[derive(Serialize, ToSchema)]
pub(crate) struct SentNotifications {
    pub(crate) notifications: Vec<SentNotification>,
}

/// What was made of it for one user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentNotification {
    pub(crate) id: NotificationId,
    pub(crate) user_id: UserId,
    /// told, scheduled, or known: the user was told of this event before.
    pub(crate) status: &'static str,
    /// By which transports, as the user wants it; empty before it is told.
    pub(crate) transports: Vec<Transport>,
}

/// A notification and what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationTrace {
    pub(crate) notification: Notification,
    /// told or scheduled.
    pub(crate) status: &'static str,
    /// When it will be told.
    pub(crate) send_at: Option<DateTime<Utc>>,
    /// Whether it stands in the user's list, archived or not; `seq` is 0 if not.
    pub(crate) in_app: bool,
    pub(crate) deliveries: Vec<DeliveryTrace>,
}

/// A delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryTrace {
    pub(crate) id: DeliveryId,
    pub(crate) transport: Transport,
    /// ready, leased, sent, delivered, skipped, expired, cancelled, unknown or dead.
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) attempts: i32,
    pub(crate) provider: Option<String>,
    pub(crate) provider_message_id: Option<String>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// What was taken back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CancelledNotification {
    pub(crate) success: bool,
    /// Deliveries that will not go out.
    pub(crate) cancelled_deliveries: usize,
}
