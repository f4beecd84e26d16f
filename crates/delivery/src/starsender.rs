//! Starsender: WhatsApp through somebody's own paired phone, not through WhatsApp's API.
//!
//! It has no list of errors and answers failures with 200; it knows no key, so a timeout may have sent the message.

use std::fmt;

use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable};
use protocol::notification::{FailureClass, Transport};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::address::Address;
use crate::classify::{Rule, says, status, status_says};
use crate::http::{Answer, Http, InvalidSecret, secret_header};
use crate::outgoing::{Outgoing, one_line};
use crate::provider::{Dedup, Outcome, Provider, Sending};
use crate::redact::redact;

/// Where Starsender is.
pub const BASE_URL: &str = "https://api.starsender.online";

/// What is known of Starsender's refusals.
const RULES: [Rule; 14] = [
    says("not registered", PermanentRecipient),
    says("not on whatsapp", PermanentRecipient),
    says("invalid number", PermanentRecipient),
    says("disconnected", Operator),
    says("not connected", Operator),
    says("device not found", Operator),
    says("api key", Operator),
    says("apikey", Operator),
    says("unauthorized", Operator),
    says("expired", Operator),
    says("is required", PermanentMessage),
    says("empty", PermanentMessage),
    // Refused in so many words, if in none that are known here.
    status_says(200, r#""success":false"#, Retryable),
    status(504, FailureClass::Unknown),
];

/// How to reach a device of Starsender's.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// [`BASE_URL`] but in tests.
    pub base_url: String,
    /// The device's API key (not the account's).
    pub device_key: SecretString,
    /// Whole seconds that the device waits before each message; none lets Starsender choose.
    pub delay_seconds: Option<u32>,
}

/// WhatsApp by Starsender.
pub struct Starsender {
    config: Config,
    authorization: HeaderValue,
    http: Http,
}

impl fmt::Debug for Starsender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starsender").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl Starsender {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// The key cannot be one.
    pub fn new(config: Config, http: Http) -> Result<Self, InvalidSecret> {
        // The key as it is: Bearer is refused.
        Ok(Self { authorization: secret_header("", &config.device_key)?, config, http })
    }

    async fn post(&self, outgoing: &Outgoing) -> Outcome {
        let Address::Phone(number) = &outgoing.to else { return Outcome::wrong_address("phone numbers") };
        let content = &outgoing.content;
        let mut body = json!({
            "messageType": if content.image.is_some() { "media" } else { "text" },
            "to": number.as_str(),
            "body": whatsapp_text(outgoing),
        });
        if let Some(image) = &content.image {
            body["file"] = image.as_str().into();
        }
        if let Some(delay) = self.config.delay_seconds {
            body["delay"] = delay.into();
        }
        let url = format!("{}/api/send", self.config.base_url.trim_end_matches('/'));
        match self.http.post_json(&url, &self.authorization, &body).await {
            Ok(answer) => self.outcome(&answer, number.as_str()),
            Err(broken) => broken.outcome(FailureClass::Operator),
        }
    }

    fn outcome(&self, answer: &Answer, number: &str) -> Outcome {
        let secrets = [self.config.device_key.expose_secret(), number];
        match answer.json::<Reply>() {
            Some(Reply { success: true, data, message }) if answer.is_success() => {
                let id = ["id", "message_id", "messageId"].iter().find_map(|key| scalar(data.get(key)?));
                Outcome::Sent { message_id: id, note: message.as_deref().map(|text| redact(text, &secrets)) }
            }
            Some(Reply { success: false, message, .. }) => {
                let said = format!(r#"{} ("success":false)"#, message.unwrap_or_default());
                Outcome::Failed(answer.failure(&RULES, &said, &secrets))
            }
            _ => Outcome::Failed(answer.failure(&RULES[RULES.len() - 1..], &answer.text(), &secrets)),
        }
    }
}

impl Provider for Starsender {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn transport(&self) -> Transport {
        Transport::Whatsapp
    }

    fn dedup(&self) -> Dedup {
        Dedup::None
    }

    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a> {
        Box::pin(self.post(outgoing))
    }
}

#[derive(Debug, Deserialize)]
struct Reply {
    success: bool,
    #[serde(default)]
    data: Value,
    message: Option<String>,
}

/// Ids come as text and as numbers.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What a WhatsApp message says: the title in bold, the text, the link.
pub(crate) fn whatsapp_text(outgoing: &Outgoing) -> String {
    let content = &outgoing.content;
    // A star within would end the bold there.
    let title = one_line(&content.title.replace('*', ""));
    match title.is_empty() {
        true => content.text_and_link(),
        false => format!("*{title}*\n\n{}", content.text_and_link()),
    }
}
