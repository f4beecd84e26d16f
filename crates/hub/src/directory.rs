//! Which channels and users exist on this node, and which shards have sockets there.
//!
//! Apps do not share a map: a [`Space`] is all there is of one app, so no name can reach across. Every change of a
//! channel and every publication to it happens under that channel's entry, which makes one order of them all: each
//! publication gets the channel's next `seq`, and a subscriber gets exactly those with a higher one than when it joined.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use protocol::frame::{self, ChannelData};
use protocol::{AppId, Channel, ChannelKind, SocketId};
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::connections::Connections;
use crate::hub::Busy;
use crate::inbox::{Command, Inbox};
use crate::websocket;

/// Names a channel within the process; never used twice.
pub(crate) type ChannelId = u64;

/// Every app's space, and the shards.
#[derive(Default)]
pub(crate) struct Directory {
    spaces: DashMap<AppId, Arc<Space>>,
    inboxes: RwLock<Vec<Arc<Inbox>>>,
    sockets: AtomicUsize,
    gone: Notify,
}

/// The channels and signed-in users of one app.
#[derive(Default)]
pub(crate) struct Space {
    pub(crate) connections: Connections,
    channels: DashMap<Arc<str>, ChannelEntry>,
    users: DashMap<Arc<str>, UserSockets>,
    /// Counts revocations, so that a decision made before one is not acted on after it.
    revocations: AtomicU64,
}

/// A user's signed-in sockets, and the shards that have them.
type UserSockets = SmallVec<[(SocketId, Arc<Inbox>); 1]>;

struct ChannelEntry {
    id: ChannelId,
    seq: u64,
    subscribers: usize,
    locals: SmallVec<[Local; 2]>,
    // Only presence channels have members; everyone else pays one pointer.
    members: Option<Box<Members>>,
}

struct Local {
    inbox: Arc<Inbox>,
    subscribers: usize,
}

/// Members by user id: sorted, so that every subscriber is told the same order.
type Members = BTreeMap<Arc<str>, Member>;

struct Member {
    info: Box<str>,
    sockets: usize,
}

/// What a socket that joined has to know.
pub(crate) struct Joined {
    pub(crate) id: ChannelId,
    /// Publications up to here are not for it.
    pub(crate) since: u64,
    /// Data of `subscription_succeeded`.
    pub(crate) data: String,
}

/// Why a socket could not join.
pub(crate) struct PresenceFull;

impl Directory {
    pub(crate) fn find(&self, app: &AppId) -> Option<Arc<Space>> {
        self.spaces.get(app).map(|space| Arc::clone(&space))
    }

    pub(crate) fn space(&self, app: &AppId) -> Arc<Space> {
        self.find(app).unwrap_or_else(|| Arc::clone(&self.spaces.entry(app.clone()).or_default()))
    }

    pub(crate) fn add_inbox(&self, inbox: Arc<Inbox>) {
        self.inboxes.write().expect("nothing panics while the list is locked").push(inbox);
    }

    pub(crate) fn inboxes(&self) -> Vec<Arc<Inbox>> {
        self.inboxes.read().expect("nothing panics while the list is locked").clone()
    }

    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn socket_added(&self) {
        self.sockets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn socket_removed(&self) {
        if self.sockets.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gone.notify_waiters();
        }
    }

    /// Until no socket is left.
    pub(crate) async fn all_gone(&self) {
        loop {
            let mut gone = std::pin::pin!(self.gone.notified());
            gone.as_mut().enable();
            if self.socket_count() == 0 {
                return;
            }
            gone.await;
        }
    }
}

impl Space {
    /// Adds a subscriber of the inbox's shard; on presence channels `joiner` becomes a member, and everyone who was
    /// there before is told.
    pub(crate) fn join(
        &self,
        channel: &Channel,
        inbox: &Arc<Inbox>,
        joiner: Option<&ChannelData>,
        members_max: usize,
    ) -> Result<Joined, PresenceFull> {
        let mut entry = self.channels.entry(channel.shared_name()).or_insert_with(|| ChannelEntry::new(channel.kind()));
        let data = match joiner {
            Some(joiner) => entry.add_member(channel.name(), joiner, members_max)?,
            None => "{}".to_owned(),
        };
        entry.subscribers += 1;
        match entry.locals.iter_mut().find(|local| local.inbox.shard == inbox.shard) {
            Some(local) => local.subscribers += 1,
            None => entry.locals.push(Local { inbox: Arc::clone(inbox), subscribers: 1 }),
        }
        Ok(Joined { id: entry.id, since: entry.seq, data })
    }

