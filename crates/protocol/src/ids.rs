//! Ids: those that kabar mints (UUIDv7) and those that a backend brings (its own strings).

use serde::{Deserialize, Serialize};

/// A string offered as an id that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {chars_max} characters without control characters or space at its ends")]
pub struct InvalidId {
    pub(crate) what: &'static str,
    pub(crate) chars_max: usize,
}

/// In JSON, the text that `Display` and `FromStr` agree on.
macro_rules! as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use as_text;

macro_rules! minted_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "diesel", derive(diesel_derive_newtype::DieselNewType))]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub ::uuid::Uuid);

        impl $name {
            /// A new id; ids of one process sort by the time they were made.
            pub fn mint() -> Self {
                Self(::uuid::Uuid::now_v7())
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                ::uuid::Uuid::parse_str(text).map(Self)
            }
        }
    };
}

minted_id! {
    /// A chat room.
    RoomId
}
minted_id! {
    /// A chat message. Order within a room is its `seq`, never its id.
    MessageId
}

macro_rules! brought_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $chars_max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "diesel", derive(diesel_derive_newtype::DieselNewType))]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The most characters that such an id may have.
            pub const CHARS_MAX: usize = $chars_max;

            /// The id as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::ids::InvalidId;
            fn try_from(text: String) -> Result<Self, $crate::ids::InvalidId> {
                let chars = text.chars().take($chars_max + 1).count();
                let plain = !text.chars().any(char::is_control) && text.trim().len() == text.len();
                if (1..=$chars_max).contains(&chars) && plain {
                    Ok(Self(text))
                } else {
                    Err($crate::ids::InvalidId { what: $what, chars_max: $chars_max })
                }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::ids::InvalidId;
            fn try_from(text: &str) -> Result<Self, $crate::ids::InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::ids::InvalidId;
            fn from_str(text: &str) -> Result<Self, $crate::ids::InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use {brought_id, minted_id};

brought_id! {
    /// A user of an app: the backend's own string. 128 characters at most, as Pusher allows in presence channels.
    UserId, "a user id", 128
}
brought_id! {
    /// The sender's own id of one message, so that a retry finds the first try: unique per room and sender.
    ClientId, "a clientId", 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_1_to_128_plain_characters() {
        for good in ["1", "auth0|5f7c", "budi@example.com", &"é".repeat(128)] {
            assert!(UserId::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a ", "a\nb", "a\0", &"x".repeat(129)] {
            assert!(UserId::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<UserId>(r#""""#).is_err());
    }

    #[test]
    fn minted_ids_sort_by_the_time_they_were_made() {
        let ids: Vec<_> = (0..100).map(|_| MessageId::mint()).collect();
        assert!(ids.is_sorted());
    }
}
