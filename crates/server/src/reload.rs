//! The configuration, read again while kabar runs: its apps and their webhooks change at once,
//! everything else needs a restart.

use std::path::PathBuf;

use store::apps::AppRow;

use crate::secrets::Kept;
use crate::settings::Settings;
use crate::tenants::{self, Tenants};
use crate::webhooks::{self, Configured};

/// Reads the configuration again when it is told to.
pub struct Reload {
    /// What the node was started with.
    started: Settings,
    kept: Kept,
    tenants: Tenants,
    webhooks: Configured,
}

impl Reload {
    pub(crate) fn new(started: Settings, kept: Kept, tenants: Tenants, webhooks: Configured) -> Self {
        Self { started, kept, tenants, webhooks }
    }

    /// Reads what [`Settings::load`] reads and serves the apps it has now. A configuration that is bad changes nothing
    /// and is logged; so is what would need a restart. The environment is that of the start.
    pub fn run(&self, file: Option<PathBuf>) {
        let read = Settings::load(file.as_deref())
            .map_err(anyhow::Error::from)
            .and_then(|settings| Ok((self.configured(&settings)?, webhooks::configured(&settings)?, settings)));
        match read {
            Ok((apps, endpoints, settings)) => {
                for key in self.started.needs_restart(&settings) {
                    tracing::warn!(key, "{key} changed, which needs a restart");
                }
                let configured = apps.len();
                self.tenants.replace_configured(apps);
                self.webhooks.send_replace(endpoints);
                tracing::info!(configured, "the configuration was read again");
            }
            Err(error) => {
                tracing::error!("the configuration is bad, the apps stay as they were: {error:#}");
            }
        }
    }

    /// Demo mode is not something that begins or ends while kabar runs: an app that was made for it stays.
    fn configured(&self, settings: &Settings) -> anyhow::Result<Vec<AppRow>> {
        let mut settings = settings.clone();
        settings.demo = false;
        let mut apps = tenants::configured(&settings, &self.kept)?;
        if self.started.demo && self.started.apps.is_empty() {
            let made = tenants::configured(&self.started, &self.kept)?;
            apps.retain(|app| made.iter().all(|made| made.id != app.id && made.key != app.key));
            apps.splice(0..0, made);
        }
        Ok(apps)
    }
}
