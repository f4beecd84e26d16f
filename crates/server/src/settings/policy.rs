//! An app's policy as people write it: in the configuration and on the command line, with the same checks.

use figment::Figment;
use figment::error::Kind;
use figment::providers::Serialized;
use protocol::{Channel, HistoryRule, Policy};
use serde_json::{Map, Value};

use super::BadSetting;
use super::check::{Checked, within};
use super::sources::bad;

/// Each is looked through for every handshake or publish.
const LIST_MAX: usize = 100;

/// The policy that a JSON object says, with its limits within their bounds.
///
/// # Errors
/// The first key that is unknown or bad.
pub(crate) fn parse(policy: &Map<String, Value>) -> Result<Policy, BadSetting> {
    let policy = Figment::from(Serialized::defaults(policy)).extract().map_err(|error| bad(&error))?;
    check("", &policy)?;
    Ok(policy)
}

/// The object with what each `key=value` says: JSON, or text where it is none; nothing takes the key away.
///
/// # Errors
/// A change without `=`.
pub(crate) fn changed(mut policy: Map<String, Value>, changes: &[String]) -> Result<Map<String, Value>, BadSetting> {
    for change in changes {
        let (key, text) =
            change.split_once('=').ok_or_else(|| BadSetting::new(change.as_str(), "must be followed by =value"))?;
        if !text.is_empty() {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
            policy.insert(key.to_owned(), value);
        } else if policy.remove(key).is_none() {
            known(key)?;
        }
    }
    Ok(policy)
}

/// # Errors
/// A policy has no such key; the error lists those it has.
fn known(key: &str) -> Result<(), BadSetting> {
    let only = Map::from_iter([(key.to_owned(), Value::Null)]);
    match Figment::from(Serialized::defaults(only)).extract::<Policy>() {
        Err(error) if matches!(error.kind, Kind::UnknownField(..)) => Err(bad(&error)),
        _ => Ok(()),
    }
}

/// Bounds of every limit; `at` stands before the keys in what is said.
pub(super) fn check(at: &str, policy: &Policy) -> Checked {
    let limit = |key: &str, value: Option<u32>, max: u32| within(&format!("{at}{key}"), value.unwrap_or(1), 1, max);
    limit("connections_max", policy.connections_max, u32::MAX)?;
    limit("connections_per_address_max", policy.connections_per_address_max, u32::MAX)?;
    limit("connections_per_user_max", policy.connections_per_user_max, u32::MAX)?;
    limit("channels_per_socket_max", policy.channels_per_socket_max, 100_000)?;
    limit("presence_members_max", policy.presence_members_max, 100_000)?;
    limit("client_events_per_second_max", policy.client_events_per_second_max, 100_000)?;
    limit("event_bytes_max", policy.event_bytes_max, 16_777_216)?;
    limit("publishes_per_second_max", policy.publishes_per_second_max, u32::MAX)?;
    few(at, "allowed_origins", policy.allowed_origins.len())?;
    for (index, origin) in policy.allowed_origins.iter().enumerate() {
        if !is_origin(origin) {
            let why = "must be an origin, such as https://example.com: scheme, host and perhaps port";
            return Err(BadSetting::new(format!("{at}allowed_origins.{index}"), why));
        }
    }
    few(at, "history", policy.history.len())?;
    policy.history.iter().enumerate().try_for_each(|(index, rule)| check_rule(&format!("{at}history.{index}."), rule))
}

fn check_rule(at: &str, rule: &HistoryRule) -> Checked {
    // Whatever a name may start with is a name itself, but for nothing.
    if let (false, Err(error)) = (rule.prefix.is_empty(), Channel::parse(&rule.prefix)) {
        return Err(BadSetting::new(format!("{at}prefix"), error.to_string()));
    }
    within(&format!("{at}messages_max"), rule.messages_max, 0, 100_000)?;
    within(&format!("{at}seconds"), rule.seconds, 1, 2_592_000)
}

fn few(at: &str, key: &str, entries: usize) -> Checked {
    match entries <= LIST_MAX {
        true => Ok(()),
        false => Err(BadSetting::new(format!("{at}{key}"), format!("may have at most {LIST_MAX} entries"))),
    }
}

/// Whether a browser could send it as `Origin`; wildcards are none.
fn is_origin(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    text.contains("://") && url.has_host() && bare && nobody && !text.contains(['*', ' ', '?', '#'])
}
