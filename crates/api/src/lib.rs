//! REST: chat, channel auth and tickets for users, Pusher's HTTP API and internal routes for backends.
//!
//! A handler is: authenticate, act, announce, answer. Rules live in `store`, event names in `announce`.
//!
//! ```text
//! routes    the handlers, by who calls them       auth      tokens: checked and minted
//! request   bodies and parameters on their way in gate      what the hub asks
//! error     the one table of errors               announce  what happened → channel and event
//! signed    Pusher's HTTP API, past actix-web
//! inbox     users' lists: stored, then announced  telling   what backends want told, checked
//! openapi   the description, made from handlers   journal   what durable channels said, in the store
//! typing, unread, scheduled   what is told by timers
//! ```

mod announce;
mod api;
pub mod auth;
mod body;
mod caller;
mod config;
mod error;
mod gate;
mod headers;
mod inbox;
mod journal;
mod members;
mod openapi;
mod order;
mod request;
mod routes;
mod scheduled;
mod signed;
mod telling;
mod typing;
mod unread;

pub use api::Api;
pub use auth::{InvalidAuth, MintError, MintFor, Minted, mint};
pub use config::{Auth, Config, Keys, Notifications, PublicAlgorithm, PublicKey};
pub use journal::PgJournal;
pub use openapi::{internal_openapi, openapi};
pub use routes::{internal_routes, routes};
