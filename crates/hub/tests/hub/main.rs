//! The hub over real sockets: a node of two shards in this process, bare WebSockets against it.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, which is what it is for")]

mod channels;
mod fallback;
mod faults;
mod journal;
mod limits;
mod order;
mod policy;
mod recovery;
mod sign_in;
mod support;
mod told;
