//! `info`: attributes of channels that a request asks for.

use hub::Hub;
use protocol::{App, Channel, Position};
use serde::{Serialize, Serializer};

use super::answer::Refused;

/// Which attributes are asked for.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) user_count: bool,
    pub(super) subscription_count: bool,
    pub(super) cache: bool,
    pub(super) position: bool,
}

/// What is known of a channel, as far as it was asked for.
#[derive(Serialize, Default)]
pub(super) struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) occupied: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subscription_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection_count: Option<usize>,
    /// Null where the channel holds nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache: Option<Option<Cached>>,
    /// Null where the channel keeps nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<Option<Position>>,
}

/// What a cache channel holds.
#[derive(Serialize)]
pub(super) struct Cached {
    data: String,
    ttl: u64,
}

impl Info {
    /// Reads a list with commas between; `known` are those that the request may ask for.
    pub(super) fn parse(text: Option<&str>, known: &[&str]) -> Result<Self, Refused> {
        let mut info = Self::default();
        for attribute in text.unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match attribute {
                other if !known.contains(&other) => {
                    return Err(Refused::bad(format!("Unknown info attribute {other:?}")));
                }
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                "cache" => info.cache = true,
                _ => info.position = true,
            }
        }
        Ok(info)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// What the hub says of it; where an attribute does not apply it is left out.
    pub(super) fn of(self, hub: &Hub, app: &App, channel: &Channel) -> About {
        let presence = channel.name().starts_with("presence-");
        let cached = || {
            let cached = hub.cached(&app.id, channel)?;
            Some(Cached { data: cached.data, ttl: cached.left.as_secs() })
        };
        About {
            user_count: (self.user_count && presence).then(|| hub.user_count(&app.id, channel)),
            subscription_count: self.subscription_count.then(|| hub.subscription_count(&app.id, channel)),
            cache: (self.cache && channel.is_cache()).then(cached),
            ..About::default()
        }
    }
}

/// An object of channels by name, in their order.
pub(super) fn by_name<S: Serializer>(channels: &[(&str, About)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(channels.iter().map(|(name, about)| (name, about)))
}
