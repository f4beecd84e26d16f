//! What lies between a session's socket, which has a thread, and its requests, which come on any.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::lines::{Line, Style};
use super::positions::Positions;
use crate::websocket::{self, PONG, TEXT};

/// Bytes of lines that wait for a request before the socket has to keep its frames in its own queue.
const OUTWARD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of lines that one piece of a response has, a single longer line apart.
const CHUNK_BYTES: usize = 32 * 1024;
/// pusher-js opens a new request once it has read a response that is longer than this, in UTF-16 code units. What were
/// written behind that would be lost, so nothing is.
const RESPONSE_UNITS_MAX: usize = 256 * 1024;

/// Both directions of one session. Its lock is held for copying only.
pub(crate) struct Pipe {
    pub(super) style: Style,
    inward_bytes_max: usize,
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    /// For the peer.
    outward: VecDeque<Line>,
    outward_bytes: usize,
    /// Of a reader of events: where it is.
    positions: Positions,
    /// For the socket, as frames of a client.
    inward: Vec<u8>,
    /// How many requests have had the session; the newest has it.
    requests: u64,
    /// Whether that one may still be given lines.
    taking: bool,
    /// The socket writes nothing more.
    finished: bool,
    /// There is no socket any more.
    gone: bool,
    socket: Option<Waker>,
    request: Option<Waker>,
}

/// What a request gets.
pub(super) enum Taken {
    Lines(Bytes),
    /// Nothing now.
    Nothing,
    /// Nothing more, but the peer shall be the one that ends the response.
    Spent,
    /// The session is over, or another request has it.
    End,
}

/// What the socket's side has to know when it has read everything.
pub(super) enum Peer {
    /// Has been told everything, or there is nobody to tell.
    Done,
    /// Whether somebody takes lines; how many requests there were.
    There { taking: bool, requests: u64 },
}

impl Pipe {
    pub(super) fn new(style: Style, inward_bytes_max: usize) -> Arc<Self> {
        let mut state = State::default();
        style.open().into_iter().for_each(|line| state.push(line));
        Arc::new(Self { style, inward_bytes_max, state: Mutex::new(state), room: Notify::new() })
    }

    /// One that nobody sends into, for a reader of events who is there.
    pub(super) fn for_events(positions: Positions) -> Arc<Self> {
        let state = State { positions, ..State::default() };
        Arc::new(Self { style: Style::Events, inward_bytes_max: 0, state: Mutex::new(state), room: Notify::new() })
    }

    /// Gives the session to a new request, whose number it tells. An older one ends.
    pub(super) fn attach(&self) -> u64 {
        let mut state = self.lock();
        state.requests += 1;
        state.taking = true;
        state.wake_request();
        state.wake_socket();
        state.requests
    }

    /// The request is over.
    pub(super) fn detach(&self, request: u64) {
        let mut state = self.lock();
        if state.requests == request && state.taking {
            state.taking = false;
            state.wake_socket();
        }
    }

    /// Takes lines for a request that has been given so many UTF-16 code units.
    pub(super) fn take(&self, request: u64, units: &mut usize, cx: &Context<'_>) -> Taken {
        let mut state = self.lock();
        if state.requests != request {
            return Taken::End;
        }
        let limit = if self.style == Style::Lines { RESPONSE_UNITS_MAX } else { usize::MAX };
        let mut chunk = BytesMut::new();
        while *units <= limit && chunk.len() < CHUNK_BYTES {
            let Some(line) = state.outward.pop_front() else { break };
            state.outward_bytes -= line.bytes.len();
            *units += line.units;
            chunk.extend_from_slice(&line.bytes);
        }
        if !chunk.is_empty() {
            // It may be blocked, or have waited for the last line to be taken.
            state.wake_socket();
            return Taken::Lines(chunk.freeze());
        }
        let spent = *units > limit;
        if (state.gone && spent) || ((state.gone || state.finished) && state.outward.is_empty()) {
            return Taken::End;
        }
        state.request = Some(cx.waker().clone());
        if !spent {
            return Taken::Nothing;
        }
        if state.taking {
            state.taking = false;
            state.wake_socket();
        }
        Taken::Spent
    }

    /// Has the socket hear that its peer is there.
    pub(super) fn heard(&self) {
        let mut state = self.lock();
        if state.inward.is_empty() {
            websocket::client_frame(PONG, &[], &mut state.inward);
            state.wake_socket();
        }
    }

