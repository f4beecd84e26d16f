//! The store's behaviour on a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "store/apps.rs"]
mod apps;
#[path = "store/chat.rs"]
mod chat;
#[path = "store/deliveries.rs"]
mod deliveries;
#[path = "store/embedded.rs"]
mod embedded;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/inbox.rs"]
mod inbox;
#[path = "store/notifications.rs"]
mod notifications;
#[path = "store/people.rs"]
mod people;
#[path = "store/publications.rs"]
mod publications;
#[path = "store/retention.rs"]
mod retention;
#[path = "store/rooms.rs"]
mod rooms;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/support.rs"]
mod support;
#[path = "store/webhooks.rs"]
mod webhooks;
