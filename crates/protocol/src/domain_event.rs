//! Domain events: what a backend says happened. Triggers decide who hears of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::brought_id;
use crate::notification::Actor;

brought_id! {
    /// The backend's own id of one domain event: the same id again is the same event, and notifies nobody again.
    EventId, "an event id", 128
}

/// The most bytes that the data of one domain event may have as JSON.
pub const DOMAIN_EVENT_BYTES_MAX: usize = 64 * 1024;
/// The most characters that an actor's name may have.
pub const ACTOR_NAME_CHARS_MAX: usize = 256;
/// The most characters of an event's name.
const NAME_CHARS_MAX: usize = 64;
/// Names that templates have beside the data, which the data therefore may not have.
const RESERVED: [&str; 5] = ["actor", "occurredAt", "reader", "reminder", "transport"];

/// Something that happened in a backend, such as `comment.created`; checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", rename_all = "camelCase")]
pub struct DomainEvent {
    id: EventId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
    data: Map<String, Value>,
    occurred_at: DateTime<Utc>,
}

/// As it comes in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    id: EventId,
    name: String,
    actor: Option<Actor>,
    #[serde(default)]
    data: Map<String, Value>,
    occurred_at: DateTime<Utc>,
}

/// What is wrong with a domain event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomainEvent {
    /// Its name is not one.
    #[error(
        "name: an event is named by words of a-z, 0-9 and _ with dots between, 64 characters at most, such as comment.created"
    )]
    Name,
    /// Its actor has no name, or too long a one.
    #[error("actor.name: must be 1 to {ACTOR_NAME_CHARS_MAX} characters")]
    ActorName,
    /// Its data is too large.
    #[error("data: has {0} bytes, at most {DOMAIN_EVENT_BYTES_MAX} are taken")]
    TooLarge(usize),
    /// Its data has a key that means something else.
    #[error("data.{0}: the name is taken")]
    Reserved(&'static str),
}

impl DomainEvent {
    /// An event, if it can be one.
    pub fn new(
        id: EventId,
        name: String,
        actor: Option<Actor>,
        data: Map<String, Value>,
        occurred_at: DateTime<Utc>,
    ) -> Result<Self, InvalidDomainEvent> {
        if !is_event_name(&name) {
            return Err(InvalidDomainEvent::Name);
        }
        if let Some(actor) = &actor {
            let chars = actor.name.chars().take(ACTOR_NAME_CHARS_MAX + 1).count();
            if !(1..=ACTOR_NAME_CHARS_MAX).contains(&chars) {
                return Err(InvalidDomainEvent::ActorName);
            }
        }
        if let Some(name) = RESERVED.iter().find(|name| data.contains_key(**name)) {
            return Err(InvalidDomainEvent::Reserved(name));
        }
        let bytes = serde_json::to_vec(&data).map_or(usize::MAX, |json| json.len());
        if bytes > DOMAIN_EVENT_BYTES_MAX {
            return Err(InvalidDomainEvent::TooLarge(bytes));
        }
        Ok(Self { id, name, actor, data, occurred_at })
    }

    /// Names it, for ever.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// What kind of thing happened, such as `comment.created`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who did it; none where nobody did, or nobody is named.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// What it is about, in the backend's own shape.
    pub fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// When it happened, by the backend's clock.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.occurred_at
    }
}

impl TryFrom<Unchecked> for DomainEvent {
    type Error = InvalidDomainEvent;
    fn try_from(event: Unchecked) -> Result<Self, InvalidDomainEvent> {
        Self::new(event.id, event.name, event.actor, event.data, event.occurred_at)
    }
}

/// Whether it can name an event: words of `a-z`, `0-9` and `_` with dots between, 64 characters at most.
pub fn is_event_name(name: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    name.len() <= NAME_CHARS_MAX && name.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: Value) -> Result<DomainEvent, String> {
        serde_json::from_value(event).map_err(|error| error.to_string())
    }

    #[test]
    fn an_event_reads_and_reads_again() {
        let json = json!({
            "id": "evt_1", "name": "comment.created", "actor": { "id": "7", "name": "Ani" },
            "data": { "post": { "id": 1 } }, "occurredAt": "2026-11-23T07:30:00Z",
        });
        let event = parse(json.clone()).unwrap();
        assert_eq!((event.id().as_str(), event.name()), ("evt_1", "comment.created"));
        assert_eq!(serde_json::to_value(&event).unwrap(), json);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let event = |key: &str, value: Value| {
            let mut event = json!({ "id": "e", "name": "a.b", "data": {}, "occurredAt": "2026-11-23T07:30:00Z" });
            event[key] = value;
            parse(event).unwrap_err()
        };
        for name in ["", "A", "a b", ".a", "a..b", "a.", &"a".repeat(65)] {
            assert!(event("name", name.into()).starts_with("name: "), "{name}");
        }
        assert!(event("id", "".into()).contains("an event id"));
        assert!(event("actor", json!({ "id": "1", "name": "x".repeat(257) })).starts_with("actor.name: "));
        assert!(event("actor", json!({ "id": "1", "name": "" })).starts_with("actor.name: "));
        assert!(event("data", json!({ "reader": 1 })).starts_with("data.reader: "));
        assert!(event("data", json!({ "text": "x".repeat(1 << 20) })).starts_with("data: has 1048"));
        assert!(event("data", json!([])).contains("expected a map"));
        assert!(event("dta", json!({})).contains("unknown field `dta`"));
    }
}
