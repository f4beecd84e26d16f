//! A shard's turn: append what was published, flush, look again.
//!
//! Flushing goes in slices, and between two slices newly published frames are appended: under load the sockets that
//! still wait get several frames in one write, while a lone frame leaves at once.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{CloseCode, SocketId, frame};

use super::{Inner, Place, State};
use crate::channel::ChannelId;
use crate::inbox::{Command, Outgoing};
use crate::socket::Phase;

/// Sockets flushed before the thread looks at anything else.
const SLICE_SOCKETS: usize = 256;
/// Frames appended before a flush has to catch up: bounds what sits in queues that nobody blocks.
const APPENDED_MAX: usize = 256 * 1024;
/// How often the drain closes a share of the sockets.
const DRAIN_STEP: Duration = Duration::from_millis(50);

pub(super) async fn turns(inner: Rc<Inner>) {
    loop {
        inner.inbox.wait().await;
        while turn(&inner) {
            // Lets sockets be read and accepted; what they publish joins the next slice.
            tokio::task::yield_now().await;
        }
    }
}

/// One slice; whether there is more to do.
fn turn(inner: &Rc<Inner>) -> bool {
    let mut state = inner.state.borrow_mut();
    let mut appended = 0;
    while appended < APPENDED_MAX {
        let Some(command) = state.next_command() else { break };
        match command {
            Command::Deliver { channel, seq, frame, except } => appended += state.deliver(channel, seq, &frame, except),
            Command::Revoke { channel, user } => state.revoke(channel, &user),
            Command::Send { socket, frame } => {
                if let Some(slot) = state.find_id(socket) {
                    state.send_frame(slot, frame);
                }
            }
            Command::Close { socket, code } => {
                if let Some(slot) = state.find_id(socket) {
                    state.refuse(slot, code);
                }
            }
            Command::Drain { seconds } => {
                state.draining = true;
                tokio::task::spawn_local(drain(Rc::clone(inner), seconds));
            }
        }
    }
    // Having appended so much, all of it goes out before more is taken.
    let slice = if appended < APPENDED_MAX { SLICE_SOCKETS } else { usize::MAX };
    state.flush_slice(slice);
    !(state.dirty.is_empty() && state.commands.is_empty() && inner.inbox.is_empty())
}

/// Closes every socket, evenly over the time and in no order that clients could share.
async fn drain(inner: Rc<Inner>, over_seconds: u32) {
    let mut places: Vec<Place> = {
        let state = inner.state.borrow();
        state.sockets.iter().map(|(slot, socket)| Place { slot: slot as u32, serial: socket.serial }).collect()
    };
    // The nonces are random: sorting by them is a shuffle.
    places.sort_by_cached_key(|place| inner.state.borrow().sockets[place.slot as usize].id);
    let steps = (Duration::from_secs(over_seconds.into()).as_millis() / DRAIN_STEP.as_millis()).max(1) as usize;
    for share in places.chunks(places.len().div_ceil(steps).max(1)) {
        for &place in share {
            let mut state = inner.state.borrow_mut();
            if state.find(place).is_some() {
                state.close(place.slot, CloseCode::GOING_AWAY);
            }
        }
        tokio::time::sleep(DRAIN_STEP).await;
    }
}

impl State {
    fn next_command(&mut self) -> Option<Command> {
        if self.commands.is_empty() && !self.inbox.is_empty() {
            // A deque made of an empty vector keeps its allocation, and so does the vector made of it.
            let mut batch = Vec::from(std::mem::take(&mut self.commands));
            self.inbox.sweep(&mut batch);
            self.commands = batch.into();
        }
        self.commands.pop_front()
    }

