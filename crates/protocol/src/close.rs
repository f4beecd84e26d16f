//! Why a socket is closed: one table, so that no code can drift from its meaning.

/// A WebSocket close code with its reason.
///
/// What a client does next depends on the range (Pusher protocol 7, connection closure): 4000–4099 never
/// reconnects unchanged, 4100–4199 waits at least a second, 4200–4299 reconnects at once. pusher-js treats 43xx as
/// final, so no 43xx is ever used to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode {
    /// The number on the wire.
    pub code: u16,
    /// Sent with it; 123 bytes at most (RFC 6455, 5.5).
    pub reason: &'static str,
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: $reason };)*
            /// Every code that kabar closes with.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

close_codes! {
    /// Answer to the peer's own close.
    NORMAL = 1000, "";
    /// RFC 6455: a frame that breaks the framing rules.
    PROTOCOL_ERROR = 1002, "WebSocket protocol error";
    /// RFC 6455: a kind of data that is not taken; Pusher's protocol has text only.
    UNSUPPORTED_DATA = 1003, "binary frames are not supported";
    /// RFC 6455: text that is not UTF-8.
    INVALID_UTF8 = 1007, "text is not UTF-8";
    /// RFC 6455: over `socket.message_bytes_max` or `socket.fragments_max`.
    TOO_BIG = 1009, "message too big";
    /// No app has this key.
    UNKNOWN_APP = 4001, "Application does not exist";
    /// The app is disabled (`enabled` of its policy), or was removed.
    DISABLED_APP = 4003, "Application disabled";
    /// The app has as many sockets as `connections_max` of its policy.
    OVER_QUOTA = 4004, "Over connection quota";
    /// The path is none that a socket can connect to.
    UNKNOWN_PATH = 4005, "Path not found";
    /// `protocol` is not a number.
    INVALID_VERSION = 4006, "Invalid version string format";
    /// A protocol version other than 5, 6 and 7.
    UNSUPPORTED_VERSION = 4007, "Unsupported protocol version";
    /// `protocol` is missing.
    NO_VERSION = 4008, "No protocol version supplied";
    /// A token or ticket was refused, has expired, the app ended the user's connections, or the policy's
    /// `allowed_origins` lack the browser's.
    UNAUTHORIZED = 4009, "Connection is unauthorized";
    /// The peer reads slower than it is sent to: `socket.queue_bytes_max` is full, or nothing left for
    /// `socket.stall_timeout`.
    SLOW = 4100, "Too slow: the connection's queue is full";
    /// More frames in a second than `socket.frames_per_second_max`.
    TOO_MANY_FRAMES = 4101, "Too many frames";
    /// Whether the token or ticket is good cannot be known now, since the database is away.
    UNAVAILABLE = 4102, "The service is unavailable, try again";
    /// As many sockets come from the address as `connections_per_address_max` of the app's policy.
    TOO_MANY_OF_ADDRESS = 4103, "Too many connections from this address";
    /// As many sockets are signed in as this user as `connections_per_user_max` of the app's policy.
    TOO_MANY_OF_USER = 4104, "Too many connections of this user";
    /// The node stops; another one (or its successor) takes the reconnect.
    GOING_AWAY = 4200, "The server is restarting, reconnect";
    /// Nothing came, not even an answer to a ping.
    NO_PONG = 4201, "Pong reply not received in time";
    /// A frame was begun and not ended within `socket.frame_timeout`.
    STALLED_FRAME = 4202, "A frame was not completed in time";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reason_is_too_long_for_a_close_frame_and_no_code_stops_pusher_js_for_good_by_accident() {
        for close in CloseCode::ALL {
            assert!(close.reason.len() <= 123, "{close:?}");
            assert!(!(4300..4400).contains(&close.code), "{close:?}");
        }
    }
}
