//! From the tracker into Postgres: what is due, in one transaction with what it tells.
//!
//! While Postgres is away, the batch at hand is kept and tried again, and the tracker gathers: states, which coalesce,
//! and events up to a bound.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::AppId;
use store::webhooks::{self as rows, Endpoint, NewDelivery};
use store::{Error, Store};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::clock::Clock;
use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::plan::plan;
use crate::tracker::{Batch, Tracker};

/// Entries of one transaction.
const ENTRIES_MAX: usize = 500;
/// How often the endpoints are read again.
const REFRESH_EVERY: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// How often Postgres may refuse one event for a reason of its own before the event is dropped.
const REFUSALS_MAX: u32 = 2;
/// How long a stop waits for the last batches.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// Dead letters that one refresh removes at most.
const PRUNED_MAX: i64 = 1000;

/// Stores what the tracker has.
pub struct Recorder {
    store: Store,
    tracker: Tracker,
    endpoints: Endpoints,
    /// Those of the configuration, as it is now.
    configured: watch::Receiver<Vec<Endpoint>>,
    config: Config,
    clock: Arc<dyn Clock>,
    enqueued: Arc<Notify>,
    /// Normally one; an event each of a batch that Postgres has refused.
    at_hand: VecDeque<Arc<AtHand>>,
    refusals: u32,
    /// The apps that had endpoints when they were read last.
    apps: Option<HashSet<AppId>>,
}

/// A batch on its way. Planned once: however often it is tried, its deliveries keep their ids.
struct AtHand {
    batch: Batch,
    deliveries: Vec<NewDelivery>,
    now: DateTime<Utc>,
}

