//! Who is signed in, and who watches them.
//!
//! A user is online while at least one socket is signed in as them. Coming, going and being watched happen under the
//! user's own entry, so a watcher is told each change exactly once, after the state that it began with.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use protocol::SocketId;
use protocol::frame;
use smallvec::SmallVec;

use crate::inbox::{Command, Inbox};
use crate::websocket;

/// The users of one app.
#[derive(Default)]
pub(crate) struct Users {
    users: DashMap<Arc<str>, User>,
}

/// A socket, and the shard that has it.
type Signed = (SocketId, Arc<Inbox>);

#[derive(Default)]
struct User {
    sockets: SmallVec<[Signed; 1]>,
    watchers: Vec<Signed>,
}

/// A user has all the sockets they may have.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Users {
    pub(crate) fn sign_in(
        &self,
        id: &Arc<str>,
        socket: SocketId,
        inbox: &Arc<Inbox>,
        sockets_max: usize,
    ) -> Result<(), TooMany> {
        let mut user = self.users.entry(Arc::clone(id)).or_default();
        if user.sockets.len() >= sockets_max {
            return Err(TooMany);
        }
        user.sockets.push((socket, Arc::clone(inbox)));
        if user.sockets.len() == 1 {
            user.tell(|| frame::watchlist_events(&[id], &[]));
        }
        Ok(())
    }

    pub(crate) fn sign_out(&self, id: &Arc<str>, socket: SocketId) {
        self.change(id, |user| {
            let before = user.sockets.len();
            user.sockets.retain(|(other, _)| *other != socket);
            if user.sockets.is_empty() && before > 0 {
                user.tell(|| frame::watchlist_events(&[], &[id]));
            }
        });
    }

    /// Has the socket told of these users' coming and going; gives which of them are online now and which not.
    pub(crate) fn watch<'w>(
        &self,
        watched: &'w [Arc<str>],
        socket: SocketId,
        inbox: &Arc<Inbox>,
    ) -> (Vec<&'w str>, Vec<&'w str>) {
        watched.iter().map(|id| &**id).partition(|id| {
            let mut user = self.users.entry((*id).into()).or_default();
            user.watchers.push((socket, Arc::clone(inbox)));
            !user.sockets.is_empty()
        })
    }

    pub(crate) fn unwatch(&self, watched: &[Arc<str>], socket: SocketId) {
        for id in watched {
            self.change(id, |user| user.watchers.retain(|(other, _)| *other != socket));
        }
    }

    pub(crate) fn is_online(&self, id: &str) -> bool {
        self.users.get(id).is_some_and(|user| !user.sockets.is_empty())
    }

    pub(crate) fn sockets(&self, id: &str) -> Vec<Signed> {
        self.users.get(id).map_or_else(Vec::new, |user| user.sockets.to_vec())
    }

    fn change(&self, id: &Arc<str>, f: impl FnOnce(&mut User)) {
        let Some(mut user) = self.users.get_mut(id) else { return };
        f(&mut user);
        let unused = user.sockets.is_empty() && user.watchers.is_empty();
        drop(user);
        if unused {
            self.users.remove_if(id, |_, user| user.sockets.is_empty() && user.watchers.is_empty());
        }
    }
}

impl User {
    fn tell(&self, text: impl FnOnce() -> String) {
        if self.watchers.is_empty() {
            return;
        }
        let frame: Bytes = websocket::text_frame(&text());
        for (socket, inbox) in &self.watchers {
            inbox.push(Command::Send { socket: *socket, frame: frame.clone() });
        }
    }
}
