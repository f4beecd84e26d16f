//! The apps that are served: those of the configuration, that of the demo, and those of the database.

use std::sync::{Arc, Mutex};

use hub::Apps;
use protocol::{App, AppId, AppKey};
use secrecy::{ExposeSecret, SecretString};
use store::apps::{ApiKeyHash, AppRow, Listed, Unreadable};

use crate::secrets::Kept;
use crate::settings::{self, Settings};

/// The id of the demo's own app.
const DEMO_APP: &str = "1";

/// Every app of this node, replaceable from two sides while it runs. Clones share it.
#[derive(Clone)]
pub(crate) struct Tenants {
    apps: Apps,
    api: api::Api,
    // Held while both registries are written, so that two replacements at once do not mix.
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    configured: Vec<AppRow>,
    stored: Vec<AppRow>,
    unreadable: Vec<Unreadable>,
}

impl Tenants {
    /// Serves these apps, which are there without a database, in that registry and with that api.
    pub(crate) fn new(configured: Vec<AppRow>, apps: Apps, api: api::Api) -> Self {
        let tenants = Self { apps, api, known: Arc::default() };
        tenants.replace_configured(configured);
        tenants
    }

    /// The app of the demo users: the first one of the configuration.
    pub(crate) fn first(&self) -> Option<AppId> {
        self.known.lock().expect(NO_PANIC).configured.first().map(|app| app.id.clone())
    }

    /// The registry that they are served in.
    pub(crate) fn apps(&self) -> Apps {
        self.apps.clone()
    }

    /// How many are served.
    pub(crate) fn count(&self) -> usize {
        self.apps.all().len()
    }

    /// Puts these in the place of those of the configuration.
    pub(crate) fn replace_configured(&self, configured: Vec<AppRow>) {
        let mut known = self.known.lock().expect(NO_PANIC);
        known.configured = configured;
        self.serve(&known);
    }

    /// Puts these in the place of those of the database. One that cannot be read is logged when that is new.
    pub(crate) fn replace_stored(&self, listed: Listed) {
        let mut known = self.known.lock().expect(NO_PANIC);
        for unreadable in listed.unreadable.iter().filter(|unreadable| !known.unreadable.contains(unreadable)) {
            tracing::error!(app.id = %unreadable.id, "{unreadable}; it is left out");
        }
        known.unreadable = listed.unreadable;
        known.stored = listed.apps;
        self.serve(&known);
    }

    /// Where both sides have an id or a key, the configuration counts.
    fn serve(&self, known: &Known) {
        let mut all: Vec<&AppRow> = known.configured.iter().collect();
        for row in &known.stored {
            match all.iter().any(|app| app.id == row.id || app.key == row.key) {
                true => {
                    tracing::debug!(app.id = %row.id, "the app {} is also in the configuration, which counts", row.id)
                }
                false => all.push(row),
            }
        }
        let keys = |row: &&AppRow| row.api_keys.iter().map(|key| (row.id.clone(), *key)).collect::<Vec<_>>();
        self.api.replace_api_keys(all.iter().flat_map(keys).collect());
        self.apps.replace(all.into_iter().filter_map(app).collect());
    }
}

const NO_PANIC: &str = "nothing panics while the tenants are locked";

/// What the configuration says; in demo mode an app is made when it has none. Settings are checked, so an app that
/// could not be one does not get here.
///
/// # Errors
/// An id or key that no app can have.
pub(crate) fn configured(settings: &Settings, kept: &Kept) -> anyhow::Result<Vec<AppRow>> {
    let mut configured = settings.apps.iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
    if settings.demo && configured.is_empty() {
        configured.push(bare(DEMO_APP, &kept.demo_app_key, &kept.demo_app_secret)?);
    }
    Ok(configured)
}

fn row(app: &settings::App) -> anyhow::Result<AppRow> {
    Ok(AppRow {
        previous: app.previous_secret.clone().zip(app.previous_secret_until),
        policy: app.policy.clone(),
        api_keys: app.api_keys.iter().map(|key| ApiKeyHash::of(key.expose_secret())).collect(),
        ..bare(&app.id, &app.key, &app.secret)?
    })
}

fn bare(id: &str, key: &str, secret: &SecretString) -> anyhow::Result<AppRow> {
    Ok(AppRow {
        id: AppId::try_from(id)?,
        key: AppKey::try_from(key)?,
        secret: secret.clone(),
        previous: None,
        policy: protocol::Policy::default(),
        api_keys: Vec::new(),
    })
}

fn app(row: &AppRow) -> Option<App> {
    match App::new(row.id.clone(), row.key.clone(), row.secret.expose_secret()) {
        Ok(mut app) => {
            app.policy = row.policy.clone();
            if let Some((previous, until)) = &row.previous {
                app.secret = app.secret.with_previous(previous.expose_secret(), (*until).into());
            }
            Some(app)
        }
        Err(error) => {
            tracing::error!(app.id = %row.id, %error, "the app {} is left out", row.id);
            None
        }
    }
}