impl Recorder {
    /// A recorder that tells `enqueued` whenever there is something to send.
    pub fn new(
        store: Store,
        tracker: Tracker,
        endpoints: Endpoints,
        configured: watch::Receiver<Vec<Endpoint>>,
        config: Config,
        clock: Arc<dyn Clock>,
        enqueued: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            tracker,
            endpoints,
            configured,
            config,
            clock,
            enqueued,
            at_hand: VecDeque::new(),
            refusals: 0,
            apps: None,
        }
    }

    /// Reads what was told before, and the endpoints. Comes first.
    ///
    /// # Errors
    /// The database's; it may be called again.
    pub async fn load(&mut self) -> Result<(), Error> {
        self.sync_configured().await?;
        let told = self.store.run(rows::occupancy).await?;
        self.tracker.restore(told);
        self.refresh().await
    }

    /// Makes the rows of configured endpoints what the configuration says.
    async fn sync_configured(&mut self) -> Result<(), Error> {
        let configured = self.configured.borrow_and_update().clone();
        let synced = self.store.run(move |conn| rows::sync_configured(conn, &configured)).await;
        if synced.is_err() {
            // The next refresh tries again.
            self.configured.mark_changed();
        }
        synced
    }

    /// Reads the endpoints again, forgets apps that have none any more, and removes dead letters that are too old.
    ///
    /// # Errors
    /// The database's.
    pub async fn refresh(&mut self) -> Result<(), Error> {
        if self.configured.has_changed().unwrap_or(false) {
            self.sync_configured().await?;
        }
        let retention = TimeDelta::from_std(self.config.dead_retention).unwrap_or(TimeDelta::MAX);
        let before = self.clock.now().checked_sub_signed(retention).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let endpoints = self
            .store
            .run(move |conn| {
                rows::prune(conn, before, PRUNED_MAX)?;
                rows::list(conn, None)
            })
            .await?;
        self.endpoints.replace(endpoints);
        let apps = self.endpoints.apps();
        if self.apps != apps {
            for app in self.tracker.keep_only(&apps.clone().unwrap_or_default()) {
                self.store.run(move |conn| rows::forget_app(conn, &app)).await?;
            }
            self.apps = apps;
        }
        Ok(())
    }

    /// Stores what is due, one transaction at most. `false` if there was nothing.
    ///
    /// # Errors
    /// The database's: what was to be stored is kept for the next step.
    pub async fn step(&mut self) -> Result<bool, Error> {
        if self.at_hand.is_empty() {
            let batch = self.tracker.take(ENTRIES_MAX);
            if batch.events.is_empty() {
                return Ok(!self.tracker.is_empty());
            }
            // Kept from here on: a step that is cut short must not lose it.
            self.at_hand.push_back(self.planned(batch));
        }
        let Some(at_hand) = self.at_hand.front().cloned() else { return Ok(false) };
        let work = Arc::clone(&at_hand);
        let stored = self.store.run(move |conn| {
            let AtHand { batch, deliveries, now } = &*work;
            rows::enqueue(conn, deliveries, &batch.there, &batch.gone, *now)
        });
        match stored.await {
            Ok(0) => {}
            Ok(_) => self.enqueued.notify_one(),
            Err(Error::Query(cause)) => {
                if !self.refused(&at_hand, cause) {
                    return Ok(true);
                }
            }
            Err(error) => return Err(error),
        }
        self.refusals = 0;
        self.at_hand.pop_front();
        self.tracker.confirm(&at_hand.batch);
        Ok(true)
    }

    fn planned(&self, batch: Batch) -> Arc<AtHand> {
        let now = self.clock.now();
        let deliveries = plan(&batch.events, &self.endpoints, &self.config, now);
        Arc::new(AtHand { batch, deliveries, now })
    }

    /// Postgres is there but refuses the batch at hand: its events are tried one by one, so that none takes others with
    /// it. Whether it was a single one that is given up.
    fn refused(&mut self, at_hand: &AtHand, cause: Box<dyn std::error::Error + Send + Sync>) -> bool {
        if at_hand.batch.events.len() > 1 {
            let singles: Vec<_> = at_hand.batch.singles().into_iter().map(|batch| self.planned(batch)).collect();
            self.at_hand.pop_front();
            self.at_hand.extend(singles);
            return false;
        }
        self.refusals += 1;
        let is_given_up = self.refusals >= REFUSALS_MAX;
        if is_given_up {
            for (app, event) in &at_hand.batch.events {
                tracing::error!(app.id = %app, event = %event.kind(), %cause, "an event cannot be stored for webhooks: it is lost");
            }
        }
        is_given_up
    }

    /// Works until `stop` is true, then stores what is left, as long as that takes no more than a few seconds.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut loaded = false;
        let work = async {
            self.load_patiently().await;
            loaded = true;
            self.work().await;
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if loaded && timeout(FLUSH_PATIENCE, self.flush()).await.is_err() {
            tracing::warn!("what was observed last could not be stored for webhooks");
        }
    }

    async fn load_patiently(&mut self) {
        let mut retry = RETRY_FIRST;
        while let Err(error) = self.load().await {
            tracing::debug!(%error, "the webhook endpoints could not be read yet");
            sleep(retry).await;
            retry = (retry * 2).min(RETRY_LAST);
        }
    }

    async fn work(&mut self) {
        let mut retry = RETRY_FIRST;
        let mut refresh_at = Instant::now() + REFRESH_EVERY;
        loop {
            match self.step().await {
                Ok(true) => {
                    retry = RETRY_FIRST;
                    continue;
                }
                Ok(false) => retry = RETRY_FIRST,
                Err(error) => {
                    tracing::warn!(%error, retry_ms = retry.as_millis() as u64, "events for webhooks wait to be stored");
                    sleep(retry).await;
                    retry = (retry * 2).min(RETRY_LAST);
                    continue;
                }
            }
            let due = self.tracker.next_due().map(|at| (at - self.clock.now()).to_std().unwrap_or_default());
            tokio::select! {
                () = self.tracker.changed() => {}
                () = sleep(due.unwrap_or(Duration::MAX)) => {}
                () = tokio::time::sleep_until(refresh_at) => {}
            }
            if Instant::now() >= refresh_at {
                if let Err(error) = self.refresh().await {
                    tracing::debug!(%error, "the webhook endpoints could not be read; those known are told");
                }
                refresh_at = Instant::now() + REFRESH_EVERY;
            }
            if self.endpoints.any_batching() {
                sleep(self.config.batch_wait).await;
            }
        }
    }

    /// Stores everything that is still waiting.
    async fn flush(&mut self) {
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => sleep(RETRY_FIRST).await,
            }
        }
    }
}
