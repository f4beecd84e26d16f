//! The database of this process: started with it, or somewhere else.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use secrecy::SecretString;
use store::Store;
use store::embedded::{Embedded, EmbeddedError};

use crate::settings::Settings;

/// Where a running kabar leaves the way to its private Postgres, for commands such as `kabar app create`.
const URL_FILE: &str = "database.url";

/// A store, and the private Postgres beneath it if there is one.
pub(crate) struct Database {
    /// The store.
    pub(crate) store: Store,
    embedded: Option<Embedded>,
}

impl Database {
    /// Opens the store; where `database.url` says "embedded", starts Postgres first. Any other one may be away.
    ///
    /// # Errors
    /// The private Postgres does not start.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        if !settings.is_embedded() {
            let store = Store::open(&settings.store(settings.database.url.clone()))?;
            return Ok(Self { store, embedded: None });
        }
        let data_dir = settings.database.data_dir.clone();
        let embedded = tokio::task::spawn_blocking(move || Embedded::start(&data_dir)).await??;
        leave_url(&settings.database.data_dir, &embedded.url())?;
        let store = Store::open(&settings.store(embedded.url().into()))?;
        Ok(Self { store, embedded: Some(embedded) })
    }

    /// As [`Database::open`], for a command beside a kabar that may be running: its Postgres is used then.
    ///
    /// # Errors
    /// The private Postgres neither runs nor starts.
    pub(crate) async fn open_beside(settings: &Settings) -> anyhow::Result<Self> {
        match Self::open(settings).await {
            Err(error) if matches!(error.downcast_ref(), Some(EmbeddedError::InUse(_))) => {
                let url = fs::read_to_string(settings.database.data_dir.join(URL_FILE)).map_err(|_| error)?;
                let store = Store::open(&settings.store(SecretString::from(url.trim().to_owned())))?;
                Ok(Self { store, embedded: None })
            }
            opened => opened,
        }
    }

    /// Stops the private Postgres, if there is one.
    pub(crate) async fn close(self) {
        let Some(embedded) = self.embedded else { return };
        if let Err(error) = tokio::task::spawn_blocking(|| embedded.stop()).await {
            tracing::error!(%error, "the private Postgres was not stopped in order");
        }
    }
}

fn leave_url(data_dir: &Path, url: &str) -> anyhow::Result<()> {
    let path = data_dir.join(URL_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| writeln!(file, "{url}")).with_context(|| format!("cannot write {}", path.display()))
}
