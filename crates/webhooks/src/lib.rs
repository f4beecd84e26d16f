//! Tells backends what happens on channels, as Pusher's webhooks do: signed, at least once, in order per channel.
//!
//! ```text
//! tracker   what was observed, coalesced; never waits      plan      events × endpoints → requests
//! recorder  tracker → Postgres, one transaction at a time  sender    Postgres → endpoints, with retries
//! guard     which addresses may be called                  post      one request, guarded and bounded
//! event     what can happen, and how it reads as JSON      headers   an endpoint's own headers, checked
//! ```
//!
//! [`guard`] and [`post`] know nothing of channels: whatever else sends requests to addresses that customers name goes
//! through them too.

mod backoff;
mod clock;
mod config;
mod endpoints;
mod event;
pub mod guard;
pub mod headers;
mod plan;
pub mod post;
mod recorder;
mod sender;
mod tracker;

pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use endpoints::{Endpoints, InvalidEndpoint, check, configured_id};
pub use event::{Event, InvalidKind, Kind};
pub use plan::plan;
pub use recorder::Recorder;
pub use sender::{Credentials, Sender};
pub use store::webhooks::Endpoint;
pub use tracker::{Batch, Tracker};
