//! Which addresses may be called: global ones, and those that the operator names.
//!
//! A URL is only a wish. Its host is checked as the URL parser understands it, which knows every spelling of an
//! address; a name is resolved by ourselves, and only if every address of it may be called is it called, at exactly
//! these addresses: [`Guard`] is also the resolver of [`crate::post::Poster`], so a second look at DNS, which may answer
//! differently, never happens.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

/// The most characters of a URL.
pub const URL_CHARS_MAX: usize = 2048;

/// Why a URL is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// No URL, or an overlong one.
    #[error("is no URL of {URL_CHARS_MAX} characters at most")]
    NoUrl,
    /// Neither `http` nor `https`.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// A user or password in the URL.
    #[error("must not hold a user or password")]
    UserInfo,
    /// An address that is not global.
    #[error("leads to an address that is not on the public internet")]
    Address,
    /// A name that has no address, or could not be looked up.
    #[error("the host's name could not be resolved")]
    Unresolved,
}

/// A host, address or network of `webhooks.allowed_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A name, as it stands in URLs; its addresses may be any.
    Host(String),
    /// A network: an address and how many of its bits count, of 128 (IPv4 as IPv4-mapped).
    Network(u128, u32),
}

/// Text that names neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host, address or network such as 10.0.0.0/8")]
pub struct InvalidAllowed(String);

impl FromStr for Allowed {
    type Err = InvalidAllowed;
    fn from_str(text: &str) -> Result<Self, InvalidAllowed> {
        let invalid = || InvalidAllowed(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        if let Ok(address) = address.parse::<IpAddr>() {
            let width = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(width), str::parse).map_err(|_| invalid())?;
            return match bits <= width {
                true => Ok(Self::Network(mapped(address), 128 - width + bits)),
                false => Err(invalid()),
            };
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) if bits.is_none() => Ok(Self::Host(bare(&name))),
            _ => Err(invalid()),
        }
    }
}

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a name.
    fn resolve(&self, host: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;
}

/// The most names that [`SystemResolver`] looks up at once.
const LOOKUPS_MAX: usize = 64;

/// The operating system's resolver. It holds a thread for as long as a name server takes, which may be longer than
/// anybody waits: so there is a bound.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    turns: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let turns = Arc::clone(&self.turns);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(std::io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect();
                // Only now: whoever asked may be gone, but the thread was not.
                drop(turn);
                Ok(found)
            });
            lookup.await.map_err(std::io::Error::other)?
        })
    }
}

/// Decides what may be called. Clones share it.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<[Allowed]>,
    resolver: Arc<dyn Resolve>,
}

impl Guard {
    /// Allows global addresses and these.
    pub fn new(allowed: Vec<Allowed>, resolver: Arc<dyn Resolve>) -> Self {
        Self { allowed: allowed.into(), resolver }
    }

    /// Parses a URL and checks what can be seen without looking up its name.
    ///
    /// # Errors
    /// [`Blocked`], all but [`Blocked::Unresolved`].
    pub fn check(&self, text: &str) -> Result<Url, Blocked> {
        let url = parse(text)?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(url),
            None => return Err(Blocked::NoUrl),
        };
        self.may_call(address).then_some(url).ok_or(Blocked::Address)
    }

    /// The addresses of a name, if every one of them may be called.
    ///
    /// # Errors
    /// [`Blocked::Address`] and [`Blocked::Unresolved`].
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Blocked> {
        let found = self.resolver.resolve(name.to_owned()).await.map_err(|_| Blocked::Unresolved)?;
        if found.is_empty() {
            return Err(Blocked::Unresolved);
        }
        let named = self.allowed.contains(&Allowed::Host(bare(name)));
        match named || found.iter().all(|address| self.may_call(*address)) {
            true => Ok(found),
            false => Err(Blocked::Address),
        }
    }

    fn may_call(&self, address: IpAddr) -> bool {
        let within = |allowed: &Allowed| match allowed {
            Allowed::Host(_) => false,
            Allowed::Network(network, bits) => {
                let differing = mapped(address.to_canonical()) ^ network;
                differing.checked_shr(128 - bits).unwrap_or(0) == 0
            }
        };
        is_global(address) || self.allowed.iter().any(within)
    }
}

/// So that a connection leads exactly where the guard has looked.
impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.resolve(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

fn parse(text: &str) -> Result<Url, Blocked> {
    if text.chars().count() > URL_CHARS_MAX {
        return Err(Blocked::NoUrl);
    }
    let url = Url::parse(text).map_err(|_| Blocked::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Blocked::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Blocked::UserInfo);
    }
    Ok(url)
}

