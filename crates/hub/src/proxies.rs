//! Whose word about a client's address is taken.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use actix_http::RequestHead;
use actix_http::header::{HeaderName, X_FORWARDED_FOR};

const NAME: HeaderName = X_FORWARDED_FOR;

/// Proxies whose `X-Forwarded-For` is believed. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    unix: bool,
}

/// An address, or all with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

/// What names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be addresses, networks such as 10.0.0.0/8, or \"unix\"")]
pub struct InvalidProxy;

impl TrustedProxies {
    /// Of addresses, networks (`10.0.0.0/8`) and the word `unix` for whoever comes by a Unix socket.
    ///
    /// # Errors
    /// Anything else in the list.
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidProxy> {
        let mut proxies = Self::default();
        for text in list {
            match text {
                "unix" => proxies.unix = true,
                network => proxies.networks.push(network.parse()?),
            }
        }
        Ok(proxies)
    }

    /// The address of whoever sent the request: the peer's own, or where the peer is trusted, the rightmost address of
    /// `X-Forwarded-For` that is not trusted as well. None of a Unix socket's peer that forwards nobody.
    pub(crate) fn client(&self, head: &RequestHead) -> Option<IpAddr> {
        let peer = head.peer_addr.map(|peer| peer.ip().to_canonical());
        let trusted = peer.map_or(self.unix, |peer| self.trusts(peer));
        if !trusted {
            return peer;
        }
        let lines: Vec<&str> = head.headers.get_all(NAME).filter_map(|value| value.to_str().ok()).collect();
        self.walk(peer, lines.iter().flat_map(|line| line.split(',')).rev())
    }

    /// Steps from proxy to proxy, nearest first. What is no address ends the walk at the proxy that sent it.
    fn walk<'a>(&self, peer: Option<IpAddr>, hops: impl Iterator<Item = &'a str>) -> Option<IpAddr> {
        let mut client = peer;
        for hop in hops {
            let Some(address) = address(hop.trim()) else { break };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(address))
    }
}

/// Some proxies send the port too.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(with_port).or_else(bare).map(|address: IpAddr| address.to_canonical())
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        let same =
            |ours: u128, theirs: u128, width: u32| (ours ^ theirs).checked_shr(width - self.bits).unwrap_or(0) == 0;
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| InvalidProxy)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| InvalidProxy)?;
        if bits > width { Err(InvalidProxy) } else { Ok(Self { address, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: Option<&str>, forwarded: &[&str]) -> Option<String> {
        let mut head = RequestHead::default();
        head.peer_addr = peer.and_then(|peer| Some(SocketAddr::new(peer.parse().ok()?, 1)));
        for line in forwarded {
            head.headers.append(NAME, line.parse().expect("a header's value"));
        }
        let proxies = TrustedProxies::parse(trusted.iter().copied()).expect("proxies");
        proxies.client(&head).map(|address| address.to_string())
    }

    #[test]
    fn the_first_address_from_the_right_that_is_not_trusted_is_the_client() {
        let trusted = &["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "unix"];
        for (peer, forwarded, expected) in [
            // Whoever is not trusted is the client, whatever it says.
            (Some("203.0.113.9"), &["198.51.100.1"] as &[&str], Some("203.0.113.9")),
            (Some("10.1.2.3"), &[], Some("10.1.2.3")),
            (Some("10.1.2.3"), &["198.51.100.1"], Some("198.51.100.1")),
            (Some("::ffff:10.1.2.3"), &["198.51.100.1"], Some("198.51.100.1")),
            // What stands to the left of it, anybody may have put there.
            (Some("10.1.2.3"), &["1.1.1.1, 198.51.100.1, 192.0.2.7"], Some("198.51.100.1")),
            (Some("10.1.2.3"), &["1.1.1.1", "198.51.100.1,10.9.9.9"], Some("198.51.100.1")),
            (Some("10.1.2.3"), &["10.4.4.4, 10.5.5.5"], Some("10.4.4.4")),
            (Some("10.1.2.3"), &["198.51.100.1, unknown"], Some("10.1.2.3")),
            (Some("10.1.2.3"), &["198.51.100.1:4711"], Some("198.51.100.1")),
            (Some("2001:db8::1"), &["[2a00::5]:443"], Some("2a00::5")),
            (None, &["198.51.100.1"], Some("198.51.100.1")),
            (None, &[], None),
        ] {
            assert_eq!(client(trusted, peer, forwarded).as_deref(), expected, "{peer:?} {forwarded:?}");
        }
        assert_eq!(client(&[], None, &["198.51.100.1"]), None);
        assert_eq!(client(&["0.0.0.0/0"], Some("8.8.8.8"), &["9.9.9.9"]).as_deref(), Some("9.9.9.9"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/x", "Unix"] {
            assert!(TrustedProxies::parse([bad]).is_err(), "{bad}");
        }
    }
}
