//! The command line.

pub mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

mod app;

pub use app::{AppCommand, AppCreate, AppKeyCommand};
use webhook::WebhookCommand;

/// A self-hosted realtime hub: sockets, chat and publishing on one binary and one Postgres.
#[derive(Debug, Parser)]
#[command(name = "kabar", version, about)]
pub struct Cli {
    /// Configuration file; ./kabar.toml is read when it exists and this is not given.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What kabar can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT; SIGHUP reads the apps of the configuration again.
    Serve,
    /// Bring the database's schema up to date, and stop.
    Migrate,
    /// Look at the configuration.
    Config {
        /// Which look.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a user's token, for trying things out.
    Token(Token),
    /// Make, look at and change apps; a kabar that runs serves them as they are now.
    App {
        /// What to do.
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Say who is told what happens on channels, and look after what could not be told.
    Webhook {
        /// Which of these.
        #[command(subcommand)]
        command: WebhookCommand,
    },
}

/// `kabar config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read everything and say whether kabar would start with it.
    Check,
    /// Print every key with its default and what it means.
    ShowDefaults,
}

/// `kabar token …`
#[derive(Debug, Args)]
pub struct Token {
    /// Id of the user.
    #[arg(long)]
    pub user: String,
    /// Id of the app; may be left out when one app is configured.
    #[arg(long)]
    pub app: Option<String>,
    /// Name to show.
    #[arg(long)]
    pub name: Option<String>,
    /// Role, as the backend names it.
    #[arg(long)]
    pub role: Option<String>,
    /// How long it holds: 90s, 15m, 1h or 1d; 24 hours at most.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub ttl: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    const SECONDS_MAX: u64 = 24 * 3600;
    let wrong = || "must be a number with s, m, h or d, 1s to 24h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(total @ 1..=SECONDS_MAX) => Ok(Duration::from_secs(total)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_to_live_is_a_number_with_a_unit_up_to_a_day() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "1", "h", "0s", "25h", "2d", "-1h", "1w", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
