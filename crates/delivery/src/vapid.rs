//! The keys that Web Push is signed with (RFC 8292): one pair for the whole installation, for as long as it lives.
//!
//! Browsers bind their subscriptions to the public key: with another one, all of them are worth nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

/// For how long one signature is good; the RFC allows a day.
const SIGNATURE_LASTS: TimeDelta = TimeDelta::hours(12);

/// A key pair on P-256.
#[derive(Clone)]
pub struct VapidKey(SigningKey);

/// Text that is no such key. What it was is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVapid {
    /// The key.
    #[error("a VAPID key is 32 bytes in base64url, as `kabar vapid` makes them")]
    Key,
    /// The contact.
    #[error("a VAPID contact is a mailto: or https: URL")]
    Contact,
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random,
}

impl VapidKey {
    /// A new pair.
    ///
    /// # Errors
    /// [`InvalidVapid::Random`].
    pub fn generate() -> Result<Self, InvalidVapid> {
        let mut bytes = [0; 32];
        // Almost every number is a key: another one is hardly ever drawn.
        for _ in 0..16 {
            getrandom::fill(&mut bytes).map_err(|_| InvalidVapid::Random)?;
            if let Ok(key) = SigningKey::from_slice(&bytes) {
                return Ok(Self(key));
            }
        }
        Err(InvalidVapid::Random)
    }

    /// Parses the private key as [`VapidKey::private`] and other tools write it, with or without padding.
    ///
    /// # Errors
    /// [`InvalidVapid::Key`].
    pub fn parse(private: &SecretString) -> Result<Self, InvalidVapid> {
        let text = private.expose_secret().trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidVapid::Key)?;
        // A shorter slice would be filled up.
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| InvalidVapid::Key)?;
        SigningKey::from_slice(&bytes).map(Self).map_err(|_| InvalidVapid::Key)
    }

    /// The private key: 32 bytes in base64url.
    pub fn private(&self) -> SecretString {
        URL_SAFE_NO_PAD.encode(self.0.to_bytes()).into()
    }

    /// The public key as browsers want it (`applicationServerKey`): 65 bytes in base64url.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().to_encoded_point(false).as_bytes())
    }

    /// The `Authorization` for pushes to `origin` (`https://host[:port]`) at `now`.
    pub(crate) fn authorization(&self, origin: &str, contact: &Contact, now: DateTime<Utc>) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
        let claims = json!({ "aud": origin, "exp": (now + SIGNATURE_LASTS).timestamp(), "sub": contact.0 });
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("vapid t={signed}.{}, k={}", URL_SAFE_NO_PAD.encode(signature.to_bytes()), self.public())
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VapidKey({})", self.public())
    }
}

/// Whom push services may write to if pushes make trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(String);

impl std::str::FromStr for Contact {
    type Err = InvalidVapid;
    fn from_str(text: &str) -> Result<Self, InvalidVapid> {
        let mail = text.strip_prefix("mailto:").is_some_and(|address| address.parse::<lettre::Address>().is_ok());
        let page = text.parse::<crate::Link>().is_ok_and(|link| link.is_https());
        if mail || page { Ok(Self(text.to_owned())) } else { Err(InvalidVapid::Contact) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_never_shown() {
        let key = VapidKey::generate().unwrap();
        let again = VapidKey::parse(&key.private()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(URL_SAFE_NO_PAD.decode(key.public()).unwrap().len(), 65);
        assert_ne!(VapidKey::generate().unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains(key.private().expose_secret()));
        for bad in ["", "AAAA", "not base64!", &"A".repeat(43), &format!("{}A", key.private().expose_secret())] {
            assert_eq!(VapidKey::parse(&bad.into()).err(), Some(InvalidVapid::Key), "{bad}");
        }
    }

    #[test]
    fn a_contact_can_be_written_to() {
        for good in ["mailto:ops@a.example", "https://a.example/contact"] {
            assert!(good.parse::<Contact>().is_ok());
        }
        for bad in ["", "ops@a.example", "mailto:", "mailto:ops", "http://a.example", "javascript:x"] {
            assert!(bad.parse::<Contact>().is_err(), "{bad}");
        }
    }
}
