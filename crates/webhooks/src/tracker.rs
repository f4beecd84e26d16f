//! What was observed and is still to be told.
//!
//! Channels and members are states, not a log: what matters is whether the last thing told is still true. One that comes
//! is told at once; one that goes is told after [`Config::leave_delay`], and not at all if it is back by then. Client
//! events, cache misses and counts are told one by one, as many as [`Config::queue_events_max`] may wait. Everything
//! goes out in the order in which it happened.

mod occupancy;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::AppId;
use store::webhooks::Occupant;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::Config;
use crate::event::Event;
use occupancy::{Occupancy, Told};

/// How often a full queue is logged at most.
const LOG_EVERY: TimeDelta = TimeDelta::seconds(1);

/// Takes what happens, without ever waiting. Clones share it.
#[derive(Clone)]
pub struct Tracker {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    queue_events_max: usize,
    restart_grace: TimeDelta,
    changed: Notify,
}

struct State {
    queue: VecDeque<Entry>,
    /// Entries of the queue that are no occupancy: those count against the bound.
    points: usize,
    occupancy: Occupancy,
    /// The newest count of each channel that has one waiting.
    counts: HashMap<(AppId, String), usize>,
    dropped: u64,
    logged: Option<DateTime<Utc>>,
}

enum Entry {
    /// Look at the occupant's state: it may have changed.
    Occupant(Occupant),
    /// Look the count up: it may have changed.
    Count(AppId, String),
    Point(AppId, Event),
}

/// What is to be told next. [`Tracker::confirm`] takes it once it is stored.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What happened, in order.
    pub events: Vec<(AppId, Event)>,
    /// Who is told as there.
    pub there: Vec<Occupant>,
    /// Who is told as gone.
    pub gone: Vec<Occupant>,
}

impl Batch {
    /// A batch for each event, in the same order.
    pub(crate) fn singles(&self) -> Vec<Self> {
        let (mut there, mut gone) = (self.there.iter(), self.gone.iter());
        let single = |(app, event): &(AppId, Event)| {
            // Of each list, the occupants stand in the order of their events.
            let next = |told: bool, list: &mut std::slice::Iter<'_, Occupant>| {
                told.then(|| list.next().cloned()).flatten().into_iter().collect()
            };
            let comes = matches!(event, Event::ChannelOccupied { .. } | Event::MemberAdded { .. });
            let goes = matches!(event, Event::ChannelVacated { .. } | Event::MemberRemoved { .. });
            Self {
                events: vec![(app.clone(), event.clone())],
                there: next(comes, &mut there),
                gone: next(goes, &mut gone),
            }
        };
        self.events.iter().map(single).collect()
    }
}

