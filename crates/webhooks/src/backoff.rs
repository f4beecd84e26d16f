//! When to try again.

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;

/// The bound of the wait after the first attempt.
const FIRST: TimeDelta = TimeDelta::seconds(1);
/// The bound of every wait.
const LAST: TimeDelta = TimeDelta::seconds(60);

/// When the attempt after this one is made: after a random part of 1 s, 2 s, 4 s … 60 s (full jitter), or after what the
/// answer asked for, 60 s at most. The last attempt is made at `give_up`; `None` if that is over.
pub(crate) fn next(
    attempt: u32,
    asked: Option<TimeDelta>,
    now: DateTime<Utc>,
    give_up: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if now >= give_up {
        return None;
    }
    let bound = bound(attempt).num_milliseconds();
    let wait = TimeDelta::milliseconds(rand::rng().random_range(0..=bound));
    let wait = asked.map_or(wait, |asked| asked.clamp(wait, LAST.max(wait)));
    Some((now + wait).min(give_up))
}

fn bound(attempt: u32) -> TimeDelta {
    let doublings = attempt.saturating_sub(1).min(6);
    (FIRST * (1 << doublings)).min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_end_at_the_time_to_give_up() {
        let bounds: Vec<i64> = (1..=9).map(|attempt| bound(attempt).num_seconds()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let now = DateTime::UNIX_EPOCH;
        let later = |seconds| now + TimeDelta::seconds(seconds);
        for attempt in 1..100 {
            let at = next(attempt, None, now, later(300)).unwrap();
            assert!(at >= now && at <= now + bound(attempt));
        }
        assert_eq!(next(1, None, later(300), later(300)), None);
        assert_eq!(next(1, Some(TimeDelta::seconds(9)), now, later(5)), Some(later(5)));
    }

    #[test]
    fn an_answer_may_ask_for_a_longer_wait_up_to_a_minute() {
        let now = DateTime::UNIX_EPOCH;
        let asked = |seconds| next(1, Some(TimeDelta::seconds(seconds)), now, now + TimeDelta::hours(1)).unwrap() - now;
        assert_eq!(asked(20), TimeDelta::seconds(20));
        assert_eq!(asked(3600), LAST);
        assert!(asked(0) <= FIRST);
    }
}
