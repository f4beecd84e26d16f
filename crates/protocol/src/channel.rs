//! Channel names, parsed once.

use std::fmt;
use std::sync::Arc;

use crate::{RoomId, UserId};

/// The longest name, prefix included, in bytes. Pusher documents 164, its SDKs let 200 through.
pub const CHANNEL_NAME_BYTES_MAX: usize = 200;

const SERVER_TO_USER: &str = "#server-to-user-";

/// A channel's name, checked and classified.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel {
    name: Arc<str>,
}

/// What may be done on a channel and what joining it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Anybody who knows the app key may subscribe.
    Public,
    /// `private-…`: an auth string is needed.
    Private,
    /// `private-encrypted-…`: as private; the payload is sealed end to end.
    Encrypted,
    /// `presence-…`: an auth string that also says who joins.
    Presence,
    /// `#server-to-user-{id}`: only that user, once signed in.
    ServerToUser,
}

/// What a protected channel is about; who may subscribe follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Protected {
    /// `user-{userId}`: that user alone.
    User(UserId),
    /// `chat-{roomId}`: members of the room.
    Room(RoomId),
}

/// A string that is no channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChannel {
    /// Nothing, or only a prefix.
    #[error("a channel name may not be empty")]
    Empty,
    /// Over [`CHANNEL_NAME_BYTES_MAX`].
    #[error("a channel name may have at most {CHANNEL_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// A character outside `A-Z a-z 0-9 _ - = @ , . ;`.
    #[error("a channel name may hold only letters, digits and _ - = @ , . ;")]
    Character,
}

impl Channel {
    /// Checks a name from the wire. A leading `#` is allowed only in `#server-to-user-{id}`.
    ///
    /// # Errors
    /// See [`InvalidChannel`].
    pub fn parse(name: &str) -> Result<Self, InvalidChannel> {
        let rest = name.strip_prefix(SERVER_TO_USER).unwrap_or(name);
        if rest.is_empty() {
            return Err(InvalidChannel::Empty);
        }
        if name.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(InvalidChannel::TooLong);
        }
        match rest.bytes().all(is_name_byte) {
            true => Ok(Self { name: name.into() }),
            false => Err(InvalidChannel::Character),
        }
    }

    /// The name as it stands on the wire.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, shared.
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// What joining it takes. Prefixes end in their dash: `privateer` is public.
    pub fn kind(&self) -> ChannelKind {
        let name = self.name();
        if name.starts_with("private-encrypted-") {
            ChannelKind::Encrypted
        } else if name.starts_with("private-") {
            ChannelKind::Private
        } else if name.starts_with("presence-") {
            ChannelKind::Presence
        } else if name.starts_with(SERVER_TO_USER) {
            ChannelKind::ServerToUser
        } else {
            ChannelKind::Public
        }
    }

    /// Whether its last event is kept and replayed to those who join.
    pub fn is_cache(&self) -> bool {
        ["cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-"]
            .iter()
            .any(|prefix| self.name.starts_with(prefix))
    }

    /// The user of `#server-to-user-{id}`.
    pub fn server_to_user(&self) -> Option<&str> {
        self.name.strip_prefix(SERVER_TO_USER)
    }

    /// Whether this is one of the names that are never public where an app has protected channels: `user-…`
    /// and `chat-…`. It may still name nothing: see [`Channel::protected`].
    pub fn is_protected(&self) -> bool {
        self.name.starts_with("user-") || self.name.starts_with("chat-")
    }

    /// What a protected name, or its twin for stock Pusher clients, is about.
    ///
    /// Twins: `private-user-{id}`, `private-chat-{id}`, `presence-chat-{id}`.
    pub fn protected(&self) -> Option<Protected> {
        let bare = self.name.strip_prefix("private-").or_else(|| self.name.strip_prefix("presence-"));
        let name = bare.unwrap_or(&self.name);
        if let Some(room) = name.strip_prefix("chat-") {
            return room.parse().ok().map(Protected::Room);
        }
        if self.name.starts_with("presence-") {
            return None;
        }
        name.strip_prefix("user-").and_then(unescape).map(Protected::User)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}

