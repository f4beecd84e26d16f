//! The truth: Postgres through diesel. Verbs on nouns, one transaction each, every query scoped by app.
//!
//! What belongs to another app, or to a room that the user is not in, looks as if it did not exist. Row structs
//! never leave this crate: callers get the types of `protocol` or those defined beside the verbs.

pub mod apps;
pub mod chat;
mod conninfo;
pub mod deliveries;
pub mod devices;
pub mod embedded;
mod error;
pub mod idempotency;
mod listener;
pub mod notifications;
mod pool;
pub mod publications;
pub mod rooms;
mod schema;
mod store;
pub mod tickets;
mod transaction;
pub mod users;
pub mod webhooks;

// Linked for libpq alone, which is built into the binary with them: no system libpq, and sslmode=require works.
use openssl_sys as _;
use pq_sys as _;

/// A connection inside [`Store::run`]; callers pass it on to the verbs.
pub use diesel::PgConnection;
pub use error::Error;
pub use listener::Listener;
pub use store::{Config, Store};