/// Without the dot that some write at the end of a complete name.
fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Whether an address is of the public internet (IANA's special-purpose registries).
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [(Ipv4Addr, u32); 15] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    SPECIAL.iter().all(|(network, bits)| (address.to_bits() ^ network.to_bits()) >> (32 - bits) != 0)
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    // Only 2000::/3 is handed out. That leaves out ::1, ::, mapped and NAT64 addresses, fc00::/7, fe80::/10, ff00::/8.
    let [first, second, ..] = address.segments();
    let special = match first {
        // Teredo and other protocols; documentation.
        0x2001 => second < 0x200 || second == 0xdb8,
        // 6to4.
        0x2002 => true,
        // Documentation.
        0x3fff => second < 0x1000,
        _ => false,
    };
    first & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(allowed.iter().map(|text| text.parse().unwrap()).collect(), Arc::new(SystemResolver::default()))
    }

    #[test]
    fn addresses_that_are_not_global_are_found_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "017700000001",
            "0",
            "0.0.0.0",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "127.0.0.1.",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001:0:4136:e378::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[100::1]",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            for url in [format!("http://{host}/"), format!("https://{host}:8443/hook?a=b")] {
                assert_eq!(guard(&[]).check(&url), Err(Blocked::Address), "{url}");
            }
        }
        for host in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[2a00:1450::1]", "example.com"] {
            assert!(guard(&[]).check(&format!("https://{host}/")).is_ok(), "{host}");
        }
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused() {
        let long = format!("https://a.example/{}", "x".repeat(URL_CHARS_MAX));
        for (url, why) in [
            ("", Blocked::NoUrl),
            ("hook", Blocked::NoUrl),
            ("//a.example", Blocked::NoUrl),
            ("http://", Blocked::NoUrl),
            ("http://[::1", Blocked::NoUrl),
            ("http://1.2.3.4.5/", Blocked::NoUrl),
            (&long, Blocked::NoUrl),
            ("file:///etc/passwd", Blocked::Scheme),
            ("gopher://a.example", Blocked::Scheme),
            ("ftp://a.example", Blocked::Scheme),
            ("https://user@a.example", Blocked::UserInfo),
            ("https://a.example@127.0.0.1/", Blocked::UserInfo),
            ("https://:secret@a.example", Blocked::UserInfo),
        ] {
            assert_eq!(guard(&[]).check(url), Err(why), "{url}");
        }
    }

    #[test]
    fn the_operator_may_allow_hosts_addresses_and_networks() {
        let guard = guard(&["10.0.0.0/8", "127.0.0.1", "fd00::/8", "Hooks.Internal."]);
        for url in ["http://10.255.0.1/", "http://127.1/", "http://[::ffff:10.0.0.1]/", "http://[fd12::1]/"] {
            assert!(guard.check(url).is_ok(), "{url}");
        }
        for url in ["http://11.0.0.1.nip.io.invalid.127.0.0.1/", "http://127.0.0.2/", "http://[fe80::1]/"] {
            assert!(guard.check(url).is_err(), "{url}");
        }
        assert_eq!("Hooks.Internal.".parse(), Ok(Allowed::Host("hooks.internal".to_owned())));
        for bad in ["", "10.0.0.0/33", "10.0.0.0/", "a/8", "::/129", "a b", "http://a"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
        assert!(
            super::Guard::new(vec!["0.0.0.0/0".parse().unwrap()], Arc::new(SystemResolver::default()))
                .check("http://127.0.0.1/")
                .is_ok()
        );
    }

    struct Fixed(Vec<IpAddr>);

    impl Resolve for Fixed {
        fn resolve(&self, _: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
            let found = self.0.clone();
            Box::pin(async move { Ok(found) })
        }
    }

    #[tokio::test]
    async fn a_name_is_called_only_if_all_of_its_addresses_may_be() {
        let public: IpAddr = "8.8.8.8".parse().unwrap();
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        for (found, allowed, expected) in [
            (vec![public], &[][..], Ok(vec![public])),
            (vec![public, private], &[], Err(Blocked::Address)),
            (vec![public, private], &["10.0.0.0/8"], Ok(vec![public, private])),
            (vec![private], &["a.example"], Ok(vec![private])),
            (vec![private], &["b.example"], Err(Blocked::Address)),
            (vec![], &["a.example"], Err(Blocked::Unresolved)),
        ] {
            let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(Guard::new(allowed, Arc::new(Fixed(found))).resolve("A.example.").await, expected);
        }
    }
}
