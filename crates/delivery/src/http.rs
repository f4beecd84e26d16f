//! One exchange over HTTP: guarded, bounded in time and bytes, never followed anywhere else.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::notification::FailureClass;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use webhooks::guard::{Blocked, Guard};

use crate::classify::{Rule, classify};
use crate::provider::{Failed, Outcome};
use crate::redact::redact;

/// How long an idle connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// The longest that a provider is believed to want to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The bounds of an exchange.
#[derive(Clone, Debug)]
pub struct Config {
    /// From looking up the name to the end of the answer: 10 seconds are plenty.
    pub deadline: Duration,
    /// How much of an answer is read: 64 KiB are plenty.
    pub answer_bytes_max: usize,
    /// Certificates (PEM) that are trusted beside the system's.
    pub trusted: Vec<String>,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client: TLS cannot be set up, or a trusted certificate is none")]
pub struct NoClient(#[source] reqwest::Error);

/// Exchanges requests for answers. Clones share its connections.
#[derive(Clone)]
pub struct Http {
    client: Client,
    guard: Guard,
    answer_bytes_max: usize,
}

impl Http {
    /// One whose requests go where `guard` lets them.
    ///
    /// # Errors
    /// [`NoClient`].
    pub fn new(guard: Guard, config: &Config) -> Result<Self, NoClient> {
        // Another part of the program may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted: Result<Vec<_>, _> =
            config.trusted.iter().map(|pem| Certificate::from_pem(pem.as_bytes())).collect();
        let client = Client::builder()
            .dns_resolver(Arc::new(guard.clone()))
            .tls_certs_merge(trusted.map_err(NoClient)?)
            .no_proxy()
            .referer(false)
            .redirect(redirect::Policy::none())
            .timeout(config.deadline)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(concat!("kabar/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NoClient)?;
        Ok(Self { client, guard, answer_bytes_max: config.answer_bytes_max })
    }

    /// A request to be sent by [`Http::send`].
    pub(crate) fn post(&self, url: &str) -> Result<RequestBuilder, Broken> {
        let url = self.guard.check(url).map_err(Broken::Blocked)?;
        Ok(self.client.post(url))
    }

    /// Sends JSON with an `Authorization`.
    pub(crate) async fn post_json(
        &self,
        url: &str,
        authorization: &HeaderValue,
        body: &serde_json::Value,
    ) -> Result<Answer, Broken> {
        self.send(self.post(url)?.header(AUTHORIZATION, authorization).json(body)).await
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, Broken> {
        let mut answer = request.send().await.map_err(|error| Broken::of(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        let whole = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.answer_bytes_max => {
                    body.extend_from_slice(&chunk[..self.answer_bytes_max - body.len()]);
                    break false;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Ok(Answer { status, headers, body, whole })
    }
}

/// A secret as a header's value, which nothing shows; none if it cannot be one.
pub(crate) fn secret_header(prefix: &str, secret: &SecretString) -> Result<HeaderValue, InvalidSecret> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret())).map_err(|_| InvalidSecret)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A key or token that cannot stand in a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key or token holds characters that none can have")]
pub struct InvalidSecret;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing was sent: the guard's word.
    Blocked(Blocked),
    /// Nothing was sent: there was no connection.
    NotSent(&'static str),
    /// It may have been taken.
    Unknown(&'static str),
}

impl Broken {
    fn of(error: &reqwest::Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(blocked) = error.downcast_ref::<Blocked>() {
                return Self::Blocked(blocked.clone());
            }
            cause = error.source();
        }
        match (error.is_connect(), error.is_builder(), error.is_timeout()) {
            (true, ..) => Self::NotSent("the connection could not be made"),
            (_, true, _) => Self::NotSent("the request could not be made"),
            (.., true) => Self::Unknown("no answer in time"),
            _ => Self::Unknown("the connection broke off"),
        }
    }

    /// What it means where an address that may not be called is `blocked`.
    pub(crate) fn failed(self, blocked: FailureClass) -> Failed {
        match self {
            // A name server that does not answer now may do so later.
            Self::Blocked(Blocked::Unresolved) => {
                Failed::without_answer(FailureClass::Retryable, "the URL: the host's name could not be resolved")
            }
            Self::Blocked(reason) => Failed::without_answer(blocked, format!("the URL {reason}")),
            Self::NotSent(text) => Failed::without_answer(FailureClass::Retryable, text),
            Self::Unknown(text) => Failed::without_answer(FailureClass::Unknown, text),
        }
    }

    pub(crate) fn outcome(self, blocked: FailureClass) -> Outcome {
        Outcome::Failed(self.failed(blocked))
    }
}

/// What was answered, as far as it was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Whether the body ended where it should: neither cut off, nor late, nor over the bound.
    whole: bool,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, if it is whole and such JSON; what it says its type is does not matter.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        self.whole.then(|| serde_json::from_slice(&self.body).ok())?
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What was said, for want of anything better.
    pub(crate) fn text(&self) -> String {
        match (self.whole, self.body.is_empty()) {
            (true, true) => "an empty answer".to_owned(),
            (true, false) => String::from_utf8_lossy(&self.body).into_owned(),
            (false, _) => format!("an answer without end: {}", String::from_utf8_lossy(&self.body)),
        }
    }

    /// What `Retry-After` asks for, in seconds or as a date.
    pub(crate) fn retry_after(&self, now: DateTime<Utc>) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        let wait = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let date = DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
                (date - now).to_std().unwrap_or_default()
            }
        };
        Some(wait.min(RETRY_AFTER_MAX))
    }

    /// The failure that the first rule of `rules` to fit makes of it, given what it says.
    pub(crate) fn failure(&self, rules: &[Rule], says: &str, secrets: &[&str]) -> Failed {
        let verdict = classify(rules, self.status, says);
        Failed {
            class: verdict.class,
            status: Some(self.status),
            retry_after: self.retry_after(Utc::now()).or(verdict.retry_after),
            text: redact(says, secrets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(retry_after: &str) -> Answer {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap())]);
        Answer { status: 429, headers, body: vec![], whole: true }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_and_believed_for_a_week() {
        let now = "2026-10-21T07:28:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("Wed, 21 Oct 2026 07:29:30 GMT", Some(90)),
            ("Wed, 21 Oct 2026 07:20:00 GMT", Some(0)),
            ("18446744073709551615", Some(604_800)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(answer(text).retry_after(now).map(|wait| wait.as_secs()), seconds, "{text}");
        }
    }
}
