//! Who is there, and whether that was told.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::AppId;
use store::webhooks::Occupant;

/// What was, or is to be, told of an occupant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    There,
    Gone,
}

/// Channels and members that are there, or were told so.
pub(super) struct Occupancy {
    states: HashMap<Occupant, State>,
    /// When to look again at those who left; the number keeps those of one time in order.
    timers: BTreeMap<(DateTime<Utc>, u64), Occupant>,
    timers_made: u64,
    leave_delay: TimeDelta,
    held: bool,
}

#[derive(Default)]
struct State {
    /// What is stored as told: there.
    told: bool,
    here: bool,
    /// Who is not here counts as there until then.
    until: DateTime<Utc>,
    /// It is in the queue, or in the batch that is being stored.
    queued: bool,
    /// It is among the timers.
    timed: bool,
}

impl State {
    fn is_there(&self, now: DateTime<Utc>) -> bool {
        self.here || now < self.until
    }
}

impl Occupancy {
    pub(super) fn new(leave_delay: TimeDelta) -> Self {
        Self { states: HashMap::new(), timers: BTreeMap::new(), timers_made: 0, leave_delay, held: false }
    }

    /// Whether it is to be put into the queue.
    pub(super) fn come(&mut self, occupant: &Occupant) -> bool {
        let state = self.states.entry(occupant.clone()).or_default();
        state.here = true;
        let wanted = !state.told && !state.queued;
        state.queued |= wanted;
        wanted
    }

    pub(super) fn leave(&mut self, occupant: Occupant, now: DateTime<Utc>) {
        if self.held {
            return;
        }
        // Unknown: it came before anybody wanted to know.
        let Some(state) = self.states.get_mut(&occupant) else { return };
        state.here = false;
        state.until = now.checked_add_signed(self.leave_delay).unwrap_or(DateTime::<Utc>::MAX_UTC);
        if !state.timed {
            state.timed = true;
            let at = state.until;
            self.set_timer(at, occupant);
        }
    }

    pub(super) fn restore(&mut self, told: Vec<Occupant>, until: DateTime<Utc>) {
        for occupant in told {
            let state = self.states.entry(occupant.clone()).or_default();
            state.told = true;
            // Somebody may have come and left again already: the grace holds for them as well.
            state.until = state.until.max(until);
            if !state.here && !state.timed {
                state.timed = true;
                self.set_timer(until, occupant);
            }
        }
    }

    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.first_key_value().filter(|_| !self.held).map(|((at, _), _)| *at)
    }

    /// Those who have left for good and are to be put into the queue.
    pub(super) fn gone_for_good(&mut self, now: DateTime<Utc>) -> Vec<Occupant> {
        let mut gone = Vec::new();
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now && !self.held) {
            let occupant = first.remove();
            let Some(state) = self.states.get_mut(&occupant) else { continue };
            state.timed = false;
            if state.here {
                continue;
            }
            if now < state.until {
                state.timed = true;
                let at = state.until;
                self.set_timer(at, occupant);
            } else if state.told && !state.queued {
                state.queued = true;
                gone.push(occupant);
            } else if !state.told && !state.queued {
                self.states.remove(&occupant);
            }
        }
        gone
    }

    /// What has to be told of one from the queue: nothing if the last that was told is true again. It stays queued until
    /// that is confirmed.
    pub(super) fn tell(&mut self, occupant: &Occupant, now: DateTime<Utc>) -> Option<Told> {
        let state = self.states.get_mut(occupant)?;
        match (state.told, state.is_there(now)) {
            (false, true) => return Some(Told::There),
            (true, false) => return Some(Told::Gone),
            (true, true) => {
                state.queued = false;
                self.watch(occupant);
            }
            (false, false) => drop(self.states.remove(occupant)),
        }
        None
    }

    /// It is stored as told; whether it is to be put into the queue again, because that is no longer true.
    pub(super) fn confirm(&mut self, occupant: &Occupant, told: Told, now: DateTime<Utc>) -> bool {
        let Some(state) = self.states.get_mut(occupant) else { return false };
        state.told = told == Told::There;
        state.queued = state.told != state.is_there(now);
        let again = state.queued;
        if !again && !state.told {
            self.states.remove(occupant);
        } else if !again {
            self.watch(occupant);
        }
        again
    }

    pub(super) fn keep_only(&mut self, apps: &HashSet<AppId>) -> Vec<AppId> {
        let mut others: Vec<AppId> =
            self.states.keys().map(|occupant| &occupant.app).filter(|app| !apps.contains(app)).cloned().collect();
        others.sort();
        others.dedup();
        self.states.retain(|occupant, _| apps.contains(&occupant.app));
        self.timers.retain(|_, occupant| apps.contains(&occupant.app));
        others
    }

    /// Sees to it that one who is told as there, but is not here, is looked at again.
    fn watch(&mut self, occupant: &Occupant) {
        let Some(state) = self.states.get_mut(occupant) else { return };
        if !state.here && !state.timed {
            state.timed = true;
            let at = state.until;
            self.set_timer(at, occupant.clone());
        }
    }

    fn set_timer(&mut self, at: DateTime<Utc>, occupant: Occupant) {
        self.timers.insert((at, self.timers_made), occupant);
        self.timers_made += 1;
    }
}
