//! The certificate of the TLS listener, read anew when its files change.
//!
//! A handshake gets the newest good one; sockets that are connected keep theirs. Files that cannot be used change
//! nothing but the log: half a renewal must not end a service that works.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::settings::BadSetting;

/// The certificate in use, and the files it came from.
pub(crate) struct Certificates {
    cert_file: PathBuf,
    key_file: PathBuf,
    provider: Arc<CryptoProvider>,
    // Taken for the time of a clone.
    current: RwLock<Arc<CertifiedKey>>,
}

/// Both files as they were read: what is compared to notice a change, since their times tell less.
#[derive(PartialEq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads both files: a chain and a private key in PEM, which must belong together.
    ///
    /// # Errors
    /// Which of the two cannot be used, and why.
    pub(crate) fn read(cert_file: PathBuf, key_file: PathBuf) -> Result<Arc<Self>, BadSetting> {
        let provider = Arc::new(ring::default_provider());
        let pair = Pair::read(&cert_file, &key_file)?;
        let current = RwLock::new(pair.certified(&provider)?);
        Ok(Arc::new(Self { cert_file, key_file, provider, current }))
    }

    /// What a listener that serves HTTP/1.1 over TLS 1.2 and 1.3 needs.
    pub(crate) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files so often, for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>, every: Duration) {
        let mut last = Pair::read(&self.cert_file, &self.key_file);
        loop {
            tokio::time::sleep(every).await;
            let now = Pair::read(&self.cert_file, &self.key_file);
            if now != last {
                match now.as_ref().map_err(Clone::clone).and_then(|pair| pair.certified(&self.provider)) {
                    Ok(fresh) => {
                        *self.current.write().expect("nothing panics while it is locked") = fresh;
                        tracing::info!("the certificate was read anew");
                    }
                    Err(error) => tracing::error!(%error, "the certificate's files cannot be used, the old one stays"),
                }
                last = now;
            }
        }
    }
}

impl Pair {
    fn read(cert_file: &PathBuf, key_file: &PathBuf) -> Result<Self, BadSetting> {
        let read = |key: &str, path: &PathBuf| {
            std::fs::read(path).map_err(|error| BadSetting::new(key, format!("{}: {error}", path.display())))
        };
        Ok(Self { cert: read("tls.cert_file", cert_file)?, key: read("tls.key_file", key_file)? })
    }

    fn certified(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, BadSetting> {
        let no_chain = |_| BadSetting::new("tls.cert_file", "holds no certificates in PEM");
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert).collect::<Result<_, _>>().map_err(no_chain)?;
        if chain.is_empty() {
            return Err(BadSetting::new("tls.cert_file", "holds no certificates in PEM"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| BadSetting::new("tls.key_file", "holds no private key in PEM"))?;
        let certified = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| BadSetting::new("tls.key_file", format!("does not serve tls.cert_file: {error}")))?;
        Ok(Arc::new(certified))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().expect("nothing panics while it is locked")))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("cert_file", &self.cert_file).finish_non_exhaustive()
    }
}
