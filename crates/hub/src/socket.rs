//! One peer: its stream, its queue, what it is subscribed to.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::SystemTime;

use protocol::{App, Channel, SocketId};
use smallvec::SmallVec;

use crate::Io;
use crate::channel::ChannelId;
use crate::connections::Admitted;
use crate::queue::Queue;
use crate::space::Space;
use crate::websocket::Decoder;
use crate::wheel::Deadline;

/// A socket of this shard. What it costs while idle is this struct, its task and its stream: buffers exist only while
/// something is half read or unsent.
pub(crate) struct Socket {
    pub(crate) id: SocketId,
    pub(crate) serial: u32,
    pub(crate) io: Io,
    pub(crate) decoder: Decoder,
    /// Bytes that came behind a frame whose answer is awaited.
    pub(crate) unread: Vec<u8>,
    /// None while nothing but a close frame may be sent: the app is unknown.
    pub(crate) tenant: Option<Tenant>,
    /// Its place in the app's counts, until it begins to close.
    pub(crate) admitted: Option<Admitted>,
    pub(crate) bound: Option<Box<Bound>>,
    pub(crate) subscriptions: SmallVec<[Subscription; 1]>,
    pub(crate) phase: Phase,
    pub(crate) waker: Option<Waker>,
    pub(crate) queue: Queue,
    /// Seconds of the shard's clock.
    pub(crate) last_seen: u32,
    pub(crate) frame_since: Option<u32>,
    pub(crate) blocked_since: Option<u32>,
    pub(crate) frames: Rate,
    pub(crate) client_events: Rate,
    pub(crate) pinged: bool,
    /// Deadlines that stand in the wheel: one of a kind is enough, however often what it watches begins anew.
    pub(crate) watched: Watched,
    /// Whether it stands in the shard's list of sockets to flush.
    pub(crate) dirty: bool,
}

/// The app that a socket belongs to.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) space: Arc<Space>,
}

impl Tenant {
    /// The app as it is now.
    pub(crate) fn app(&self) -> Arc<App> {
        self.space.app()
    }
}

/// The user whom a socket is signed in as.
pub(crate) struct Bound {
    pub(crate) user: Arc<str>,
    /// JSON, as it was signed or minted.
    pub(crate) user_data: String,
    pub(crate) expires_at: Option<SystemTime>,
    /// Users whose coming and going it is told of.
    pub(crate) watched: Box<[Arc<str>]>,
}

/// One channel that a socket is subscribed to.
pub(crate) struct Subscription {
    pub(crate) id: ChannelId,
    pub(crate) channel: Channel,
    /// Whether it is told the offset of what it gets.
    pub(crate) positioned: bool,
    /// Where in the channel's list of subscribers it stands.
    pub(crate) position: u32,
    /// Whose subscription it is, where that is known.
    pub(crate) user: Option<Arc<str>>,
}

/// Where in its life a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// A close frame is queued. With `linger`, the peer's own close is awaited, so that a reset does not overtake it.
    Closing {
        linger: bool,
    },
    Gone,
}

/// Which deadlines of a socket stand in the wheel.
#[derive(Clone, Copy, Default)]
pub(crate) struct Watched(u8);

impl Watched {
    /// Marks it; whether it was not marked before.
    pub(crate) fn begin(&mut self, deadline: Deadline) -> bool {
        let bit = 1 << deadline as u8;
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    pub(crate) fn end(&mut self, deadline: Deadline) {
        self.0 &= !(1 << deadline as u8);
    }
}

/// Events counted within the current second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rate {
    second: u32,
    count: u32,
}

impl Rate {
    /// Counts one more; whether that is within `max` a second.
    pub(crate) fn allows(&mut self, now: u32, max: u32) -> bool {
        if self.second != now {
            *self = Self { second: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= max
    }
}

impl Socket {
    /// Writes what waits. A failure makes the socket [`Phase::Gone`].
    pub(crate) fn flush(&mut self, scratch: &mut Vec<u8>, now: u32) {
        if self.blocked_since.is_some() || self.phase == Phase::Gone {
            return;
        }
        match self.queue.write(&mut self.io, scratch) {
            Ok(true) => {}
            Ok(false) => {
                self.blocked_since = Some(now);
                self.wake();
            }
            Err(_) => self.gone(),
        }
    }

    /// Ends it without another word.
    pub(crate) fn gone(&mut self) {
        self.phase = Phase::Gone;
        self.wake();
    }

    /// Has the socket's task polled again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    pub(crate) fn subscription(&self, name: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.channel.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_anew_each_second() {
        let mut rate = Rate::default();
        assert!(rate.allows(5, 2) && rate.allows(5, 2) && !rate.allows(5, 2));
        assert!(rate.allows(6, 2));
    }
}
