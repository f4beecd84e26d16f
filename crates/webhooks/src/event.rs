//! What can happen on a channel, and how Pusher's webhooks say it.

use std::fmt;
use std::str::FromStr;

use protocol::SocketId;
use serde::Serialize;

/// What happened. Serialized, it is one item of the body's `events` (Pusher, webhooks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Event {
    /// The first socket subscribed.
    ChannelOccupied { channel: String },
    /// The last socket left.
    ChannelVacated { channel: String },
    /// A user's first socket joined a presence channel.
    MemberAdded { channel: String, user_id: String },
    /// A user's last socket left a presence channel.
    MemberRemoved { channel: String, user_id: String },
    /// A client event was relayed. `data` is the string that subscribers get.
    ClientEvent {
        channel: String,
        event: String,
        data: String,
        socket_id: SocketId,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
    /// A socket joined a cache channel that holds nothing.
    CacheMiss { channel: String },
    /// As many sockets are subscribed.
    SubscriptionCount { channel: String, subscription_count: usize },
}

impl Event {
    /// Where it happened.
    pub fn channel(&self) -> &str {
        match self {
            Self::ChannelOccupied { channel }
            | Self::ChannelVacated { channel }
            | Self::MemberAdded { channel, .. }
            | Self::MemberRemoved { channel, .. }
            | Self::ClientEvent { channel, .. }
            | Self::CacheMiss { channel }
            | Self::SubscriptionCount { channel, .. } => channel,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ChannelOccupied { .. } => Kind::ChannelOccupied,
            Self::ChannelVacated { .. } => Kind::ChannelVacated,
            Self::MemberAdded { .. } => Kind::MemberAdded,
            Self::MemberRemoved { .. } => Kind::MemberRemoved,
            Self::ClientEvent { .. } => Kind::ClientEvent,
            Self::CacheMiss { .. } => Kind::CacheMiss,
            Self::SubscriptionCount { .. } => Kind::SubscriptionCount,
        }
    }
}

/// A kind of event, as endpoints choose them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "see Event")]
pub enum Kind {
    ChannelOccupied,
    ChannelVacated,
    MemberAdded,
    MemberRemoved,
    ClientEvent,
    CacheMiss,
    SubscriptionCount,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ChannelOccupied,
        Self::ChannelVacated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ClientEvent,
        Self::CacheMiss,
        Self::SubscriptionCount,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelOccupied => "channel_occupied",
            Self::ChannelVacated => "channel_vacated",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ClientEvent => "client_event",
            Self::CacheMiss => "cache_miss",
            Self::SubscriptionCount => "subscription_count",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no [`Kind`] has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no event; events are {}", Kind::ALL.map(Kind::name).join(", "))]
pub struct InvalidKind {
    name: String,
}

impl FromStr for Kind {
    type Err = InvalidKind;
    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| InvalidKind { name: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_fields_that_pusher_documents() {
        let json = |event: &Event| serde_json::to_string(event).unwrap();
        let channel = || "presence-a".to_owned();
        let user_id = || "u1".to_owned();
        for (event, text) in [
            (Event::ChannelOccupied { channel: channel() }, r#"{"name":"channel_occupied","channel":"presence-a"}"#),
            (Event::ChannelVacated { channel: channel() }, r#"{"name":"channel_vacated","channel":"presence-a"}"#),
            (
                Event::MemberAdded { channel: channel(), user_id: user_id() },
                r#"{"name":"member_added","channel":"presence-a","user_id":"u1"}"#,
            ),
            (
                Event::MemberRemoved { channel: channel(), user_id: user_id() },
                r#"{"name":"member_removed","channel":"presence-a","user_id":"u1"}"#,
            ),
            (Event::CacheMiss { channel: channel() }, r#"{"name":"cache_miss","channel":"presence-a"}"#),
            (
                Event::SubscriptionCount { channel: channel(), subscription_count: 3 },
                r#"{"name":"subscription_count","channel":"presence-a","subscription_count":3}"#,
            ),
        ] {
            assert_eq!(json(&event), text);
            assert!(text.contains(event.kind().name()));
            assert_eq!(event.kind().name().parse(), Ok(event.kind()));
        }
    }

    #[test]
    fn the_data_of_a_client_event_is_a_string_and_its_user_is_there_only_if_known() {
        let event = |user_id| Event::ClientEvent {
            channel: "private-a".to_owned(),
            event: "client-x".to_owned(),
            data: r#"{"a":1}"#.to_owned(),
            socket_id: "1.2".parse().unwrap(),
            user_id,
        };
        let head =
            r#"{"name":"client_event","channel":"private-a","event":"client-x","data":"{\"a\":1}","socket_id":"1.2""#;
        assert_eq!(serde_json::to_string(&event(None)).unwrap(), format!("{head}}}"));
        let known = serde_json::to_string(&event(Some("u".to_owned()))).unwrap();
        assert_eq!(known, format!(r#"{head},"user_id":"u"}}"#));
    }
}
