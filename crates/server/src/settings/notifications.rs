//! `[notifications]`: how users are told.

use std::time::Duration;

use chrono::TimeDelta;
use protocol::notification::{Category, NotificationType, Transport};
use serde::Deserialize;
use store::notifications::Rules;

use super::check::{Checked, within};
use super::{BadSetting, Settings};

/// `[notifications]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Settings")]
pub struct Notifications {
    pub transports: Vec<String>,
    pub category_transports: Vec<String>,
    pub types: Vec<String>,
    #[serde(default)]
    pub link_base: Option<String>,
    pub chat_grace_seconds: i64,
    pub lifetime_seconds: i64,
    pub chat_lifetime_seconds: i64,
    pub page_max: i64,
    pub recipients_max: usize,
    pub subscriptions_max: i64,
    pub devices_max: i64,
    pub ahead_days_max: u64,
    pub release_interval_ms: u64,
    pub idempotency_seconds: u64,
}

impl Notifications {
    pub(super) fn check(&self) -> Checked {
        within("notifications.chat_grace_seconds", self.chat_grace_seconds, 0, 3600)?;
        within("notifications.lifetime_seconds", self.lifetime_seconds, 60, 2_592_000)?;
        within("notifications.chat_lifetime_seconds", self.chat_lifetime_seconds, 60, 2_592_000)?;
        within("notifications.page_max", self.page_max, 1, 1000)?;
        within("notifications.recipients_max", self.recipients_max, 1, 100_000)?;
        within("notifications.subscriptions_max", self.subscriptions_max, 1, 100_000)?;
        within("notifications.devices_max", self.devices_max, 1, 1000)?;
        within("notifications.ahead_days_max", self.ahead_days_max, 1, 3660)?;
        within("notifications.release_interval_ms", self.release_interval_ms, 10, 60_000)?;
        within("notifications.idempotency_seconds", self.idempotency_seconds, 60, 2_592_000)?;
        if let Some(base) = &self.link_base {
            let url = url::Url::parse(base).ok();
            let plain = |url: &url::Url| url.has_host() && url.query().is_none() && url.fragment().is_none();
            let web = |url: &url::Url| matches!(url.scheme(), "http" | "https");
            if !url.is_some_and(|url| web(&url) && plain(&url)) {
                return Err(BadSetting::new("notifications.link_base", "must be an http or https URL"));
            }
        }
        self.transports()?;
        self.category_transports()?;
        self.types().map(drop)
    }

    fn transports(&self) -> Result<Vec<Transport>, BadSetting> {
        transports("notifications.transports", self.transports.iter().map(String::as_str))
    }

    fn category_transports(&self) -> Result<Vec<(Category, Vec<Transport>)>, BadSetting> {
        const KEY: &str = "notifications.category_transports";
        let read = |text: &String| {
            let wrong = || BadSetting::new(KEY, format!("{text:?} is not of the form \"category: transport, …\""));
            let (name, names) = text.split_once(':').ok_or_else(wrong)?;
            let category = Category::try_from(name.trim()).map_err(|_| wrong())?;
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            Ok((category, transports(KEY, names)?))
        };
        self.category_transports.iter().map(read).collect()
    }

    fn types(&self) -> Result<Vec<(NotificationType, Category)>, BadSetting> {
        let read = |text: &String| {
            let wrong =
                || BadSetting::new("notifications.types", format!("{text:?} is not of the form \"TYPE: category\""));
            let (name, category) = text.split_once(':').ok_or_else(wrong)?;
            let name = NotificationType::try_from(name.trim()).map_err(|_| wrong())?;
            Ok((name, Category::try_from(category.trim()).map_err(|_| wrong())?))
        };
        self.types.iter().map(read).collect()
    }
}

fn transports<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Result<Vec<Transport>, BadSetting> {
    let read = |name: &str| name.parse().map_err(|error| BadSetting::new(key, format!("{name:?}: {error}")));
    names.map(read).collect()
}

impl Settings {
    /// How users are told, as the API wants it.
    pub(super) fn notifications(&self) -> api::Notifications {
        let ours = &self.notifications;
        let checked = "settings are checked";
        api::Notifications {
            rules: Rules {
                transports: ours.transports().expect(checked),
                categories: ours.category_transports().expect(checked),
                chat_grace: TimeDelta::seconds(ours.chat_grace_seconds),
                lifetime: TimeDelta::seconds(ours.lifetime_seconds),
                chat_lifetime: TimeDelta::seconds(ours.chat_lifetime_seconds),
            },
            types: ours.types().expect(checked),
            link_base: ours.link_base.clone(),
            page_max: ours.page_max,
            recipients_max: ours.recipients_max,
            subscriptions_max: ours.subscriptions_max,
            devices_max: ours.devices_max,
            ahead_max: Duration::from_secs(ours.ahead_days_max * 24 * 3600),
            release_interval: Duration::from_millis(ours.release_interval_ms),
            idempotency_lifetime: Duration::from_secs(ours.idempotency_seconds),
        }
    }
}
