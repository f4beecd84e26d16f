//! The frames of Pusher protocol 7: JSON text, one event a frame.
//!
//! Reading gives a [`ClientFrame`]; writing is one function a frame, each giving the whole text.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Epoch, Position, SocketId};

/// What a client asks for.
#[derive(Debug)]
pub enum ClientFrame<'a> {
    /// `pusher:ping`.
    Ping,
    /// `pusher:pong`.
    Pong,
    /// `pusher:subscribe`.
    Subscribe(Subscribe<'a>),
    /// `pusher:unsubscribe`.
    Unsubscribe {
        /// The channel's name, unchecked.
        channel: Cow<'a, str>,
    },
    /// `pusher:signin`, in Pusher's form or with a token.
    SignIn(SignIn<'a>),
    /// `client-…`, to be relayed.
    Event(ClientEvent<'a>),
}

/// The data of `pusher:subscribe`.
#[derive(Debug, Deserialize)]
pub struct Subscribe<'a> {
    /// The channel's name, unchecked.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// `KEY:SIGNATURE`; pusher-js sends it empty on public channels.
    #[serde(borrow, default)]
    pub auth: Option<Cow<'a, str>>,
    /// JSON in a string; signed as these exact bytes.
    #[serde(borrow, default)]
    pub channel_data: Option<Cow<'a, str>>,
    /// Where the client was, so that it gets what it missed. An addition of kabar's.
    #[serde(default)]
    pub recover: Option<Recover>,
    /// How much of the past is wanted. An addition of kabar's.
    #[serde(default)]
    pub rewind: Option<Rewind>,
}

/// `recover` of `pusher:subscribe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "recover must be true or have epoch and offset")]
pub enum Recover {
    /// `true`: nothing was seen yet; only the position is wanted.
    Position(bool),
    /// Everything after this position.
    After {
        /// As `kabar:position` gave it.
        epoch: Epoch,
        /// The highest offset that was seen.
        offset: u64,
        /// The socket that the client had before: what was published with its exclusion is left out again.
        #[serde(default)]
        socket_id: Option<SocketId>,
    },
}

/// `rewind` of `pusher:subscribe`: the newest so many messages, none older than so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewind {
    /// At most so many.
    #[serde(default)]
    pub messages: Option<u32>,
    /// None older than this.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// The data of `pusher:signin`: either the signed form or a token.
#[derive(Debug, Deserialize)]
pub struct SignIn<'a> {
    /// `KEY:SIGNATURE` over `user_data`.
    #[serde(borrow, default)]
    pub auth: Option<Cow<'a, str>>,
    /// JSON in a string: `{"id", "user_info"?, "watchlist"?}`.
    #[serde(borrow, default)]
    pub user_data: Option<Cow<'a, str>>,
    /// A user's JWT, instead of the two above. An addition of kabar's.
    #[serde(borrow, default)]
    pub token: Option<Cow<'a, str>>,
}

/// A client event on its way to the channel's other subscribers.
#[derive(Debug)]
pub struct ClientEvent<'a> {
    /// Starts with `client-`.
    pub event: Cow<'a, str>,
    /// The channel's name, unchecked.
    pub channel: Cow<'a, str>,
    /// As sent: any JSON; `null` when it was left out.
    pub data: &'a str,
}