    /// Appends the frame to each subscriber; gives how many got it.
    fn deliver(&mut self, channel: ChannelId, seq: u64, frame: &Outgoing, except: Option<SocketId>) -> usize {
        let Some(subscribers) = self.channels.get(&channel) else { return 0 };
        let queue_bytes_max = self.shared.config().queue_bytes_max;
        let mut over = Vec::new();
        for subscriber in subscribers {
            let socket = &mut self.sockets[subscriber.slot as usize];
            if seq <= subscriber.since || except == Some(socket.id) {
                continue;
            }
            let numbered = frame.numbered.as_ref().filter(|_| subscriber.positioned);
            socket.queue.push(numbered.unwrap_or(&frame.plain).clone());
            if !socket.dirty {
                socket.dirty = true;
                self.dirty.push_back(subscriber.slot);
            }
            if socket.queue.bytes() > queue_bytes_max {
                over.push(subscriber.slot);
            }
        }
        let count = subscribers.len();
        over.into_iter().for_each(|slot| self.relieve(slot));
        count
    }

    /// Queues a frame for one socket.
    pub(crate) fn send_frame(&mut self, slot: u32, frame: Bytes) {
        let queue_bytes_max = self.shared.config().queue_bytes_max;
        let socket = self.socket(slot);
        if socket.phase != Phase::Open {
            return;
        }
        socket.queue.push(frame);
        let over = socket.queue.bytes() > queue_bytes_max;
        if !socket.dirty {
            socket.dirty = true;
            self.dirty.push_back(slot);
        }
        if over {
            self.relieve(slot);
        }
    }

    /// Queues frames that the socket asked for, however many.
    pub(crate) fn replay(&mut self, slot: u32, frames: Vec<Bytes>) {
        let socket = self.socket(slot);
        if socket.phase != Phase::Open || frames.is_empty() {
            return;
        }
        frames.into_iter().for_each(|frame| socket.queue.grant(frame));
        if !socket.dirty {
            socket.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// A queue is over its limit: that is the peer's fault only if the kernel takes nothing more for it.
    fn relieve(&mut self, slot: u32) {
        self.flush(slot);
        if self.socket(slot).queue.bytes() > self.shared.config().queue_bytes_max {
            self.close(slot, CloseCode::SLOW);
        }
    }

    fn flush_slice(&mut self, sockets: usize) {
        for _ in 0..sockets.min(self.dirty.len()) {
            let Some(slot) = self.dirty.pop_front() else { return };
            // The slot may be free, or another socket's, by now: flushing that one does no harm.
            let Some(socket) = self.sockets.get_mut(slot as usize) else { continue };
            socket.dirty = false;
            self.flush(slot);
        }
    }

    /// Writes what waits for one socket.
    pub(crate) fn flush(&mut self, slot: u32) {
        let now = self.wheel.now();
        let mut scratch = std::mem::take(&mut self.write_buffer);
        let socket = self.socket(slot);
        let was_blocked = socket.blocked_since.is_some();
        socket.flush(&mut scratch, now);
        let newly_blocked = !was_blocked && socket.blocked_since.is_some();
        self.write_buffer = scratch;
        if newly_blocked {
            self.watch_stall(slot);
        }
    }

    /// Ends a user's subscriptions to a channel and tells the sockets that held them.
    fn revoke(&mut self, channel: ChannelId, user: &Arc<str>) {
        let Some(subscribers) = self.channels.get(&channel) else { return };
        let holds = |slot: &u32| {
            let subscriptions = &self.sockets[*slot as usize].subscriptions;
            subscriptions.iter().any(|held| held.id == channel && held.user.as_ref() == Some(user))
        };
        let slots: Vec<u32> = subscribers.iter().map(|subscriber| subscriber.slot).filter(holds).collect();
        for slot in slots {
            let subscriptions = &mut self.socket(slot).subscriptions;
            let Some(index) = subscriptions.iter().position(|held| held.id == channel) else { continue };
            let ended = subscriptions.swap_remove(index);
            self.forget(slot, &ended);
            let text =
                frame::subscription_error(ended.channel.name(), "AuthError", "No longer allowed to be subscribed", 403);
            self.send(slot, &text);
        }
    }
}
