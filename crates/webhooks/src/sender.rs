//! From Postgres to the endpoints: claim, sign, send, record.
//!
//! Each delivery is attempted at least once and until it is answered 2xx or given up. A worker that dies leaves a lease
//! that runs out; whoever claims the delivery then sends it again with the same id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::{AppId, AppKey, Signer};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use store::webhooks::{self as rows, Claim, Claimed};
use store::{Error, Store};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::backoff;
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::headers;
use crate::post::{PostError, Poster};

const PUSHER_KEY: HeaderName = HeaderName::from_static("x-pusher-key");
const PUSHER_SIGNATURE: HeaderName = HeaderName::from_static("x-pusher-signature");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("x-kabar-webhook-id");

/// How much longer than a request its lease is: time to record what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How often deliveries are looked for when nobody tells of any: retries, and those of other nodes.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before recording an outcome again.
const RECORD_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Knows what requests of an app are signed with.
pub trait Credentials: Send + Sync + 'static {
    /// The app's key and secret; `None` if it is not served here.
    fn of(&self, app: &AppId) -> Option<(AppKey, Signer)>;
}

impl<F: Fn(&AppId) -> Option<(AppKey, Signer)> + Send + Sync + 'static> Credentials for F {
    fn of(&self, app: &AppId) -> Option<(AppKey, Signer)> {
        self(app)
    }
}

