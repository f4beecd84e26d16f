//! What each subcommand does, and what the process says and exits with.

mod apps;
mod serve;
mod webhooks;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use protocol::{AppId, UserId};

use crate::cli::{Cli, Command, ConfigCommand, Token};
use crate::database::Database;
use crate::secrets;
use crate::settings::{BadSetting, DEFAULTS, Settings};
use crate::tenants;

/// The configuration is wrong: starting again will not help.
const BAD_CONFIGURATION: u8 = 2;

/// Does what the command line says. Whatever goes wrong is one line on standard error.
pub async fn run(cli: Cli) -> ExitCode {
    match dispatch(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kabar: {}", format!("{error:#}").replace('\n', " "));
            match error.is::<BadSetting>() {
                true => ExitCode::from(BAD_CONFIGURATION),
                false => ExitCode::FAILURE,
            }
        }
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    if let Some(Command::Config { command: ConfigCommand::ShowDefaults }) = &cli.command {
        print!("{DEFAULTS}");
        return Ok(());
    }
    let settings = Settings::load(cli.config.as_deref())?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(settings, cli.config).await,
        Command::Migrate => migrate(&settings).await,
        Command::Config { .. } => check(&settings),
        Command::Token(token) => print_token(&settings, &token).await,
        Command::App { command } => apps::run(&settings, command).await,
        Command::Webhook { command } => webhooks::run(&settings, command).await,
    }
}

/// What only shows when the parts are made of it: PEM keys, for one.
fn check(settings: &Settings) -> anyhow::Result<()> {
    crate::application::check(settings)?;
    println!("the configuration is good");
    Ok(())
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let database = Database::open_beside(settings).await?;
    let migrated = database.store.migrate().await;
    database.close().await;
    migrated?;
    println!("the database is up to date");
    Ok(())
}

async fn print_token(settings: &Settings, token: &Token) -> anyhow::Result<()> {
    let kept = secrets::of(settings)?;
    let app = match &token.app {
        Some(id) => AppId::try_from(id.as_str()).context("--app")?,
        None => match tenants::configured(settings, &kept)?.as_slice() {
            [app] => app.id.clone(),
            _ => anyhow::bail!("--app is needed: the configuration does not have exactly one app"),
        },
    };
    let user = UserId::try_from(token.user.as_str()).context("--user")?;
    let to = api::MintFor { app: &app, user: &user, name: token.name.as_deref(), role: token.role.as_deref() };
    let lifetime: Duration = token.ttl;
    println!("{}", api::mint(&settings.api(&kept.jwt_secret).auth, &to, lifetime)?.token);
    Ok(())
}
