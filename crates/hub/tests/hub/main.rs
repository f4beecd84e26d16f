//! The hub over real sockets: a node of two shards in this process, bare WebSockets against it.

mod channels;
mod faults;
mod order;
mod sign_in;
mod support;
