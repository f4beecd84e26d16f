//! `[webhooks]` and `[[apps.webhooks]]`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::AppId;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use webhooks::guard::{Allowed, Guard, SystemResolver};
use webhooks::{Config, Endpoint};

use super::{App, BadSetting};

/// `[webhooks]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Webhooks {
    pub leave_delay_ms: u64,
    pub restart_grace_seconds: u64,
    pub queue_events_max: usize,
    pub batch_wait_ms: u64,
    pub batch_events_max: usize,
    pub batch_bytes_max: usize,
    pub timeout_ms: u64,
    pub give_up_seconds: u64,
    pub in_flight_max: usize,
    pub in_flight_per_endpoint_max: usize,
    pub dead_retention_hours: u64,
    pub allowed_hosts: Vec<String>,
}

/// One of `[[apps.webhooks]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Webhook {
    pub url: String,
    #[serde(default)]
    pub events: Vec<String>,
    #[serde(default)]
    pub channel_prefix: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    #[serde(default)]
    pub batching: bool,
}

impl Webhooks {
    pub(super) fn check(&self, apps: &[App]) -> Result<(), BadSetting> {
        use super::check::within;
        within("webhooks.leave_delay_ms", self.leave_delay_ms, 0, 60_000)?;
        within("webhooks.restart_grace_seconds", self.restart_grace_seconds, 0, 3600)?;
        within("webhooks.queue_events_max", self.queue_events_max, 1, 10_000_000)?;
        within("webhooks.batch_wait_ms", self.batch_wait_ms, 0, 10_000)?;
        within("webhooks.batch_events_max", self.batch_events_max, 1, 10_000)?;
        within("webhooks.batch_bytes_max", self.batch_bytes_max, 1024, 16_777_216)?;
        within("webhooks.timeout_ms", self.timeout_ms, 100, 60_000)?;
        within("webhooks.give_up_seconds", self.give_up_seconds, 1, 604_800)?;
        within("webhooks.in_flight_max", self.in_flight_max, 1, 10_000)?;
        within("webhooks.in_flight_per_endpoint_max", self.in_flight_per_endpoint_max, 1, 10_000)?;
        within("webhooks.dead_retention_hours", self.dead_retention_hours, 1, 87_600)?;
        let guard = self.guard()?;
        for (index, app) in apps.iter().enumerate() {
            let mut urls = HashSet::new();
            for (place, webhook) in app.webhooks.iter().enumerate() {
                let key = |name: &str| format!("apps.{index}.webhooks.{place}.{name}");
                let id = AppId::try_from(app.id.as_str())
                    .map_err(|error| BadSetting::new(format!("apps.{index}.id"), error.to_string()))?;
                webhooks::check(&webhook.endpoint(&id), &guard).map_err(|error| {
                    // Its texts begin with their key.
                    let text = error.to_string();
                    let (name, why) = text.split_once(": ").unwrap_or(("url", &text));
                    BadSetting::new(key(name), why)
                })?;
                if !urls.insert(webhook.url.as_str()) {
                    return Err(BadSetting::new(key("url"), "is another webhook's of the app already"));
                }
            }
        }
        Ok(())
    }

    /// Decides where webhooks may go.
    ///
    /// # Errors
    /// A host that is allowed but is none.
    pub fn guard(&self) -> Result<Guard, BadSetting> {
        let allowed: Result<Vec<Allowed>, _> = self.allowed_hosts.iter().map(|host| host.parse()).collect();
        match allowed {
            Ok(allowed) => Ok(Guard::new(allowed, Arc::new(SystemResolver::default()))),
            Err(error) => Err(BadSetting::new("webhooks.allowed_hosts", error.to_string())),
        }
    }

    /// The limits, as the crate wants them.
    pub fn config(&self) -> Config {
        Config {
            leave_delay: Duration::from_millis(self.leave_delay_ms),
            restart_grace: Duration::from_secs(self.restart_grace_seconds),
            queue_events_max: self.queue_events_max,
            batch_wait: Duration::from_millis(self.batch_wait_ms),
            batch_events_max: self.batch_events_max,
            batch_bytes_max: self.batch_bytes_max,
            timeout: Duration::from_millis(self.timeout_ms),
            give_up_after: Duration::from_secs(self.give_up_seconds),
            in_flight_max: self.in_flight_max,
            in_flight_per_endpoint_max: self.in_flight_per_endpoint_max,
            dead_retention: Duration::from_secs(self.dead_retention_hours * 3600),
            allowed_hosts: self.allowed_hosts.clone(),
        }
    }
}

impl Webhook {
    /// The endpoint that this is in the database.
    pub fn endpoint(&self, app: &AppId) -> Endpoint {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        Endpoint {
            app: app.clone(),
            id: webhooks::configured_id(app, &self.url),
            url: self.url.clone(),
            events: self.events.clone(),
            channel_prefix: self.channel_prefix.clone(),
            headers: headers.collect(),
            batching: self.batching,
            enabled: true,
            configured: true,
        }
    }
}
