//! Mailketing: email by a REST call, in the two generations of its API that are both alive.
//!
//! 200 is no success by itself: version 1 answers failures with it, and either may answer a page of HTML. Neither knows a
//! key, so a timeout may have sent the message. Headers cannot be set: the unsubscribe link stands in the text.

use std::fmt;

use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use protocol::notification::Transport;
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::address::{Address, EmailAddress};
use crate::classify::{Rule, says, status, status_says};
use crate::http::{Answer, Broken, Http, InvalidSecret, secret_header};
use crate::outgoing::{Outgoing, escape_html};
use crate::provider::{Dedup, Outcome, Provider, Sending};
use crate::redact::redact;

/// Where Mailketing is.
pub const BASE_URL: &str = "https://api.mailketing.co.id";

/// What Mailketing's refusals mean: the texts are the vendor's own list.
const RULES: [Rule; 15] = [
    says("blacklisted", PermanentRecipient),
    says("wrong api token", Operator),
    says("invalid token", Operator),
    says("unauthenticated", Operator),
    says("unauthorized", Operator),
    says("unknown sender", Operator),
    says("empty from name", Operator),
    says("no credits", Operator),
    says("empty recipient", PermanentMessage),
    says("empty subject", PermanentMessage),
    says("empty content", PermanentMessage),
    status(422, PermanentMessage),
    // Refused in so many words, if in none that are known here.
    status_says(200, "(refused)", Retryable),
    status(200, Unknown),
    status(504, Unknown),
];

/// Which generation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A form, the token in it.
    V1,
    /// JSON, the token in a header.
    V2,
}

/// How to reach Mailketing.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// [`BASE_URL`] but in tests.
    pub base_url: String,
    /// Which generation of the API.
    pub version: Version,
    /// The account's token.
    pub api_token: SecretString,
    /// Who sends: an address that Mailketing has verified, and a name, without which it refuses.
    pub from: EmailAddress,
}

/// Email by Mailketing.
pub struct Mailketing {
    config: Config,
    token: HeaderValue,
    http: Http,
}

impl fmt::Debug for Mailketing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailketing").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl Mailketing {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// The token cannot be one.
    pub fn new(config: Config, http: Http) -> Result<Self, InvalidSecret> {
        Ok(Self { token: secret_header("", &config.api_token)?, config, http })
    }

    async fn post(&self, outgoing: &Outgoing) -> Outcome {
        let Address::Email(to) = &outgoing.to else { return Outcome::wrong_address("email addresses") };
        let answer = match self.request(outgoing, to) {
            Ok(request) => self.http.send(request).await,
            Err(broken) => Err(broken),
        };
        match answer {
            Ok(answer) => self.outcome(&answer, to),
            Err(broken) => broken.outcome(Operator),
        }
    }

    fn request(&self, outgoing: &Outgoing, to: &EmailAddress) -> Result<RequestBuilder, Broken> {
        let (base, from) = (self.config.base_url.trim_end_matches('/'), &self.config.from);
        let (subject, content) = (outgoing.content.title_line(), html(outgoing));
        let from_name = from.name().unwrap_or_else(|| from.as_str());
        Ok(match self.config.version {
            Version::V1 => self.http.post(&format!("{base}/api/v1/send"))?.form(&[
                ("api_token", self.config.api_token.expose_secret()),
                ("from_name", from_name),
                ("from_email", from.as_str()),
                ("recipient", to.as_str()),
                ("subject", &subject),
                ("content", &content),
            ]),
            Version::V2 => {
                self.http.post(&format!("{base}/api/v2/send"))?.header("X-Api-Token", self.token.clone()).json(&json!({
                    "from_name": from_name,
                    "from_email": from.as_str(),
                    "recipient": to.as_str(),
                    "subject": subject,
                    "content": content,
                    "message_id": outgoing.id,
                }))
            }
        })
    }

    fn outcome(&self, answer: &Answer, to: &EmailAddress) -> Outcome {
        let secrets = [self.config.api_token.expose_secret(), to.as_str()];
        let Some(reply) = answer.json::<Reply>() else {
            return Outcome::Failed(answer.failure(&RULES, &answer.text(), &secrets));
        };
        let said = reply.said();
        match reply.is_success(self.config.version) {
            Some(true) if answer.is_success() => Outcome::Sent {
                message_id: [&reply.message_id, &reply.data["message_id"]]
                    .into_iter()
                    .find_map(crate::starsender::scalar),
                note: (!said.is_empty()).then(|| redact(&said, &secrets)),
            },
            Some(false) => Outcome::Failed(answer.failure(&RULES, &format!("{said} (refused)"), &secrets)),
            _ => Outcome::Failed(answer.failure(&RULES, &answer.text(), &secrets)),
        }
    }
}

impl Provider for Mailketing {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn transport(&self) -> Transport {
        Transport::Email
    }

    /// None: what it does with a `message_id` that it has seen is not known.
    fn dedup(&self) -> Dedup {
        Dedup::None
    }

    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a> {
        Box::pin(self.post(outgoing))
    }
}

/// Mailketing takes what it gets for HTML, so plain text is made to show as it is.
fn html(outgoing: &Outgoing) -> String {
    let content = &outgoing.content;
    let (mut html, links) = match &content.html {
        // Whoever made it has put the link where it belongs.
        Some(html) => (html.clone(), [None, content.unsubscribe.as_ref()]),
        None => {
            (format!("<p>{}</p>", escape_html(&content.text)), [content.link.as_ref(), content.unsubscribe.as_ref()])
        }
    };
    for link in links.into_iter().flatten().map(|link| escape_html(link.as_str())) {
        if !html.contains(&link) {
            html.push_str(&format!("\n<p><a href=\"{link}\">{link}</a></p>"));
        }
    }
    html
}

/// An answer of either generation.
#[derive(Debug, Deserialize)]
struct Reply {
    status: Option<Value>,
    response: Option<String>,
    success: Option<bool>,
    message: Option<String>,
    #[serde(default)]
    errors: Value,
    #[serde(default)]
    message_id: Value,
    #[serde(default)]
    data: Value,
}

impl Reply {
    /// Nothing if it does not say in its generation's words.
    fn is_success(&self, version: Version) -> Option<bool> {
        match (version, self.success, self.status.as_ref().and_then(Value::as_str)) {
            (Version::V2, Some(success), _) => Some(success),
            (Version::V1, _, Some("success")) => Some(true),
            (Version::V1, _, Some("failed")) => Some(false),
            _ => None,
        }
    }

    fn said(&self) -> String {
        let mut said = self.response.clone().or_else(|| self.message.clone()).unwrap_or_default();
        if !self.errors.is_null() {
            said = format!("{said} {}", self.errors);
        }
        said
    }
}
