//! Quiet hours: local times of a user, which may lie on both sides of midnight and in any zone's summer time.

use chrono::{DateTime, Days, MappedLocalTime, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// How far clocks are ever set forward at once, a day at a date line included, in steps of [`GAP_STEP`].
const GAP_STEPS_MAX: i32 = 26 * 4;
const GAP_STEP: TimeDelta = TimeDelta::minutes(15);

/// When a user does not want to be disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// From this local time.
    pub from: NaiveTime,
    /// To this one, on the next day where it is not later. The same as `from` means no quiet hours.
    pub until: NaiveTime,
    /// Where the user is.
    pub zone: Tz,
}

impl QuietHours {
    /// When something that is due `at` may disturb: then, or at the end of the quiet hours that it falls into.
    pub fn defer(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let local = at.with_timezone(&self.zone);
        if !self.holds(local.time()) {
            return at;
        }
        // Yesterday's too: where clocks were set back over midnight, this day's end lies on it.
        let dates = [
            local.date_naive().pred_opt(),
            Some(local.date_naive()),
            local.date_naive().checked_add_days(Days::new(1)),
        ];
        let ends = dates.into_iter().flatten().flat_map(|date| self.instants(date.and_time(self.until)));
        ends.filter(|end| *end > at).min().unwrap_or(at)
    }

    fn holds(&self, time: NaiveTime) -> bool {
        if self.from <= self.until {
            (self.from..self.until).contains(&time)
        } else {
            time >= self.from || time < self.until
        }
    }

    /// When the clock shows this: twice where it is set back; where it is set forward past it, when it is past it.
    fn instants(&self, local: NaiveDateTime) -> Vec<DateTime<Utc>> {
        match self.zone.from_local_datetime(&local) {
            MappedLocalTime::Single(time) => vec![time.to_utc()],
            MappedLocalTime::Ambiguous(first, second) => vec![first.to_utc(), second.to_utc()],
            MappedLocalTime::None => {
                let later = (1..=GAP_STEPS_MAX).map(|step| local + GAP_STEP * step);
                let after = later.filter_map(|local| self.zone.from_local_datetime(&local).earliest()).next();
                after.map(|time| time.to_utc()).into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAKARTA: Tz = chrono_tz::Asia::Jakarta;
    const BERLIN: Tz = chrono_tz::Europe::Berlin;

    fn quiet(from: &str, until: &str, zone: Tz) -> QuietHours {
        QuietHours { from: from.parse().unwrap(), until: until.parse().unwrap(), zone }
    }

    fn deferred(quiet: QuietHours, at: &str) -> String {
        quiet.defer(at.parse().unwrap()).format("%FT%RZ").to_string()
    }

    #[test]
    fn hours_over_midnight_end_on_the_next_morning() {
        let night = quiet("22:00:00", "07:00:00", JAKARTA);
        // Jakarta is 7 hours ahead all year.
        assert_eq!(deferred(night, "2026-03-01T14:59:00Z"), "2026-03-01T14:59Z", "21:59, not yet quiet");
        assert_eq!(deferred(night, "2026-03-01T15:00:00Z"), "2026-03-02T00:00Z", "22:00");
        assert_eq!(deferred(night, "2026-03-01T17:30:00Z"), "2026-03-02T00:00Z", "00:30");
        assert_eq!(deferred(night, "2026-03-01T23:59:00Z"), "2026-03-02T00:00Z", "06:59");
        assert_eq!(deferred(night, "2026-03-02T00:00:00Z"), "2026-03-02T00:00Z", "07:00, no longer quiet");
    }

    #[test]
    fn hours_of_one_day_and_none_at_all() {
        let noon = quiet("12:00:00", "14:00:00", JAKARTA);
        assert_eq!(deferred(noon, "2026-03-01T05:30:00Z"), "2026-03-01T07:00Z");
        assert_eq!(deferred(noon, "2026-03-01T07:00:00Z"), "2026-03-01T07:00Z");
        assert_eq!(deferred(quiet("08:00:00", "08:00:00", JAKARTA), "2026-03-01T01:00:00Z"), "2026-03-01T01:00Z");
    }

    #[test]
    fn summer_time_moves_the_end_of_the_night() {
        let night = quiet("22:00:00", "07:00:00", BERLIN);
        assert_eq!(deferred(night, "2026-03-28T12:00:00Z"), "2026-03-28T12:00Z");
        assert_eq!(deferred(night, "2026-03-27T22:00:00Z"), "2026-03-28T06:00Z", "the night before: UTC+1");
        assert_eq!(deferred(night, "2026-03-28T22:00:00Z"), "2026-03-29T05:00Z", "clocks go forward: UTC+2");
        assert_eq!(deferred(night, "2026-10-24T21:00:00Z"), "2026-10-25T06:00Z", "clocks go back: UTC+1");
    }

    #[test]
    fn an_end_that_the_clock_skips_or_shows_twice() {
        let night = quiet("22:00:00", "02:30:00", BERLIN);
        assert_eq!(deferred(night, "2026-03-28T23:00:00Z"), "2026-03-29T01:00Z", "02:30 does not exist: 03:00");
        assert_eq!(deferred(night, "2026-10-24T23:00:00Z"), "2026-10-25T00:30Z", "the first 02:30");
        assert_eq!(deferred(night, "2026-10-25T00:59:00Z"), "2026-10-25T00:59Z", "02:59, after the first");
        assert_eq!(deferred(night, "2026-10-25T01:10:00Z"), "2026-10-25T01:30Z", "02:10 again, until the second");
    }
}
