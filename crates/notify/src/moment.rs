//! Dates and times, as a reader in a zone writes them.

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;

use crate::Locale;

const DAYS: [(&str, &str); 7] = [
    ("Senin", "Monday"),
    ("Selasa", "Tuesday"),
    ("Rabu", "Wednesday"),
    ("Kamis", "Thursday"),
    ("Jumat", "Friday"),
    ("Sabtu", "Saturday"),
    ("Minggu", "Sunday"),
];

const MONTHS: [(&str, &str); 12] = [
    ("Januari", "January"),
    ("Februari", "February"),
    ("Maret", "March"),
    ("April", "April"),
    ("Mei", "May"),
    ("Juni", "June"),
    ("Juli", "July"),
    ("Agustus", "August"),
    ("September", "September"),
    ("Oktober", "October"),
    ("November", "November"),
    ("Desember", "December"),
];

/// A point in time, or a day that is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(DateTime<Utc>),
    Day(NaiveDate),
}

impl Moment {
    /// Reads `2026-11-23T14:30:00+07:00` or `2026-11-23`. A time without a zone is nobody's time: none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Years of more than four digits and leap seconds read well in no language.
        let moment = match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Self::At(at.to_utc()),
            Err(_) => Self::Day(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?),
        };
        let year = match moment {
            Self::At(at) => at.year(),
            Self::Day(day) => day.year(),
        };
        (1..=9998).contains(&year).then_some(moment)
    }
}

/// `Senin, 23 November 2026`, or `Monday, 23 November 2026`: the day that it is in the reader's zone.
pub(crate) fn date(moment: Moment, locale: Locale, zone: Tz) -> String {
    let day = match moment {
        Moment::At(at) => at.with_timezone(&zone).date_naive(),
        Moment::Day(day) => day,
    };
    let of = |(id, en): (&'static str, &'static str)| if locale == Locale::Id { id } else { en };
    let name = of(DAYS[day.weekday().num_days_from_monday() as usize]);
    format!("{name}, {} {} {}", day.day(), of(MONTHS[day.month0() as usize]), day.year())
}

/// `Senin, 23 November 2026 pukul 14.30`, or `Monday, 23 November 2026 at 14:30`. A whole day has no time.
pub(crate) fn datetime(moment: Moment, locale: Locale, zone: Tz) -> String {
    let day = date(moment, locale, zone);
    let Moment::At(at) = moment else { return day };
    let at = at.with_timezone(&zone);
    match locale {
        Locale::Id => format!("{day} pukul {:02}.{:02}", at.hour(), at.minute()),
        Locale::En => format!("{day} at {:02}:{:02}", at.hour(), at.minute()),
    }
}

/// `24 jam`, `1 jam 30 menit`, `15 menit`; `24 hours`, `1 hour 30 minutes`, `15 minutes`. From three days on, days.
pub(crate) fn duration(minutes: u64, locale: Locale) -> String {
    let unit = |count: u64, id: &str, en: &str| match locale {
        Locale::Id => format!("{count} {id}"),
        Locale::En => format!("{count} {en}{}", if count == 1 { "" } else { "s" }),
    };
    let (days, hours) = if minutes >= 3 * 1440 { (minutes / 1440, minutes / 60 % 24) } else { (0, minutes / 60) };
    let mut parts = Vec::new();
    for (count, id, en) in [(days, "hari", "day"), (hours, "jam", "hour"), (minutes % 60, "menit", "minute")] {
        if count > 0 {
            parts.push(unit(count, id, en));
        }
    }
    if parts.is_empty() { unit(0, "menit", "minute") } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &str, zone: Tz) -> (String, String) {
        let moment = Moment::parse(text).unwrap();
        (datetime(moment, Locale::Id, zone), datetime(moment, Locale::En, zone))
    }

    #[test]
    fn a_moment_is_told_in_the_readers_zone() {
        for (text, zone, id, en) in [
            ("2026-11-23T07:30:00Z", Tz::Asia__Jakarta, "Senin, 23 November 2026 pukul 14.30", "at 14:30"),
            ("2026-11-23T07:30:00Z", Tz::Asia__Jayapura, "Senin, 23 November 2026 pukul 16.30", "at 16:30"),
            // Another day there.
            ("2026-12-31T20:05:00Z", Tz::Asia__Jakarta, "Jumat, 1 Januari 2027 pukul 03.05", "1 January 2027 at 03:05"),
            // Clocks go back on 25 October at 01:00 UTC: the same hour on the wall twice.
            ("2026-10-25T00:30:00Z", Tz::Europe__Berlin, "Minggu, 25 Oktober 2026 pukul 02.30", "at 02:30"),
            ("2026-10-25T01:30:00Z", Tz::Europe__Berlin, "Minggu, 25 Oktober 2026 pukul 02.30", "at 02:30"),
            // They go forward on 29 March at 01:00 UTC: there is no half past two.
            ("2026-03-29T00:30:00Z", Tz::Europe__Berlin, "Minggu, 29 Maret 2026 pukul 01.30", "at 01:30"),
            ("2026-03-29T01:30:00Z", Tz::Europe__Berlin, "Minggu, 29 Maret 2026 pukul 03.30", "at 03:30"),
            ("2024-02-29", Tz::Asia__Jakarta, "Kamis, 29 Februari 2024", "Thursday, 29 February 2024"),
        ] {
            let (told_id, told_en) = both(text, zone);
            assert_eq!(told_id, id, "{text} {zone}");
            assert!(told_en.ends_with(en), "{told_en}");
        }
    }

    #[test]
    fn what_has_no_zone_or_is_no_time_is_refused() {
        for bad in
            ["", "2026-11-23T14:30:00", "14:30", "2026-13-01", "2026-02-30", "tomorrow", "+12026-01-01", "0000-01-01"]
        {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_is_told() {
        for (minutes, id, en) in [
            (1440, "24 jam", "24 hours"),
            (60, "1 jam", "1 hour"),
            (90, "1 jam 30 menit", "1 hour 30 minutes"),
            (15, "15 menit", "15 minutes"),
            (1, "1 menit", "1 minute"),
            (0, "0 menit", "0 minutes"),
            (10080, "7 hari", "7 days"),
        ] {
            assert_eq!((duration(minutes, Locale::Id), duration(minutes, Locale::En)), (id.into(), en.into()));
        }
    }
}
