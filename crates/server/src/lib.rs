//! The binary `kabar`: configuration, composition and lifecycle. No rules of chat or channels live here.
//!
//! ```text
//! cli, commands    what the command line says        settings  defaults ← file ← environment
//! application      composed, served, stopped         upkeep    schema, apps of the database
//! database         private Postgres or elsewhere     tenants   configured apps and stored ones
//! health           live and ready                    demo, page  the demo's people and page
//! ```

pub mod application;
pub mod cli;
pub mod commands;
mod database;
mod demo;
mod front;
mod health;
mod limits;
pub mod logging;
mod page;
mod secrets;
pub mod settings;
mod tenants;
mod upkeep;

pub use application::Application;
pub use settings::Settings;
