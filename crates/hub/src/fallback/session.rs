//! A session as its socket sees it: a stream like any other, of WebSocket frames.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use super::lines::Style;
use super::pipe::{Peer, Pipe};
use crate::hub::Shared;

/// Names a session on this node: the app's key, and what the client made up.
pub(super) type Name = (String, String);

/// The sessions of this node that requests can find.
#[derive(Default)]
pub(crate) struct Sessions {
    pipes: DashMap<Name, Arc<Pipe>>,
}

/// The socket's end of a session.
pub(crate) struct Session {
    pipe: Arc<Pipe>,
    /// How long it outlives its last request.
    timeout: Duration,
    /// Since which request nobody takes lines, and until when that may be so.
    absence: Option<(u64, Pin<Box<Sleep>>)>,
    /// None of one that no other request can join.
    listed: Option<(Arc<Shared>, Name)>,
}

impl Sessions {
    /// The session of this name.
    pub(super) fn find(&self, name: &Name) -> Option<Arc<Pipe>> {
        self.pipes.get(name).map(|pipe| Arc::clone(&pipe))
    }

    /// The session of this name; a new one also with its socket's end.
    pub(super) fn find_or_make(&self, shared: &Arc<Shared>, name: Name) -> (Arc<Pipe>, Option<Session>) {
        match self.pipes.entry(name.clone()) {
            Entry::Occupied(entry) => (Arc::clone(entry.get()), None),
            Entry::Vacant(entry) => {
                let pipe = Pipe::new(Style::Lines, 2 * shared.config().message_bytes_max);
                entry.insert(Arc::clone(&pipe));
                let timeout = shared.config().session_timeout;
                let listed = Some((Arc::clone(shared), name));
                (Arc::clone(&pipe), Some(Session { pipe, timeout, absence: None, listed }))
            }
        }
    }
}

impl Session {
    /// One that ends with its only request.
    pub(super) fn unlisted(pipe: Arc<Pipe>) -> Self {
        Self { pipe, timeout: Duration::ZERO, absence: None, listed: None }
    }

    pub(crate) fn try_write(&self, frames: &[u8]) -> io::Result<usize> {
        match self.pipe.write(frames) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }

    pub(crate) fn poll_write_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_room(cx).map(Ok)
    }

    /// Ends when nobody has taken lines for too long.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.pipe.read(into.remaining(), cx) {
            Ok(read) => into.put_slice(&read),
            Err(Peer::Done) => {}
            Err(Peer::There { taking: true, .. }) => {
                self.absence = None;
                return Poll::Pending;
            }
            Err(Peer::There { requests, .. }) => {
                let (_, sleep) = match self.absence.take() {
                    Some(absence) if absence.0 == requests => self.absence.insert(absence),
                    _ => self.absence.insert((requests, Box::pin(tokio::time::sleep(self.timeout)))),
                };
                return sleep.as_mut().poll(cx).map(Ok);
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn finish(&self) {
        self.pipe.finish();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pipe.end();
        if let Some((shared, name)) = &self.listed {
            shared.sessions.pipes.remove_if(name, |_, pipe| Arc::ptr_eq(pipe, &self.pipe));
        }
    }
}