    /// Hands the peer's frames to the socket once there is room; whether there was within `patience`.
    pub(super) async fn send(&self, texts: &[String], patience: Duration) -> bool {
        let mut frames = Vec::new();
        texts.iter().for_each(|text| websocket::client_frame(TEXT, text.as_bytes(), &mut frames));
        let sent = async {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                room.as_mut().enable();
                if let Some(taken) = self.try_send(&frames) {
                    return taken;
                }
                room.await;
            }
        };
        tokio::time::timeout(patience, sent).await.unwrap_or(false)
    }

    /// Whether the session lives; `None` when there is no room now.
    fn try_send(&self, frames: &[u8]) -> Option<bool> {
        let mut state = self.lock();
        if state.gone {
            return Some(false);
        }
        if !state.inward.is_empty() && state.inward.len() + frames.len() > self.inward_bytes_max {
            return None;
        }
        state.inward.extend_from_slice(frames);
        state.wake_socket();
        Some(true)
    }

    /// Takes the socket's frames as lines; none while too much waits.
    pub(super) fn write(&self, frames: &[u8]) -> usize {
        let mut state = self.lock();
        if state.outward_bytes >= OUTWARD_BYTES_MAX {
            return 0;
        }
        let mut rest = frames;
        while let Some((opcode, payload)) = websocket::split_frame(&mut rest) {
            if self.style == Style::Events
                && opcode == TEXT
                && let Some(id) = std::str::from_utf8(payload).ok().and_then(|frame| state.positions.follow(frame))
            {
                // Before the event's own lines, which end it.
                state.push(Line::id(&id));
            }
            self.style.of(opcode, payload).into_iter().for_each(|line| state.push(line));
        }
        state.wake_request();
        frames.len() - rest.len()
    }

    /// Until there is room for the socket's frames.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.outward_bytes < OUTWARD_BYTES_MAX {
            return Poll::Ready(());
        }
        state.socket = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Moves at most so many bytes of the peer's frames out; how it is with the peer when there are none.
    pub(super) fn read(&self, bytes_max: usize, cx: &Context<'_>) -> Result<Vec<u8>, Peer> {
        let mut state = self.lock();
        if !state.inward.is_empty() {
            let len = bytes_max.min(state.inward.len());
            let rest = state.inward.split_off(len);
            let read = std::mem::replace(&mut state.inward, rest);
            self.room.notify_waiters();
            return Ok(read);
        }
        if state.finished && state.outward.is_empty() {
            return Err(Peer::Done);
        }
        state.socket = Some(cx.waker().clone());
        Err(Peer::There { taking: state.taking, requests: state.requests })
    }

    /// The socket writes nothing more.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        state.wake_request();
    }

    /// The socket is gone.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.wake_request();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the pipe is locked")
    }
}

impl State {
    fn push(&mut self, line: Line) {
        self.outward_bytes += line.bytes.len();
        self.outward.push_back(line);
    }

    fn wake_socket(&mut self) {
        self.socket.take().into_iter().for_each(Waker::wake);
    }

    fn wake_request(&mut self) {
        self.request.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn take(pipe: &Pipe, request: u64, units: &mut usize) -> Option<String> {
        match pipe.take(request, units, &cx()) {
            Taken::Lines(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            _ => None,
        }
    }

    #[test]
    fn the_newest_request_has_the_session_and_no_line_is_lost_between_two() {
        let pipe = Pipe::new(Style::Lines, 100);
        let (first, mut units) = (pipe.attach(), 0);
        assert_eq!(take(&pipe, first, &mut units).as_deref(), Some("o{}\n"));
        pipe.write(&websocket::text_frame("1"));
        let second = pipe.attach();
        assert!(matches!(pipe.take(first, &mut units, &cx()), Taken::End));
        pipe.detach(first);
        assert!(matches!(pipe.read(9, &cx()), Err(Peer::There { taking: true, requests: 2 })));
        assert_eq!(take(&pipe, second, &mut 0).as_deref(), Some("a[\"1\"]\n"));
    }

    #[test]
    fn a_response_that_the_peer_will_leave_gets_nothing_more() {
        let pipe = Pipe::new(Style::Lines, 100);
        let (first, mut units, mut seen) = (pipe.attach(), 0, String::new());
        // As much as fits, like a peer that reads at once.
        let text = "x".repeat(10_000);
        for _ in 0..60 {
            pipe.write(&websocket::text_frame(&text));
            seen.extend(take(&pipe, first, &mut units));
        }
        assert!(seen.len() > RESPONSE_UNITS_MAX && seen.len() < RESPONSE_UNITS_MAX + 10_100, "{}", seen.len());
        assert!(matches!(pipe.take(first, &mut units, &cx()), Taken::Spent));
        assert!(matches!(pipe.read(9, &cx()), Err(Peer::There { taking: false, .. })));
        assert_eq!(pipe.write(&websocket::text_frame("no room")), 0);
        let (second, mut units) = (pipe.attach(), 0);
        assert!(take(&pipe, second, &mut units).is_some_and(|lines| lines.starts_with("a[\"xxx")));
    }

    #[test]
    fn a_request_ends_with_the_socket_whatever_still_waits() {
        let pipe = Pipe::new(Style::Lines, 100);
        let (request, mut units) = (pipe.attach(), RESPONSE_UNITS_MAX + 1);
        assert!(matches!(pipe.take(request, &mut units, &cx()), Taken::Spent));
        pipe.end();
        assert!(matches!(pipe.take(request, &mut units, &cx()), Taken::End));
    }

    #[tokio::test]
    async fn a_sender_waits_for_room_and_learns_that_the_session_is_over() {
        let pipe = Pipe::new(Style::Lines, 20);
        let text = ["0123456789".to_owned()];
        assert!(pipe.send(&text, Duration::from_secs(9)).await);
        assert!(!pipe.send(&text, Duration::from_millis(1)).await, "no room");
        let (sent, read) = tokio::join!(pipe.send(&text, Duration::from_secs(9)), async { pipe.read(99, &cx()) });
        assert!(sent && read.is_ok_and(|bytes| bytes.ends_with(b"0123456789")));
        pipe.end();
        assert!(!pipe.send(&text, Duration::from_secs(9)).await);
    }
}
