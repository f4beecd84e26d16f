//! Where in a channel's history something is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::as_text;

/// Names one life of a channel's history. Another epoch means that offsets of before mean nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// A place in a channel's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which history.
    pub epoch: Epoch,
    /// How far: the first message has 1, the next 2, without a gap; 0 is before the first.
    pub offset: u64,
}

/// Text that is no epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an epoch has 16 hexadecimal digits")]
pub struct InvalidEpoch;

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = InvalidEpoch;
    fn from_str(text: &str) -> Result<Self, InvalidEpoch> {
        let plain = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = plain.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        value.map(Self).ok_or(InvalidEpoch)
    }
}

as_text!(Epoch);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_survives_its_text() {
        for epoch in [Epoch(0), Epoch(1), Epoch(u64::MAX)] {
            assert_eq!(epoch.to_string().parse(), Ok(epoch));
        }
        for bad in ["", "1", "000000000000000g", "+000000000000001", "00000000000000001"] {
            assert_eq!(bad.parse::<Epoch>(), Err(InvalidEpoch), "{bad}");
        }
    }
}
