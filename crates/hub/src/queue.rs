//! Frames on their way to one peer.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes};

use crate::Io;

/// Small messages that wait for one peer are copied together into writes of at most this size.
const WRITE_BYTES: usize = 64 * 1024;

/// Frames that the kernel has not taken yet; none of them is empty.
#[derive(Default)]
pub(crate) struct Queue {
    /// The oldest frame, or nothing at all. In place, since most frames leave alone: those allocate nothing.
    first: Bytes,
    /// Those behind it.
    rest: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes of the past that were asked for: they may wait over the limit until all has left.
    granted: usize,
    /// The first frame is partly sent: it has to be ended before anything else.
    begun: bool,
}

impl Queue {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        match self.first.is_empty() {
            true => self.first = frame,
            false => self.rest.push_back(frame),
        }
    }

    /// Takes what the peer asked for, which does not count as reading slowly.
    pub(crate) fn grant(&mut self, frame: Bytes) {
        self.granted += frame.len();
        self.push(frame);
    }

    /// What waits, without what was granted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.saturating_sub(self.granted)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Drops all but what has to be ended.
    pub(crate) fn abandon(&mut self) {
        self.rest = VecDeque::new();
        if !self.begun {
            self.first = Bytes::new();
        }
        self.bytes = self.first.len();
    }

    /// Writes until nothing is left (`true`) or the peer takes no more (`false`).
    pub(crate) fn write(&mut self, stream: &mut Io, scratch: &mut Vec<u8>) -> io::Result<bool> {
        while !self.first.is_empty() {
            let alone = self.rest.is_empty() || self.first.len() >= WRITE_BYTES / 4;
            let written = if alone { stream.try_write(&self.first) } else { stream.try_write(self.gather(scratch)) };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.consume(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.rest.capacity() > 0 {
            // Thousands of idle sockets must not keep room for a burst that is over.
            self.rest = VecDeque::new();
        }
        match stream.try_flush() {
            Ok(()) => {
                self.granted = 0;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Copies what fits into one write: for small messages far cheaper than a vector of slices.
    fn gather<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        scratch.clear();
        scratch.extend_from_slice(&self.first);
        for frame in &self.rest {
            if scratch.len() + frame.len() > WRITE_BYTES {
                break;
            }
            scratch.extend_from_slice(frame);
        }
        scratch
    }

    fn consume(&mut self, mut len: usize) {
        self.bytes -= len;
        while len >= self.first.len() {
            len -= self.first.len();
            self.begun = false;
            self.first = self.rest.pop_front().unwrap_or_default();
            if self.first.is_empty() {
                return;
            }
        }
        self.begun |= len > 0;
        self.first.advance(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_partly_sent_is_ended_and_the_rest_can_be_abandoned() {
        let mut queue = Queue::default();
        for text in ["abc", "def", "ghi"] {
            queue.push(Bytes::from_static(text.as_bytes()));
        }
        queue.consume(4);
        assert_eq!((queue.bytes(), queue.begun), (5, true));
        queue.abandon();
        queue.push(Bytes::from_static(b"end"));
        let mut scratch = Vec::new();
        assert_eq!(queue.gather(&mut scratch), b"efend");
        queue.consume(2);
        queue.abandon();
        assert!(queue.is_empty());
        queue.push(Bytes::from_static(b"all"));
        queue.consume(3);
        assert_eq!((queue.is_empty(), queue.bytes(), queue.begun), (true, 0, false));
    }
}
