//! [`Api`]: what every handler needs, shared by all worker threads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant, SystemTime};

use hub::{Apps, Gate, Hub};
use protocol::chat::Person;
use protocol::signature::TIMESTAMP_TOLERANCE_SECONDS;
use protocol::{App, AppId, RoomId, UserId};
use store::apps::ApiKeyHash;
use store::{PgConnection, Store};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::auth::{Claims, TokenRefused, Tokens};
use crate::config::Config;
use crate::error::ApiError;
use crate::gate::UserGate;
use crate::members::Members;
use crate::order::Order;
use crate::signed::once::Once;
use crate::typing::Typing;
use crate::unread::Unread;
use crate::{InvalidAuth, scheduled, typing, unread};

/// How long a user's name is remembered. A backend that changes it through this node is seen at once.
const PERSON_KEPT: Duration = Duration::from_secs(30);
/// The most names remembered; past it all are forgotten.
const PEOPLE_MAX: usize = 10_000;
/// How long a signature can be good: its timestamp may lie that far on either side.
const SIGNATURE_KEPT: Duration = Duration::from_secs(2 * TIMESTAMP_TOLERANCE_SECONDS);

/// The REST interface. Clones share everything.
#[derive(Clone)]
pub struct Api {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) apps: Apps,
    pub(crate) tokens: Tokens,
    pub(crate) hub: OnceLock<Hub>,
    pub(crate) members: Members,
    pub(crate) typing: Typing,
    pub(crate) unread: Unread,
    pub(crate) order: Arc<Order<RoomId>>,
    pub(crate) inboxes: Arc<Order<(AppId, UserId)>>,
    pub(crate) by_key: Once,
    pub(crate) by_signature: Once,
    api_keys: RwLock<Vec<(ApiKeyHash, AppId)>>,
    people: Mutex<HashMap<(AppId, UserId), Known>>,
}

struct Known {
    since: Instant,
    name: Option<String>,
    role: Option<String>,
    person: Person,
}

/// A user with a good token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) app: Arc<App>,
    pub(crate) person: Person,
    pub(crate) expires_at: SystemTime,
}

impl Api {
    /// An API that has no hub yet: nothing is published before [`Api::attach`].
    ///
    /// # Errors
    /// See [`InvalidAuth`].
    pub fn new(config: Config, store: Store, apps: Apps) -> Result<Self, InvalidAuth> {
        let inner = Inner {
            tokens: Tokens::new(&config.auth)?,
            typing: Typing::new(config.typing_timeout),
            unread: Unread::default(),
            order: Arc::default(),
            inboxes: Arc::default(),
            by_key: Once::new(config.idempotency_keys_max, config.idempotency_lifetime),
            by_signature: Once::new(config.idempotency_keys_max, SIGNATURE_KEPT),
            members: Members::default(),
            hub: OnceLock::new(),
            api_keys: RwLock::default(),
            people: Mutex::default(),
            config,
            store,
            apps,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What the hub asks about users and rooms.
    pub fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(UserGate::new(self.clone()))
    }

    /// Gives the API its hub and starts its timers on the current Tokio runtime; a second call does nothing.
    pub fn attach(&self, hub: Hub) {
        if self.inner.hub.set(hub).is_ok() {
            tokio::spawn(typing::expire(Arc::downgrade(&self.inner)));
            tokio::spawn(unread::tell(Arc::downgrade(&self.inner)));
            tokio::spawn(scheduled::release(Arc::downgrade(&self.inner)));
        }
    }

    /// Puts these keys of the internal API in the place of all that were there.
    pub fn replace_api_keys(&self, keys: Vec<(AppId, ApiKeyHash)>) {
        let keys = keys.into_iter().map(|(app, hash)| (hash, app)).collect();
        *self.inner.api_keys.write().expect("nothing panics while the keys are locked") = keys;
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn hub(&self) -> Option<&Hub> {
        self.inner.hub.get()
    }

    /// Runs a verb of the store.
    pub(crate) async fn store<T: Send + 'static, E: From<store::Error> + Into<ApiError> + Send + 'static>(
        &self,
        f: impl FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.inner.store.run(f).await.map_err(Into::into)
    }

    /// The app that an API key belongs to. Takes the same time whichever key it is, if any.
    pub(crate) fn app_of_api_key(&self, key: &str) -> Option<Arc<App>> {
        let hash = ApiKeyHash::of(key);
        let keys = self.inner.api_keys.read().expect("nothing panics while the keys are locked");
        let (mut found, mut place) = (Choice::from(0), 0_u64);
        for (index, (known, _)) in keys.iter().enumerate() {
            let same = known.0.ct_eq(&hash.0);
            place.conditional_assign(&(index as u64), same);
            found |= same;
        }
        let (_, app) = keys.get(place as usize).filter(|_| bool::from(found))?;
        self.inner.apps.by_id(app.as_str())
    }

    /// Whose token it is, and in which app: that of its claim, or the only one there is. Where the caller names the
    /// app (`expected`), it must be that one.
    pub(crate) async fn verify(&self, token: &str, expected: Option<&App>) -> Result<(Claims, Arc<App>), TokenRefused> {
        let claims = self.inner.tokens.verify(token).await?;
        let app = match &claims.app {
            Some(id) => self.inner.apps.by_id(id),
            None => self.inner.apps.only(),
        };
        match app.filter(|app| expected.is_none_or(|expected| expected.id == app.id)) {
            Some(app) => Ok((claims, app)),
            None if claims.app.is_none() => Err(TokenRefused::No("the token does not name its app")),
            None => Err(TokenRefused::No("the token is for another app")),
        }
    }

    /// The user as others see them. Makes their row if there is none yet.
    pub(crate) async fn person(&self, app: &App, claims: &Claims) -> Result<Person, ApiError> {
        let key = (app.id.clone(), claims.user.clone());
        if let Some(known) = self.people().get(&key)
            && known.since.elapsed() < PERSON_KEPT
            && known.name == claims.name
            && known.role == claims.role
        {
            return Ok(known.person.clone());
        }
        let (app, claims) = (app.id.clone(), claims.clone());
        let (name, role) = (claims.name.clone(), claims.role.clone());
        let user = self
            .store(move |conn| {
                store::users::ensure(conn, &app, &claims.user, claims.name.as_deref(), claims.role.as_deref())
            })
            .await?;
        let person = Person { id: user.id, name: user.name, avatar_url: user.avatar_url };
        let mut people = self.people();
        if people.len() >= PEOPLE_MAX {
            people.clear();
        }
        people.insert(key, Known { since: Instant::now(), name, role, person: person.clone() });
        Ok(person)
    }

    /// Forgets what is remembered of a user, whom the backend has just described anew.
    pub(crate) fn forget_person(&self, app: &AppId, user: &UserId) {
        self.people().remove(&(app.clone(), user.clone()));
    }

    fn people(&self) -> std::sync::MutexGuard<'_, HashMap<(AppId, UserId), Known>> {
        self.inner.people.lock().expect("nothing panics while the names are locked")
    }
}
