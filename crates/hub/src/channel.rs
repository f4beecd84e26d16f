//! One channel of this node: who is there, what it said last. Lives under its entry in the directory, whose lock makes
//! one order of everything that happens to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use protocol::frame::{self, ChannelData};
use protocol::{Channel, ChannelKind, Epoch, Position, SocketId};
use smallvec::SmallVec;

use crate::history::{Budget, Charge, History, Rule};
use crate::inbox::{Command, Inbox, Outgoing};
use crate::websocket;

/// Names a channel within the process; never used twice.
pub(crate) type ChannelId = u64;

pub(crate) struct ChannelState {
    pub(crate) id: ChannelId,
    /// Counts every frame that goes to subscribers, what only they see included: who joined after one does not get it.
    pub(crate) seq: u64,
    pub(crate) subscribers: usize,
    /// How many of them want to know the offset of what they get.
    pub(crate) positioned: usize,
    pub(crate) locals: SmallVec<[Local; 2]>,
    // Only presence channels have members; everyone else pays one pointer.
    members: Option<Box<Members>>,
    pub(crate) history: Option<Box<History>>,
    pub(crate) cached: Option<Box<Cached>>,
    /// The second in which a cache miss was last told.
    pub(crate) miss_told: Option<u32>,
    /// Its share of the budget. Without one it is forgotten with its last subscriber.
    charge: Option<Charge>,
    /// Stands in the list of channels whose count is told later.
    pub(crate) count_waits: bool,
    /// Stands in the list of channels that may be forgotten.
    pub(crate) expiry_waits: bool,
}

/// A shard with subscribers.
pub(crate) struct Local {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) subscribers: usize,
}

/// Members by user id: sorted, so that every subscriber is told the same order.
type Members = BTreeMap<Arc<str>, Member>;

struct Member {
    info: Box<str>,
    sockets: usize,
}

/// The last event of a cache channel.
pub(crate) struct Cached {
    pub(crate) frame: Bytes,
    pub(crate) until: u32,
    _charge: Charge,
}

/// A presence channel has all the members it may have.
#[derive(Debug)]
pub(crate) struct PresenceFull;

impl ChannelState {
    pub(crate) fn new(kind: ChannelKind, history: Option<Rule>, charge: Option<Charge>, now: u32) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let members = (kind == ChannelKind::Presence).then(Box::default);
        let history = history.map(|rule| {
            // Only the journal knows where a durable one is.
            let position = (!rule.durable).then(|| Position { epoch: random_epoch(), offset: 0 });
            Box::new(History::new(rule, position, now))
        });
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            seq: 0,
            subscribers: 0,
            positioned: 0,
            locals: SmallVec::new(),
            members,
            history,
            cached: None,
            miss_told: None,
            charge,
            count_waits: false,
            expiry_waits: false,
        }
    }

    /// Hands a frame to every shard with subscribers.
    pub(crate) fn deliver(&mut self, frame: &Outgoing, except: Option<SocketId>) {
        self.seq += 1;
        for (index, local) in self.locals.iter().enumerate() {
            // A copy for each further shard: counting references to one would keep its cache line travelling between
            // their cores, twice for every delivery.
            let frame = if index == 0 { frame.clone() } else { frame.copied() };
            local.inbox.push(Command::Deliver { channel: self.id, seq: self.seq, frame, except });
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.locals.iter().any(|local| local.inbox.is_full())
    }

    pub(crate) fn add_subscriber(&mut self, inbox: &Arc<Inbox>) {
        self.subscribers += 1;
        match self.locals.iter_mut().find(|local| local.inbox.shard == inbox.shard) {
            Some(local) => local.subscribers += 1,
            None => self.locals.push(Local { inbox: Arc::clone(inbox), subscribers: 1 }),
        }
    }

    pub(crate) fn remove_subscriber(&mut self, inbox: &Inbox) {
        self.subscribers -= 1;
        if let Some(local) = self.locals.iter_mut().find(|local| local.inbox.shard == inbox.shard) {
            local.subscribers -= 1;
        }
        self.locals.retain(|local| local.subscribers > 0);
    }

    /// Counts one more socket of a member and tells the others of a new one. Gives whether it is new.
    pub(crate) fn add_member(
        &mut self,
        name: &str,
        joiner: &ChannelData,
        members_max: usize,
    ) -> Result<bool, PresenceFull> {
        let members = self.members.get_or_insert_default();
        if let Some(member) = members.get_mut(joiner.user_id.as_str()) {
            member.sockets += 1;
            return Ok(false);
        }
        if members.len() >= members_max {
            return Err(PresenceFull);
        }
        let member = Member { info: joiner.user_info.as_str().into(), sockets: 1 };
        members.insert(joiner.user_id.as_str().into(), member);
        let added = frame::member_added(name, &joiner.user_id, &joiner.user_info);
        self.deliver(&websocket::text_frame(&added).into(), None);
        Ok(true)
    }

    /// Counts one socket of a member less; tells the others when it was the last. Gives whether it was.
    pub(crate) fn remove_member(&mut self, name: &str, user: &str) -> bool {
        let Some(members) = self.members.as_mut() else { return false };
        let Some(member) = members.get_mut(user) else { return false };
        member.sockets -= 1;
        let last = member.sockets == 0;
        if last {
            members.remove(user);
            self.deliver(&websocket::text_frame(&frame::member_removed(name, user)).into(), None);
        }
        last
    }

    /// Data of `subscription_succeeded`.
    pub(crate) fn succeeded(&self) -> String {
        match &self.members {
            Some(members) => frame::presence_data(members.iter().map(|(id, member)| (&**id, &*member.info))),
            None => "{}".to_owned(),
        }
    }

    pub(crate) fn member_count(&self) -> Option<usize> {
        self.members.as_ref().map(|members| members.len())
    }

    pub(crate) fn member_ids(&self) -> Vec<String> {
        self.members.iter().flat_map(|members| members.keys()).map(ToString::to_string).collect()
    }

    /// Keeps the frame as the channel's last event, where there is room.
    pub(crate) fn cache(&mut self, frame: &Bytes, budget: &Arc<Budget>, until: u32) {
        // The one before goes first: its room may be the only one.
        self.cached = None;
        let charge = budget.take(frame);
        self.cached = charge.map(|charge| Box::new(Cached { frame: frame.clone(), until, _charge: charge }));
    }

    pub(crate) fn cached(&self, now: u32) -> Option<&Cached> {
        self.cached.as_deref().filter(|cached| now < cached.until)
    }

    /// Keeps as much as this rule says from now on; a change of what is durable waits until the channel is made anew.
    pub(crate) fn keep(&mut self, rule: Option<Rule>, now: u32) {
        match (&mut self.history, rule) {
            (Some(history), Some(rule)) if history.is_durable() == rule.durable => history.keep(rule, now),
            (Some(history), None) if !history.is_durable() => self.history = None,
            _ => {}
        }
    }

    /// When nothing holds the channel any more, as far as is known now. None while somebody is subscribed.
    pub(crate) fn expires_at(&self) -> Option<u32> {
        if self.charge.is_none() {
            return (self.subscribers == 0).then_some(0);
        }
        let history = self.history.as_ref().map_or(0, |history| history.expires_at());
        let cached = self.cached.as_ref().map_or(0, |cached| cached.until);
        (self.subscribers == 0).then_some(history.max(cached))
    }
}

fn random_epoch() -> Epoch {
    Epoch(getrandom::u64().expect("the system has randomness"))
}

/// What may be known of a channel's kind from its name alone.
pub(crate) fn is_presence(channel: &Channel) -> bool {
    channel.kind() == ChannelKind::Presence
}
