//! A client against servers that the tests play, over real sockets.

#![expect(clippy::unwrap_used, reason = "what the tests play is test code as well")]

mod connection;
mod peer;
mod rooms;
