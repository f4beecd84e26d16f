//! What a channel said lately: frames as they went out, numbered without a gap.
//!
//! A history is bounded by count, by age and, together with all others of the node, by bytes. What it gives is whole:
//! either everything after an offset, or nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use protocol::frame::Rewind;
use protocol::{Position, SocketId};

/// What an entry costs beside its frame.
const OVERHEAD_BYTES: usize = 64;

/// What a channel costs beside its messages: names, maps, an empty history.
const CHANNEL_BYTES: usize = 640;

/// Bytes that all histories and caches of the node may take together.
pub(crate) struct Budget {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), bytes_max })
    }

    /// Takes what a frame costs, unless that is too much.
    pub(crate) fn take(self: &Arc<Self>, frame: &Bytes) -> Option<Charge> {
        self.take_bytes(frame.len() + OVERHEAD_BYTES)
    }

    /// Takes what a channel costs that stays although nobody is there, unless that is too much.
    pub(crate) fn take_channel(self: &Arc<Self>) -> Option<Charge> {
        self.take_bytes(CHANNEL_BYTES)
    }

    fn take_bytes(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Charge { budget: Arc::clone(self), bytes: bytes as u32 })
    }
}

/// Bytes taken from a [`Budget`]; they go back when it is dropped.
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: u32,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes as usize, Ordering::Relaxed);
    }
}

/// How much a channel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) messages_max: u32,
    pub(crate) seconds: u32,
    pub(crate) durable: bool,
}

pub(crate) struct History {
    rule: Rule,
    /// Of the newest message. None while only the journal knows.
    position: Option<Position>,
    ring: VecDeque<Entry>,
    /// The second of the last publication, or of the last subscriber's leaving.
    touched: u32,
}

struct Entry {
    frame: Bytes,
    at: u32,
    except: Option<SocketId>,
    _charge: Charge,
}

/// What a subscriber gets of the past.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// All that was asked for, with the offsets.
    Whole(Vec<(u64, Bytes)>),
    /// Part of it is gone from memory.
    Gone,
}

impl History {
    /// An empty history; `position` is `None` where the journal has to say it.
    pub(crate) fn new(rule: Rule, position: Option<Position>, now: u32) -> Self {
        Self { rule, position, ring: VecDeque::new(), touched: now }
    }

