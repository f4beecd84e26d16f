//! Webhooks from what is observed to what arrives: real Postgres, real HTTP over sockets, a clock that tests move.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "webhooks/bench.rs"]
mod bench;
#[path = "webhooks/delivery.rs"]
mod delivery;
#[path = "webhooks/guard.rs"]
mod guard;
#[path = "webhooks/loops.rs"]
mod loops;
#[path = "webhooks/occupancy.rs"]
mod occupancy;
#[path = "webhooks/receiver.rs"]
mod receiver;
#[path = "webhooks/tracker.rs"]
mod tracker;
