//! `kabar webhook …`: endpoints of the database, and what was given up.

use anyhow::Context;
use protocol::AppId;
use serde_json::json;
use store::{PgConnection, webhooks as rows};
use uuid::Uuid;
use webhooks::Endpoint;

use crate::cli::webhook::{Letters, OfApp, WebhookAdd, WebhookCommand, WebhookRemove};
use crate::database::Database;
use crate::secrets;
use crate::settings::Settings;
use crate::tenants;

/// The most dead letters that are listed at once.
const LISTED_MAX: i64 = 1000;

/// Does what the command line says.
pub(super) async fn run(settings: &Settings, command: WebhookCommand) -> anyhow::Result<()> {
    match command {
        WebhookCommand::Add(new) => add(settings, new).await,
        WebhookCommand::List(of) => list(settings, &of).await,
        WebhookCommand::Remove(which) => remove(settings, which).await,
        WebhookCommand::Dead(of) => dead(settings, &of).await,
        WebhookCommand::Replay(letters) => replay(settings, letters).await,
        WebhookCommand::Discard(letters) => discard(settings, letters).await,
    }
}

async fn add(settings: &Settings, new: WebhookAdd) -> anyhow::Result<()> {
    let app = app(settings, &new.of)?;
    let endpoint = Endpoint {
        app: app.clone(),
        id: Uuid::now_v7(),
        url: new.url,
        events: new.events,
        channel_prefix: new.channel_prefix,
        headers: new.headers.into_iter().collect(),
        batching: new.batching,
        enabled: true,
        configured: false,
    };
    webhooks::check(&endpoint, &settings.webhooks.guard()?)?;
    let configured = settings.apps.iter().any(|one| one.id == app.as_str());
    let id = endpoint.id;
    let is_known = on_database(settings, move |conn| {
        let is_known = configured || store::apps::list(conn)?.apps.iter().any(|one| one.id == endpoint.app);
        if is_known {
            rows::create(conn, &endpoint)?;
        }
        Ok(is_known)
    });
    anyhow::ensure!(is_known.await?, "there is no app {app}");
    println!("id  {id}");
    println!("A running kabar tells it within 10 s what happens from then on.");
    Ok(())
}

async fn list(settings: &Settings, of: &OfApp) -> anyhow::Result<()> {
    let app = app(settings, of)?;
    for endpoint in on_database(settings, move |conn| rows::list(conn, Some(&app))).await? {
        let events = if endpoint.events.is_empty() { "all".to_owned() } else { endpoint.events.join(",") };
        let prefix = endpoint.channel_prefix.as_deref().unwrap_or("none");
        let headers: Vec<_> = endpoint.headers.keys().map(String::as_str).collect();
        let headers = if headers.is_empty() { "none".to_owned() } else { headers.join(",") };
        println!(
            "{}\t{}\tevents={events}\tprefix={prefix}\theaders={headers}\tbatching={}\tenabled={}\t{}",
            endpoint.id,
            endpoint.url,
            endpoint.batching,
            endpoint.enabled,
            if endpoint.configured { "configuration" } else { "database" },
        );
    }
    Ok(())
}

async fn remove(settings: &Settings, which: WebhookRemove) -> anyhow::Result<()> {
    let app = app(settings, &which.of)?;
    let configured = settings.apps.iter().filter(|one| one.id == app.as_str()).flat_map(|one| &one.webhooks);
    if configured.map(|webhook| webhook.endpoint(&app).id).any(|id| id == which.id) {
        anyhow::bail!("the endpoint stands in the configuration: remove it there");
    }
    let removed = on_database(settings, move |conn| rows::delete(conn, &app, which.id)).await?;
    anyhow::ensure!(removed, "there is no such endpoint");
    println!("removed");
    Ok(())
}

async fn dead(settings: &Settings, of: &OfApp) -> anyhow::Result<()> {
    let app = app(settings, of)?;
    for letter in on_database(settings, move |conn| rows::dead_letters(conn, &app, LISTED_MAX)).await? {
        let line = json!({
            "id": letter.id.to_string(),
            "endpoint": letter.endpoint.to_string(),
            "url": letter.url,
            "attempts": letter.attempts,
            "error": letter.last_error,
            "created_at": letter.created_at.to_rfc3339(),
            "dead_at": letter.dead_at.map(|at| at.to_rfc3339()),
            "body": letter.body,
        });
        println!("{line}");
    }
    Ok(())
}

async fn replay(settings: &Settings, letters: Letters) -> anyhow::Result<()> {
    let app = app(settings, &letters.of)?;
    let now = chrono::Utc::now();
    let count = on_database(settings, move |conn| rows::replay(conn, &app, chosen(&letters), now)).await?;
    println!("{count} will be sent again");
    Ok(())
}

async fn discard(settings: &Settings, letters: Letters) -> anyhow::Result<()> {
    let app = app(settings, &letters.of)?;
    let count = on_database(settings, move |conn| rows::discard(conn, &app, chosen(&letters))).await?;
    println!("{count} thrown away");
    Ok(())
}

fn chosen(letters: &Letters) -> Option<&[Uuid]> {
    (!letters.all).then_some(letters.ids.as_slice())
}

fn app(settings: &Settings, of: &OfApp) -> anyhow::Result<AppId> {
    match &of.app {
        Some(id) => AppId::try_from(id.as_str()).context("--app"),
        None => match tenants::configured(settings, &secrets::of(settings)?)?.as_slice() {
            [app] => Ok(app.id.clone()),
            _ => anyhow::bail!("--app is needed: the configuration does not have exactly one app"),
        },
    }
}

/// Does `f` on the database, beside a kabar that may be running.
async fn on_database<T: Send + 'static>(
    settings: &Settings,
    f: impl FnOnce(&mut PgConnection) -> Result<T, store::Error> + Send + 'static,
) -> anyhow::Result<T> {
    let database = Database::open_beside(settings).await?;
    let done = async {
        database.store.migrate().await?;
        database.store.run(f).await
    };
    let done = done.await;
    database.close().await;
    Ok(done?)
}
