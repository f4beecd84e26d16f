//! `kabar app create` and `kabar app list`.

use anyhow::Context;
use protocol::{App, AppId, AppKey};
use secrecy::{ExposeSecret, SecretString};
use store::apps::{ApiKeyHash, CreateError, NewApp};

use crate::cli::AppCreate;
use crate::database::Database;
use crate::secrets;
use crate::settings::Settings;
use crate::tenants::Tenants;

const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// Makes an app and an API key; shows both secrets this once.
pub(super) async fn create(settings: &Settings, new: AppCreate) -> anyhow::Result<()> {
    let id = AppId::try_from(new.id.as_str()).context("--id")?;
    let key = new.key.unwrap_or_else(|| secrets::random(10).expose_secret().to_owned());
    let key = AppKey::try_from(key.as_str()).context("--key")?;
    let secret = new.secret.map_or_else(|| secrets::random(20), SecretString::from);
    if !SECRET_CHARS.contains(&secret.expose_secret().chars().count()) {
        anyhow::bail!("--secret: must have {} to {} characters", SECRET_CHARS.start(), SECRET_CHARS.end());
    }
    App::new(id.clone(), key.clone(), secret.expose_secret())?;
    let configured = settings.apps.iter().any(|app| app.id == id.as_str() || app.key == key.as_str());
    if configured {
        anyhow::bail!("an app of the configuration has this id or key already");
    }
    let api_key = secrets::random(24);
    let app = NewApp {
        id,
        key,
        secret,
        client_events: new.client_events,
        protected_channels: true,
        api_keys: vec![ApiKeyHash::of(api_key.expose_secret())],
    };
    let database = Database::open_beside(settings).await?;
    let created = async {
        database.store.migrate().await?;
        database.store.run(move |conn| store::apps::create(conn, &app)).await
    };
    let created: Result<_, CreateError> = created.await;
    database.close().await;
    let app = created?;
    println!("id       {}", app.id);
    println!("key      {}", app.key);
    println!("secret   {}", app.secret.expose_secret());
    println!("api key  {}", api_key.expose_secret());
    println!(
        "Keep the secret and the API key now: they are not shown again. A running kabar serves the app within 10 s."
    );
    Ok(())
}

/// Lists the apps, without secrets.
pub(super) async fn list(settings: &Settings) -> anyhow::Result<()> {
    let tenants = Tenants::new(settings, &secrets::of(settings)?)?;
    let database = Database::open_beside(settings).await?;
    let rows = async {
        database.store.migrate().await?;
        database.store.run(store::apps::list).await
    };
    let rows = rows.await;
    database.close().await;
    let stored = rows?;
    let line =
        |app: &NewApp, from: &str| println!("{}\t{}\tclient_events={}\t{from}", app.id, app.key, app.client_events);
    tenants.configured().iter().for_each(|app| line(app, "configuration"));
    stored.iter().for_each(|app| line(app, "database"));
    Ok(())
}
