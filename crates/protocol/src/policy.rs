//! What an app may do, and how much of it.

use serde::{Deserialize, Serialize};

/// The policy of one app: everything about it that may change while it is served.
///
/// The same names stand in the configuration (`[apps.policy]`), in the database and in `kabar app set`. A limit that
/// is left out is the node's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whether anybody may connect or publish: sockets of a disabled app are closed with 4003, requests get 403. True.
    pub enabled: bool,
    /// Whether clients may send `client-…` events. False.
    pub client_events: bool,
    /// Whether `user-…` and `chat-…` are kabar's protected channels; else they are public names as in Pusher. True.
    pub protected_channels: bool,
    /// Whether subscribers are told how many they are (`pusher_internal:subscription_count`). False.
    pub subscription_counts: bool,
    /// Whether a socket has to sign in or subscribe to a private or presence channel in time, or is closed with 4009.
    /// False.
    pub authorized_only: bool,
    /// Whether a signed request is answered only once for its signature. Pusher's SDKs sign with whole seconds, so two
    /// equal events of one second count as one then. False.
    pub refuse_replays: bool,
    /// Origins that browsers may connect from, such as `https://example.com`; others are closed with 4009. None listed
    /// allows all, and so does a client that sends no origin. Empty.
    pub allowed_origins: Vec<String>,
    /// Sockets at once; more are closed with 4004.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<u32>,
    /// Sockets at once from one address (of IPv6, from one /64); more are closed with 4103.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address_max: Option<u32>,
    /// Sockets at once that are signed in as one user; more are closed with 4104.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_user_max: Option<u32>,
    /// Channels that one socket may be subscribed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels_per_socket_max: Option<u32>,
    /// Members of one presence channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_members_max: Option<u32>,
    /// Client events that one socket may send in a second; more are dropped with error 4301.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_events_per_second_max: Option<u32>,
    /// Bytes of the data of one event, published or sent by a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_bytes_max: Option<u32>,
    /// Events that may be published over HTTP in a second, each channel counted; more are answered 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publishes_per_second_max: Option<u32>,
    /// Which channels keep how much: the first rule that fits counts. Channels that none fits keep what the node keeps.
    pub history: Vec<HistoryRule>,
}

/// How much history channels keep whose names start with `prefix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryRule {
    /// Start of the channels' names; empty fits all.
    pub prefix: String,
    /// Messages kept at most; 0 keeps none.
    pub messages_max: u32,
    /// Seconds that a message is kept at most.
    pub seconds: u32,
    /// Whether a publish is acknowledged only once it is in Postgres, so that history outlives every restart.
    #[serde(default)]
    pub durable: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enabled: true,
            client_events: false,
            protected_channels: true,
            subscription_counts: false,
            authorized_only: false,
            refuse_replays: false,
            allowed_origins: Vec::new(),
            connections_max: None,
            connections_per_address_max: None,
            connections_per_user_max: None,
            channels_per_socket_max: None,
            presence_members_max: None,
            client_events_per_second_max: None,
            event_bytes_max: None,
            publishes_per_second_max: None,
            history: Vec::new(),
        }
    }
}

impl Policy {
    /// The history rule for a channel, if the app has one for it.
    pub fn history_of(&self, channel: &str) -> Option<&HistoryRule> {
        self.history.iter().find(|rule| channel.starts_with(&rule.prefix))
    }

    /// Whether publishes to the channel are acknowledged only once they are stored.
    pub fn is_durable(&self, channel: &str) -> bool {
        self.history_of(channel).is_some_and(|rule| rule.durable && rule.messages_max > 0)
    }

    /// Whether a browser's `Origin` may connect. Compared as scheme, host and port; case does not count.
    pub fn allows_origin(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin.filter(|_| !self.allowed_origins.is_empty()) else { return true };
        self.allowed_origins.iter().any(|allowed| normal_origin(allowed) == normal_origin(origin))
    }
}

/// Lower case, without the default port and a trailing slash or dot of the host.
fn normal_origin(origin: &str) -> String {
    let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
    let origin = match origin.split_once("://") {
        Some(("http", rest)) => format!("http://{}", rest.strip_suffix(":80").unwrap_or(rest)),
        Some(("https", rest)) => format!("https://{}", rest.strip_suffix(":443").unwrap_or(rest)),
        _ => origin,
    };
    origin.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_whole() {
        let policy =
            Policy { allowed_origins: vec!["https://Good.com".into(), "http://a:8000/".into()], ..Policy::default() };
        for good in ["https://good.com", "https://GOOD.com:443", "https://good.com.", "http://a:8000"] {
            assert!(policy.allows_origin(Some(good)), "{good}");
        }
        for bad in
            ["null", "http://good.com", "https://good.com.evil.com", "https://good.com:444", "https://evil.com", ""]
        {
            assert!(!policy.allows_origin(Some(bad)), "{bad}");
        }
        assert!(policy.allows_origin(None));
        assert!(Policy::default().allows_origin(Some("null")));
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |prefix: &str, messages_max, durable| HistoryRule {
            prefix: prefix.into(),
            messages_max,
            seconds: 60,
            durable,
        };
        let policy =
            Policy { history: vec![rule("private-log-", 0, true), rule("private-", 9, true)], ..Policy::default() };
        assert!(policy.is_durable("private-a") && !policy.is_durable("private-log-a") && !policy.is_durable("a"));
        assert_eq!(policy.history_of("private-log-a").map(|rule| rule.messages_max), Some(0));
    }
}
