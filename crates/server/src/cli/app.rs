//! `kabar app …`

use clap::{Args, Subcommand};

/// `kabar app …`
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Make an app and an API key for its backend. Secrets are shown once.
    Create(AppCreate),
    /// List the apps of the configuration and of the database, without secrets.
    List {
        /// One JSON array, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Show one app and its policy, without secrets.
    Show {
        /// Id of the app.
        id: String,
        /// One JSON object, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Change the policy of an app, for example: kabar app set 2 client_events=true connections_max=500
    Set {
        /// Id of the app.
        id: String,
        /// Keys of `[apps.policy]` with values in JSON or as text; `key=` alone goes back to the default.
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
    /// Give an app a new secret, shown once. The old one is taken as well for a while.
    Rotate {
        /// Id of the app.
        id: String,
        /// Seconds that the old secret is still taken, 36500 days at most; 0 refuses it at once. An older secret that
        /// is still taken because of an earlier rotation no longer is.
        #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(..=3_153_600_000))]
        overlap_seconds: u64,
    },
    /// Add and remove keys for the internal API.
    Key {
        /// Which of both.
        #[command(subcommand)]
        command: AppKeyCommand,
    },
    /// Delete an app and its API keys. Its people, rooms and messages stay in the database.
    Delete {
        /// Id of the app.
        id: String,
        /// Really.
        #[arg(long)]
        yes: bool,
    },
}

/// `kabar app key …`
#[derive(Debug, Subcommand)]
pub enum AppKeyCommand {
    /// Make another API key; it is shown once.
    Add {
        /// Id of the app.
        id: String,
    },
    /// Take an API key away: it is refused from then on.
    Remove {
        /// Id of the app.
        id: String,
        /// The key's fingerprint, as `kabar app show` prints it.
        fingerprint: String,
    },
}

/// `kabar app create …`
#[derive(Debug, Args)]
pub struct AppCreate {
    /// Letters, digits, "-" and "_"; several Pusher SDKs want digits only.
    #[arg(long)]
    pub id: String,
    /// Public key; made when left out.
    #[arg(long)]
    pub key: Option<String>,
    /// Secret, 16 to 256 characters; made when left out.
    #[arg(long)]
    pub secret: Option<String>,
    /// Keys of `[apps.policy]` with values in JSON or as text, for example --policy client_events=true; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    pub policy: Vec<String>,
}
