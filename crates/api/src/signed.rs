//! Pusher's HTTP API: signed requests of backends, `/apps/{id}/…`.
//!
//! They come here past actix-web: its router, extractors and middleware cost more than a publish does.
//!
//! ```text
//! route   which operation it is     answer    what goes back, and the one table of refusals
//! body    what came in              events    publishing          channels   questions, terminating
//! info    attributes of channels    once      what was done before is not done again
//! ```

pub(crate) mod answer;
mod body;
pub(crate) mod channels;
pub(crate) mod events;
mod info;
pub(crate) mod once;
mod route;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_http::body::BoxBody;
use actix_http::header::{HeaderMap, HeaderName};
use actix_http::{Message, Payload, Request, RequestHead, Response};
use bytes::Bytes;
use protocol::App;
use protocol::signature::SignedQuery;

use crate::Api;
use answer::{Answer, Refused};
use route::{Operation, Route};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest `Idempotency-Key` in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 255;

/// A request whose signature and body were checked.
struct Checked {
    app: Arc<App>,
    body: Bytes,
    /// The publisher's own id of the request.
    key: Option<String>,
    /// The signature, in one spelling, where the app wants each to count once.
    signature: Option<String>,
}

impl Api {
    /// Whether a path is one for [`Api::answer_signed`]; the rest is for [`crate::routes`].
    pub fn is_signed(path: &str) -> bool {
        route::is_signed(path)
    }

    /// Answers a request to Pusher's HTTP API. Must be polled on a Tokio `LocalSet`.
    pub async fn answer_signed(&self, request: Request) -> Response<BoxBody> {
        let (head, mut payload) = request.into_parts();
        let short = body::is_short(&head.headers);
        let answer = match self.signed(head, &mut payload).await {
            Ok(answer) => answer,
            Err(refused) => {
                // A connection outlives a refusal only if its body is out of the way.
                if short {
                    body::discard(&mut payload).await;
                }
                refused.into()
            }
        };
        answer.into()
    }

    async fn signed(&self, head: Message<RequestHead>, payload: &mut Payload) -> Result<Answer, Refused> {
        let (route, query) = (Route::find(head.method.as_str(), head.uri.path())?, signed_query(&head));
        let app = self.app_of(&route, &query)?;
        // The signature first: nobody else's body is read.
        query.verify_head(&app.secret, unix_now())?;
        let body = body::read(&head.headers, payload, self.config().publish_body_bytes_max).await?;
        query.verify_body(&body)?;
        let key = match route.operation {
            Operation::PublishEvent | Operation::PublishBatch => idempotency_key(&head.headers)?,
            _ => None,
        };
        let acts = head.method == actix_http::Method::POST;
        let signature = (acts && app.policy.refuse_replays).then(|| query.signature().to_ascii_lowercase());
        let waits = acts && app.policy.history.iter().any(|rule| rule.durable);
        if key.is_none() && signature.is_none() && !waits {
            return self.perform(&route.operation, &query, &app, &body, None).await;
        }
        drop((route, query));
        // A peer that hangs up must not leave half of it done, or its answer unknown: it runs on its own.
        let (api, checked) = (self.clone(), Checked { app, body, key, signature });
        let done = tokio::task::spawn_local(async move { api.perform_once(&head, &checked).await });
        done.await.unwrap_or(Err(Refused::Unavailable))
    }

    fn app_of(&self, route: &Route<'_>, query: &SignedQuery<'_>) -> Result<Arc<App>, Refused> {
        let key = query.auth_key()?;
        let app = self.inner.apps.by_key(key);
        let app = app.ok_or_else(|| Refused::Unauthorized(format!("Unknown auth_key {key:?}")))?;
        if route.app.as_ref().is_some_and(|id| id != app.id.as_str()) {
            return Err(Refused::Forbidden("The auth_key belongs to another app than the one in the path"));
        }
        match app.policy.enabled {
            true => Ok(app),
            false => Err(Refused::Forbidden("The app is disabled")),
        }
    }

    /// Performs it unless the same signature or the same key was there before.
    async fn perform_once(&self, head: &RequestHead, checked: &Checked) -> Result<Answer, Refused> {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let Checked { app, body, key, signature } = checked;
        let (route, query) = (Route::find(head.method.as_str(), head.uri.path())?, signed_query(head));
        let fingerprint = HASHER.hash_one((head.uri.path(), body));
        let id = key.as_deref().or(signature.as_deref());
        let work = async { self.perform(&route.operation, &query, app, body, id).await.unwrap_or_else(Answer::from) };
        let by_key = async {
            match key {
                Some(key) => self.inner.by_key.run(&app.id, key, fingerprint, work).await.unwrap_or_else(Answer::from),
                None => work.await,
            }
        };
        match signature {
            Some(signature) => self.inner.by_signature.run(&app.id, signature, fingerprint, by_key).await,
            None => Ok(by_key.await),
        }
    }

    async fn perform(
        &self,
        operation: &Operation<'_>,
        query: &SignedQuery<'_>,
        app: &App,
        body: &[u8],
        id: Option<&str>,
    ) -> Result<Answer, Refused> {
        let hub = self.hub().ok_or(Refused::Busy)?;
        match operation {
            Operation::PublishEvent => events::publish_event(self, app, body, id).await,
            Operation::PublishBatch => events::publish_batch(self, app, body, id).await,
            Operation::PublishToChannel(channel) => {
                events::publish_to_channel(self, app, channel, query, body, id).await
            }
            Operation::ListChannels => channels::list_channels(hub, app, query),
            Operation::GetChannel(channel) => channels::get_channel(hub, app, channel, query),
            Operation::ListUsers(channel) => channels::list_users(hub, app, channel),
            Operation::GetStats(channel) => channels::get_stats(hub, app, channel),
            Operation::GetHistory(channel) => channels::get_history(hub, app, channel, query).await,
            Operation::Terminate(user) => channels::terminate(hub, app, user),
            Operation::TerminateByKey(user) => channels::terminate_by_key(hub, app, user),
        }
    }
}

fn signed_query(head: &RequestHead) -> SignedQuery<'_> {
    SignedQuery::parse(head.method.as_str(), head.uri.path(), head.uri.query().unwrap_or_default())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let mut keys = headers.get_all(&IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.as_bytes();
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(key) {
        Ok(key) if fits && keys.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(Refused::bad(format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} visible ASCII characters"))),
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
