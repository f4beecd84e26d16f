//! The limits of webhooks.

use std::time::Duration;

/// How webhooks behave. Defaults stand in the server's `config.default.toml`, section `[webhooks]`; a test compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a channel or member has to be gone before it is told gone. Who comes back in time is not told at all.
    pub leave_delay: Duration,
    /// How long clients have to come back after a start before what was there before it is told gone.
    pub restart_grace: Duration,
    /// Client events, cache misses and counts that may wait to be stored; past it the newest is dropped.
    pub queue_events_max: usize,
    /// How long events are gathered for endpoints with batching.
    pub batch_wait: Duration,
    /// Events of one request, with batching.
    pub batch_events_max: usize,
    /// Bytes of one request, with batching. One event that is longer is sent alone.
    pub batch_bytes_max: usize,
    /// How long one request may take, its answer included.
    pub timeout: Duration,
    /// How long after the first attempt a delivery is given up.
    pub give_up_after: Duration,
    /// Requests at once.
    pub in_flight_max: usize,
    /// Requests at once to one endpoint.
    pub in_flight_per_endpoint_max: usize,
    /// How long deliveries that were given up are kept.
    pub dead_retention: Duration,
    /// Hosts, addresses and networks (`10.0.0.0/8`) that may be called although they are not global.
    pub allowed_hosts: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            leave_delay: Duration::from_secs(3),
            restart_grace: Duration::from_secs(30),
            queue_events_max: 10_000,
            batch_wait: Duration::from_millis(50),
            batch_events_max: 100,
            batch_bytes_max: 262_144,
            timeout: Duration::from_secs(5),
            give_up_after: Duration::from_secs(300),
            in_flight_max: 64,
            in_flight_per_endpoint_max: 8,
            dead_retention: Duration::from_secs(7 * 24 * 3600),
            allowed_hosts: Vec::new(),
        }
    }
}
