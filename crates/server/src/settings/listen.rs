//! How connections come in, apart from plain TCP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::{BadSetting, Server};
use crate::certificates::Certificates;

/// `[tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Tls {
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    pub handshake_timeout_seconds: u64,
    pub reload_seconds: u64,
}

impl Tls {
    /// The three that only make sense together.
    pub(super) fn check(&self) -> Result<(), BadSetting> {
        let set = [self.listen.is_some(), self.cert_file.is_some(), self.key_file.is_some()];
        let keys = ["tls.listen", "tls.cert_file", "tls.key_file"];
        match (set.contains(&true), set.iter().position(|set| !set)) {
            (true, Some(missing)) => Err(BadSetting::new(
                keys[missing],
                "must be set: tls.listen, tls.cert_file and tls.key_file belong together",
            )),
            _ => Ok(()),
        }
    }

    /// The certificate, where there is to be TLS.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(crate) fn certificates(&self) -> Result<Option<Arc<Certificates>>, BadSetting> {
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Certificates::read(cert.clone(), key.clone()).map(Some),
            _ => Ok(None),
        }
    }
}

impl Server {
    /// The mode of the Unix socket's file; `None` where it is no octal number of up to four digits.
    pub(super) fn parse_unix_socket_mode(&self) -> Option<u32> {
        let digits = &self.unix_socket_mode;
        u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777 && digits.len() <= 4)
    }

    /// Whose `X-Forwarded-For` is believed.
    pub(super) fn parse_trusted_proxies(&self) -> Result<hub::TrustedProxies, hub::InvalidProxy> {
        hub::TrustedProxies::parse(self.trusted_proxies.iter().map(String::as_str))
    }

    /// The mode of the Unix socket's file.
    pub(crate) fn unix_socket_mode(&self) -> u32 {
        self.parse_unix_socket_mode().expect("settings are checked")
    }
}