/// Text that is no frame that a client may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// Not JSON, or not an object with an `event`.
    #[error("Invalid message: {0}")]
    Malformed(String),
    /// An event that only the server sends, or nobody.
    #[error("Unsupported event received on socket: {0}")]
    Unsupported(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl<'a> ClientFrame<'a> {
    /// Reads one text frame.
    ///
    /// # Errors
    /// See [`InvalidFrame`]; none of them is reason enough to close a socket.
    pub fn parse(text: &'a str) -> Result<Self, InvalidFrame> {
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(malformed)?;
        let data = envelope.data.map_or("null", RawValue::get);
        match &*envelope.event {
            "pusher:ping" => Ok(Self::Ping),
            "pusher:pong" => Ok(Self::Pong),
            "pusher:subscribe" => serde_json::from_str(data).map(Self::Subscribe).map_err(malformed),
            "pusher:unsubscribe" => {
                let subscribe: Subscribe<'a> = serde_json::from_str(data).map_err(malformed)?;
                Ok(Self::Unsubscribe { channel: subscribe.channel })
            }
            "pusher:signin" => serde_json::from_str(data).map(Self::SignIn).map_err(malformed),
            event if event.starts_with("client-") => {
                let missing = || InvalidFrame::Malformed("a client event needs a channel".into());
                let channel = envelope.channel.ok_or_else(missing)?;
                Ok(Self::Event(ClientEvent { event: envelope.event, channel, data }))
            }
            event => Err(InvalidFrame::Unsupported(event.chars().take(100).collect())),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn malformed(error: serde_json::Error) -> InvalidFrame {
    InvalidFrame::Malformed(error.to_string())
}

/// An event for a channel's subscribers. `data` goes out as a JSON string, whatever it holds.
#[derive(Debug, Serialize)]
pub struct ChannelEvent<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The channel it is for.
    pub channel: &'a str,
    /// The payload: usually JSON, always sent as a string.
    pub data: &'a str,
    /// On presence channels, who sent a client event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<&'a str>,
}

impl ChannelEvent<'_> {
    /// The frame's text.
    pub fn encode(&self) -> String {
        json(self)
    }
}

/// The first frame: `data` is a string of JSON. `activity_timeout` is whole seconds and never 0, which pusher-js refuses.
pub fn connection_established(socket: SocketId, activity_timeout_seconds: u64) -> String {
    #[derive(Serialize)]
    struct Data {
        socket_id: SocketId,
        activity_timeout: u64,
    }
    let data = json(&Data { socket_id: socket, activity_timeout: activity_timeout_seconds.max(1) });
    json(&Global { event: "pusher:connection_established", data: &data })
}

/// `pusher:ping`.
pub const PING: &str = r#"{"event":"pusher:ping","data":{}}"#;
/// `pusher:pong`.
pub const PONG: &str = r#"{"event":"pusher:pong","data":{}}"#;

/// The subscription holds. `data` is `{}` or, on presence channels, [`presence_data`].
pub fn subscription_succeeded(channel: &str, data: &str) -> String {
    internal("pusher_internal:subscription_succeeded", channel, data)
}

/// `{"presence":{"ids":[…],"hash":{id:info},"count":n}}` of the members, each an id and its info as JSON.
pub fn presence_data<'m>(members: impl Iterator<Item = (&'m str, &'m str)>) -> String {
    let (mut ids, mut hash, mut count) = (String::new(), String::new(), 0_usize);
    for (id, info) in members {
        if count > 0 {
            ids.push(',');
            hash.push(',');
        }
        let id = json(&id);
        ids.push_str(&id);
        hash.push_str(&id);
        hash.push(':');
        hash.push_str(info);
        count += 1;
    }
    format!(r#"{{"presence":{{"ids":[{ids}],"hash":{{{hash}}},"count":{count}}}}}"#)
}

/// A user joined a presence channel. `info` is JSON.
pub fn member_added(channel: &str, user_id: &str, info: &str) -> String {
    let data = format!(r#"{{"user_id":{},"user_info":{info}}}"#, json(&user_id));
    internal("pusher_internal:member_added", channel, &data)
}

/// A user's last socket left a presence channel.
pub fn member_removed(channel: &str, user_id: &str) -> String {
    internal("pusher_internal:member_removed", channel, &format!(r#"{{"user_id":{}}}"#, json(&user_id)))
}

/// Signed in; `user_data` is the same string that came.
pub fn signin_success(user_data: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        user_data: &'a str,
    }
    json(&Global { event: "pusher:signin_success", data: &Data { user_data } })
}

/// `pusher:error`: an object, not a string; the code may be null.
pub fn error(code: Option<u16>, message: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        code: Option<u16>,
        message: &'a str,
    }
    json(&Global { event: "pusher:error", data: &Data { code, message } })
}

/// `pusher:subscription_error`, which pusher-js hands to the channel. `kind` and `status` as soketi made them known:
/// `AuthError` 401, `LimitReached` 4100.
pub fn subscription_error(channel: &str, kind: &str, error: &str, status: u16) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        r#type: &'a str,
        error: &'a str,
        status: u16,
    }
    #[derive(Serialize)]
    struct Frame<'a> {
        event: &'a str,
        channel: &'a str,
        data: Data<'a>,
    }
    json(&Frame { event: "pusher:subscription_error", channel, data: Data { r#type: kind, error, status } })
}

/// `pusher:cache_miss`: the cache channel holds nothing.
pub fn cache_miss(channel: &str) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        event: &'a str,
        channel: &'a str,
    }
    json(&Frame { event: "pusher:cache_miss", channel })
}

/// `kabar:position`: where the channel's history is, told to clients that asked. `recovered` is whether they get all
/// that they missed, right after this; it is left out where they had seen nothing.
pub fn position(channel: &str, position: Option<Position>, recovered: Option<bool>) -> String {
    #[derive(Serialize)]
    struct Data {
        #[serde(flatten)]
        position: Option<Position>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
    }
    ChannelEvent { event: "kabar:position", channel, data: &json(&Data { position, recovered }), user_id: None }
        .encode()
}

/// How many sockets are subscribed.
pub fn subscription_count(channel: &str, count: usize) -> String {
    internal("pusher_internal:subscription_count", channel, &format!(r#"{{"subscription_count":{count}}}"#))
}

/// Which users of a watchlist are there and which are not; empty lists are left out.
pub fn watchlist_events(online: &[&str], offline: &[&str]) -> String {
    #[derive(Serialize)]
    struct Event<'a> {
        name: &'a str,
        user_ids: &'a [&'a str],
    }
    #[derive(Serialize)]
    struct Data<'a> {
        events: Vec<Event<'a>>,
    }
    let lists = [("online", online), ("offline", offline)].into_iter().filter(|(_, users)| !users.is_empty());
    let events = lists.map(|(name, user_ids)| Event { name, user_ids }).collect();
    json(&Global { event: "pusher_internal:watchlist_events", data: &json(&Data { events }) })
}

