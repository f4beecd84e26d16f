//! What the tracker makes of what happens; no database.

use std::sync::Arc;

use chrono::TimeDelta;
use webhooks::{Config, Event, Tracker};

use crate::bench::{ManualClock, added, app, client_event, occupied, removed, vacated};

struct Watched {
    tracker: Tracker,
    clock: ManualClock,
}

impl Watched {
    fn new(config: &Config) -> Self {
        let clock = ManualClock::new();
        Self { tracker: Tracker::new(config, Arc::new(clock.clone())), clock }
    }

    fn observe(&self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.tracker.observe(&app("1"), event));
    }

    /// What is told now.
    fn told(&self) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            let batch = self.tracker.take(2);
            self.tracker.confirm(&batch);
            told.extend(batch.events.into_iter().map(|(_, event)| event));
            if self.tracker.is_empty() {
                return told;
            }
        }
    }

    fn after(&self, millis: i64) -> Vec<Event> {
        self.clock.pass(TimeDelta::milliseconds(millis));
        self.told()
    }
}

fn watched() -> Watched {
    Watched::new(&Config::default())
}

#[test]
fn who_comes_is_told_at_once_and_who_goes_after_three_seconds() {
    let watched = watched();
    watched.observe([occupied("presence-a"), added("presence-a", "u")]);
    assert_eq!(watched.told(), [occupied("presence-a"), added("presence-a", "u")]);
    watched.observe([removed("presence-a", "u"), vacated("presence-a")]);
    assert_eq!(watched.told(), []);
    assert_eq!(watched.after(2_999), []);
    assert_eq!(watched.after(1), [removed("presence-a", "u"), vacated("presence-a")]);
    assert_eq!(watched.after(60_000), []);
}

#[test]
fn who_comes_back_in_time_is_not_told_at_all_however_often() {
    let watched = watched();
    watched.observe([occupied("a")]);
    assert_eq!(watched.told(), [occupied("a")]);
    for _ in 0..100 {
        watched.observe([vacated("a")]);
        assert_eq!(watched.after(2_900), []);
        watched.observe([occupied("a")]);
        assert_eq!(watched.after(200), []);
    }
    watched.observe([vacated("a")]);
    assert_eq!(watched.after(3_000), [vacated("a")]);
    watched.observe([occupied("a")]);
    assert_eq!(watched.told(), [occupied("a")], "after it was told gone, it is told again");
}

#[test]
fn one_who_comes_and_goes_before_anything_is_stored_is_still_told() {
    let watched = watched();
    watched.observe([occupied("a"), vacated("a")]);
    assert_eq!(watched.told(), [occupied("a")]);
    assert_eq!(watched.after(3_000), [vacated("a")]);
}

#[test]
fn what_changes_while_a_batch_is_being_stored_is_told_after_it() {
    let watched = watched();
    watched.observe([occupied("a")]);
    let batch = watched.tracker.take(10);
    watched.observe([vacated("a")]);
    watched.clock.pass(TimeDelta::seconds(4));
    watched.tracker.confirm(&batch);
    assert_eq!(watched.told(), [vacated("a")]);

    watched.observe([occupied("b")]);
    assert_eq!(watched.told(), [occupied("b")]);
    watched.observe([vacated("b")]);
    watched.clock.pass(TimeDelta::seconds(4));
    let batch = watched.tracker.take(10);
    assert_eq!(batch.gone.len(), 1);
    watched.observe([occupied("b")]);
    watched.tracker.confirm(&batch);
    assert_eq!(watched.told(), [occupied("b")]);
}

#[test]
fn nothing_is_told_of_what_came_and_went_while_nothing_could_be_stored() {
    let watched = watched();
    watched.observe([occupied("a"), vacated("a"), occupied("b")]);
    assert_eq!(watched.after(10_000), [occupied("b")]);
    for _ in 0..1000 {
        watched.observe([vacated("b"), occupied("b")]);
    }
    assert_eq!(watched.after(10_000), []);
}

#[test]
fn everything_is_told_in_the_order_in_which_it_happened() {
    let watched = watched();
    let happened = [
        occupied("a"),
        client_event("a", "1"),
        occupied("b"),
        Event::CacheMiss { channel: "b".to_owned() },
        client_event("a", "2"),
    ];
    watched.observe(happened.clone());
    assert_eq!(watched.told(), happened);
}

#[test]
fn events_beyond_the_bound_are_dropped_and_counted_but_channels_are_not() {
    let watched = Watched::new(&Config { queue_events_max: 2, ..Config::default() });
    watched.observe([client_event("a", "1"), client_event("a", "2"), client_event("a", "3"), occupied("a")]);
    assert_eq!(watched.tracker.dropped(), 1);
    assert_eq!(watched.told(), [client_event("a", "1"), client_event("a", "2"), occupied("a")]);
    watched.observe([client_event("a", "4")]);
    assert_eq!(watched.told(), [client_event("a", "4")], "there is room again");
}

#[test]
fn of_many_counts_of_a_channel_the_newest_is_told() {
    let watched = watched();
    let count = |channel: &str, subscription_count| Event::SubscriptionCount {
        channel: channel.to_owned(),
        subscription_count,
    };
    watched.observe([count("a", 1), count("b", 5), count("a", 2), count("a", 3)]);
    assert_eq!(watched.told(), [count("a", 3), count("b", 5)]);
    watched.observe([count("a", 4)]);
    assert_eq!(watched.told(), [count("a", 4)]);
}

#[test]
fn nobody_is_told_gone_once_the_process_is_stopping() {
    let watched = watched();
    watched.observe([occupied("a"), occupied("b")]);
    watched.told();
    watched.observe([vacated("a")]);
    watched.tracker.hold();
    watched.observe([vacated("b"), occupied("c")]);
    assert_eq!(watched.after(60_000), [occupied("c")]);
    assert_eq!(watched.tracker.next_due(), None);
}

#[test]
fn apps_do_not_share_channels() {
    let watched = watched();
    for id in ["1", "2"] {
        watched.tracker.observe(&app(id), occupied("a"));
    }
    let batch = watched.tracker.take(10);
    assert_eq!(batch.events, [(app("1"), occupied("a")), (app("2"), occupied("a"))]);
    watched.tracker.confirm(&batch);
    watched.tracker.observe(&app("2"), vacated("a"));
    watched.clock.pass(TimeDelta::seconds(3));
    assert_eq!(watched.tracker.take(10).events, [(app("2"), vacated("a"))]);
}
