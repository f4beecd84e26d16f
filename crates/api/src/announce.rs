//! What happened → which channel and event. Called after commit, never before.
//!
//! | what | channel | event |
//! |---|---|---|
//! | a message was stored | the room's | `new-message` |
//! | a read pointer moved | the room's | `message-read` |
//! | a delivered pointer moved | the room's | `message-delivered` |
//! | somebody types or stopped | the room's | `typing` |
//! | a room got another title | the room's | `room-updated` |
//! | somebody came into a room | the user's | `room-added` |
//! | somebody left one, or it was deleted | the user's | `room-removed` |
//! | somebody's unread count changed | the user's | `unread-count` |
//! | somebody was told something | the user's | `notification-new` |
//! | they read, saw, snoozed or archived it | the user's | `notification-updated` |

use hub::{Hub, Publication};
use protocol::chat::{DeliveredReceipt, Message, ReadReceipt, Room, RoomRemoved, Typing, UnreadCount};
use protocol::notification::{NotificationEvent, NotificationsMarked};
use protocol::{AppId, Protected, RoomId, UserId};
use serde::Serialize;

use crate::body::RoomUpdated;

pub(crate) fn new_message(hub: &Hub, app: &AppId, message: &Message) {
    publish(hub, app, &Protected::Room(message.room_id), "new-message", message);
}

pub(crate) fn message_read(hub: &Hub, app: &AppId, receipt: &ReadReceipt) {
    publish(hub, app, &Protected::Room(receipt.room_id), "message-read", receipt);
}

pub(crate) fn message_delivered(hub: &Hub, app: &AppId, receipt: &DeliveredReceipt) {
    publish(hub, app, &Protected::Room(receipt.room_id), "message-delivered", receipt);
}

pub(crate) fn typing(hub: &Hub, app: &AppId, room: RoomId, sign: &Typing) {
    // Only those who are there now care: a sign of typing is in no history.
    announce(hub, app, &Protected::Room(room), "typing", sign, true);
}

pub(crate) fn room_updated(hub: &Hub, app: &AppId, room: &RoomUpdated) {
    publish(hub, app, &Protected::Room(room.room_id), "room-updated", room);
}

/// `room` is as that user sees it.
pub(crate) fn room_added(hub: &Hub, app: &AppId, user: &UserId, room: &Room) {
    publish(hub, app, &Protected::User(user.clone()), "room-added", room);
}

pub(crate) fn room_removed(hub: &Hub, app: &AppId, user: &UserId, room: RoomId) {
    publish(hub, app, &Protected::User(user.clone()), "room-removed", &RoomRemoved { room_id: room });
}

pub(crate) fn unread_count(hub: &Hub, app: &AppId, user: &UserId, count: UnreadCount) {
    publish(hub, app, &Protected::User(user.clone()), "unread-count", &count);
}

pub(crate) fn notification_new(hub: &Hub, app: &AppId, told: &NotificationEvent) {
    publish(hub, app, &Protected::User(told.notification.user_id.clone()), "notification-new", told);
}

pub(crate) fn notification_updated(hub: &Hub, app: &AppId, updated: &NotificationEvent) {
    publish(hub, app, &Protected::User(updated.notification.user_id.clone()), "notification-updated", updated);
}

pub(crate) fn notifications_marked(hub: &Hub, app: &AppId, user: &UserId, marked: &NotificationsMarked) {
    publish(hub, app, &Protected::User(user.clone()), "notification-updated", marked);
}

fn publish(hub: &Hub, app: &AppId, to: &Protected, event: &str, data: &impl Serialize) {
    announce(hub, app, to, event, data, false);
}

fn announce(hub: &Hub, app: &AppId, to: &Protected, event: &str, data: &impl Serialize, ephemeral: bool) {
    let data = serde_json::to_string(data).expect("these types have string keys and no fallible parts");
    // It is stored, so the request succeeded: who misses the event catches up from the store.
    let publication = Publication { event, data: &data, ephemeral, ..Publication::default() };
    if hub.publish_protected(app, to, &publication).is_err() {
        tracing::warn!(event, "the hub was too busy to announce {event}");
    }
}
