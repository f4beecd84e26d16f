//! When to reconnect: full jitter within a growing window, and what the close code asks for.

use std::time::Duration;

/// The windows from which waits are drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The window of the first retry; each further one doubles it.
    pub first: Duration,
    /// The largest window.
    pub max: Duration,
    /// The least wait where the server asks for a pause (4100 to 4199). The protocol says a second at least.
    pub pause: Duration,
    /// A connection that was up so long counts as good: the next window is `first` again. A shorter one does not, or a
    /// server that accepts and closes with 4200 would be called in a loop without a breath.
    pub good_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(1), max: seconds(30), pause: seconds(1), good_after: seconds(10) }
    }
}

/// What to do after the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Never connect again unchanged.
    Stop,
    /// Connect after so long; zero is at once.
    After(Duration),
}

impl Backoff {
    /// What follows on a close with `code` (none: it broke or never opened) after `failures` retries without a good
    /// connection between them. `luck` is drawn anew each time from 0 to 1.
    ///
    /// Ranges as in Pusher protocol 7: 4000 to 4099 stop; 4100 to 4199 wait `pause` at least; 4200 to 4299 come back at
    /// once the first time. 4300 to 4399 stop, as in pusher-js. All else is an ordinary retry.
    pub fn next(&self, code: Option<u16>, failures: u32, luck: f64) -> Next {
        let window = self.first.saturating_mul(2_u32.saturating_pow(failures)).min(self.max);
        let jitter = window.mul_f64(luck.clamp(0.0, 1.0));
        match code {
            Some(4000..=4099 | 4300..=4399) => Next::Stop,
            Some(4100..=4199) => Next::After(self.pause + jitter),
            Some(4200..=4299) if failures == 0 => Next::After(Duration::ZERO),
            _ => Next::After(jitter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(code: Option<u16>, failures: u32, luck: f64) -> f64 {
        match Backoff::default().next(code, failures, luck) {
            Next::After(wait) => wait.as_secs_f64(),
            Next::Stop => f64::INFINITY,
        }
    }

    #[test]
    fn the_close_code_decides_whether_and_how_soon() {
        for code in [4000, 4001, 4009, 4099, 4300, 4301, 4399] {
            assert_eq!(after(Some(code), 0, 0.0), f64::INFINITY, "{code}");
        }
        for code in [4100, 4110, 4199] {
            assert_eq!(after(Some(code), 0, 0.0), 1.0, "{code}");
            assert_eq!(after(Some(code), 2, 0.5), 3.0, "{code}");
        }
        for code in [4200, 4201, 4299] {
            assert_eq!(after(Some(code), 0, 0.9), 0.0, "{code}");
            assert_eq!(after(Some(code), 1, 0.5), 1.0, "{code}: not at once again and again");
        }
        for code in [None, Some(1000), Some(1006), Some(1011), Some(4400)] {
            assert_eq!(after(code, 0, 0.5), 0.5, "{code:?}");
        }
    }

    #[test]
    fn the_window_doubles_up_to_its_bound_and_the_wait_is_anywhere_in_it() {
        let windows: Vec<_> = [0, 1, 2, 3, 4, 5, 40, u32::MAX].map(|failures| after(None, failures, 1.0)).into();
        assert_eq!(windows, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(after(None, 7, 0.0), 0.0);
    }
}
