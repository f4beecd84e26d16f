//! Limits and times of the hub. Every one is a setting; `docs/configuration.md` has the same words.

use std::time::Duration;

use crate::TrustedProxies;

/// See each field for its unit, default and what happens past it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Told to clients, who ping after as much silence. The server pings one `pong_timeout` later. 120 s.
    pub activity_timeout: Duration,
    /// How long an answer to a ping may take before the socket is closed with 4201. 30 s.
    pub pong_timeout: Duration,
    /// The longest message in bytes; a longer one closes with 1009 before it is read. 64 KiB.
    pub message_bytes_max: usize,
    /// The most fragments of one message; more close with 1009. 1,024.
    pub fragments_max: u32,
    /// How long a frame may take from its first byte to its last; then 4202. 10 s.
    pub frame_timeout: Duration,
    /// Bytes that may wait for a peer which reads slowly; more close with 4100. 1 MiB.
    pub queue_bytes_max: usize,
    /// How long a peer may take nothing at all while bytes wait for it; then 4100. 15 s.
    pub stall_timeout: Duration,
    /// How long a session over HTTP outlives its last receive request. 10 s.
    pub session_timeout: Duration,
    /// After how much silence the receive request of a session gets a sign of life; a poll is answered with it. 25 s, and
    /// never more than `activity_timeout`.
    pub session_heartbeat: Duration,
    /// Bytes of publications that may wait for one shard; past it [`crate::Busy`] is the answer. 64 MiB.
    pub inbox_bytes_max: usize,
    /// Kernel send buffer of one socket in bytes: what a stalled peer costs on top of the queue. 64 KiB.
    pub send_buffer_bytes: usize,
    /// Channels that one socket may be subscribed to. 1,000.
    pub channels_per_socket_max: usize,
    /// Frames that one socket may send in a second; more close with 4101. 1,000.
    pub frames_per_second_max: u32,
    /// Client events that one socket may send in a second; more are dropped with error 4301. 10.
    pub client_events_per_second_max: u32,
    /// The longest data of a client event in bytes. 10,240.
    pub client_event_bytes_max: usize,
    /// Members of one presence channel. 100.
    pub presence_members_max: usize,
    /// The longest `user_info` of a presence member in bytes. 1,024.
    pub presence_info_bytes_max: usize,
    /// How long a socket outlives the token that it was signed in with; then 4009. 5 s.
    pub token_grace: Duration,
    /// How long a socket of an app that wants authorised connections only may be neither signed in nor subscribed to a
    /// private or presence channel; then 4009. 30 s.
    pub authorization_timeout: Duration,
    /// Users whose coming and going one socket may be told of; the rest of a longer list is left out, error 4302. 100.
    pub watchlist_max: usize,
    /// Seconds that the last event of a cache channel is kept. 1,800.
    pub cache_seconds: u32,
    /// Messages that a channel keeps in memory where no rule of its app says otherwise; 0 keeps none. 100.
    pub history_messages_max: u32,
    /// Seconds that they are kept. 300.
    pub history_seconds: u32,
    /// Bytes that histories and caches of all channels may take together; past it the oldest of a channel make room for
    /// its newest. 64 MiB.
    pub history_bytes_max: usize,
    /// Messages that one subscriber gets of the past at most; who missed more is told to reload. 10,000.
    pub replay_messages_max: u32,
    /// Publications to durable channels that may wait to be stored; past it [`crate::PublishError::Busy`]. 10,000.
    pub journal_queue_max: usize,
    /// Whether `?token=` signs a socket in. Off: URLs end up in logs.
    pub token_in_query: bool,
    /// Whose `X-Forwarded-For` is believed. Nobody's.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            message_bytes_max: 64 * 1024,
            fragments_max: 1024,
            frame_timeout: Duration::from_secs(10),
            queue_bytes_max: 1024 * 1024,
            stall_timeout: Duration::from_secs(15),
            session_timeout: Duration::from_secs(10),
            session_heartbeat: Duration::from_secs(25),
            inbox_bytes_max: 64 * 1024 * 1024,
            send_buffer_bytes: 64 * 1024,
            channels_per_socket_max: 1000,
            frames_per_second_max: 1000,
            client_events_per_second_max: 10,
            client_event_bytes_max: 10_240,
            presence_members_max: 100,
            presence_info_bytes_max: 1024,
            token_grace: Duration::from_secs(5),
            authorization_timeout: Duration::from_secs(30),
            watchlist_max: 100,
            cache_seconds: 1800,
            history_messages_max: 100,
            history_seconds: 300,
            history_bytes_max: 64 * 1024 * 1024,
            replay_messages_max: 10_000,
            journal_queue_max: 10_000,
            token_in_query: false,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}
