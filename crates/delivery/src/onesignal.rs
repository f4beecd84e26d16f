//! OneSignal: push by a REST call with an idempotency key, so that a call repeated within 30 days sends nothing twice.
//!
//! 200 is no success by itself: an empty `id` says that nothing was created, because nobody is subscribed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::notification::{FailureClass, Transport};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::address::Address;
use crate::classify::{Rule, says, status, status_says};
use crate::http::{Answer, Http, InvalidSecret, secret_header};
use crate::outgoing::Outgoing;
use crate::provider::{Dedup, Failed, Outcome, Provider, Sending};
use crate::redact::redact;

/// Where OneSignal is.
pub const BASE_URL: &str = "https://api.onesignal.com";

/// What OneSignal's refusals mean (its API reference; 429 and 5xx as usual).
const RULES: [Rule; 8] = [
    status_says(400, "app_id", FailureClass::Operator),
    status_says(400, "message notifications must have", FailureClass::PermanentMessage),
    status_says(400, "you must include which players", FailureClass::PermanentMessage),
    // The app was switched off for sending too much.
    says("disabled", FailureClass::Operator),
    status(400, FailureClass::PermanentMessage),
    status(409, FailureClass::Retryable),
    // With the same key the repeated call does no harm.
    status(504, FailureClass::Retryable),
    status(404, FailureClass::Operator),
];

/// How to reach an app at OneSignal.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// [`BASE_URL`] but in tests.
    pub base_url: String,
    /// OneSignal's id of the app.
    pub app_id: String,
    /// The app's REST API key.
    pub api_key: SecretString,
}

/// Push by OneSignal.
pub struct OneSignal {
    config: Config,
    authorization: HeaderValue,
    http: Http,
}

impl fmt::Debug for OneSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneSignal").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl OneSignal {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// The key cannot be one.
    pub fn new(config: Config, http: Http) -> Result<Self, InvalidSecret> {
        Ok(Self { authorization: secret_header("Key ", &config.api_key)?, config, http })
    }

    async fn create(&self, outgoing: &Outgoing) -> Outcome {
        let Some(body) = self.body(outgoing) else {
            return Outcome::wrong_address("users and subscriptions of OneSignal");
        };
        let url = format!("{}/notifications", self.config.base_url.trim_end_matches('/'));
        match self.http.post_json(&url, &self.authorization, &body).await {
            Ok(answer) => self.outcome(&answer, &outgoing.to),
            Err(broken) => broken.outcome(FailureClass::Operator),
        }
    }

    /// The request's body, if this is an address for OneSignal.
    fn body(&self, outgoing: &Outgoing) -> Option<Value> {
        let content = &outgoing.content;
        let mut body = json!({
            "app_id": self.config.app_id,
            "idempotency_key": outgoing.id,
            "headings": { "en": content.title },
            "contents": { "en": content.text },
            "ttl": content.ttl.as_secs(),
            "priority": if content.urgent { 10 } else { 5 },
        });
        match &outgoing.to {
            // Spelt `externalId` it would be ignored, and nobody would be told.
            Address::OneSignalUser(id) => {
                body["include_aliases"] = json!({ "external_id": [id.as_str()] });
                body["target_channel"] = "push".into();
            }
            Address::OneSignalSubscription(id) => body["include_subscription_ids"] = json!([id.as_str()]),
            _ => return None,
        }
        if let Some(link) = &content.link {
            body["url"] = link.as_str().into();
        }
        if let Some(image) = &content.image {
            body["big_picture"] = image.as_str().into();
            body["chrome_web_image"] = image.as_str().into();
            body["ios_attachments"] = json!({ "image": image.as_str() });
        }
        if !content.data.is_empty() {
            body["data"] = Value::Object(content.data.clone());
        }
        if let Some(key) = &content.collapse_key {
            let topic = topic(key);
            body["collapse_id"] = topic.as_str().into();
            body["web_push_topic"] = topic.into();
        }
        Some(body)
    }

    fn outcome(&self, answer: &Answer, to: &Address) -> Outcome {
        let address = match to {
            Address::OneSignalUser(id) | Address::OneSignalSubscription(id) => id.as_str(),
            _ => "",
        };
        let secrets = [self.config.api_key.expose_secret(), &self.config.app_id, address];
        let created = answer.json::<Created>();
        let said = created.as_ref().and_then(Created::said).unwrap_or_else(|| answer.text());
        match created {
            Some(Created { id: Some(id), errors, .. }) if answer.is_success() && !id.is_empty() => {
                let replayed = answer.header("Idempotent-Replayed").is_some_and(|value| value == "true");
                let note = match (replayed, errors.is_null()) {
                    (true, _) => Some("it had this one already".to_owned()),
                    (false, false) => Some(redact(&said, &secrets)),
                    (false, true) => None,
                };
                Outcome::Sent { message_id: Some(id), note }
            }
            Some(Created { id: Some(id), .. }) if answer.is_success() && id.is_empty() => match to {
                // OneSignal's own id of a device that is gone; a user may subscribe again any time.
                Address::OneSignalSubscription(_) => Outcome::Failed(Failed {
                    class: FailureClass::PermanentRecipient,
                    status: Some(answer.status),
                    retry_after: None,
                    text: redact(&said, &secrets),
                }),
                _ => Outcome::NoRecipient { note: "no_subscription".to_owned() },
            },
            _ => Outcome::Failed(answer.failure(&RULES, &said, &secrets)),
        }
    }
}

impl Provider for OneSignal {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn transport(&self) -> Transport {
        Transport::Push
    }

    fn dedup(&self) -> Dedup {
        Dedup::Key
    }

    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a> {
        Box::pin(self.create(outgoing))
    }
}

/// An answer. What went wrong comes as a text, a list of texts, a list of objects, or an object.
#[derive(Debug, Deserialize)]
struct Created {
    id: Option<String>,
    #[serde(default)]
    errors: Value,
    success: Option<bool>,
}

impl Created {
    fn said(&self) -> Option<String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Object(error) => match error.get("title").and_then(Value::as_str) {
                Some(title) => title.to_owned(),
                None => value.to_string(),
            },
            other => other.to_string(),
        };
        match &self.errors {
            Value::Null => self.success.map(|success| format!("success: {success}")),
            Value::Array(errors) => Some(errors.iter().map(text).collect::<Vec<_>>().join("; ")),
            other => Some(text(other)),
        }
    }
}

/// A collapse key as push services take it: at most 32 characters of base64url's alphabet (RFC 8030, 5.4). Another key
/// becomes its hash.
pub(crate) fn topic(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=32).contains(&key.len()) && key.bytes().all(plain) {
        true => key.to_owned(),
        false => URL_SAFE_NO_PAD.encode(&Sha256::digest(key)[..24]),
    }
}
