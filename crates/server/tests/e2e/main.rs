//! The product, end to end: the real binary, real sockets, a real Postgres.

mod chat;
mod cli;
mod kabar;
mod lifecycle;
mod page;
