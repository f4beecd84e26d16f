//! Web Push: straight to the browser's own push service, signed with our own keys (RFC 8030, 8291 and 8292).
//!
//! The endpoint comes from a browser, so from anybody: it is called only where the guard allows, and no answer of one
//! endpoint counts against the provider as a whole.

mod encrypt;

use std::fmt;

use chrono::Utc;
use protocol::notification::FailureClass::{PermanentMessage, PermanentRecipient, Retryable};
use protocol::notification::Transport;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use self::encrypt::{PLAIN_BYTES_MAX, encrypt};
use crate::address::{Address, Subscription};
use crate::classify::{Rule, status, within};
use crate::http::{Answer, Broken, Http};
use crate::outgoing::{Outgoing, cut};
use crate::provider::{Dedup, Outcome, Provider, Sending};
use crate::vapid::{Contact, VapidKey};

/// The longest that push services keep a message: four weeks.
const TTL_SECONDS_MAX: u64 = 28 * 24 * 3600;

/// What push services' refusals mean. None is the operator's: anybody may name an endpoint that answers 401, which must
/// not stop pushes to everybody else.
const RULES: [Rule; 9] = [
    status(404, PermanentRecipient),
    status(410, PermanentRecipient),
    status(413, PermanentMessage),
    // The signature, or a subscription of another key pair.
    within(401, 403, Retryable),
    status(429, Retryable),
    status(408, Retryable),
    within(400, 499, PermanentMessage),
    within(500, 599, Retryable),
    within(300, 399, Retryable),
];

/// How pushes are signed.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// The installation's key pair.
    pub key: VapidKey,
    /// Whom push services may write to.
    pub contact: Contact,
}

/// Push by the browsers' own push services.
pub struct WebPush {
    config: Config,
    http: Http,
}

impl fmt::Debug for WebPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPush").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl WebPush {
    /// Sends nothing yet.
    pub fn new(config: Config, http: Http) -> Self {
        Self { config, http }
    }

    async fn push(&self, outgoing: &Outgoing) -> Outcome {
        let Address::WebPush(to) = &outgoing.to else { return Outcome::wrong_address("browsers' push subscriptions") };
        let Some(payload) = payload(outgoing) else {
            return Outcome::failed(PermanentMessage, "it is too long to push");
        };
        let Ok(body) = encrypt(to, &payload) else { return Outcome::failed(Retryable, "it could not be encrypted") };
        let answer = match self.request(outgoing, to, body) {
            Ok(request) => self.http.send(request).await,
            Err(broken) => Err(broken),
        };
        match answer {
            Ok(answer) => outcome(&answer, to),
            // An endpoint that may not be called never will be.
            Err(broken) => broken.outcome(PermanentRecipient),
        }
    }

    fn request(&self, outgoing: &Outgoing, to: &Subscription, body: Vec<u8>) -> Result<RequestBuilder, Broken> {
        let content = &outgoing.content;
        let origin = Url::parse(to.endpoint()).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let signature = self.config.key.authorization(&origin, &self.config.contact, Utc::now());
        let mut signature = HeaderValue::from_str(&signature).map_err(|_| Broken::NotSent("no signature"))?;
        signature.set_sensitive(true);
        let mut request = self
            .http
            .post(to.endpoint())?
            .header(AUTHORIZATION, signature)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_ENCODING, "aes128gcm")
            .header("TTL", content.ttl.as_secs().min(TTL_SECONDS_MAX))
            .header("Urgency", if content.urgent { "high" } else { "normal" });
        if let Some(key) = &content.collapse_key {
            request = request.header("Topic", crate::onesignal::topic(key));
        }
        Ok(request.body(body))
    }
}

impl Provider for WebPush {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn transport(&self) -> Transport {
        Transport::Push
    }

    /// A message still waiting is replaced by the next of its topic; one already shown, by the next with its tag.
    fn dedup(&self) -> Dedup {
        Dedup::Soft
    }

    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a> {
        Box::pin(self.push(outgoing))
    }
}

fn outcome(answer: &Answer, to: &Subscription) -> Outcome {
    match answer.is_success() {
        // What the body says does not matter: the status is the answer (RFC 8030, 5).
        true => Outcome::Sent { message_id: None, note: None },
        false => Outcome::Failed(answer.failure(&RULES, &answer.text(), &[to.endpoint()])),
    }
}

/// What our service worker reads: `{id, title, body, link?, image?, tag?, data?}`. Where it is too long, the data goes
/// first, then the picture, then the end of the text.
fn payload(outgoing: &Outgoing) -> Option<Vec<u8>> {
    let content = &outgoing.content;
    let text = cut(&content.text, PLAIN_BYTES_MAX);
    let mut payload = json!({ "id": outgoing.id, "title": cut(&content.title, 200), "body": text });
    // The delivery itself where nothing replaces it: sent twice, it shows once.
    payload["tag"] = content.collapse_key.clone().map_or_else(|| outgoing.id.to_string().into(), Value::from);
    if let Some(link) = &content.link {
        payload["link"] = link.as_str().into();
    }
    if let Some(image) = &content.image {
        payload["image"] = image.as_str().into();
    }
    if !content.data.is_empty() {
        payload["data"] = Value::Object(content.data.clone());
    }
    for part in ["data", "image"] {
        if payload.to_string().len() > PLAIN_BYTES_MAX {
            payload.as_object_mut()?.remove(part);
        }
    }
    let mut chars = text.chars().count();
    while payload.to_string().len() > PLAIN_BYTES_MAX && chars > 0 {
        let over = payload.to_string().len() - PLAIN_BYTES_MAX;
        // A character takes six bytes at most, as an escape: what is left out is never more than needed by much.
        chars = chars.saturating_sub((over / 6).max(1));
        payload["body"] = cut(&text, chars).into();
    }
    let payload = payload.to_string();
    (payload.len() <= PLAIN_BYTES_MAX).then(|| payload.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::notification::DeliveryId;

    use super::*;
    use crate::outgoing::Content;

    #[test]
    fn a_long_push_is_cut_where_it_hurts_least() {
        let content = |text: &str| Content {
            title: "T".repeat(10_000),
            text: text.to_owned(),
            html: None,
            link: Some("https://a.example/x".parse().unwrap()),
            image: Some("https://a.example/i".parse().unwrap()),
            data: [("k".to_owned(), "v".repeat(3000).into())].into_iter().collect(),
            collapse_key: None,
            ttl: Duration::ZERO,
            urgent: false,
            unsubscribe: None,
        };
        let sent = |text: &str| {
            let to = Address::Fcm("t".parse().unwrap());
            let outgoing = Outgoing { id: DeliveryId::mint(), to, content: content(text) };
            let payload = super::payload(&outgoing).unwrap();
            assert!(payload.len() <= PLAIN_BYTES_MAX);
            serde_json::from_slice::<Value>(&payload).unwrap()
        };
        assert!(sent("short")["data"].is_object());
        let middling = sent(&"x".repeat(1000));
        assert_eq!((&middling["data"], &middling["image"]), (&Value::Null, &"https://a.example/i".into()));
        for text in ["x".repeat(100_000), "\u{1}".repeat(100_000), "😀".repeat(10_000)] {
            let long = sent(&text);
            assert_eq!(long["link"], "https://a.example/x");
            let body = long["body"].as_str().unwrap();
            assert!(body.ends_with('…') && body.chars().count() > 500, "{}", body.chars().count());
        }
    }
}
