//! Notifications over the routes and what users' sockets are told of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod backends;
mod support;
mod users;
