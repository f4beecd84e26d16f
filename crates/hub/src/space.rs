//! The channels and users of one app.
//!
//! Every change of a channel and every publication to it happens under that channel's entry, which makes one order of
//! them all: each frame gets the channel's next `seq`, and a subscriber gets exactly those with a higher one than when
//! it joined. What it gets of the past is taken under the same lock, so past and present meet without gap or repeat.

mod look;
mod past;
mod publish;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use protocol::frame::{self, ChannelData};
use protocol::{App, AppId, Channel, Policy, Position};

use crate::apps::LiveApp;
use crate::channel::{ChannelId, ChannelState, is_presence};
use crate::connections::Connections;
use crate::directory::Common;
use crate::history::Rule;
use crate::inbox::{Command, Inbox};
use crate::socket::{Rate, Subscription};
use crate::users::Users;
use crate::websocket;
use crate::{JournalPage, Observed};

pub use look::{CachedEvent, ChannelInfo, KeptEvent};
pub(crate) use past::{Resume, Stored};

/// From this many subscribers on, their count is told only every [`COUNT_SECONDS`] (Pusher, subscription count).
const COUNT_AT_ONCE_MAX: usize = 100;
const COUNT_SECONDS: u32 = 5;
/// Cache misses of one channel within so many seconds are one.
const MISS_SECONDS: u32 = 3;

pub(crate) struct Space {
    pub(crate) connections: Connections,
    id: AppId,
    app: LiveApp,
    common: Arc<Common>,
    channels: DashMap<Arc<str>, ChannelState>,
    pub(crate) users: Users,
    /// Counts revocations, so that a decision made before one is not acted on after it.
    revocations: AtomicU64,
    published: Mutex<Rate>,
    /// The app whose history rules the channels have.
    ruled_by: Mutex<Arc<App>>,
    /// Channels whose count is to be told.
    counts: Mutex<Vec<Arc<str>>>,
    /// Channels that nobody is subscribed to, by when they may be forgotten.
    expiries: Mutex<Expiries>,
}

/// Names by the second at which they may be forgotten, earliest first.
type Expiries = BinaryHeap<Reverse<(u32, Arc<str>)>>;

/// What a socket that joined has to know.
pub(crate) struct Joined {
    pub(crate) id: ChannelId,
    /// Publications up to here are not for it.
    pub(crate) since: u64,
    /// Data of `subscription_succeeded`.
    pub(crate) data: String,
    /// Frames that it gets right after.
    pub(crate) follow: Vec<Bytes>,
}

/// Why a socket could not join.
#[derive(Debug)]
pub(crate) enum JoinRefused {
    /// The presence channel has so many members already.
    Full(usize),
    /// The journal has to be asked first.
    Unloaded,
}

impl Space {
    pub(crate) fn new(app: LiveApp, common: Arc<Common>) -> Self {
        Self {
            connections: Connections::default(),
            id: app.load().id.clone(),
            common,
            channels: DashMap::new(),
            users: Users::default(),
            revocations: AtomicU64::new(0),
            published: Mutex::default(),
            ruled_by: Mutex::new(app.load_full()),
            counts: Mutex::default(),
            expiries: Mutex::default(),
            app,
        }
    }

