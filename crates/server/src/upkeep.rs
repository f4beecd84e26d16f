//! What goes on beside requests: the schema, the apps of the database, the demo's people, what durable channels keep.

use std::time::Duration;

use hub::Apps;
use protocol::AppId;
use store::Store;
use store::publications::{self, Cursor, Keep};

use crate::demo;
use crate::health::Health;
use crate::tenants::Tenants;

/// How often the apps of the database are read again, should nobody have said that they changed.
const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// How often all durable channels are looked at for what they need not keep any more.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// A breath after each step of that, so that it never takes more than part of the database's time.
const TRIM_PAUSE: Duration = Duration::from_millis(20);
/// What is kept where no rule of the app says that it is durable, as after a change of the rules: long enough to take the
/// change back.
const KEEP_UNRULED: Keep = Keep { messages_max: u32::MAX, seconds: 24 * 3600 };
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// Everything that [`Upkeep::run`] looks after.
pub(crate) struct Upkeep {
    /// Where the truth is.
    pub(crate) store: Store,
    /// The apps that are served.
    pub(crate) tenants: Tenants,
    /// Is told when everything is there.
    pub(crate) health: Health,
    /// Whether demo users are wanted.
    pub(crate) demo: bool,
}

impl Upkeep {
    /// Prepares the database as soon as it is there, then keeps the apps fresh, for ever.
    pub(crate) async fn run(self) {
        let mut retry = RETRY_FIRST;
        while let Err(error) = self.prepare().await {
            tracing::warn!(
                error = format!("{error:#}"),
                retry_ms = retry.as_millis() as u64,
                "the database is not ready yet"
            );
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_LAST);
        }
        self.health.prepared();
        tracing::info!(apps = self.tenants.count(), "ready");
        tokio::join!(self.refresh_for_ever(), self.trim_for_ever());
    }

    async fn refresh_for_ever(&self) {
        let mut changes = self.store.listen(store::apps::CHANGED);
        loop {
            changes.wait(REFRESH_EVERY).await;
            if let Err(error) = self.refresh().await {
                tracing::debug!(%error, "the apps of the database could not be read; those known are served");
            }
        }
    }

    async fn trim_for_ever(&self) {
        loop {
            tokio::time::sleep(TRIM_EVERY).await;
            match self.trim().await {
                Ok(0) => {}
                Ok(publications) => tracing::debug!(publications, "trimmed durable channels"),
                Err(error) => tracing::debug!(%error, "durable channels could not be trimmed"),
            }
        }
    }

    /// One round over all durable channels. How many publications were deleted.
    async fn trim(&self) -> Result<usize, store::Error> {
        let (mut deleted, mut cursor): (usize, Option<Cursor>) = (0, None);
        loop {
            let (apps, from) = (self.tenants.apps(), cursor.take());
            let step =
                move |conn: &mut _| publications::trim(conn, from.as_ref(), |app, channel| keep(&apps, app, channel));
            let trimmed = self.store.run(step).await?;
            deleted += trimmed.publications;
            cursor = trimmed.next;
            if cursor.is_none() {
                break;
            }
            tokio::time::sleep(TRIM_PAUSE).await;
        }
        while self.store.run(publications::trim_ids).await? {
            tokio::time::sleep(TRIM_PAUSE).await;
        }
        Ok(deleted)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.store.migrate().await?;
        if self.demo
            && let Some(app) = self.tenants.first()
        {
            demo::seed(&self.store, &app).await?;
        }
        Ok(self.refresh().await?)
    }

    async fn refresh(&self) -> Result<(), store::Error> {
        self.tenants.replace_stored(self.store.run(store::apps::list).await?);
        Ok(())
    }
}

fn keep(apps: &Apps, app: &AppId, channel: &str) -> Keep {
    let app = apps.by_id(app.as_str());
    let rule = app.as_ref().and_then(|app| app.policy.history_of(channel));
    match rule.filter(|rule| rule.durable && rule.messages_max > 0) {
        Some(rule) => Keep { messages_max: rule.messages_max, seconds: rule.seconds },
        None => KEEP_UNRULED,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{App, HistoryRule};

    use super::*;

    #[test]
    fn what_no_rule_makes_durable_any_more_is_kept_for_a_day() {
        let rule = |prefix: &str, durable| HistoryRule { prefix: prefix.into(), messages_max: 9, seconds: 60, durable };
        let mut app = App::new("1".try_into().unwrap(), "key1".try_into().unwrap(), "app secret").unwrap();
        app.policy.history = vec![rule("log-live-", false), rule("log-", true)];
        let apps = Apps::new(vec![app]);
        let (here, gone) = ("1".try_into().unwrap(), "2".try_into().unwrap());
        assert_eq!(keep(&apps, &here, "log-a"), Keep { messages_max: 9, seconds: 60 });
        assert_eq!(keep(&apps, &here, "log-live-a"), KEEP_UNRULED);
        assert_eq!(keep(&apps, &here, "other"), KEEP_UNRULED);
        assert_eq!(keep(&apps, &gone, "log-a"), KEEP_UNRULED);
    }
}
