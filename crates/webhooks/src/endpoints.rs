//! The endpoints as this node knows them, and what an endpoint has to be.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use protocol::AppId;
use sha2::{Digest, Sha256};
use store::webhooks::Endpoint;
use uuid::Uuid;

use crate::event::{Event, InvalidKind, Kind};
use crate::guard::{Blocked, Guard};
use crate::headers::{self, InvalidHeaders};

/// The most characters of a channel prefix.
const PREFIX_CHARS_MAX: usize = 200;

/// Why an endpoint cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Its address.
    #[error("url: {0}")]
    Url(#[from] Blocked),
    /// One of its events.
    #[error("events: {0}")]
    Event(#[from] InvalidKind),
    /// One of its headers.
    #[error("headers: {0}")]
    Headers(#[from] InvalidHeaders),
    /// Its prefix.
    #[error("channel_prefix: must have 1 to {PREFIX_CHARS_MAX} characters")]
    ChannelPrefix,
}

/// Checks an endpoint before it is stored. Its name is not looked up: that is done at each request.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(endpoint: &Endpoint, guard: &Guard) -> Result<(), InvalidEndpoint> {
    guard.check(&endpoint.url)?;
    for event in &endpoint.events {
        event.parse::<Kind>()?;
    }
    headers::parse(&endpoint.headers)?;
    let chars = endpoint.channel_prefix.as_ref().map_or(1, |prefix| prefix.chars().count());
    if !(1..=PREFIX_CHARS_MAX).contains(&chars) {
        return Err(InvalidEndpoint::ChannelPrefix);
    }
    Ok(())
}

/// The id of an endpoint of the configuration: the same at every start, another one for another app or URL.
pub fn configured_id(app: &AppId, url: &str) -> Uuid {
    // An app's id holds no space, so no two pairs read alike.
    let hash: [u8; 32] = Sha256::digest(format!("{app} {url}")).into();
    let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Whether the endpoint wants to be told this.
pub(crate) fn wants(endpoint: &Endpoint, event: &Event) -> bool {
    let name = event.kind().name();
    endpoint.enabled
        && (endpoint.events.is_empty() || endpoint.events.iter().any(|wanted| wanted == name))
        && endpoint.channel_prefix.as_deref().is_none_or(|prefix| event.channel().starts_with(prefix))
}

/// The endpoints by app, replaced whenever they are read again. Clones share them.
#[derive(Clone, Default)]
pub struct Endpoints {
    // Read for every event on a channel. No lock is held across an await: methods are plain.
    known: Arc<RwLock<Option<Known>>>,
}

type Known = HashMap<AppId, Arc<[Endpoint]>>;

impl Endpoints {
    /// Whether an app has an enabled endpoint. As long as none were read everybody may have: true.
    pub fn wants(&self, app: &AppId) -> bool {
        self.read(|known| known.is_none_or(|known| known.contains_key(app)))
    }

    /// The enabled endpoints of an app.
    pub fn of(&self, app: &AppId) -> Arc<[Endpoint]> {
        self.read(|known| known.and_then(|known| known.get(app).cloned())).unwrap_or_default()
    }

    /// Whether any endpoint takes several events in one request.
    pub fn any_batching(&self) -> bool {
        self.read(|known| known.is_some_and(|known| known.values().flat_map(|of| of.iter()).any(|one| one.batching)))
    }

    /// The apps that have an enabled endpoint; `None` as long as none were read.
    pub fn apps(&self) -> Option<HashSet<AppId>> {
        self.read(|known| known.map(|known| known.keys().cloned().collect()))
    }

    /// Puts these in the place of all.
    pub fn replace(&self, endpoints: Vec<Endpoint>) {
        let mut by_app: HashMap<AppId, Vec<Endpoint>> = HashMap::new();
        for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.enabled) {
            by_app.entry(endpoint.app.clone()).or_default().push(endpoint);
        }
        let known = by_app.into_iter().map(|(app, of)| (app, of.into())).collect();
        *self.known.write().expect("nothing panics while the endpoints are locked") = Some(known);
    }

    fn read<T>(&self, f: impl FnOnce(Option<&Known>) -> T) -> T {
        f(self.known.read().expect("nothing panics while the endpoints are locked").as_ref())
    }
}