    /// A space to test against.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Arc<Self> {
        let app =
            App::new("1".try_into().expect("a good id"), "1".try_into().expect("a good key"), "").expect("a good app");
        let directory = crate::directory::Directory::new(crate::Config::default());
        directory.space(&Arc::new(arc_swap::ArcSwap::from_pointee(app)))
    }

    /// The app as it is now.
    pub(crate) fn app(&self) -> Arc<App> {
        self.app.load_full()
    }

    /// Whether what is published there is acknowledged only once it is stored.
    pub(crate) fn is_durable(&self, channel: &Channel) -> bool {
        self.app.load().policy.is_durable(channel.name())
    }

    /// Adds a subscriber of the inbox's shard; on presence channels `joiner` becomes a member, and everyone who was
    /// there before is told.
    pub(crate) fn join(
        &self,
        channel: &Channel,
        inbox: &Arc<Inbox>,
        joiner: Option<&ChannelData>,
        resume: &Resume,
        stored: Option<&Stored>,
    ) -> Result<Joined, JoinRefused> {
        let (app, now) = (self.app.load(), self.common.now());
        let mut entry = self.channels.entry(channel.shared_name()).or_insert_with(|| self.fresh(&app.policy, channel));
        let state = &mut *entry;
        let name = channel.name();
        let past = match past::of(state, name, resume, stored, now) {
            Ok(past) => past,
            Err(past::Unloaded) => {
                self.watch_expiry(channel, state);
                return Err(JoinRefused::Unloaded);
            }
        };
        let members_max = members_max(&app.policy, &self.common);
        let Ok(added) = joiner.map(|joiner| state.add_member(name, joiner, members_max)).transpose() else {
            self.watch_expiry(channel, state);
            return Err(JoinRefused::Full(members_max));
        };
        state.add_subscriber(inbox);
        state.positioned += usize::from(*resume != Resume::Nothing);
        if state.subscribers == 1 {
            self.observe(|| Observed::Occupied { channel: name });
        }
        // After it: a channel has no members before it is occupied, as it has none once it is vacated.
        if let Some(joiner) = joiner.filter(|_| added == Some(true)) {
            self.observe(|| Observed::MemberAdded { channel: name, user: &joiner.user_id });
        }
        let mut joined = Joined { id: state.id, since: state.seq, data: state.succeeded(), follow: past.frames };
        if channel.is_cache() && past.recovered != Some(true) && !past.rewound {
            joined.follow.push(self.cached_or_miss(state, name, now));
        }
        self.count_changed(&app.policy, channel, state);
        Ok(joined)
    }

    /// Takes a subscriber of the inbox's shard away; on presence channels tells the others when it was the last
    /// socket of a member.
    pub(crate) fn leave(&self, subscription: &Subscription, inbox: &Inbox) {
        let channel = &subscription.channel;
        let Entry::Occupied(mut occupied) = self.channels.entry(channel.shared_name()) else { return };
        let (state, name) = (occupied.get_mut(), channel.name());
        state.remove_subscriber(inbox);
        state.positioned -= usize::from(subscription.positioned);
        if let Some(user) = subscription.user.as_deref()
            && state.remove_member(name, user)
        {
            self.observe(|| Observed::MemberRemoved { channel: name, user });
        }
        self.count_changed(&self.app.load().policy, channel, state);
        if state.subscribers > 0 {
            return;
        }
        self.observe(|| Observed::Vacated { channel: name });
        let now = self.common.now();
        if let Some(history) = &mut state.history {
            history.touch(now);
        }
        if state.expires_at().is_some_and(|at| at <= now) {
            occupied.remove();
        } else {
            self.watch_expiry(channel, state);
        }
    }

    /// Where the channel's history is, as far as this node knows.
    pub(crate) fn position(&self, channel: &Channel) -> Option<Position> {
        self.channels.get(channel.name())?.history.as_ref()?.position()
    }

    /// As [`Space::place`], with the newest that the journal has: subscribers who missed no more need not ask it.
    pub(crate) fn load(&self, channel: &Channel, page: &JournalPage) {
        let policy = &self.app.load().policy;
        let mut state = self.channels.entry(channel.shared_name()).or_insert_with(|| self.fresh(policy, channel));
        if let Some(history) = &mut state.history {
            history.load(page.position, page.frames(channel), &self.common.budget, self.common.now());
        }
        self.watch_expiry(channel, &mut state);
    }

    /// Whether so many more events may be published in this second.
    pub(crate) fn allows_publishes(&self, count: u32) -> bool {
        let Some(max) = self.app.load().policy.publishes_per_second_max else { return true };
        let now = self.common.now();
        let mut published = lock(&self.published);
        (0..count).all(|_| published.allows(now, max))
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

    /// Tells an observer who wants to know.
    pub(crate) fn observe<'o>(&self, event: impl FnOnce() -> Observed<'o>) {
        if let Some(observer) = self.common.observer.get()
            && observer.wants(&self.id)
        {
            observer.observe(&self.id, event());
        }
    }

    /// Once a second: tells counts that waited, forgets channels that nothing holds, hears of new rules.
    pub(crate) fn tick(&self) {
        let now = self.common.now();
        self.follow_rules(now);
        if now.is_multiple_of(COUNT_SECONDS) {
            let waiting = std::mem::take(&mut *lock(&self.counts));
            for name in waiting {
                if let Some(mut state) = self.channels.get_mut(&name) {
                    state.count_waits = false;
                    self.tell_count(&mut state, &name);
                }
            }
        }
        while let Some(name) = self.expired(now) {
            let Entry::Occupied(mut occupied) = self.channels.entry(Arc::clone(&name)) else { continue };
            let state = occupied.get_mut();
            state.expiry_waits = false;
            match state.expires_at() {
                Some(at) if at <= now => drop(occupied.remove()),
                Some(at) => {
                    state.expiry_waits = true;
                    lock(&self.expiries).push(Reverse((at, name)));
                }
                None => {}
            }
        }
    }

    /// Has channels keep what the policy says now. Whether they are durable stays as it was while anybody knows them:
    /// offsets would begin anew in the midst of a subscription.
    fn follow_rules(&self, now: u32) {
        let app = self.app.load_full();
        let before = std::mem::replace(&mut *lock(&self.ruled_by), Arc::clone(&app));
        if Arc::ptr_eq(&before, &app) || before.policy.history == app.policy.history {
            return;
        }
        for mut entry in self.channels.iter_mut() {
            let rule = Channel::parse(entry.key()).ok().and_then(|channel| self.rule(&app.policy, &channel));
            entry.value_mut().keep(rule, now);
        }
    }

    fn expired(&self, now: u32) -> Option<Arc<str>> {
        let mut expiries = lock(&self.expiries);
        let due = expiries.peek().is_some_and(|Reverse((at, _))| *at <= now);
        due.then(|| expiries.pop()).flatten().map(|Reverse((_, name))| name)
    }

    /// Has the channel looked at when it may be forgotten, unless somebody is subscribed.
    fn watch_expiry(&self, channel: &Channel, state: &mut ChannelState) {
        if let (false, Some(at)) = (state.expiry_waits, state.expires_at()) {
            state.expiry_waits = true;
            lock(&self.expiries).push(Reverse((at, channel.shared_name())));
        }
    }

    fn count_changed(&self, policy: &Policy, channel: &Channel, state: &mut ChannelState) {
        if !policy.subscription_counts || is_presence(channel) {
            return;
        }
        if state.subscribers <= COUNT_AT_ONCE_MAX {
            self.tell_count(state, channel.name());
        } else if !state.count_waits {
            state.count_waits = true;
            lock(&self.counts).push(channel.shared_name());
        }
    }

    fn tell_count(&self, state: &mut ChannelState, name: &str) {
        let count = state.subscribers;
        if count > 0 {
            state.deliver(&websocket::text_frame(&frame::subscription_count(name, count)).into(), None);
        }
        self.observe(|| Observed::SubscriptionCount { channel: name, count });
    }

    fn cached_or_miss(&self, state: &mut ChannelState, name: &str, now: u32) -> Bytes {
        if let Some(cached) = state.cached(now) {
            return cached.frame.clone();
        }
        if state.miss_told.is_none_or(|told| told + MISS_SECONDS <= now) {
            state.miss_told = Some(now);
            self.observe(|| Observed::CacheMiss { channel: name });
        }
        websocket::text_frame(&frame::cache_miss(name))
    }

    fn fresh(&self, policy: &Policy, channel: &Channel) -> ChannelState {
        let rule = self.rule(policy, channel);
        let charge = (rule.is_some() || channel.is_cache()).then(|| self.common.budget.take_channel()).flatten();
        ChannelState::new(channel.kind(), rule, charge, self.common.now())
    }

    /// What the channel keeps: as the app's policy says, or else the node's settings.
    fn rule(&self, policy: &Policy, channel: &Channel) -> Option<Rule> {
        let config = &self.common.config;
        let rule = match policy.history_of(channel.name()) {
            Some(rule) => Rule { messages_max: rule.messages_max, seconds: rule.seconds, durable: rule.durable },
            None => Rule { messages_max: config.history_messages_max, seconds: config.history_seconds, durable: false },
        };
        (rule.messages_max > 0 && rule.seconds > 0).then_some(rule)
    }
}

fn members_max(policy: &Policy, common: &Common) -> usize {
    policy.presence_members_max.map_or(common.config.presence_members_max, |max| max as usize)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}
