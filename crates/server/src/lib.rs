//! The binary `kabar`: configuration, composition and lifecycle. No rules of chat or channels live here.
//!
//! ```text
//! cli, commands    what the command line says        settings  defaults ← file ← environment
//! application      composed, served, stopped         upkeep    schema, apps of the database
//! database         private Postgres or elsewhere     tenants   configured apps and stored ones
//! health           live and ready                    demo, page  the demo's people and page
//! webhooks         what the hub sees, on its way to the apps' backends
//! reload           the configuration, read again
//! listeners        TCP, a Unix socket, TLS           public    what they serve
//! certificates     of TLS, read anew
//! ```

pub mod application;
mod certificates;
pub mod cli;
pub mod commands;
mod database;
mod demo;
mod front;
mod health;
mod limits;
mod listeners;
pub mod logging;
mod page;
mod public;
mod reload;
mod secrets;
pub mod settings;
mod tenants;
mod upkeep;
pub mod webhooks;

pub use application::Application;
pub use reload::Reload;
pub use settings::Settings;
