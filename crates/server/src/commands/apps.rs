//! `kabar app …`: looking at apps, and making them.

mod change;

use anyhow::Context;
use chrono::SecondsFormat;
use protocol::{App, AppId, AppKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use store::apps::{ApiKeyHash, AppRow, CreateError, Listed, NewApp};
use store::{PgConnection, Store};

use crate::cli::{AppCommand, AppCreate};
use crate::database::Database;
use crate::settings::{self, Settings};
use crate::{secrets, tenants};

const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;
const CONFIGURATION: &str = "configuration";
const DATABASE: &str = "database";

/// Does it, and prints what there is to see.
pub(super) async fn run(settings: &Settings, command: AppCommand) -> anyhow::Result<()> {
    match command {
        AppCommand::Create(app) => create(settings, app).await,
        AppCommand::List { json } => list(settings, json).await,
        AppCommand::Show { id, json } => show(settings, &id, json).await,
        AppCommand::Set { id, changes } => change::set(settings, &id, changes).await,
        AppCommand::Rotate { id, overlap_seconds } => change::rotate(settings, &id, overlap_seconds).await,
        AppCommand::Key { command } => change::key(settings, command).await,
        AppCommand::Delete { id, yes } => change::delete(settings, &id, yes).await,
    }
}

/// Makes an app and an API key; shows both secrets this once.
async fn create(settings: &Settings, new: AppCreate) -> anyhow::Result<()> {
    let id = AppId::try_from(new.id.as_str()).context("--id")?;
    let key = new.key.unwrap_or_else(|| secrets::random(10).expose_secret().to_owned());
    let key = AppKey::try_from(key.as_str()).context("--key")?;
    let secret = new.secret.map_or_else(|| secrets::random(20), SecretString::from);
    if !SECRET_CHARS.contains(&secret.expose_secret().chars().count()) {
        anyhow::bail!("--secret: must have {} to {} characters", SECRET_CHARS.start(), SECRET_CHARS.end());
    }
    App::new(id.clone(), key.clone(), secret.expose_secret())?;
    let policy = settings::parse(&settings::changed(Map::new(), &new.policy)?)?;
    let configured = settings.apps.iter().any(|app| app.id == id.as_str() || app.key == key.as_str());
    if configured {
        anyhow::bail!("an app of the configuration has this id or key already");
    }
    let api_key = secrets::random(24);
    let api_keys = vec![ApiKeyHash::of(api_key.expose_secret())];
    let app = NewApp { id, key, secret, previous: None, policy, api_keys };
    let app = in_database::<_, CreateError>(settings, move |conn| store::apps::create(conn, &app)).await?;
    println!("id       {}", app.id);
    println!("key      {}", app.key);
    println!("secret   {}", app.secret.expose_secret());
    println!("api key  {}", api_key.expose_secret());
    println!("Keep the secret and the API key now: they are not shown again. A running kabar serves the app at once.");
    Ok(())
}

/// Lists the apps, without secrets.
async fn list(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let (configured, stored) = both(settings).await?;
    if json {
        let of = |apps: &[AppRow], from| apps.iter().map(|app| described(app, from)).collect::<Vec<_>>();
        let mut all = of(&configured, CONFIGURATION);
        all.extend(of(&stored.apps, DATABASE));
        all.extend(stored.unreadable.iter().map(|bad| json!({"id": bad.id, "from": DATABASE, "error": bad.why})));
        println!("{:#}", Value::Array(all));
        return Ok(());
    }
    let line = |app: &AppRow, from| {
        let off = if app.policy.enabled { "" } else { "\tdisabled" };
        println!("{}\t{}\tclient_events={}\t{from}{off}", app.id, app.key, app.policy.client_events);
    };
    configured.iter().for_each(|app| line(app, CONFIGURATION));
    stored.apps.iter().for_each(|app| line(app, DATABASE));
    stored.unreadable.iter().for_each(|bad| println!("{}\t-\tnot served: {}\t{DATABASE}", bad.id, bad.why));
    Ok(())
}

/// Shows one app, without secrets.
async fn show(settings: &Settings, id: &str, json: bool) -> anyhow::Result<()> {
    let (configured, stored) = both(settings).await?;
    if let Some(bad) = stored.unreadable.into_iter().find(|bad| bad.id.as_str() == id) {
        anyhow::bail!(bad);
    }
    let configured = configured.iter().map(|app| (app, CONFIGURATION));
    let found = configured.chain(stored.apps.iter().map(|app| (app, DATABASE))).find(|(app, _)| app.id.as_str() == id);
    let (app, from) = found.with_context(|| format!("there is no app {id}"))?;
    let Value::Object(described) = described(app, from) else { return Ok(()) };
    if json {
        println!("{:#}", Value::Object(described));
        return Ok(());
    }
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (name, value) in &described {
        match value {
            Value::Object(policy) => policy.iter().for_each(|(key, value)| println!("policy.{key} = {value}")),
            Value::Array(values) => values.iter().for_each(|value| println!("{name}: {}", plain(value))),
            value => println!("{name}: {}", plain(value)),
        }
    }
    Ok(())
}

/// What anybody may know who may run this command: no secret.
fn described(app: &AppRow, from: &str) -> Value {
    let until = app.previous.as_ref().map(|(_, until)| until.to_rfc3339_opts(SecondsFormat::Secs, true));
    let mut described = json!({
        "id": app.id,
        "key": app.key,
        "from": from,
        "api_keys": app.api_keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policy": app.policy,
    });
    if let Some(until) = until {
        described["previous_secret_until"] = until.into();
    }
    described
}

/// Those of the configuration and those of the database.
async fn both(settings: &Settings) -> anyhow::Result<(Vec<AppRow>, Listed)> {
    let configured = tenants::configured(settings, &secrets::of(settings)?)?;
    Ok((configured, in_database(settings, store::apps::list).await?))
}

/// Runs `f` on the migrated database, beside a kabar that may be running.
async fn in_database<T, E>(
    settings: &Settings,
    f: impl FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
) -> Result<T, anyhow::Error>
where
    T: Send + 'static,
    E: From<store::Error> + Into<anyhow::Error> + Send + 'static,
{
    let database = Database::open_beside(settings).await?;
    let done = migrated(&database.store, f).await;
    database.close().await;
    done.map_err(Into::into)
}

async fn migrated<T, E>(
    store: &Store,
    f: impl FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<store::Error> + Send + 'static,
{
    store.migrate().await?;
    store.run(f).await
}
