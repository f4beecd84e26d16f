//! Public keys from a JWK set, fetched seldom and by one at a time.
//!
//! A set is used for [`FRESH`] without asking again, and for [`STALE_MAX`] while its server does not answer; after
//! that nothing is accepted. Unknown `kid`s cause at most one fetch per [`PAUSE`], however many come.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url};
use tokio::sync::Mutex;

use super::{InvalidAuth, Key, TokenRefused, is_kid};

const FRESH: Duration = Duration::from_secs(300);
const STALE_MAX: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_secs(60);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const SET_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Jwks {
    url: Url,
    client: Client,
    // Read by every request, replaced after a fetch. Never locked over an await.
    current: RwLock<Option<Arc<Set>>>,
    // Whoever holds it fetches; it remembers when that was last tried.
    tried: Mutex<Option<Instant>>,
}

struct Set {
    fetched: Instant,
    keys: HashMap<String, Key>,
}

/// Why a set was not taken over.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the set is larger than {SET_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is no JWK set")]
    NoSet(#[source] serde_json::Error),
}

impl Jwks {
    pub(super) fn new(url: &str) -> Result<Self, InvalidAuth> {
        let url = Url::parse(url).map_err(|_| InvalidAuth::JwksUrl)?;
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
        if !(url.scheme() == "https" || (url.scheme() == "http" && loopback)) {
            return Err(InvalidAuth::JwksUrl);
        }
        // Another part of the program may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(FETCH_TIMEOUT)
            // A redirect could lead to plain http or into the house.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(InvalidAuth::HttpClient)?;
        Ok(Self { url, client, current: RwLock::new(None), tried: Mutex::new(None) })
    }

    pub(super) async fn key(&self, kid: &str) -> Result<Key, TokenRefused> {
        if let Some(set) = self.current(FRESH)
            && let Some(key) = set.keys.get(kid)
        {
            return Ok(key.clone());
        }
        // A key that is known but due for a refresh need not wait for somebody else's fetch.
        match self.tried.try_lock() {
            Ok(tried) => self.refresh(tried).await,
            Err(_) => {
                if let Some(key) = self.current(STALE_MAX).and_then(|set| set.keys.get(kid).cloned()) {
                    return Ok(key);
                }
                self.refresh(self.tried.lock().await).await;
            }
        }
        let set = self.current(STALE_MAX).ok_or(TokenRefused::Unavailable)?;
        set.keys.get(kid).cloned().ok_or(TokenRefused::No("the token's key is unknown"))
    }

    async fn refresh(&self, mut tried: tokio::sync::MutexGuard<'_, Option<Instant>>) {
        if tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        // Counted before asking: an asker that goes away must not open the door for the next fetch.
        *tried = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                let set = Arc::new(Set { fetched: Instant::now(), keys });
                *self.current.write().expect("nothing panics while the set is locked") = Some(set);
            }
            Err(error) => tracing::warn!(error = %error, "the JWK set could not be fetched: {error}"),
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, Key>, FetchError> {
        let mut response = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > SET_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let set: JwkSet = serde_json::from_slice(&body).map_err(FetchError::NoSet)?;
        Ok(set.keys.iter().filter_map(usable).collect())
    }

    fn current(&self, age_max: Duration) -> Option<Arc<Set>> {
        let current = self.current.read().expect("nothing panics while the set is locked");
        current.clone().filter(|set| set.fetched.elapsed() <= age_max)
    }
}

/// The key and its algorithm, which follows from what it is; shared secrets and other curves are left out.
fn usable(jwk: &Jwk) -> Option<(String, Key)> {
    let kid = jwk.common.key_id.clone().filter(|kid| is_kid(kid))?;
    if matches!(&jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    Some((kid, Key { algorithm, key: DecodingKey::from_jwk(jwk).ok()? }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves `body` to whoever asks; counts how often.
    async fn serve(body: String) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let _ = socket.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = socket.write_all((head + &body).as_bytes()).await;
            }
        });
        (url, asked)
    }

    // The public key of RFC 8037, appendix A.2, and one of a kind that is left out.
    const SET: &str = r#"{"keys":[
        {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty":"oct","kid":"secret","k":"AAAA"}]}"#;

    #[tokio::test]
    async fn however_many_unknown_kids_come_the_set_is_fetched_once() {
        let (url, asked) = serve(SET.into()).await;
        let jwks = Jwks::new(&url).unwrap();
        let ask = |index| {
            let jwks = &jwks;
            async move { jwks.key(&format!("unknown-{index}")).await }
        };
        let answers = futures_util::future::join_all((0..100).map(ask)).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(TokenRefused::No(_)))));
        assert_eq!(jwks.key("a").await.unwrap().algorithm, Algorithm::EdDSA);
        assert!(jwks.key("secret").await.is_err(), "a shared secret in a public set");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_set_that_is_too_large_or_none_lets_nobody_in() {
        for body in [format!("{SET}{}", " ".repeat(SET_BYTES_MAX)), "<html>".into()] {
            let (url, _) = serve(body).await;
            assert!(matches!(Jwks::new(&url).unwrap().key("a").await, Err(TokenRefused::Unavailable)));
        }
    }
}