    /// Keeps as much as another rule says.
    pub(crate) fn keep(&mut self, rule: Rule, now: u32) {
        self.rule = rule;
        let spare = self.ring.len().saturating_sub(rule.messages_max as usize);
        self.ring.drain(..spare);
        self.trim(now);
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.rule.durable
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Takes over a position that the journal knows; what was in memory is dropped unless it ends there.
    pub(crate) fn place(&mut self, position: Position) {
        if self.position != Some(position) {
            self.ring.clear();
            self.position = Some(position);
        }
    }

    /// Takes over what the journal has: the newest messages, which end at `position`, each with its age in seconds.
    pub(crate) fn load(
        &mut self,
        position: Position,
        frames: impl Iterator<Item = (Bytes, Option<SocketId>, u32)>,
        budget: &Arc<Budget>,
        now: u32,
    ) {
        self.ring.clear();
        self.position = Some(position);
        for (frame, except, age) in frames {
            match budget.take(&frame) {
                Some(charge) => {
                    self.ring.push_back(Entry { frame, at: now.saturating_sub(age), except, _charge: charge });
                }
                None => self.ring.clear(),
            }
        }
        let spare = self.ring.len().saturating_sub(self.rule.messages_max as usize);
        self.ring.drain(..spare);
        self.trim(now);
    }

    /// The offset that the next message gets.
    pub(crate) fn next_offset(&self) -> u64 {
        self.position.map_or(1, |position| position.offset + 1)
    }

    /// Appends the frame at `position`, which follows the last one; where it does not, what was before is dropped.
    pub(crate) fn push(
        &mut self,
        position: Position,
        frame: Bytes,
        except: Option<SocketId>,
        budget: &Arc<Budget>,
        now: u32,
    ) {
        let follows =
            self.position.is_some_and(|last| last.epoch == position.epoch && last.offset + 1 == position.offset);
        if !follows {
            self.ring.clear();
        }
        (self.position, self.touched) = (Some(position), now);
        self.trim(now);
        let mut charge = budget.take(&frame);
        while charge.is_none() && self.ring.pop_front().is_some() {
            charge = budget.take(&frame);
        }
        match charge {
            Some(charge) => self.ring.push_back(Entry { frame, at: now, except, _charge: charge }),
            // Not even room for this one: what comes later must not stand beside a gap.
            None => self.ring.clear(),
        }
        while self.ring.len() > self.rule.messages_max as usize {
            self.ring.pop_front();
        }
    }

    /// Everything after `offset`, without what was published with the exclusion of `own`.
    pub(crate) fn after(&self, offset: u64, own: Option<SocketId>, now: u32) -> Past {
        let top = self.position.map_or(0, |position| position.offset);
        let Some(missed) = top.checked_sub(offset) else { return Past::Gone };
        let alive = self.alive(now);
        if missed > alive.len() as u64 {
            return Past::Gone;
        }
        let skip = alive.len() - missed as usize;
        let entries = (offset + 1..).zip(alive.skip(skip)).filter(|(_, entry)| own.is_none() || entry.except != own);
        Past::Whole(entries.map(|(offset, entry)| (offset, entry.frame.clone())).collect())
    }

    /// The newest messages; fewer than wanted where there are no more.
    pub(crate) fn newest(&self, rewind: Rewind, now: u32) -> Past {
        let top = self.position.map_or(0, |position| position.offset);
        let wanted = u64::from(rewind.messages.unwrap_or(u32::MAX)).min(top);
        let alive = self.alive(now);
        let since = now.saturating_sub(rewind.seconds.unwrap_or(u32::MAX));
        let (have, oldest) = (alive.len() as u64, alive.clone().next().map(|entry| entry.at));
        let skip = have.saturating_sub(wanted);
        let numbered = (top - have + skip + 1..).zip(alive.skip(skip as usize));
        let young = numbered.filter(|(_, entry)| entry.at >= since);
        let frames = young.map(|(offset, entry)| (offset, entry.frame.clone())).collect();
        // Memory may hold less than the journal does; without one there is nothing more.
        let complete = !self.rule.durable || have >= wanted || oldest.is_some_and(|at| at < since);
        if complete { Past::Whole(frames) } else { Past::Gone }
    }

    /// The frames with their offsets, oldest first.
    pub(crate) fn entries(&self, now: u32) -> impl Iterator<Item = (u64, &Bytes)> {
        let alive = self.alive(now);
        let first = self.next_offset() - alive.len() as u64;
        (first..).zip(alive.map(|entry| &entry.frame))
    }

    /// The last subscriber left.
    pub(crate) fn touch(&mut self, now: u32) {
        self.touched = now;
    }

    /// When there is no use for it any more, unless something is published or somebody subscribes before.
    pub(crate) fn expires_at(&self) -> u32 {
        self.touched.saturating_add(self.rule.seconds)
    }

    fn alive(&self, now: u32) -> impl ExactSizeIterator<Item = &Entry> + Clone {
        let dead = self.ring.partition_point(|entry| self.is_dead(entry, now));
        self.ring.range(dead..)
    }

    fn trim(&mut self, now: u32) {
        // From the front: nearly always nothing is dead, and looking further would read memory that nobody has in cache.
        while self.ring.front().is_some_and(|entry| self.is_dead(entry, now)) {
            self.ring.pop_front();
        }
    }

    fn is_dead(&self, entry: &Entry, now: u32) -> bool {
        entry.at.saturating_add(self.rule.seconds) < now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::Epoch;

    use super::*;

    const EPOCH: Epoch = Epoch(1);

    fn history(messages_max: u32, seconds: u32) -> History {
        let rule = Rule { messages_max, seconds, durable: false };
        History::new(rule, Some(Position { epoch: EPOCH, offset: 0 }), 0)
    }

    fn push(history: &mut History, budget: &Arc<Budget>, now: u32) {
        let offset = history.next_offset();
        let frame = Bytes::from(offset.to_string());
        history.push(Position { epoch: EPOCH, offset }, frame, None, budget, now);
    }

    fn whole(offsets: std::ops::RangeInclusive<u64>) -> Past {
        Past::Whole(offsets.map(|offset| (offset, Bytes::from(offset.to_string()))).collect())
    }

    proptest! {
        /// Against a model that forgets nothing: whatever is given is exactly what was missed, and what the bounds
        /// promise is given.
        #[test]
        fn what_is_given_is_whole(
            steps in proptest::collection::vec((0_u32..4, 0_u64..30), 1..80),
            messages_max in 1_u32..12,
            seconds in 1_u32..20,
            bytes_max in 100_usize..2000,
        ) {
            let budget = Budget::new(bytes_max);
            let mut history = history(messages_max, seconds);
            let mut times = Vec::new();
            let mut now = 0;
            for (wait, back) in steps {
                now += wait;
                push(&mut history, &budget, now);
                times.push(now);
                let top = times.len() as u64;
                let offset = top.saturating_sub(back);
                match history.after(offset, None, now) {
                    Past::Whole(frames) => prop_assert_eq!(Past::Whole(frames), whole(offset + 1..=top)),
                    Past::Gone => {
                        let missed = (top - offset) as usize;
                        let room = (bytes_max / (OVERHEAD_BYTES + 3)).min(messages_max as usize);
                        let young = times.iter().filter(|at| **at + seconds >= now).count();
                        prop_assert!(missed > room.min(young), "{} missed, {} kept", missed, room.min(young));
                    }
                }
            }
            prop_assert!(budget.bytes.load(Ordering::Relaxed) <= bytes_max);
            drop(history);
            prop_assert_eq!(budget.bytes.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_position_of_the_future_or_too_far_back_is_gone() {
        let budget = Budget::new(10_000);
        let mut history = history(3, 10);
        (0..5).for_each(|_| push(&mut history, &budget, 0));
        assert_eq!(history.after(6, None, 0), Past::Gone);
        assert_eq!(history.after(1, None, 0), Past::Gone);
        assert_eq!(history.after(2, None, 0), whole(3..=5));
        assert_eq!(history.after(5, None, 0), Past::Whole(Vec::new()));
        assert_eq!(history.after(4, None, 11), Past::Gone);
    }

    #[test]
    fn what_excluded_a_socket_is_left_out_for_it() {
        let budget = Budget::new(10_000);
        let mut history = history(9, 10);
        let own: SocketId = "1.1".parse().unwrap();
        push(&mut history, &budget, 0);
        let second = Position { epoch: EPOCH, offset: 2 };
        history.push(second, Bytes::from_static(b"2"), Some(own), &budget, 0);
        push(&mut history, &budget, 0);
        assert_eq!(history.after(0, Some(own), 0), Past::Whole(vec![(1, "1".into()), (3, "3".into())]));
        assert_eq!(history.after(0, None, 0), whole(1..=3));
    }

    #[test]
    fn the_newest_are_bounded_by_count_and_age() {
        let budget = Budget::new(10_000);
        let mut history = history(9, 100);
        for now in [0, 5, 10] {
            push(&mut history, &budget, now);
        }
        let newest = |messages, seconds| history.newest(Rewind { messages, seconds }, 10);
        assert_eq!(newest(Some(2), None), whole(2..=3));
        assert_eq!(newest(None, Some(5)), whole(2..=3));
        assert_eq!(newest(Some(50), Some(0)), whole(3..=3));
        assert_eq!(newest(None, None), whole(1..=3));
    }

    #[test]
    fn what_the_journal_has_is_as_old_as_it_says() {
        let budget = Budget::new(10_000);
        let rule = Rule { messages_max: 3, seconds: 100, durable: true };
        let mut history = History::new(rule, None, 1000);
        let stored = [(6, 101), (7, 90), (8, 10), (9, 0)].map(|(n, age): (u64, u32)| (n.to_string().into(), None, age));
        history.load(Position { epoch: EPOCH, offset: 9 }, stored.into_iter(), &budget, 1000);
        assert_eq!(history.after(6, None, 1000), whole(7..=9));
        assert_eq!(history.after(5, None, 1000), Past::Gone);
        assert_eq!(history.after(6, None, 1011), Past::Gone);
        assert_eq!(history.newest(Rewind { messages: None, seconds: Some(10) }, 1000), whole(8..=9));
        push(&mut history, &budget, 1001);
        assert_eq!(history.after(8, None, 1001), whole(9..=10));
    }

    #[test]
    fn a_gap_drops_what_was_before_it() {
        let budget = Budget::new(10_000);
        let mut history = history(9, 100);
        push(&mut history, &budget, 0);
        history.push(Position { epoch: EPOCH, offset: 5 }, Bytes::from_static(b"5"), None, &budget, 0);
        assert_eq!(history.after(1, None, 0), Past::Gone);
        assert_eq!(history.after(4, None, 0), whole(5..=5));
    }
}
