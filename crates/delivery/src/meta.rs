//! Meta's Cloud API: WhatsApp by WhatsApp itself.
//!
//! Free text reaches only who has written within 24 hours; to anybody else only a template goes that Meta has approved.

use std::fmt;

use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use protocol::notification::Transport;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::address::Address;
use crate::classify::{Rule, says, status};
use crate::http::{Answer, Http, InvalidSecret, secret_header};
use crate::outgoing::{Outgoing, cut, one_line};
use crate::provider::{Dedup, Outcome, Provider, Sending};
use crate::starsender::whatsapp_text;

/// Where Meta's API is, with the version that was current when this was written.
pub const BASE_URL: &str = "https://graph.facebook.com/v23.0";

/// The most characters of a text (Cloud API, text messages).
const TEXT_CHARS_MAX: usize = 4096;
/// The most characters of a template's parameter.
const PARAMETER_CHARS_MAX: usize = 1024;
const DAY: u64 = 24 * 3600;

/// What Meta's codes mean; titles change, codes do not.
const RULES: [Rule; 22] = [
    // Not on WhatsApp, or cannot get it.
    says("(#131026)", PermanentRecipient),
    // Has asked to get no more of this.
    says("(#131050)", PermanentRecipient),
    // Over 24 hours since they wrote: a template is needed.
    says("(#131047)", PermanentMessage),
    says("(#131051)", PermanentMessage),
    says("(#131052)", PermanentMessage),
    says("(#131053)", PermanentMessage),
    says("(#132000)", PermanentMessage),
    says("(#132001)", PermanentMessage),
    // Part of an experiment of Meta's, in which they get none.
    says("(#130472)", PermanentMessage),
    // A day at least, and not in a loop: trying again makes it worse.
    says("(#131048)", Retryable).after(DAY),
    says("(#131049)", Retryable).after(DAY),
    // One message in six seconds to one number.
    says("(#131056)", Retryable).after(6),
    says("(#130429)", Retryable).after(5),
    says("(#80007)", Retryable).after(60),
    says("(#4)", Retryable).after(60),
    says("(#190)", Operator),
    says("(#131031)", Operator),
    says("(#131042)", Operator),
    says("(#10)", Operator),
    says("(#200)", Operator),
    status(400, PermanentMessage),
    status(504, Unknown),
];

/// A template that Meta has approved. Its body has two parameters, the title and the text, and a third, the link, if
/// `with_link`.
#[derive(Clone, Debug)]
pub struct Template {
    /// As it is called at Meta.
    pub name: String,
    /// Such as `id` or `en_US`.
    pub language: String,
    /// Whether its body has the link for a third parameter.
    pub with_link: bool,
}

/// How to reach a number at Meta.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// [`BASE_URL`], or a later version.
    pub base_url: String,
    /// Meta's id of the number that sends (not the number).
    pub phone_number_id: String,
    /// A system user's token.
    pub access_token: SecretString,
    /// Without it, only who has written within 24 hours is reached.
    pub template: Option<Template>,
}

/// WhatsApp by Meta.
pub struct Meta {
    config: Config,
    authorization: HeaderValue,
    http: Http,
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl Meta {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// The token cannot be one.
    pub fn new(config: Config, http: Http) -> Result<Self, InvalidSecret> {
        Ok(Self { authorization: secret_header("Bearer ", &config.access_token)?, config, http })
    }

    async fn post(&self, outgoing: &Outgoing) -> Outcome {
        let Address::Phone(number) = &outgoing.to else { return Outcome::wrong_address("phone numbers") };
        let url = format!("{}/{}/messages", self.config.base_url.trim_end_matches('/'), self.config.phone_number_id);
        let body = self.body(outgoing, number.as_str());
        match self.http.post_json(&url, &self.authorization, &body).await {
            Ok(answer) => outcome(&answer, &[self.config.access_token.expose_secret(), number.as_str()]),
            Err(broken) => broken.outcome(Operator),
        }
    }

    fn body(&self, outgoing: &Outgoing, number: &str) -> Value {
        let content = &outgoing.content;
        let mut body = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": number,
            "biz_opaque_callback_data": outgoing.id,
        });
        match &self.config.template {
            Some(template) => {
                let link = content.link.iter().filter(|_| template.with_link).map(|link| link.as_str());
                // Parameters may be neither empty nor of several lines.
                let parameters = [content.title.as_str(), content.text.as_str()].into_iter().chain(link).map(|text| {
                    let text = cut(&one_line(text), PARAMETER_CHARS_MAX);
                    json!({ "type": "text", "text": if text.is_empty() { "–" } else { &text } })
                });
                body["type"] = "template".into();
                body["template"] = json!({
                    "name": template.name,
                    "language": { "code": template.language },
                    "components": [{ "type": "body", "parameters": parameters.collect::<Vec<_>>() }],
                });
            }
            None => {
                let text = cut(&whatsapp_text(outgoing), TEXT_CHARS_MAX);
                body["type"] = "text".into();
                body["text"] = json!({ "body": text, "preview_url": false });
            }
        }
        body
    }
}

impl Provider for Meta {
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

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    messages: Vec<Accepted>,
    error: Option<Error>,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
    message_status: Option<String>,
}

#[derive(Deserialize)]
struct Error {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_data: Value,
}

fn outcome(answer: &Answer, secrets: &[&str]) -> Outcome {
    let said = match answer.json::<Reply>() {
        Some(Reply { error: Some(error), .. }) => {
            // Meta's message may begin with the code or not: so it stands here in any case, and in one way.
            let message = error.message.strip_prefix(&format!("(#{})", error.code)).unwrap_or(&error.message);
            let details = error.error_data["details"].as_str().unwrap_or_default();
            // Only the code is in this form, whatever else is said.
            format!("(#{}) {}", error.code, format!("{} {details}", message.trim()).replace("(#", "("))
        }
        Some(Reply { messages, error: None }) if answer.is_success() && !messages.is_empty() => {
            let accepted = messages.into_iter().next();
            let (id, note) = accepted.map(|accepted| (accepted.id, accepted.message_status)).unzip();
            return Outcome::Sent { message_id: id, note: note.flatten() };
        }
        _ => answer.text(),
    };
    Outcome::Failed(answer.failure(&RULES, &said, secrets))
}
