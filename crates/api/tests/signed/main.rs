//! Pusher's HTTP API: every row at its limits and one past, on a real hub with real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod asking;
mod publishing;
mod repeating;
mod support;
