//! `kabar webhook …`

use clap::{Args, Subcommand};
use uuid::Uuid;

/// `kabar webhook …`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Add an endpoint in the database.
    Add(WebhookAdd),
    /// List the endpoints of an app, without the values of their headers.
    List(OfApp),
    /// Remove an endpoint and everything that is still to be sent to it.
    Remove(WebhookRemove),
    /// List what was given up, one JSON object a line.
    Dead(OfApp),
    /// Send what was given up again: everything, or the ids given.
    Replay(Letters),
    /// Throw away what was given up: everything, or the ids given.
    Discard(Letters),
}

/// Which app.
#[derive(Debug, Args)]
pub struct OfApp {
    /// Id of the app; may be left out when one app is configured.
    #[arg(long)]
    pub app: Option<String>,
}

/// `kabar webhook add …`
#[derive(Debug, Args)]
pub struct WebhookAdd {
    /// Which app.
    #[command(flatten)]
    pub of: OfApp,
    /// Where requests go: http or https, on the public internet unless webhooks.allowed_hosts says otherwise.
    #[arg(long)]
    pub url: String,
    /// An event that it wants, such as channel_occupied; may be repeated. All when left out.
    #[arg(long = "event", value_name = "NAME")]
    pub events: Vec<String>,
    /// Wants only channels whose names start with it.
    #[arg(long, value_name = "PREFIX")]
    pub channel_prefix: Option<String>,
    /// A further header of each request, "Name: value"; may be repeated.
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Let one request hold several events.
    #[arg(long)]
    pub batching: bool,
}

/// `kabar webhook remove …`
#[derive(Debug, Args)]
pub struct WebhookRemove {
    /// Which app.
    #[command(flatten)]
    pub of: OfApp,
    /// Id of the endpoint.
    pub id: Uuid,
}

/// `kabar webhook replay …` and `kabar webhook discard …`
#[derive(Debug, Args)]
pub struct Letters {
    /// Which app.
    #[command(flatten)]
    pub of: OfApp,
    /// Ids, as `kabar webhook dead` shows them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<Uuid>,
    /// All of the app.
    #[arg(long)]
    pub all: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
