//! FCM: push to apps by Firebase's HTTP v1 API, as a service account of the project.

mod token;

use std::fmt;

use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable};
use protocol::notification::Transport;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use self::token::Tokens;
pub use self::token::{InvalidAccount, ServiceAccount};
use crate::address::{Address, Token};
use crate::classify::{Rule, says, status, status_says};
use crate::http::{Answer, Http, secret_header};
use crate::outgoing::Outgoing;
use crate::provider::{Dedup, Outcome, Provider, Sending};

/// Where FCM is.
pub const BASE_URL: &str = "https://fcm.googleapis.com";

/// The longest that FCM keeps a message: four weeks.
const TTL_SECONDS_MAX: u64 = 2_419_200;

/// What FCM's refusals mean: said is `status`, `errorCode`, which field, and the message.
const RULES: [Rule; 13] = [
    says("unregistered", PermanentRecipient),
    says("sender_id_mismatch", PermanentRecipient),
    status_says(400, "message.token", PermanentRecipient),
    status_says(400, "registration token", PermanentRecipient),
    says("third_party_auth_error", Operator),
    // Our token is no longer taken: the next send gets another one, and if there is none, that says why.
    status(401, Retryable),
    status(403, Operator),
    // Without UNREGISTERED it is the project that is not found.
    status(404, Operator),
    status(400, PermanentMessage),
    status(429, Retryable).after(60),
    status(500, Retryable),
    status(502, Retryable),
    status(503, Retryable),
];

/// How to reach a project at Firebase.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// [`BASE_URL`] but in tests.
    pub base_url: String,
    /// Who sends, for which project.
    pub account: ServiceAccount,
}

/// Push by FCM.
pub struct Fcm {
    name: String,
    url: String,
    tokens: Tokens,
    http: Http,
}

impl fmt::Debug for Fcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fcm").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Fcm {
    /// Sends nothing yet.
    pub fn new(config: Config, http: Http) -> Self {
        let base = config.base_url.trim_end_matches('/');
        let url = format!("{base}/v1/projects/{}/messages:send", config.account.project_id());
        Self { name: config.name, url, tokens: Tokens::new(config.account, http.clone()), http }
    }

    async fn push(&self, outgoing: &Outgoing) -> Outcome {
        let Address::Fcm(to) = &outgoing.to else { return Outcome::wrong_address("tokens of FCM") };
        let token = match self.tokens.current().await {
            Ok(token) => token,
            Err(failed) => return Outcome::Failed(failed),
        };
        let Ok(authorization) = secret_header("Bearer ", &token) else {
            return Outcome::failed(Operator, "the token of the service account is none");
        };
        match self.http.post_json(&self.url, &authorization, &body(outgoing, to)).await {
            Ok(answer) => {
                if answer.status == 401 {
                    self.tokens.forget(&token).await;
                }
                outcome(&answer, &[token.expose_secret(), to.as_str()])
            }
            Err(broken) => broken.outcome(Operator),
        }
    }
}

impl Provider for Fcm {
    fn name(&self) -> &str {
        &self.name
    }

    fn transport(&self) -> Transport {
        Transport::Push
    }

    /// What is still waiting is replaced by the next of its collapse key; what is shown, by the next with its tag.
    fn dedup(&self) -> Dedup {
        Dedup::Soft
    }

    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a> {
        Box::pin(self.push(outgoing))
    }
}

fn body(outgoing: &Outgoing, to: &Token) -> Value {
    let content = &outgoing.content;
    let ttl = content.ttl.as_secs().min(TTL_SECONDS_MAX);
    let key = content.collapse_key.clone().unwrap_or_else(|| outgoing.id.to_string());
    let mut notification = json!({ "title": content.title, "body": content.text });
    if let Some(image) = &content.image {
        notification["image"] = image.as_str().into();
    }
    let mut webpush = json!({
        "headers": { "TTL": ttl.to_string(), "Urgency": if content.urgent { "high" } else { "normal" } },
        "notification": { "tag": key },
    });
    let mut data = data(&content.data);
    data.insert("deliveryId".to_owned(), outgoing.id.to_string().into());
    if let Some(link) = &content.link {
        data.insert("link".to_owned(), link.as_str().into());
        // FCM refuses any other.
        if link.is_https() {
            webpush["fcm_options"] = json!({ "link": link.as_str() });
        }
    }
    let expires = (chrono::Utc::now().timestamp()).saturating_add_unsigned(ttl);
    json!({
        "message": {
            "token": to.as_str(),
            "notification": notification,
            "data": data,
            "android": {
                "priority": if content.urgent { "HIGH" } else { "NORMAL" },
                "ttl": format!("{ttl}s"),
                "collapse_key": key,
                "notification": { "tag": key },
            },
            "webpush": webpush,
            "apns": {
                "headers": {
                    "apns-priority": if content.urgent { "10" } else { "5" },
                    "apns-expiration": expires.to_string(),
                    // Apple takes 64 bytes.
                    "apns-collapse-id": crate::onesignal::topic(&key),
                },
            },
        },
        "validate_only": false,
    })
}

/// FCM takes texts alone, and some names are its own.
fn data(data: &serde_json::Map<String, Value>) -> serde_json::Map<String, Value> {
    let own =
        |key: &str| ["from", "message_type"].contains(&key) || key.starts_with("google") || key.starts_with("gcm");
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    data.iter().filter(|(key, _)| !own(key)).map(|(key, value)| (key.clone(), text(value).into())).collect()
}

fn outcome(answer: &Answer, secrets: &[&str]) -> Outcome {
    #[derive(Deserialize)]
    struct Sent {
        name: String,
    }
    #[derive(Deserialize)]
    struct Refused {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        #[serde(default)]
        status: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        details: Vec<Value>,
    }
    if let (true, Some(Sent { name })) = (answer.is_success(), answer.json()) {
        return Outcome::Sent { message_id: Some(name), note: None };
    }
    let said = answer.json::<Refused>().map(|Refused { error }| {
        let codes = error.details.iter().filter_map(|detail| detail["errorCode"].as_str());
        let violations = error.details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
        let fields = violations.filter_map(|violation| violation["field"].as_str());
        let all: Vec<_> =
            [error.status.as_str()].into_iter().chain(codes).chain(fields).chain([&*error.message]).collect();
        all.join(" ")
    });
    Outcome::Failed(answer.failure(&RULES, &said.unwrap_or_else(|| answer.text()), secrets))
}
