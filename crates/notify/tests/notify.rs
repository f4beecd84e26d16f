//! What rules make of events: whom they tell, when, and the words, in both languages.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "notify/builtin.rs"]
mod builtin;
#[path = "notify/configuration.rs"]
mod configuration;
#[path = "notify/hostile.rs"]
mod hostile;
#[path = "notify/reminders.rs"]
mod reminders;
#[path = "notify/transports.rs"]
mod transports;

use chrono::{DateTime, Utc};
use notify::{Action, DomainEvent, Limits, Planned, Rules, TriggersConfig};
use serde_json::{Value, json};

/// The rules of an app at `https://app.example` with this more in its configuration.
fn rules_with(more: &str) -> Result<Rules, String> {
    let config = format!("base_url = \"https://app.example\"\n{more}");
    let config: TriggersConfig = toml::from_str(&config).map_err(|error| error.to_string())?;
    Rules::new(&config, Limits::default()).map_err(|error| error.to_string())
}

fn rules() -> Rules {
    rules_with("").unwrap()
}

fn event(name: &str, data: Value) -> DomainEvent {
    let event = json!({
        "id": "evt_1", "name": name, "actor": { "id": "ani", "name": "Ani" }, "data": data,
        "occurredAt": "2026-11-20T00:00:00Z",
    });
    serde_json::from_value(event).unwrap()
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

/// Ten seconds after each [`event`].
fn now() -> DateTime<Utc> {
    at("2026-11-20T00:00:10Z")
}

/// The one notification that the event makes.
fn planned(rules: &Rules, event: &DomainEvent) -> Planned {
    match rules.plan(event, now()).unwrap().remove(0) {
        Action::Notify(planned) => *planned,
        Action::Replan { mut planned, .. } => planned.remove(0),
        Action::Cancel { key, .. } => panic!("{key} is cancelled"),
    }
}
