//! The moment of sending, inside the message: `@T` and 18 digits of nanoseconds on this process's clock.

use std::sync::LazyLock;
use std::time::Instant;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
const DIGITS: usize = 18;

/// The moment as a stamp.
pub(crate) fn nanos(at: Instant) -> u64 {
    at.saturating_duration_since(*EPOCH).as_nanos() as u64
}

/// From a stamp until now.
pub(crate) fn micros_since(stamp: u64, now: Instant) -> u64 {
    nanos(now).saturating_sub(stamp) / 1_000
}

/// A payload of exactly so many bytes, at least 20, that needs no escaping in JSON.
pub(crate) fn payload(stamp: u64, bytes: usize) -> String {
    let mut text = format!("@T{stamp:0DIGITS$}");
    while text.len() < bytes {
        text.push('x');
    }
    text
}

/// The stamp of a message, if it has one.
pub(crate) fn read(message: &[u8]) -> Option<u64> {
    let mut rest = message;
    loop {
        let at = rest.iter().position(|&byte| byte == b'@')?;
        rest = &rest[at + 1..];
        if let Some(digits) = rest.strip_prefix(b"T").and_then(|rest| rest.get(..DIGITS)) {
            return std::str::from_utf8(digits).ok()?.parse().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_in_its_message() {
        let text = payload(1_234_567, 128);
        assert_eq!(text.len(), 128);
        assert_eq!(read(format!(r#"{{"channel":"a@b","data":"{text}"}}"#).as_bytes()), Some(1_234_567));
        assert_eq!(read(b"@T12"), None);
    }
}
