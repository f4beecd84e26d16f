//! What a client hears, as types.

use std::time::Duration;

use protocol::{Position, SocketId};
use serde::Deserialize;
use serde_json::Value;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The connection is established; subscriptions follow by themselves.
    Connected(SocketId),
    /// The sign-in holds; the user as JSON text.
    SignedIn(String),
    /// A subscription holds, anew after each reconnect.
    Subscribed {
        /// The channel.
        channel: String,
        /// On presence channels who is in it, this client too; empty elsewhere.
        members: Vec<Member>,
    },
    /// A subscription was refused. It is asked for again only after a reconnect.
    SubscriptionFailed {
        /// The channel.
        channel: String,
        /// Why.
        message: String,
    },
    /// While the connection was lost, more happened on the channel than the server keeps: reload its state. Where this
    /// does not come after a reconnect, nothing was missed: it follows as [`Event::Message`]s.
    Missed {
        /// The channel.
        channel: String,
    },
    /// An event on a channel.
    Message(ChannelEvent),
    /// Somebody joined a presence channel.
    MemberAdded {
        /// The channel.
        channel: String,
        /// Who.
        member: Member,
    },
    /// Somebody left a presence channel.
    MemberRemoved {
        /// The channel.
        channel: String,
        /// Who.
        user_id: String,
    },
    /// The server complains; the connection stays.
    Error {
        /// A code of the protocol, where there is one.
        code: Option<u16>,
        /// What it says.
        message: String,
    },
    /// The connection ended or could not be opened.
    Closed {
        /// The close code, where there was one.
        code: Option<u16>,
        /// After what pause the client connects again; none: it has stopped, and this is the last event.
        retry_in: Option<Duration>,
    },
}

/// An event on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    /// The channel.
    pub channel: String,
    /// The event's name.
    pub name: String,
    /// The payload, usually JSON.
    pub data: String,
    /// On presence channels, who sent a client event.
    pub user_id: Option<String>,
    /// Its place in the channel's history, where the server keeps one.
    pub offset: Option<u64>,
}

/// Somebody in a presence channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Who.
    pub user_id: String,
    /// What the app says of them.
    pub user_info: Value,
}

/// A frame of the server's, told apart.
#[derive(Debug, PartialEq)]
pub(crate) enum ServerFrame {
    Established {
        socket: SocketId,
        activity_timeout: Duration,
    },
    Ping,
    Pong,
    /// Where a channel is; whether all that was missed follows.
    Position {
        channel: String,
        position: Option<Position>,
        recovered: Option<bool>,
    },
    Event(Event),
    /// Nothing that this client makes use of.
    Other,
}

#[derive(Deserialize)]
struct Envelope {
    event: String,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    offset: Option<u64>,
}

impl ServerFrame {
    /// Reads a frame. Text that is none is as good as silence: the connection is not worth less for it.
    pub(crate) fn read(text: &str) -> Self {
        let Ok(Envelope { event, channel, data, user_id, offset }) = serde_json::from_str(text) else {
            return Self::Other;
        };
        let Some(system) = event.strip_prefix("pusher:").or_else(|| event.strip_prefix("pusher_internal:")) else {
            let Some(channel) = channel else { return Self::Other };
            if event == "kabar:position" {
                let data = decoded(data);
                let position = Position::deserialize(&data).ok();
                return Self::Position { channel, position, recovered: data["recovered"].as_bool() };
            }
            let data = match data {
                Value::String(data) => data,
                data => data.to_string(),
            };
            return Self::Event(Event::Message(ChannelEvent { channel, name: event, data, user_id, offset }));
        };
        match system {
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            _ => Self::read_system(system, channel, &decoded(data)).unwrap_or(Self::Other),
        }
    }