/// Sends deliveries. Any number may work on one database.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    endpoints: Endpoints,
    credentials: Arc<dyn Credentials>,
    poster: Poster,
    config: Config,
    clock: Arc<dyn Clock>,
    enqueued: Arc<Notify>,
    /// Deliveries under way, by endpoint.
    busy: Mutex<HashMap<Uuid, i32>>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the app is not served")]
    NoApp,
    #[error(transparent)]
    Headers(#[from] headers::InvalidHeaders),
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Sender {
    /// A sender that looks for work whenever it is told through `enqueued`, and once in a while.
    pub fn new(
        store: Store,
        endpoints: Endpoints,
        credentials: Arc<dyn Credentials>,
        poster: Poster,
        config: Config,
        clock: Arc<dyn Clock>,
        enqueued: Arc<Notify>,
    ) -> Self {
        let busy = Mutex::default();
        Self { inner: Arc::new(Inner { store, endpoints, credentials, poster, config, clock, enqueued, busy }) }
    }

    /// Claims what is due, attempts all of it at once and records what came of it. How many attempts were made.
    ///
    /// # Errors
    /// The database's, in claiming.
    pub async fn step(&self) -> Result<usize, Error> {
        let mut attempts = JoinSet::new();
        let claimed = self.start(&mut attempts).await?;
        while attempts.join_next().await.is_some() {}
        Ok(claimed)
    }

    /// Works until `stop` is true, then lets the requests under way end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut attempts = JoinSet::new();
        let work = async {
            loop {
                let has_endpoints = self.inner.endpoints.apps().is_none_or(|apps| !apps.is_empty());
                if has_endpoints && let Err(error) = self.start(&mut attempts).await {
                    tracing::debug!(%error, "the queue of webhooks could not be read");
                    sleep(POLL_EVERY).await;
                }
                tokio::select! {
                    // Whatever it held up may go now.
                    Some(_) = attempts.join_next() => while attempts.try_join_next().is_some() {},
                    () = self.inner.enqueued.notified() => {}
                    () = sleep(POLL_EVERY) => {}
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        let ended = async { while attempts.join_next().await.is_some() {} };
        if timeout(self.inner.config.timeout + RECORD_AGAIN_AFTER, ended).await.is_err() {
            tracing::warn!("webhooks that were under way at the stop will be sent again");
        }
    }

    /// Claims as many deliveries as there is room for and starts to attempt them.
    async fn start(&self, attempts: &mut JoinSet<()>) -> Result<usize, Error> {
        let config = &self.inner.config;
        let room = config.in_flight_max.saturating_sub(attempts.len());
        if room == 0 {
            return Ok(0);
        }
        let now = self.inner.clock.now();
        let claim = Claim {
            now,
            lease_until: now + delta(config.timeout + LEASE_MARGIN),
            limit: room as i64,
            per_endpoint: i32::try_from(config.in_flight_per_endpoint_max).unwrap_or(i32::MAX),
            busy: self.inner.lock_busy().iter().map(|(endpoint, count)| (*endpoint, *count)).collect(),
        };
        let lease_until = claim.lease_until;
        let claimed = self.inner.store.run(move |conn| rows::claim_due(conn, &claim)).await?;
        let count = claimed.len();
        for claimed in claimed {
            let busy = Busy::new(&self.inner, claimed.endpoint);
            attempts.spawn(async move { busy.inner.attempt(claimed, lease_until).await });
        }
        Ok(count)
    }
}

impl Inner {
    async fn attempt(&self, claimed: Claimed, lease_until: DateTime<Utc>) {
        let outcome = self.send(&claimed).await;
        let now = self.clock.now();
        let attempt = claimed.attempt;
        let (error, next) = match &outcome {
            Ok(()) => (String::new(), None),
            Err(error) => {
                let asked = match error {
                    Failure::Post(PostError::Refused { retry_after, .. }) => *retry_after,
                    _ => None,
                };
                let give_up = claimed.first_attempt_at + delta(self.config.give_up_after);
                (error.to_string(), backoff::next(attempt, asked, now, give_up))
            }
        };
        let (id, endpoint) = (claimed.id, claimed.endpoint);
        match (&outcome, next) {
            (Ok(()), _) => tracing::debug!(delivery.id = %id, attempt, "webhook {id} delivered"),
            (Err(error), Some(_)) => {
                tracing::debug!(delivery.id = %id, endpoint.id = %endpoint, attempt, %error, "webhook {id} failed")
            }
            (Err(error), None) => {
                tracing::warn!(delivery.id = %id, endpoint.id = %endpoint, attempt, %error, "webhook {id} given up")
            }
        }
        let is_delivered = outcome.is_ok();
        let claimed = Arc::new(claimed);
        loop {
            let (claimed, error) = (Arc::clone(&claimed), error.clone());
            let recorded = self.store.run(move |conn| match is_delivered {
                true => rows::delivered(conn, &claimed),
                false => rows::failed(conn, &claimed, &error, now, next),
            });
            match recorded.await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(delivery.id = %id, "the lease of webhook {id} had run out: it may be sent twice");
                    return;
                }
                // The lease is what makes it safe to give up here: the delivery is claimed again after it.
                Err(error) if self.clock.now() >= lease_until => {
                    tracing::warn!(delivery.id = %id, %error, "the outcome of webhook {id} could not be recorded");
                    return;
                }
                Err(_) => sleep(RECORD_AGAIN_AFTER).await,
            }
        }
    }

    async fn send(&self, claimed: &Claimed) -> Result<(), Failure> {
        let (key, signer) = self.credentials.of(&claimed.app).ok_or(Failure::NoApp)?;
        let mut headers: HeaderMap = headers::parse(&claimed.headers)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            (PUSHER_KEY, key.as_str().to_owned()),
            (PUSHER_SIGNATURE, signer.sign(&[&claimed.body])),
            (WEBHOOK_ID, claimed.id.to_string()),
        ] {
            let value = HeaderValue::try_from(value).map_err(|_| Failure::NoApp)?;
            headers.insert(name, value);
        }
        Ok(self.poster.post(&claimed.url, headers, claimed.body.clone()).await?)
    }

    fn lock_busy(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, i32>> {
        self.busy.lock().expect("nothing panics while the counts are locked")
    }
}

/// Counts a delivery under way as long as it lives.
struct Busy {
    inner: Arc<Inner>,
    endpoint: Uuid,
}

impl Busy {
    fn new(inner: &Arc<Inner>, endpoint: Uuid) -> Self {
        *inner.lock_busy().entry(endpoint).or_default() += 1;
        Self { inner: Arc::clone(inner), endpoint }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.inner.lock_busy();
        if let Some(count) = busy.get_mut(&self.endpoint) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.endpoint);
            }
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(36_500))
}
