//! What was to be told later, told when its time has come; and keys of requests, forgotten after theirs.

use std::sync::Weak;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::time::Instant;

use crate::Api;
use crate::api::Inner;

/// The most that is told in one transaction.
const BATCH: i64 = 200;
/// How often old keys are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Tells what is due, as long as the API exists.
pub(crate) async fn release(api: Weak<Inner>) {
    let mut forget_at = Instant::now() + FORGET_EVERY;
    loop {
        let Some(interval) = api.upgrade().map(|inner| inner.config.notifications.release_interval) else { return };
        tokio::time::sleep(interval).await;
        let Some(inner) = api.upgrade() else { return };
        let api = Api { inner };
        while release_batch(&api).await {}
        if Instant::now() >= forget_at {
            forget_at = Instant::now() + FORGET_EVERY;
            while forget_keys(&api).await {}
        }
    }
}

/// Whether there may be more.
async fn release_batch(api: &Api) -> bool {
    let (rules, teller) = (api.config().notifications.rules.clone(), api.clone());
    // On the database's thread, so that whatever is stored is announced as well.
    let released = api.inner.store.run(move |conn| -> Result<_, store::Error> {
        let made = store::notifications::release_due(conn, &rules, BATCH)?;
        let more = made.len() as i64 == BATCH;
        for (app, made) in made {
            teller.announce_made(&app, vec![made], None);
        }
        Ok(more)
    });
    // They stay where they are and are told once the database is there again.
    released.await.unwrap_or_else(|error| {
        tracing::debug!(error = %error, "scheduled notifications could not be told: {error}");
        false
    })
}

async fn forget_keys(api: &Api) -> bool {
    let kept = TimeDelta::from_std(api.config().notifications.idempotency_lifetime).unwrap_or(TimeDelta::MAX);
    let Some(before) = Utc::now().checked_sub_signed(kept) else { return false };
    let forgotten = api.inner.store.run(move |conn| store::idempotency::forget(conn, before));
    forgotten.await.unwrap_or(false)
}
