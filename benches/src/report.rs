//! One run's figures, as they are printed.

use serde::Serialize;

use crate::driver::{Outcome, Plan};
use crate::histogram::round;
use crate::process::Usage;
use crate::target::Target;

/// What a run found. Latencies are milliseconds from the stamp (when the publish was due) to the socket, and for
/// `answer_` to the HTTP answer.
#[derive(Serialize, Default)]
pub(crate) struct Report {
    pub(crate) work: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) label: String,
    pub(crate) sockets: u64,
    pub(crate) seconds: f64,
    pub(crate) publishes_per_s: f64,
    pub(crate) deliveries_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) answer_p50_ms: f64,
    pub(crate) answer_p99_ms: f64,
    pub(crate) answer_max_ms: f64,
    /// Deliveries that did not come within five seconds.
    pub(crate) lost: u64,
    /// Publishes that were answered with an error.
    pub(crate) refused: u64,
    /// Sockets that the server closed.
    pub(crate) closed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_us_per_delivery: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes_per_socket: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reconnect_seconds: Option<f64>,
}

impl Report {
    pub(crate) fn new(work: &str, target: &Target, sockets: u64) -> Self {
        Self { work: work.to_owned(), label: target.label.clone(), sockets, ..Self::default() }
    }

    /// With what was published and came.
    pub(crate) fn outcome(mut self, plan: Plan, outcome: &Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64().max(0.001);
        self.seconds = round(seconds);
        self.publishes_per_s = round(outcome.published as f64 / seconds);
        self.deliveries_per_s = round(outcome.deliveries as f64 / seconds);
        let quantile = |part| outcome.latency.quantile_ms(part);
        (self.p50_ms, self.p99_ms, self.max_ms) = (quantile(0.5), quantile(0.99), outcome.latency.max_ms());
        let quantile = |part| outcome.answer_latency.quantile_ms(part);
        (self.answer_p50_ms, self.answer_p99_ms) = (quantile(0.5), quantile(0.99));
        self.answer_max_ms = outcome.answer_latency.max_ms();
        self.lost = (outcome.published * plan.fan_out).saturating_sub(outcome.deliveries);
        (self.refused, self.closed) = (outcome.refused, outcome.closed);
        self
    }

    /// With what the server used between two moments.
    pub(crate) fn usage(mut self, usage: Option<(Usage, Usage)>, deliveries: u64) -> Self {
        if let Some((before, after)) = usage {
            let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
            self.cpu_seconds = Some(round(cpu_seconds));
            self.cpu_us_per_delivery = (deliveries > 0).then(|| round(cpu_seconds * 1e6 / deliveries as f64));
            self.rss_bytes = Some(after.rss_bytes);
        }
        self
    }
}
