//! What goes on beside requests: the schema, the apps of the database, the demo's people.

use std::time::Duration;

use store::Store;

use crate::demo;
use crate::health::Health;
use crate::tenants::Tenants;

/// How often the apps of the database are read again, should nobody have said that they changed.
const REFRESH_EVERY: Duration = Duration::from_secs(10);
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
        let mut changes = self.store.listen(store::apps::CHANGED);
        loop {
            changes.wait(REFRESH_EVERY).await;
            if let Err(error) = self.refresh().await {
                tracing::debug!(%error, "the apps of the database could not be read; those known are served");
            }
        }
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
