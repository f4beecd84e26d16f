//! An app: a tenant, with its keys and what it may do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::brought_id;
use crate::{Policy, Signer};

brought_id! {
    /// An app's id as it stands in `/apps/{id}/…`. Several Pusher SDKs insist on digits only.
    AppId, "an app id", 64
}
brought_id! {
    /// An app's public key as it stands in `/app/{key}` and before the `:` of every auth string.
    AppKey, "an app key", 64
}

/// Keys that no app can have: a `:`, `/` or other mark in them would make an auth string ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} of an app may hold only letters, digits, '-' and '_'")]
pub struct InvalidApp {
    what: &'static str,
}

/// A tenant: everything of it is scoped by its [`AppId`].
#[derive(Clone)]
pub struct App {
    /// Names the app in paths and in every row.
    pub id: AppId,
    /// Public: clients connect with it.
    pub key: AppKey,
    /// Signs and checks channel auth, sign-in and HTTP requests.
    pub secret: Signer,
    /// What it may do, and how much.
    pub policy: Policy,
}

impl App {
    /// An app with the default policy.
    ///
    /// # Errors
    /// An id or key that could not stand unescaped in a path or an auth string.
    pub fn new(id: AppId, key: AppKey, secret: &str) -> Result<Self, InvalidApp> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !plain(id.as_str()) {
            return Err(InvalidApp { what: "the id" });
        }
        if !plain(key.as_str()) {
            return Err(InvalidApp { what: "the key" });
        }
        Ok(Self { id, key, secret: Signer::new(secret), policy: Policy::default() })
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).field("key", &self.key).finish_non_exhaustive()
    }
}
