//! Users' tokens: checked against keys that the configuration fixed, and minted where the key is a shared secret.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use protocol::{AppId, UserId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::config::{Auth, Keys, PublicAlgorithm};

mod jwks;

use jwks::Jwks;

/// The longest token in bytes; nobody who means well has a longer one.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The shortest secret for HS256 in bytes (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Checks tokens.
pub(crate) struct Tokens {
    keys: KeySource,
    auth: Auth,
}

enum KeySource {
    One(Key),
    ByKid(HashMap<String, Key>),
    Jwks(Box<Jwks>),
}

/// A key and the one algorithm it is good for.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) user: UserId,
    pub(crate) app: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) expires_at: SystemTime,
}

/// Why a token is refused. The texts may be shown: they say nothing that the token's bearer does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRefused {
    #[error("{0}")]
    No(&'static str),
    /// The keys could not be fetched.
    #[error("the keys to check tokens with are unavailable")]
    Unavailable,
}

/// A configuration that no token could be checked with.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuth {
    /// Too easy to guess.
    #[error("auth.secret must have at least {SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// None, or several that could not be told apart.
    #[error("auth.public_keys: one key, or several that each have their own kid (letters, digits, '-' and '_')")]
    Kid,
    /// Not what its algorithm needs.
    #[error("auth.public_keys: key {index} is no PEM of a public key for its algorithm")]
    Pem {
        /// Which key, counted from 0.
        index: usize,
        /// What the parser says.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
    /// Plain http to somewhere else, or no URL at all.
    #[error("auth.jwks_url must be an https URL, or http on a loopback address")]
    JwksUrl,
    /// The HTTP client could not be made.
    #[error("the HTTP client for auth.jwks_url could not be made")]
    HttpClient(#[source] reqwest::Error),
}

/// A token that was made.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The JWT.
    pub token: String,
    /// Its `exp`.
    pub expires_at: SystemTime,
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub struct MintFor<'a> {
    /// `app`.
    pub app: &'a AppId,
    /// `sub`.
    pub user: &'a UserId,
    /// `name`.
    pub name: Option<&'a str>,
    /// `role`.
    pub role: Option<&'a str>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Tokens are signed elsewhere: only their public keys are known here.
    #[error("tokens are signed elsewhere: auth knows only public keys")]
    NoSecret,
    /// Zero, or over [`Auth::lifetime_max`].
    #[error("a token must live 1 to {seconds_max} seconds")]
    Lifetime {
        /// The limit.
        seconds_max: u64,
    },
    /// The signer failed.
    #[error("the token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct MintedClaims<'a> {
    sub: &'a str,
    app: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Makes a token that this configuration accepts, good for `lifetime`.
///
/// # Errors
/// See [`MintError`].
pub fn mint(auth: &Auth, to: &MintFor<'_>, lifetime: Duration) -> Result<Minted, MintError> {
    let Keys::Hs256(secret) = &auth.keys else { return Err(MintError::NoSecret) };
    let seconds_max = auth.lifetime_max.as_secs();
    if !(1..=seconds_max).contains(&lifetime.as_secs()) {
        return Err(MintError::Lifetime { seconds_max });
    }
    let iat = unix_now();
    let exp = iat + lifetime.as_secs();
    let claims = MintedClaims {
        sub: to.user.as_str(),
        app: to.app.as_str(),
        iat,
        exp,
        name: to.name,
        role: to.role,
        iss: auth.issuer.as_deref(),
        aud: auth.audience.as_deref(),
    };
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(MintError::Sign)?;
    Ok(Minted { token, expires_at: UNIX_EPOCH + Duration::from_secs(exp) })
}

/// The parts of a header that decide something. Whatever else it holds (`jku`, `x5u`, `jwk`) is not looked at.
#[derive(Deserialize)]
struct RawHeader {
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

/// A name that stands twice is an error; `exp` and `iat` must be whole numbers.
#[derive(Deserialize)]
struct RawClaims {
    sub: String,
    exp: u64,
    #[serde(default)]
    iat: Option<u64>,
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<String>,
}

impl Tokens {
    pub(crate) fn new(auth: &Auth) -> Result<Self, InvalidAuth> {
        let keys = match &auth.keys {
            Keys::Hs256(secret) => {
                let secret = secret.expose_secret().as_bytes();
                if secret.len() < SECRET_BYTES_MIN {
                    return Err(InvalidAuth::ShortSecret);
                }
                KeySource::One(Key { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
            }
            Keys::Public(keys) => public_keys(keys)?,
            Keys::Jwks { url } => KeySource::Jwks(Box::new(Jwks::new(url)?)),
        };
        Ok(Self { keys, auth: auth.clone() })
    }

    /// What the token says, if it is good. Its app is the caller's to compare.
    pub(crate) async fn verify(&self, token: &str) -> Result<Claims, TokenRefused> {
        let no = |why| Err(TokenRefused::No(why));
        if token.len() > TOKEN_BYTES_MAX {
            return no("the token is too long");
        }
        let Some(header) = raw_header(token) else { return no("the token is malformed") };
        if header.crit.is_some() {
            return no("the token has critical header parameters");
        }
        let key = self.key(header.kid.as_deref()).await?;
        let data = jsonwebtoken::decode::<RawClaims>(token, &key.key, &self.validation(key.algorithm));
        let claims = data.map_err(|error| TokenRefused::No(reason(error.kind())))?.claims;
        let (now, leeway) = (unix_now(), self.auth.leeway.as_secs());
        // The library takes a token for `leeway` after its `exp`; it must not be able to say when that is.
        if claims.exp > now + self.auth.lifetime_max.as_secs() + leeway {
            return no("the token's exp is too far ahead");
        }
        if claims.iat.is_some_and(|iat| iat > now + leeway) {
            return no("the token's iat is in the future");
        }
        let Ok(user) = UserId::try_from(claims.sub) else { return no("the token's sub is no user id") };
        Ok(Claims {
            user,
            app: claims.app,
            name: claims.name.filter(|name| is_shown(name)),
            role: claims.role.filter(|role| is_shown(role)),
            expires_at: UNIX_EPOCH + Duration::from_secs(claims.exp),
        })
    }

    async fn key(&self, kid: Option<&str>) -> Result<Key, TokenRefused> {
        const UNKNOWN: TokenRefused = TokenRefused::No("the token's key is unknown");
        if kid.is_some_and(|kid| !is_kid(kid)) {
            return Err(TokenRefused::No("the token's kid is malformed"));
        }
        match (&self.keys, kid) {
            (KeySource::One(key), _) => Ok(key.clone()),
            (KeySource::ByKid(keys), Some(kid)) => keys.get(kid).cloned().ok_or(UNKNOWN),
            (KeySource::Jwks(keys), Some(kid)) => keys.key(kid).await,
            (_, None) => Err(TokenRefused::No("the token has no kid")),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.auth.leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = self.auth.audience.is_some();
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &self.auth.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.auth.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

fn public_keys(keys: &[crate::config::PublicKey]) -> Result<KeySource, InvalidAuth> {
    let decode = |(index, key): (usize, &crate::config::PublicKey)| {
        let pem = key.pem.as_bytes();
        let (algorithm, key) = match key.algorithm {
            PublicAlgorithm::Rs256 => (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
            PublicAlgorithm::Es256 => (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
            PublicAlgorithm::EdDsa => (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
        };
        Ok(Key { algorithm, key: key.map_err(|source| InvalidAuth::Pem { index, source })? })
    };
    if let [key] = keys
        && key.kid.is_none()
    {
        return decode((0, key)).map(KeySource::One);
    }
    let mut by_kid = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        let kid = key.kid.clone().filter(|kid| is_kid(kid)).ok_or(InvalidAuth::Kid)?;
        if by_kid.insert(kid, decode((index, key))?).is_some() {
            return Err(InvalidAuth::Kid);
        }
    }
    match by_kid.is_empty() {
        true => Err(InvalidAuth::Kid),
        false => Ok(KeySource::ByKid(by_kid)),
    }
}

fn raw_header(token: &str) -> Option<RawHeader> {
    let (header, rest) = token.split_once('.')?;
    let (_, signature) = rest.split_once('.')?;
    if signature.is_empty() || signature.contains('.') {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

fn is_kid(kid: &str) -> bool {
    (1..=64).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A name or role that may be stored and shown; any other is as good as none.
pub(crate) fn is_shown(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().take(201).count() <= 200 && !text.chars().any(char::is_control)
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the token's signature does not fit",
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token's iss is not the expected one",
        ErrorKind::InvalidAudience => "the token's aud is not the expected one",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "the token's alg is not the expected one",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a required claim",
        _ => "the token is malformed",
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
