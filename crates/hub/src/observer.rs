//! Who is told what happens on channels: what becomes webhooks.

use protocol::{AppId, SocketId};

/// Is told what happens. Called while the channel is locked, by the thread that caused it: it must return at once and
/// must not call the hub.
pub trait Observer: Send + Sync + 'static {
    /// Whether anything of this app is wanted at all.
    fn wants(&self, app: &AppId) -> bool;
    /// Takes one event; those of one channel come in the order in which they happened.
    fn observe(&self, app: &AppId, event: Observed<'_>);
}

/// What happened on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Observed<'a> {
    /// The first socket subscribed.
    Occupied { channel: &'a str },
    /// The last socket left.
    Vacated { channel: &'a str },
    /// A user's first socket joined a presence channel.
    MemberAdded { channel: &'a str, user: &'a str },
    /// A user's last socket left a presence channel.
    MemberRemoved { channel: &'a str, user: &'a str },
    /// A client event was relayed. `data` is the string that subscribers get.
    ClientEvent { channel: &'a str, event: &'a str, data: &'a str, socket: SocketId, user: Option<&'a str> },
    /// A socket joined a cache channel that holds nothing; told once for those who join about the same time.
    CacheMiss { channel: &'a str },
    /// As many sockets are subscribed; in apps that have counts told.
    SubscriptionCount { channel: &'a str, count: usize },
}
