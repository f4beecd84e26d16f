//! How many sockets an app has, in all and by address: what its policy bounds.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use protocol::{CloseCode, Policy};

use crate::space::Space;

/// The counts of one app's sockets on this node.
#[derive(Default)]
pub(crate) struct Connections {
    total: AtomicU32,
    by_block: DashMap<Block, u32>,
}

/// What counts as one address: an IPv4 address, or the 64 bits of IPv6 that one customer has at the least.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Block(NonZeroU64);

impl Block {
    fn of(address: IpAddr) -> Self {
        let bits = match address.to_canonical() {
            // No IPv6 network begins with 0:ffff, so the two do not meet.
            IpAddr::V4(address) => 0xffff_0000_0000 | u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }
}

/// A socket that was counted; dropping it takes it out of the counts again.
pub(crate) struct Admitted {
    space: Arc<Space>,
    block: Option<Block>,
}

impl Admitted {
    /// Counts a socket, or says why there may not be another. What is refused counts nothing. Sockets whose address is
    /// not known count for the app only.
    pub(crate) fn count(space: &Arc<Space>, policy: &Policy, address: Option<IpAddr>) -> Result<Self, CloseCode> {
        let counts = &space.connections;
        let max = policy.connections_max.unwrap_or(u32::MAX);
        let more = |count: u32| (count < max).then(|| count + 1);
        counts.total.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map_err(|_| CloseCode::OVER_QUOTA)?;
        // From here on, what is counted is taken back by dropping.
        let mut admitted = Self { space: Arc::clone(space), block: None };
        if let Some(block) = address.map(Block::of) {
            let max = policy.connections_per_address_max.unwrap_or(u32::MAX);
            let mut count = match counts.by_block.entry(block) {
                Entry::Occupied(entry) => entry.into_ref(),
                Entry::Vacant(_) if max == 0 => return Err(CloseCode::TOO_MANY_OF_ADDRESS),
                Entry::Vacant(entry) => entry.insert(0),
            };
            if *count >= max {
                return Err(CloseCode::TOO_MANY_OF_ADDRESS);
            }
            *count += 1;
            admitted.block = Some(block);
        }
        Ok(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let counts = &self.space.connections;
        counts.total.fetch_sub(1, Ordering::AcqRel);
        if let Some(Entry::Occupied(mut count)) = self.block.map(|block| counts.by_block.entry(block)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(connections_max: u32, connections_per_address_max: u32) -> Policy {
        Policy {
            connections_max: Some(connections_max),
            connections_per_address_max: Some(connections_per_address_max),
            ..Policy::default()
        }
    }

    #[test]
    fn the_last_one_that_fits_is_taken_the_next_refused_and_its_place_is_free_once_it_ends() {
        let (space, policy) = (Space::of_nobody(), policy(3, 2));
        let count = |address: &str| Admitted::count(&space, &policy, address.parse().ok());
        let first = count("10.0.0.1").unwrap_or_else(|_| panic!("room"));
        let _second = count("::ffff:10.0.0.1").unwrap_or_else(|_| panic!("room"));
        assert_eq!(count("10.0.0.1").err(), Some(CloseCode::TOO_MANY_OF_ADDRESS));
        let _third = count("10.0.0.2").unwrap_or_else(|_| panic!("what is refused counts nothing"));
        assert_eq!(count("10.0.0.3").err(), Some(CloseCode::OVER_QUOTA));
        drop(first);
        assert!(count("10.0.0.1").is_ok());
        assert_eq!(space.connections.by_block.len(), 2);
    }

    #[test]
    fn ipv6_counts_by_its_first_64_bits() {
        let block = |address: &str| Block::of(address.parse().expect("an address"));
        assert!(block("2001:db8::1") == block("2001:db8::ffff:1:2:3"));
        assert!(block("2001:db8:0:1::1") != block("2001:db8::1"));
        assert!(block("10.0.0.1") == block("::ffff:10.0.0.1"));
        assert!(block("10.0.0.1") != block("10.0.0.2"));
    }
}
