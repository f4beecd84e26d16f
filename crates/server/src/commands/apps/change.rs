//! What changes about an app of the database; a kabar that runs hears of it.

use std::time::Duration;

use anyhow::Context;
use chrono::SecondsFormat;
use protocol::AppId;
use secrecy::ExposeSecret;
use serde_json::Value;
use store::apps::{ApiKeyHash, ChangeError};

use super::in_database;
use crate::cli::AppKeyCommand;
use crate::settings::{self, BadSetting, Settings};
use crate::{secrets, tenants};

/// What the closure of `update_policy` may fail with: the database's, or a bad `key=value`.
#[derive(Debug, thiserror::Error)]
enum SetError {
    #[error(transparent)]
    Bad(#[from] BadSetting),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<store::Error> for SetError {
    fn from(error: store::Error) -> Self {
        Self::Change(error.into())
    }
}

/// Changes single keys of the policy; shows those that differ from the default then.
pub(super) async fn set(settings: &Settings, id: &str, changes: Vec<String>) -> anyhow::Result<()> {
    let app = stored(settings, id)?;
    let changed = in_database(settings, move |conn| {
        store::apps::update_policy(conn, &app, |document| {
            let policy = match document {
                Value::Object(policy) => policy,
                _ => serde_json::Map::new(),
            };
            Ok::<_, SetError>(settings::parse(&settings::changed(policy, &changes)?)?)
        })
    });
    // The exit code of a bad value is that of a bad configuration.
    changed.await.map_err(|error| match error.downcast() {
        Ok(SetError::Bad(bad)) => bad.into(),
        Ok(SetError::Change(error)) => error.into(),
        Err(error) => error,
    })?;
    println!("the policy of the app {id} was changed; a running kabar serves it so at once");
    Ok(())
}

/// Gives the app a new secret and shows it this once.
pub(super) async fn rotate(settings: &Settings, id: &str, overlap_seconds: u64) -> anyhow::Result<()> {
    let app = stored(settings, id)?;
    let secret = secrets::random(20);
    let new = secret.clone();
    let overlap = Duration::from_secs(overlap_seconds);
    let rotated = in_database(settings, move |conn| store::apps::rotate_secret(conn, &app, &new, overlap));
    let until = rotated.await?;
    println!("secret   {}", secret.expose_secret());
    println!("Keep it now: it is not shown again.");
    match until {
        Some(until) => {
            println!("The old secret is taken until {}.", until.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
        None => println!("The old secret is refused as soon as a running kabar has heard of it."),
    }
    Ok(())
}

/// Adds or removes a key for the internal API.
pub(super) async fn key(settings: &Settings, command: AppKeyCommand) -> anyhow::Result<()> {
    match command {
        AppKeyCommand::Add { id } => {
            let app = stored(settings, &id)?;
            let api_key = secrets::random(24);
            let hash = ApiKeyHash::of(api_key.expose_secret());
            in_database(settings, move |conn| store::apps::add_api_key(conn, &app, &hash)).await?;
            println!("api key      {}", api_key.expose_secret());
            println!("fingerprint  {hash}");
            println!("Keep the key now: it is not shown again.");
        }
        AppKeyCommand::Remove { id, fingerprint } => {
            let app = stored(settings, &id)?;
            let removed = in_database(settings, move |conn| {
                let listed = store::apps::list(conn)?;
                let row = listed.apps.iter().find(|row| row.id == app);
                let keys = &row.ok_or_else(|| ChangeError::UnknownApp(app.clone()))?.api_keys;
                let key = keys.iter().copied().find(|key| key.to_string() == fingerprint.trim().to_ascii_lowercase());
                let key = key.ok_or_else(|| ChangeError::UnknownApiKey(app.clone()))?;
                store::apps::remove_api_key(conn, &app, &key)
            });
            removed.await?;
            println!("the API key was removed from the app {id}");
        }
    }
    Ok(())
}

/// Deletes the app, when the user is sure.
pub(super) async fn delete(settings: &Settings, id: &str, yes: bool) -> anyhow::Result<()> {
    let app = stored(settings, id)?;
    if !yes {
        anyhow::bail!("this ends the app {id} for all its clients and backends: say --yes if that is meant");
    }
    in_database(settings, move |conn| store::apps::delete(conn, &app)).await?;
    println!("the app {id} was deleted; its people, rooms and messages are still in the database");
    Ok(())
}

/// The id of an app that can be changed here; whether there is one shows later.
fn stored(settings: &Settings, id: &str) -> anyhow::Result<AppId> {
    let configured = tenants::configured(settings, &secrets::of(settings)?)?;
    if configured.iter().any(|app| app.id.as_str() == id) {
        anyhow::bail!("the app {id} is in the configuration: change it there");
    }
    AppId::try_from(id).with_context(|| format!("there is no app {id:?}"))
}
