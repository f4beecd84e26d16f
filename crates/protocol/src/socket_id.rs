//! A socket's id, which also says where the socket is.

use std::fmt;
use std::str::FromStr;

use crate::ids::as_text;

/// `"{nonce}.{place}"`, both decimal, as every Pusher SDK demands (`^\d+\.\d+$`).
///
/// The nonce is random: the id is part of what auth strings sign, so it must not be guessable. The place means
/// something only to the node that made it (which shard, which slot). Both stay under 2^53, which even a JavaScript
/// number holds exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    nonce: u64,
    place: u64,
}

/// Text that is no socket id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a socket id looks like 123.456")]
pub struct InvalidSocketId;

impl SocketId {
    /// One past the largest value of either half.
    pub const HALF_MAX: u64 = 1 << 53;

    /// Cuts both halves down to their range.
    pub fn new(nonce: u64, place: u64) -> Self {
        Self { nonce: nonce % Self::HALF_MAX, place: place % Self::HALF_MAX }
    }

    /// The half that only the node which made the id understands.
    pub fn place(&self) -> u64 {
        self.place
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.nonce, self.place)
    }
}

impl FromStr for SocketId {
    type Err = InvalidSocketId;
    fn from_str(text: &str) -> Result<Self, InvalidSocketId> {
        let half = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse::<u64>().map_err(|_| InvalidSocketId),
            false => Err(InvalidSocketId),
        };
        let (nonce, place) = text.split_once('.').ok_or(InvalidSocketId)?;
        Ok(Self { nonce: half(nonce)?, place: half(place)? })
    }
}

as_text!(SocketId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_two_decimal_numbers() {
        assert_eq!("1234.1234".parse::<SocketId>().unwrap().to_string(), "1234.1234");
        for bad in ["", "1", "1.", ".1", "1.2.3", "+1.2", "1.-2", "a.b", "1.2\n", "99999999999999999999.1"] {
            assert!(bad.parse::<SocketId>().is_err(), "{bad:?}");
        }
    }
}
