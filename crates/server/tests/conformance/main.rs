//! The Pusher protocol, row by row, against the real binary: each rule at its limit and one past it. Numbers in front of
//! rows are those of rules; the table is in `docs/contributing.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod caches;
mod client_events;
mod connecting;
mod fallback;
mod http;
#[expect(dead_code, reason = "shared with the tests end to end, which use more of it")]
#[path = "../e2e/kabar.rs"]
mod kabar;
mod keep_alive;
mod limits;
mod presence;
mod recovery;
mod request;
mod script;
mod server;
mod signatures;
mod signing_in;
mod subscribing;
mod webhooks;