#[derive(Serialize)]
struct Global<'a, D> {
    event: &'a str,
    data: D,
}

fn internal(event: &str, channel: &str, data: &str) -> String {
    ChannelEvent { event, channel, data, user_id: None }.encode()
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers always serialise")
}

/// Who joins a presence channel, from `channel_data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelData {
    /// A number in the JSON is normalised to its text.
    pub user_id: String,
    /// JSON text; `{}` when it was left out.
    pub user_info: String,
    /// `"gate": true`: signed by kabar's own auth endpoint, so whether the user still may is asked again on
    /// subscribing.
    pub gated: bool,
}

impl ChannelData {
    /// Reads `{"user_id": string|number, "user_info"?: any}`.
    ///
    /// # Errors
    /// A plain text that says what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            user_id: Option<serde_json::Value>,
            #[serde(borrow, default)]
            user_info: Option<&'a RawValue>,
            #[serde(default)]
            gate: bool,
        }
        let raw: Raw = serde_json::from_str(text).map_err(|e| format!("channel_data is not valid JSON: {e}"))?;
        let user_id = match raw.user_id {
            Some(serde_json::Value::String(id)) if !id.is_empty() => id,
            Some(serde_json::Value::Number(id)) => id.to_string(),
            _ => return Err("channel_data needs a user_id".into()),
        };
        let user_info = raw.user_info.map_or("{}", RawValue::get).to_owned();
        Ok(Self { user_id, user_info, gated: raw.gate })
    }
}

#[cfg(test)]
mod tests;
