//! Settings of the REST interface. Every one is documented in `docs/configuration.md` in the same words.

use std::time::Duration;

use protocol::notification::{BUILTIN_TYPES, Category, NotificationType, builtin_category};
use secrecy::SecretString;
use store::notifications::Rules;

/// See each field for its unit, default and what happens past it.
#[derive(Clone, Debug)]
pub struct Config {
    /// How users' tokens are checked.
    pub auth: Auth,
    /// The longest text of a chat message in characters; a longer one is refused with 400. 4,000.
    pub content_chars_max: usize,
    /// How long a sign of typing lasts; then the server says that it ended. 3 s.
    pub typing_timeout: Duration,
    /// How often the unread counts that new messages changed are told to those online. 200 ms.
    pub unread_interval: Duration,
    /// How long a ticket for a socket is good. 30 s.
    pub ticket_lifetime: Duration,
    /// The longest data of one published event in bytes; more is refused with 413. 10,240.
    pub event_bytes_max: usize,
    /// The longest body of a publish in bytes; more is refused with 413. 1 MiB.
    pub publish_body_bytes_max: usize,
    /// Answers to requests with an `Idempotency-Key`, and as many to signatures that count once, that are kept for each
    /// app; an answer counts once per started KiB, and past it the oldest are forgotten. 100,000.
    pub idempotency_keys_max: usize,
    /// How long an answer to a request with an `Idempotency-Key` is kept. 600 s.
    pub idempotency_lifetime: Duration,
    /// The longest JSON body of any other request in bytes; more is refused with 413. 64 KiB.
    pub body_bytes_max: usize,
    /// The most people that one room may be started or made with. 1,000.
    pub room_members_max: usize,
    /// What users are told.
    pub notifications: Notifications,
}

impl Config {
    /// The defaults, with this way to check tokens.
    pub fn new(auth: Auth) -> Self {
        Self {
            auth,
            content_chars_max: 4000,
            typing_timeout: Duration::from_secs(3),
            unread_interval: Duration::from_millis(200),
            ticket_lifetime: Duration::from_secs(30),
            event_bytes_max: 10_240,
            publish_body_bytes_max: 1024 * 1024,
            idempotency_keys_max: 100_000,
            idempotency_lifetime: Duration::from_secs(600),
            body_bytes_max: 64 * 1024,
            room_members_max: 1000,
            notifications: Notifications::default(),
        }
    }
}

/// How users are told.
#[derive(Clone, Debug)]
pub struct Notifications {
    /// Which transports are on, how long chat waits, how long things are worth sending.
    pub rules: Rules,
    /// Types beside those that every app has, with their categories.
    pub types: Vec<(NotificationType, Category)>,
    /// What links that begin with `/` are put behind, as `https://example.com`; without it they are refused.
    pub link_base: Option<String>,
    /// The most notifications on one page of a list. 100.
    pub page_max: i64,
    /// The most users that one request may tell. 10,000.
    pub recipients_max: usize,
    /// The most subscriptions of one user; one more is refused. 1,000.
    pub subscriptions_max: i64,
    /// The most devices of one user; past it the one that was not seen for longest is forgotten. 20.
    pub devices_max: i64,
    /// The furthest ahead that something may be scheduled. 366 days.
    pub ahead_max: Duration,
    /// How often it is looked whether something scheduled is due. 1 s.
    pub release_interval: Duration,
    /// How long the answer to a request with an `Idempotency-Key` is kept. 24 h.
    pub idempotency_lifetime: Duration,
}

impl Default for Notifications {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            rules: Rules::default(),
            types: Vec::new(),
            link_base: None,
            page_max: 100,
            recipients_max: 10_000,
            subscriptions_max: 1000,
            devices_max: 20,
            ahead_max: DAY * 366,
            release_interval: Duration::from_secs(1),
            idempotency_lifetime: DAY,
        }
    }
}

impl Notifications {
    /// The category of a type; none if nobody knows it.
    pub(crate) fn category_of(&self, r#type: &NotificationType) -> Option<Category> {
        let configured = self.types.iter().find(|(name, _)| name == r#type).map(|(_, category)| category.clone());
        configured.or_else(|| Category::try_from(builtin_category(r#type.as_str())?).ok())
    }

    /// Every category that there is, in the order of its first type.
    pub(crate) fn categories(&self) -> Vec<Category> {
        let builtin = BUILTIN_TYPES.iter().filter_map(|(_, category)| Category::try_from(*category).ok());
        let mut categories: Vec<Category> = Vec::new();
        for category in builtin.chain(self.types.iter().map(|(_, category)| category.clone())) {
            if !categories.contains(&category) {
                categories.push(category);
            }
        }
        categories
    }
}

/// Which tokens are taken.
#[derive(Clone, Debug)]
pub struct Auth {
    /// What tokens are signed with.
    pub keys: Keys,
    /// `iss` must be this, where it is set.
    pub issuer: Option<String>,
    /// `aud` must be or hold this, where it is set.
    pub audience: Option<String>,
    /// How far clocks may differ. 5 s.
    pub leeway: Duration,
    /// The furthest that `exp` may lie ahead. 24 h.
    pub lifetime_max: Duration,
}

impl Auth {
    /// The defaults, with these keys.
    pub fn new(keys: Keys) -> Self {
        let (leeway, lifetime_max) = (Duration::from_secs(5), Duration::from_secs(24 * 60 * 60));
        Self { keys, issuer: None, audience: None, leeway, lifetime_max }
    }

    /// HS256 with a secret that the backend knows too.
    pub fn hs256(secret: impl Into<SecretString>) -> Self {
        Self::new(Keys::Hs256(secret.into()))
    }
}

/// What tokens are signed with. The algorithm belongs to the key: what a token says of it is compared, never obeyed.
#[derive(Clone, Debug)]
pub enum Keys {
    /// HMAC-SHA256 with a shared secret of at least 32 bytes. Only this kind can mint tokens.
    Hs256(SecretString),
    /// Public keys. With more than one, each needs a `kid` and so does every token.
    Public(Vec<PublicKey>),
    /// Public keys as a JWK set (RS256, ES256, EdDSA); https, or http on a loopback address.
    Jwks {
        /// Where the set is.
        url: String,
    },
}

/// One public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// What a token's header calls it.
    pub kid: Option<String>,
    /// The one algorithm that it is used with.
    pub algorithm: PublicAlgorithm,
    /// The key in PEM.
    pub pem: String,
}

/// An algorithm with public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}
