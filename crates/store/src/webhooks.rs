//! Webhooks: who is told what happens on channels, what is still to be sent, and what was told.
//!
//! ```text
//! endpoints   where an app wants to be told       queue   enqueue → claim_due → delivered | failed
//! occupancy   what was told and still holds       dead    what was given up: look, replay, discard
//! ```
//!
//! Times are the caller's, so that the rules can be stepped through; nodes that share a database need clocks that
//! agree within a second or so.

mod dead;
mod endpoints;
mod occupancy;
mod queue;

pub use dead::{DeadLetter, dead_letters, discard, prune, replay};
pub use endpoints::{Endpoint, create, delete, list, sync_configured, update};
pub use occupancy::{Occupant, forget_app, occupancy};
pub use queue::{Claim, Claimed, NewDelivery, claim_due, delivered, enqueue, failed, pending};