    fn read_system(event: &str, channel: Option<String>, data: &Value) -> Option<Self> {
        let event = match event {
            "connection_established" => {
                let activity_timeout = Duration::from_secs(data["activity_timeout"].as_u64().unwrap_or(120).max(1));
                return Some(Self::Established { socket: data["socket_id"].as_str()?.parse().ok()?, activity_timeout });
            }
            "signin_success" => Event::SignedIn(data["user_data"].as_str()?.to_owned()),
            "subscription_succeeded" => Event::Subscribed { channel: channel?, members: members(&data["presence"]) },
            "subscription_error" => {
                let message = data["error"].as_str().unwrap_or("refused").to_owned();
                Event::SubscriptionFailed { channel: channel?, message }
            }
            "member_added" => Event::MemberAdded { channel: channel?, member: member(data)? },
            "member_removed" => Event::MemberRemoved { channel: channel?, user_id: id(&data["user_id"])? },
            "error" => Event::Error {
                code: data["code"].as_u64().and_then(|code| code.try_into().ok()),
                message: data["message"].as_str().unwrap_or_default().to_owned(),
            },
            _ => return None,
        };
        Some(Self::Event(event))
    }
}

/// Data of system events comes as an object or as a string that holds one.
fn decoded(data: Value) -> Value {
    match data {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        data => data,
    }
}

fn members(presence: &Value) -> Vec<Member> {
    let ids = presence["ids"].as_array().map_or(&[][..], Vec::as_slice);
    let member = |user_id: String| Member { user_info: presence["hash"][&user_id].clone(), user_id };
    ids.iter().filter_map(id).map(member).collect()
}

fn member(data: &Value) -> Option<Member> {
    Some(Member { user_id: id(&data["user_id"])?, user_info: data["user_info"].clone() })
}

/// Some servers pass a number through.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use protocol::frame;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_frame_that_kabar_writes_is_understood() {
        let socket: SocketId = "1.2".parse().unwrap();
        let activity_timeout = Duration::from_secs(30);
        let read = ServerFrame::read;
        assert_eq!(
            read(&frame::connection_established(socket, 30)),
            ServerFrame::Established { socket, activity_timeout }
        );
        assert_eq!((read(frame::PING), read(frame::PONG)), (ServerFrame::Ping, ServerFrame::Pong));
        let event = |text: String| match read(&text) {
            ServerFrame::Event(event) => event,
            other => panic!("{other:?} for {text}"),
        };
        let ada = Member { user_id: "ada".into(), user_info: json!({"name": "Ada"}) };
        let data = frame::presence_data([("ada", r#"{"name":"Ada"}"#)].into_iter());
        let subscribed = Event::Subscribed { channel: "presence-a".into(), members: vec![ada.clone()] };
        assert_eq!(event(frame::subscription_succeeded("presence-a", &data)), subscribed);
        let added = Event::MemberAdded { channel: "presence-a".into(), member: ada };
        assert_eq!(event(frame::member_added("presence-a", "ada", r#"{"name":"Ada"}"#)), added);
        let removed = Event::MemberRemoved { channel: "presence-a".into(), user_id: "ada".into() };
        assert_eq!(event(frame::member_removed("presence-a", "ada")), removed);
        assert_eq!(event(frame::error(Some(4301), "x")), Event::Error { code: Some(4301), message: "x".into() });
        assert_eq!(event(frame::signin_success("{}")), Event::SignedIn("{}".into()));
        let failed = Event::SubscriptionFailed { channel: "c".into(), message: "no".into() };
        assert_eq!(event(frame::subscription_error("c", "AuthError", "no", 401)), failed);
        let wire = frame::ChannelEvent { event: "e", channel: "c", data: "{}", user_id: Some("7") };
        let message = ChannelEvent {
            channel: "c".into(),
            name: "e".into(),
            data: "{}".into(),
            user_id: Some("7".into()),
            offset: None,
        };
        assert_eq!(event(wire.encode()), Event::Message(message));
    }

    #[test]
    fn what_is_no_frame_is_ignored() {
        for text in ["", "x", "[]", "{}", r#"{"event":"e"}"#, r#"{"event":"pusher:connection_established","data":"x"}"#]
        {
            assert_eq!(ServerFrame::read(text), ServerFrame::Other, "{text}");
        }
    }
}
