//! The apps that are served: those of the configuration, that of the demo, and those of the database.

use hub::Apps;
use protocol::{App, AppId, AppKey};
use secrecy::{ExposeSecret, SecretString};
use store::apps::{ApiKeyHash, AppRow};

use crate::secrets::Kept;
use crate::settings::Settings;

/// The id of the demo's own app.
const DEMO_APP: &str = "1";

/// Apps that are there without a database.
#[derive(Clone)]
pub(crate) struct Tenants {
    configured: Vec<AppRow>,
}

impl Tenants {
    /// What the configuration says; in demo mode an app is made when it has none. Settings are checked, so an app that
    /// could not be one does not get here.
    ///
    /// # Errors
    /// An id or key that no app can have.
    pub(crate) fn new(settings: &Settings, kept: &Kept) -> anyhow::Result<Self> {
        let row = |id: &str, key: &str, secret: &SecretString| -> anyhow::Result<AppRow> {
            Ok(AppRow {
                id: AppId::try_from(id)?,
                key: AppKey::try_from(key)?,
                secret: secret.clone(),
                client_events: false,
                protected_channels: true,
                api_keys: Vec::new(),
            })
        };
        let mut configured = Vec::new();
        for app in &settings.apps {
            configured.push(AppRow {
                client_events: app.client_events,
                protected_channels: app.protected_channels,
                api_keys: app.api_keys.iter().map(|key| ApiKeyHash::of(key.expose_secret())).collect(),
                ..row(&app.id, &app.key, &app.secret)?
            });
        }
        if settings.demo && configured.is_empty() {
            configured.push(row(DEMO_APP, &kept.demo_app_key, &kept.demo_app_secret)?);
        }
        Ok(Self { configured })
    }

    /// The app of the demo users: the first one.
    pub(crate) fn first(&self) -> Option<&AppRow> {
        self.configured.first()
    }

    /// Those of the configuration, as `kabar app list` shows them.
    pub(crate) fn configured(&self) -> &[AppRow] {
        &self.configured
    }

    /// Puts the configured apps and these rows into the registry, and their API keys into the api. Where both have an
    /// id or a key, the configuration counts.
    pub(crate) fn serve(&self, rows: Vec<AppRow>, apps: &Apps, api: &api::Api) {
        let mut all = self.configured.clone();
        for row in rows {
            match all.iter().any(|app| app.id == row.id || app.key == row.key) {
                true => {
                    tracing::debug!(app.id = %row.id, "the app {} is also in the configuration, which counts", row.id)
                }
                false => all.push(row),
            }
        }
        let keys = |row: &AppRow| row.api_keys.iter().map(|key| (row.id.clone(), *key)).collect::<Vec<_>>();
        api.replace_api_keys(all.iter().flat_map(keys).collect());
        apps.replace(all.iter().filter_map(app).collect());
    }
}

fn app(row: &AppRow) -> Option<App> {
    match App::new(row.id.clone(), row.key.clone(), row.secret.expose_secret()) {
        Ok(mut app) => {
            app.policy.client_events = row.client_events;
            app.policy.protected_channels = row.protected_channels;
            Some(app)
        }
        Err(error) => {
            tracing::error!(app.id = %row.id, %error, "the app {} is left out", row.id);
            None
        }
    }
}
