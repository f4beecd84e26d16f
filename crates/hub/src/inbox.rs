//! What other threads hand to a shard: bounded in bytes, drained in one sweep.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use protocol::{CloseCode, SocketId};
use tokio::sync::Notify;

use crate::channel::ChannelId;

/// One thing for a shard to do.
pub(crate) enum Command {
    /// Append the frame to every local subscriber that joined before `seq`.
    Deliver { channel: ChannelId, seq: u64, frame: Outgoing, except: Option<SocketId> },
    /// End the subscriptions that this user holds to the channel.
    Revoke { channel: ChannelId, user: Arc<str> },
    /// Queue a frame for one socket.
    Send { socket: SocketId, frame: Bytes },
    /// Close one socket.
    Close { socket: SocketId, code: CloseCode },
    /// Close every socket with 4200, spread over the next so many seconds.
    Drain { seconds: u32 },
}

/// A frame for a channel's subscribers.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) plain: Bytes,
    /// With its offset, for subscribers who asked for that.
    pub(crate) numbered: Option<Bytes>,
}

impl Outgoing {
    /// The same bytes, shared with nobody.
    pub(crate) fn copied(&self) -> Self {
        let copy = |frame: &Bytes| Bytes::copy_from_slice(frame);
        Self { plain: copy(&self.plain), numbered: self.numbered.as_ref().map(copy) }
    }
}

impl From<Bytes> for Outgoing {
    fn from(plain: Bytes) -> Self {
        Self { plain, numbered: None }
    }
}

impl Command {
    fn cost(&self) -> usize {
        // The fixed part keeps a flood of tiny commands bounded too.
        match self {
            Self::Deliver { frame, .. } => frame.plain.len() + size_of::<Self>(),
            Self::Send { frame, .. } => frame.len() + size_of::<Self>(),
            _ => size_of::<Self>(),
        }
    }
}

/// A shard's letter box. Order of [`Inbox::push`] is order of delivery.
pub(crate) struct Inbox {
    pub(crate) shard: u32,
    // Held only to push or to swap the vector out.
    commands: Mutex<Vec<Command>>,
    bytes: AtomicUsize,
    bytes_max: usize,
    wake: Notify,
}

impl Inbox {
    pub(crate) fn new(shard: u32, bytes_max: usize) -> Self {
        let commands = Mutex::default();
        Self { shard, commands, bytes: AtomicUsize::new(0), bytes_max, wake: Notify::new() }
    }

    /// Whether a publication should be refused. What has begun to be handed out is not stopped half way, so the
    /// bound may be passed by what is on its way at that moment.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bytes_max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    pub(crate) fn push(&self, command: Command) {
        let cost = command.cost();
        let was_empty = {
            let mut commands = self.lock();
            commands.push(command);
            // Counted under the lock, so that a sweep between the two cannot take more than was counted.
            self.bytes.fetch_add(cost, Ordering::Release);
            commands.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Swaps all that waits into `batch`, which must be empty; its allocation is used next time.
    pub(crate) fn sweep(&self, batch: &mut Vec<Command>) {
        debug_assert!(batch.is_empty());
        let mut commands = self.lock();
        std::mem::swap(&mut *commands, batch);
        self.bytes.store(0, Ordering::Release);
    }

    /// Until something is pushed; at once when something was pushed since the last wait.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Command>> {
        self.commands.lock().expect("nothing panics while the inbox is locked")
    }
}
