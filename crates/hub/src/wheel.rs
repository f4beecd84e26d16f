//! Every timeout of a shard's sockets, in buckets of one second.
//!
//! A deadline is put in once and looked at once: whether it still means anything is for the socket to say then.
//! Moving a deadline costs nothing, since activity only changes what the socket will say.

use crate::shard::Place;

const BUCKETS: u32 = 512;

/// What a socket is to be asked when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// Has it been silent for too long?
    Idle,
    /// Is it still in the midst of the same frame?
    Frame,
    /// Has the peer still taken nothing?
    Stall,
    /// Has its token run out?
    Token,
    /// Is it still nobody, where the app wants to know who connects?
    Authorization,
    /// Has the peer not answered the close?
    Linger,
}

/// Deadlines by the second at which they fall due; seconds count from the shard's start.
pub(crate) struct Wheel {
    buckets: Vec<Vec<(u32, Place, Deadline)>>,
    now: u32,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// Asks for a call in `seconds`, at least one.
    pub(crate) fn schedule(&mut self, seconds: u32, place: Place, deadline: Deadline) {
        let due = self.now.saturating_add(seconds.max(1));
        self.buckets[(due % BUCKETS) as usize].push((due, place, deadline));
    }

    /// The current second.
    pub(crate) fn now(&self) -> u32 {
        self.now
    }

    /// Moves on to `now` and gives what fell due, earliest first.
    pub(crate) fn advance(&mut self, now: u32) -> Vec<(Place, Deadline)> {
        let mut due = Vec::new();
        while self.now < now {
            self.now += 1;
            let bucket = &mut self.buckets[(self.now % BUCKETS) as usize];
            if bucket.is_empty() {
                continue;
            }
            // What is due in a later round stays.
            bucket.retain(|&(at, place, deadline)| {
                let falls = at <= self.now;
                if falls {
                    due.push((place, deadline));
                }
                !falls
            });
            if bucket.is_empty() && bucket.capacity() > 64 {
                *bucket = Vec::new();
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_falls_due_once_at_its_second_however_far_away() {
        for seconds in [1, 2, 511, 512, 513, 5000] {
            let mut wheel = Wheel::new();
            let place = Place { slot: 7, serial: 1 };
            wheel.schedule(seconds, place, Deadline::Idle);
            assert_eq!(wheel.advance(seconds - 1), []);
            assert_eq!(wheel.advance(seconds), [(place, Deadline::Idle)]);
            assert_eq!(wheel.advance(seconds + 2000), []);
        }
    }
}
