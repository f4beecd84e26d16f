//! The product, end to end: the real binary, real sockets, a real Postgres.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod apps;
mod chat;
mod cli;
mod kabar;
mod lifecycle;
mod listeners;
mod page;
mod publish;
mod webhooks;