impl Protected {
    /// The names under which it can be subscribed to: its own and its twins for stock Pusher clients.
    ///
    /// A user id may hold characters that a channel name may not; each byte of those, and `=`, is written
    /// `=XX` in hexadecimal.
    pub fn channels(&self) -> Vec<Channel> {
        let name = |text: String| Channel { name: text.into() };
        match self {
            Self::User(id) => {
                let id = escape(id.as_str());
                vec![name(format!("user-{id}")), name(format!("private-user-{id}"))]
            }
            Self::Room(id) => ["chat-", "private-chat-", "presence-chat-"].map(|p| name(format!("{p}{id}"))).into(),
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte)
}

fn escape(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'=' => escaped.push_str("=3D"),
            byte if is_name_byte(byte) => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("={byte:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<UserId> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let (pair, tail) = rest.split_at_checked(2)?;
        bytes.push(*hex::decode(pair).ok()?.first()?);
        rest = tail;
    }
    let id = UserId::try_from(String::from_utf8(bytes).ok()?).ok()?;
    // One user, one name: `=41` for `A` would be a second way to write the same channel.
    (escape(id.as_str()) == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(name: &str) -> ChannelKind {
        Channel::parse(name).unwrap().kind()
    }

    #[test]
    fn prefixes_end_in_their_dash() {
        assert_eq!(kind("private-x"), ChannelKind::Private);
        assert_eq!(kind("privateer"), ChannelKind::Public);
        assert_eq!(kind("private-encrypted-x"), ChannelKind::Encrypted);
        assert_eq!(kind("private-encryptedx"), ChannelKind::Private);
        assert_eq!(kind("presence-cache-x"), ChannelKind::Presence);
        assert_eq!(kind("#server-to-user-7"), ChannelKind::ServerToUser);
        let cached = |name| Channel::parse(name).unwrap().is_cache();
        assert!(cached("cache-x") && cached("private-cache-x") && cached("private-encrypted-cache-x"));
        assert!(!cached("cachet") && !cached("public-cache-x"));
    }

    #[test]
    fn a_name_is_refused_one_past_its_limits() {
        assert!(Channel::parse(&"a".repeat(200)).is_ok());
        assert_eq!(Channel::parse(&"a".repeat(201)), Err(InvalidChannel::TooLong));
        assert_eq!(Channel::parse(""), Err(InvalidChannel::Empty));
        assert_eq!(Channel::parse("#server-to-user-"), Err(InvalidChannel::Empty));
        for bad in ["a b", "a:b", "a/b", "#a", "a#", "é", "a\n", "presence-x:{\"user_id\":1}", "*", ">"] {
            assert_eq!(Channel::parse(bad), Err(InvalidChannel::Character), "{bad:?}");
        }
        assert!(Channel::parse("Az09_-=@,.;").is_ok());
    }

    #[test]
    fn twins_of_a_protected_channel_are_about_the_same_thing() {
        let room = Protected::Room(RoomId::mint());
        let user = Protected::User("auth0|a=b é".try_into().unwrap());
        for protected in [room, user] {
            for channel in protected.channels() {
                assert_eq!(Channel::parse(channel.name()).unwrap().protected(), Some(protected.clone()), "{channel}");
            }
        }
        let protected = |name: &str| Channel::parse(name).unwrap().protected();
        assert_eq!(protected("chat-lobby"), None);
        assert_eq!(protected("presence-user-1"), None);
        assert_eq!(protected("user-=41"), None, "a second spelling of user-A");
        assert!(Channel::parse("chat-lobby").unwrap().is_protected());
        assert!(!Channel::parse("chatter").unwrap().is_protected());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_name(text in ".{0,260}") {
            if let Ok(channel) = Channel::parse(&text) {
                prop_assert_eq!(channel.name(), text.as_str());
                let _ = (channel.kind(), channel.is_cache(), channel.protected());
            }
        }

        #[test]
        fn a_user_has_one_channel_name_and_it_leads_back(id in "[^\\p{Cc}\\s]{1,40}") {
            let user = Protected::User(id.as_str().try_into().unwrap());
            let channel = &user.channels()[0];
            prop_assert!(channel.name().bytes().all(is_name_byte));
            prop_assert_eq!(channel.protected(), Some(user.clone()));
        }
    }
}
