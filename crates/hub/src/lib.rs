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
//! io        what a socket's bytes travel on     queue      frames on their way to one peer
//! space     channels and users of one app       channel    one channel: who is there, what it said
//! history   what a channel said lately          journal    the same, where it outlives the process
//! directory every app's space, every shard      inbox      what other threads hand to a shard
//! wheel     every timeout of a shard            gate       questions that need the outside
//! observer  who is told what happens
//! ```

mod apps;
mod arrival;
mod channel;
mod config;
mod connections;
mod directory;
mod fallback;
mod gate;
mod history;
mod hub;
mod inbox;
mod io;
mod journal;
mod observer;
mod proxies;
mod queue;
mod replay;
mod shard;
mod socket;
mod space;
mod subscribe;
mod upgrade;
mod users;
mod websocket;
mod wheel;

pub use apps::Apps;
pub use config::Config;
pub use gate::{Answer, Gate, Refused, SignedIn};
pub use hub::{Accepted, Busy, HistoryPage, Hub, Publication, PublishError};
pub use io::{Io, prepare_tcp};
pub use journal::{
    Appended, Journal, JournalEntry, JournalEvent, JournalPage, JournalQuery, JournalUnavailable, Stored,
};
pub use observer::{Observed, Observer};
pub use proxies::{InvalidProxy, TrustedProxies};
pub use shard::Shard;
pub use space::{CachedEvent, ChannelInfo, KeptEvent};
pub use upgrade::Upgrade;
#[doc(hidden)]
pub use websocket::fuzz;
