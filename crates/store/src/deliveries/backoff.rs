//! When to try again: pure, so that the whole table can be read and tested.

use std::time::Duration;

use protocol::notification::Transport;

/// How one transport tries again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The most that the first retry waits.
    pub base: Duration,
    /// By how much that grows with each try.
    pub factor: f64,
    /// The most that any retry waits of its own.
    pub cap: Duration,
    /// How often it is tried in all.
    pub tries_max: u32,
    /// The most that a provider's `Retry-After` is waited for.
    pub retry_after_max: Duration,
}

impl Backoff {
    /// How long to wait after this many tries; `None` to give up.
    ///
    /// Full jitter: anything from nothing to the most, by `roll` from 0 to 1, so that many that failed together do not
    /// come back together. A provider that names a time is not asked before it, as long as that is bearable.
    pub fn after(&self, tries: u32, retry_after: Option<Duration>, roll: f64) -> Option<Duration> {
        if tries >= self.tries_max {
            return None;
        }
        let jittered = self.most(tries).mul_f64(roll.clamp(0.0, 1.0));
        let told = retry_after.map_or(Duration::ZERO, |told| told.min(self.retry_after_max));
        // On top of it: all those who were told the same time would come at once.
        Some(if told > jittered { told + jittered.min(told / 10) } else { jittered })
    }

    /// The most that is waited after this many tries.
    fn most(&self, tries: u32) -> Duration {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.base.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        Duration::try_from_secs_f64(seconds).map_or(self.cap, |most| most.min(self.cap))
    }
}

/// How each transport tries again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoffs {
    /// Push: soon or never.
    pub push: Backoff,
    /// Email.
    pub email: Backoff,
    /// WhatsApp.
    pub whatsapp: Backoff,
}

impl Backoffs {
    /// That of a transport; `None` of [`Transport::InApp`], which is not queued.
    pub fn of(&self, transport: Transport) -> Option<&Backoff> {
        match transport {
            Transport::InApp => None,
            Transport::Push => Some(&self.push),
            Transport::Email => Some(&self.email),
            Transport::Whatsapp => Some(&self.whatsapp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_secs(2),
        factor: 4.0,
        cap: Duration::from_secs(60),
        tries_max: 6,
        retry_after_max: Duration::from_secs(100),
    };

    fn after(tries: u32, retry_after: Option<u64>, roll: f64) -> Option<u64> {
        BACKOFF.after(tries, retry_after.map(Duration::from_secs), roll).map(|wait| wait.as_secs())
    }

    #[test]
    fn it_grows_to_its_cap_and_ends() {
        let most: Vec<_> = (1..=7).map(|tries| after(tries, None, 1.0)).collect();
        assert_eq!(most, [Some(2), Some(8), Some(32), Some(60), Some(60), None, None]);
        assert_eq!(after(3, None, 0.5), Some(16));
        assert_eq!(after(3, None, 0.0), Some(0));
        let endless = Backoff { tries_max: u32::MAX, ..BACKOFF };
        assert_eq!(endless.after(u32::MAX - 1, None, 1.0), Some(BACKOFF.cap), "no overflow");
    }

    #[test]
    fn a_provider_that_names_a_time_is_not_asked_before_it_up_to_a_cap() {
        assert_eq!(after(1, Some(50), 0.0), Some(50));
        assert_eq!(after(1, Some(50), 1.0), Some(52));
        assert_eq!(after(5, Some(50), 1.0), Some(60), "our own is longer");
        assert_eq!(after(5, Some(3_600), 0.0), Some(100));
        assert_eq!(after(6, Some(1), 0.0), None);
    }

    #[test]
    fn whatever_is_thrown_it_stays_within_its_bounds() {
        for tries in 1..6 {
            for roll in [-1.0, 0.0, 0.3, 1.0, 7.0] {
                for told in [None, Some(0), Some(30), Some(100), Some(u64::MAX)] {
                    let wait = BACKOFF.after(tries, told.map(Duration::from_secs), roll).unwrap();
                    assert!(wait <= Duration::from_secs(110), "{tries} {roll} {told:?}: {wait:?}");
                    assert!(wait >= Duration::from_secs(told.unwrap_or(0).min(100)));
                }
            }
        }
    }
}