    /// Takes a subscriber of the inbox's shard away; on presence channels tells the others when it was the last
    /// socket of `member`.
    pub(crate) fn leave(&self, name: &Arc<str>, inbox: &Inbox, member: Option<&str>) {
        let Entry::Occupied(mut occupied) = self.channels.entry(Arc::clone(name)) else { return };
        let entry = occupied.get_mut();
        entry.subscribers -= 1;
        if entry.subscribers == 0 {
            occupied.remove();
            return;
        }
        if let Some(local) = entry.locals.iter_mut().find(|local| local.inbox.shard == inbox.shard) {
            local.subscribers -= 1;
        }
        entry.locals.retain(|local| local.subscribers > 0);
        if let Some(member) = member {
            entry.remove_member(name, member);
        }
    }

    /// Hands a frame to every shard with subscribers. It is encoded only if there is one.
    pub(crate) fn publish(
        &self,
        name: &str,
        except: Option<SocketId>,
        encode: impl FnOnce() -> Bytes,
    ) -> Result<(), Busy> {
        let Some(mut entry) = self.channels.get_mut(name) else { return Ok(()) };
        if entry.locals.iter().any(|local| local.inbox.is_full()) {
            return Err(Busy);
        }
        entry.deliver(encode(), except);
        Ok(())
    }

    pub(crate) fn subscription_count(&self, name: &str) -> usize {
        self.channels.get(name).map_or(0, |entry| entry.subscribers)
    }

    pub(crate) fn user_count(&self, name: &str) -> usize {
        self.channels.get(name).and_then(|entry| entry.members.as_ref().map(|members| members.len())).unwrap_or(0)
    }

    pub(crate) fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::SeqCst)
    }

    pub(crate) fn revoke(&self, user: &str, channels: &[Channel]) {
        // First the count, then the commands: a decision sees either the one or its subscription gets the other.
        self.revocations.fetch_add(1, Ordering::SeqCst);
        for channel in channels {
            let Some(entry) = self.channels.get(channel.name()) else { continue };
            for local in &entry.locals {
                local.inbox.push(Command::Revoke { channel: entry.id, user: user.into() });
            }
        }
    }

    pub(crate) fn sign_in(&self, user: &Arc<str>, socket: SocketId, inbox: &Arc<Inbox>) {
        self.users.entry(Arc::clone(user)).or_default().push((socket, Arc::clone(inbox)));
    }

    pub(crate) fn sign_out(&self, user: &Arc<str>, socket: SocketId) {
        let Entry::Occupied(mut sockets) = self.users.entry(Arc::clone(user)) else { return };
        sockets.get_mut().retain(|(other, _)| *other != socket);
        if sockets.get().is_empty() {
            sockets.remove();
        }
    }

    pub(crate) fn is_signed_in(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    pub(crate) fn sockets_of(&self, user: &str) -> Vec<(SocketId, Arc<Inbox>)> {
        self.users.get(user).map_or_else(Vec::new, |sockets| sockets.to_vec())
    }
}

impl ChannelEntry {
    fn new(kind: ChannelKind) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let members = (kind == ChannelKind::Presence).then(Box::default);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, seq: 0, subscribers: 0, locals: SmallVec::new(), members }
    }

    fn deliver(&mut self, frame: Bytes, except: Option<SocketId>) {
        self.seq += 1;
        for local in &self.locals {
            let frame = frame.clone();
            local.inbox.push(Command::Deliver { channel: self.id, seq: self.seq, frame, except });
        }
    }

    fn add_member(&mut self, name: &str, joiner: &ChannelData, members_max: usize) -> Result<String, PresenceFull> {
        let members = self.members.get_or_insert_default();
        if let Some(member) = members.get_mut(joiner.user_id.as_str()) {
            member.sockets += 1;
        } else {
            if members.len() >= members_max {
                return Err(PresenceFull);
            }
            let member = Member { info: joiner.user_info.as_str().into(), sockets: 1 };
            members.insert(joiner.user_id.as_str().into(), member);
            let added = frame::member_added(name, &joiner.user_id, &joiner.user_info);
            self.deliver(websocket::text_frame(&added), None);
        }
        let members = self.members.iter().flat_map(|members| members.iter());
        Ok(frame::presence_data(members.map(|(id, member)| (&**id, &*member.info))))
    }

    fn remove_member(&mut self, name: &str, user: &str) {
        let Some(members) = self.members.as_mut() else { return };
        let Some(member) = members.get_mut(user) else { return };
        member.sockets -= 1;
        if member.sockets == 0 {
            members.remove(user);
            self.deliver(websocket::text_frame(&frame::member_removed(name, user)), None);
        }
    }
}
