//! Sockets and channels of this node, in memory.
//!
//! The hub moves named bytes: it knows no SQL, no JWT and no chat. Who may do what, where it is not a matter of
//! a signature, it asks the [`Gate`].
//!
//! ```text
//! upgrade   HTTP upgrade → raw stream           websocket  bytes ↔ RFC 6455 messages
//! fallback  sockets over plain HTTP
//! arrival   who may come in                         proxies    whose word about addresses counts
//! shard     the sockets of one thread           socket     one peer: reads, answers, queue
//! io        what a socket's bytes travel on
//! directory channels and users of the node      inbox      what other threads hand to a shard
//! wheel     every timeout of a shard            gate       questions that need the outside
//! ```

mod apps;
mod arrival;
mod config;
mod connections;
mod directory;
mod fallback;
mod gate;
mod hub;
mod inbox;
mod io;
mod proxies;
mod shard;
mod socket;
mod subscribe;
mod upgrade;
mod websocket;
mod wheel;

pub use apps::Apps;
pub use config::Config;
pub use gate::{Answer, Gate, Refused, SignedIn};
pub use hub::{Busy, Hub, Publication};
pub use io::{Io, prepare_tcp};
pub use proxies::{InvalidProxy, TrustedProxies};
pub use shard::Shard;
pub use upgrade::Upgrade;
#[doc(hidden)]
pub use websocket::fuzz;