impl Tracker {
    /// Knows of nobody yet.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        let state = State {
            queue: VecDeque::new(),
            points: 0,
            occupancy: Occupancy::new(delta(config.leave_delay)),
            counts: HashMap::new(),
            dropped: 0,
            logged: None,
        };
        let inner = Inner {
            state: Mutex::new(state),
            clock,
            queue_events_max: config.queue_events_max,
            restart_grace: delta(config.restart_grace),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes one event. Those of one channel have to come in the order in which they happened.
    pub fn observe(&self, app: &AppId, event: Event) {
        let now = self.inner.clock.now();
        let occupant = |channel, user| Occupant { app: app.clone(), channel, user };
        let mut state = self.lock();
        match event {
            Event::ChannelOccupied { channel } => state.come(occupant(channel, None)),
            Event::MemberAdded { channel, user_id } => state.come(occupant(channel, Some(user_id))),
            Event::ChannelVacated { channel } => state.occupancy.leave(occupant(channel, None), now),
            Event::MemberRemoved { channel, user_id } => state.occupancy.leave(occupant(channel, Some(user_id)), now),
            Event::SubscriptionCount { channel, subscription_count } => {
                let key = (app.clone(), channel);
                if let Some(newest) = state.counts.get_mut(&key) {
                    *newest = subscription_count;
                } else if state.has_room(self.inner.queue_events_max, now) {
                    state.queue.push_back(Entry::Count(key.0.clone(), key.1.clone()));
                    state.counts.insert(key, subscription_count);
                }
            }
            event @ (Event::ClientEvent { .. } | Event::CacheMiss { .. }) => {
                if state.has_room(self.inner.queue_events_max, now) {
                    state.queue.push_back(Entry::Point(app.clone(), event));
                }
            }
        }
        drop(state);
        self.inner.changed.notify_one();
    }

    /// Takes what was told before this process began. Whoever is not here by the end of the grace is told gone.
    pub fn restore(&self, told: Vec<Occupant>) {
        let until = self.inner.clock.now() + self.inner.restart_grace;
        self.lock().occupancy.restore(told, until);
        self.inner.changed.notify_one();
    }

    /// From now on nobody who goes is told gone: they go because this process stops, and come back to the next one,
    /// whose grace decides.
    pub fn hold(&self) {
        self.lock().occupancy.hold();
    }

    /// What is to be told now, up to `limit` entries in order. Nothing else is to be taken before it is confirmed.
    pub fn take(&self, limit: usize) -> Batch {
        let now = self.inner.clock.now();
        let mut batch = Batch::default();
        let mut state = self.lock();
        let due = state.occupancy.gone_for_good(now);
        state.queue.extend(due.into_iter().map(Entry::Occupant));
        for _ in 0..limit {
            let Some(entry) = state.queue.pop_front() else { break };
            match entry {
                Entry::Occupant(occupant) => match state.occupancy.tell(&occupant, now) {
                    Some(Told::There) => {
                        batch.events.push((occupant.app.clone(), there(&occupant)));
                        batch.there.push(occupant);
                    }
                    Some(Told::Gone) => {
                        batch.events.push((occupant.app.clone(), gone(&occupant)));
                        batch.gone.push(occupant);
                    }
                    None => {}
                },
                Entry::Count(app, channel) => {
                    state.points -= 1;
                    let key = (app, channel);
                    if let Some(subscription_count) = state.counts.remove(&key) {
                        let (app, channel) = key;
                        batch.events.push((app, Event::SubscriptionCount { channel, subscription_count }));
                    }
                }
                Entry::Point(app, event) => {
                    state.points -= 1;
                    batch.events.push((app, event));
                }
            }
        }
        batch
    }

    /// The batch is stored.
    pub fn confirm(&self, batch: &Batch) {
        let now = self.inner.clock.now();
        let mut state = self.lock();
        for (occupants, told) in [(&batch.there, Told::There), (&batch.gone, Told::Gone)] {
            for occupant in occupants {
                if state.occupancy.confirm(occupant, told, now) {
                    state.queue.push_back(Entry::Occupant(occupant.clone()));
                }
            }
        }
    }

    /// Forgets everything of apps other than these, and says of which apps something was known.
    pub fn keep_only(&self, apps: &HashSet<AppId>) -> Vec<AppId> {
        let mut state = self.lock();
        let State { queue, points, counts, occupancy, .. } = &mut *state;
        queue.retain(|entry| {
            let (app, is_point) = match entry {
                Entry::Occupant(occupant) => (&occupant.app, false),
                Entry::Count(app, _) | Entry::Point(app, _) => (app, true),
            };
            let kept = apps.contains(app);
            if !kept && is_point {
                *points -= 1;
            }
            kept
        });
        counts.retain(|(app, _), _| apps.contains(app));
        occupancy.keep_only(apps)
    }

    /// Whether nothing waits to be told; who may still come back does not count.
    pub fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// When the next one who left is gone for good, if nobody comes back.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.lock().occupancy.next_due()
    }

    /// Waits until something has happened since the last time.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// How many events were dropped because too many waited.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("nothing panics while the tracker is locked")
    }
}

impl State {
    fn come(&mut self, occupant: Occupant) {
        if self.occupancy.come(&occupant) {
            self.queue.push_back(Entry::Occupant(occupant));
        }
    }

    /// Takes a place in the queue, or counts the loss.
    fn has_room(&mut self, queue_events_max: usize, now: DateTime<Utc>) -> bool {
        if self.points < queue_events_max {
            self.points += 1;
            return true;
        }
        self.dropped += 1;
        if self.logged.is_none_or(|at| now - at >= LOG_EVERY) {
            self.logged = Some(now);
            tracing::warn!(
                dropped = self.dropped,
                "too many events wait to be stored for webhooks: the newest are lost"
            );
        }
        false
    }
}

fn there(Occupant { channel, user, .. }: &Occupant) -> Event {
    let channel = channel.clone();
    match user.clone() {
        Some(user_id) => Event::MemberAdded { channel, user_id },
        None => Event::ChannelOccupied { channel },
    }
}

fn gone(Occupant { channel, user, .. }: &Occupant) -> Event {
    let channel = channel.clone();
    match user.clone() {
        Some(user_id) => Event::MemberRemoved { channel, user_id },
        None => Event::ChannelVacated { channel },
    }
}
