//! Events and rules become what is to be done.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::domain_event::DomainEvent;
use protocol::{RoomId, UserId};
use serde_json::{Map, Value};

use crate::engine::RenderError;
use crate::moment::Moment;
use crate::path::{NoUsers, Path};
use crate::planned::{Action, Due, Planned, Recipient};
use crate::rule::{Recipients, Reminders, Rule, template_name};
use crate::rules::Rules;
use crate::{Locale, text};

/// The most characters of a collapse key or of reminders' key.
const KEY_CHARS_MAX: usize = 200;

/// An event that a rule is about, but cannot be planned: what it lacks is named.
#[derive(Debug, thiserror::Error)]
#[error("rule {rule}: {reason}")]
pub struct PlanError {
    /// The rule's name.
    pub rule: String,
    /// What is wrong.
    pub reason: Unplannable,
}

/// Why a rule cannot be applied to an event.
#[derive(Debug, thiserror::Error)]
pub enum Unplannable {
    /// Something is missing at a path.
    #[error("the event has no {0}")]
    Missing(String),
    /// No users stand where they should.
    #[error(transparent)]
    Users(#[from] NoUsers),
    /// No id stands where it should.
    #[error("{0} is no id")]
    NotAnId(String),
    /// No time stands where it should.
    #[error("{0} is no time with its zone, such as 2026-11-23T14:30:00+07:00")]
    NotATime(String),
    /// A text, a link or a condition cannot be made.
    #[error("{key}: {source}")]
    Render {
        /// The key of the rule.
        key: String,
        /// Why.
        source: RenderError,
    },
    /// A key is empty or too long.
    #[error("{0}: makes no key of 1 to {KEY_CHARS_MAX} characters")]
    Key(&'static str),
}

/// An event, as rules see it.
struct Scene<'a> {
    event: &'a DomainEvent,
    /// The data, with the actor; `null` stands there.
    raw: Map<String, Value>,
    /// The same for texts: cleaned, and what is `null` is not there.
    clean: Map<String, Value>,
    now: DateTime<Utc>,
}

impl Rules {
    /// What is to be done about this event; nothing if no rule is about it, or none holds.
    ///
    /// Each text is rendered once here, so an event that lacks what a text names is refused whole, before anybody has
    /// been told. `now` is when sending may begin; reminders that would have been before are left out.
    pub fn plan(&self, event: &DomainEvent, now: DateTime<Utc>) -> Result<Vec<Action>, PlanError> {
        let mut raw = event.data().clone();
        raw.insert("occurredAt".into(), event.occurred_at().to_rfc3339().into());
        if let Some(actor) = event.actor() {
            raw.insert("actor".into(), serde_json::to_value(actor).expect("an actor is an object of strings"));
        }
        let mut clean = cleaned(&raw);
        if let (Some(actor), Some(scope)) = (event.actor(), clean.get_mut("actor")) {
            // A name of several paragraphs would speak for us.
            scope["name"] = text::one_line(&text::clean(&actor.name)).into();
        }
        let scene = Scene { clean, raw, event, now };
        let mut actions = Vec::new();
        for rule in self.about(event.name()) {
            let planned = self.apply(rule, &scene);
            actions.extend(planned.map_err(|reason| PlanError { rule: rule.name.clone(), reason })?);
        }
        Ok(actions)
    }

    fn apply(&self, rule: &Rule, scene: &Scene<'_>) -> Result<Vec<Action>, Unplannable> {
        let as_of = scene.event.occurred_at();
        let Some(reminders) = &rule.reminders else {
            if !self.holds(rule, scene)? {
                return Ok(Vec::new());
            }
            let planned = self.planned(rule, scene, None, |transport, delay| {
                let send_at = scene.now + delay;
                Due { transport, send_at, expires_at: rule.expires.map(|expires| scene.now + expires) }
            })?;
            return Ok(planned.into_iter().map(Box::new).map(Action::Notify).collect());
        };
        let key = self.key("reminders.key", &template_name::reminders_key(&rule.name), scene)?;
        if reminders.cancel_on.iter().any(|name| name == scene.event.name()) || !self.holds(rule, scene)? {
            return Ok(vec![Action::Cancel { key, as_of }]);
        }
        let planned = self.reminders(rule, reminders, scene)?;
        Ok(vec![Action::Replan { key, as_of, planned }])
    }

    fn holds(&self, rule: &Rule, scene: &Scene<'_>) -> Result<bool, Unplannable> {
        for (path, wanted) in &rule.equals {
            if path.find(&scene.raw).ok_or_else(|| Unplannable::Missing(path.to_string()))? != wanted {
                return Ok(false);
            }
        }
        let Some(when) = &rule.when else { return Ok(true) };
        let holds = self.engine.holds(when, &scene.clean);
        holds.map_err(|source| Unplannable::Render { key: "when".into(), source })
    }

    fn reminders(&self, rule: &Rule, of: &Reminders, scene: &Scene<'_>) -> Result<Vec<Planned>, Unplannable> {
        let at = of.at.find(&scene.raw).ok_or_else(|| Unplannable::Missing(of.at.to_string()))?;
        let Some(Moment::At(at)) = at.as_str().and_then(Moment::parse) else {
            return Err(Unplannable::NotATime(of.at.to_string()));
        };
        let mut planned = Vec::new();
        for minutes in &of.minutes_before {
            let send_at = at - TimeDelta::minutes((*minutes).into());
            if send_at > scene.now {
                let due = |transport, _| Due { transport, send_at, expires_at: Some(at) };
                planned.extend(self.planned(rule, scene, Some(*minutes), due)?);
            }
        }
        Ok(planned)
    }

    /// One for each recipient; `reminder` is how many minutes before something begins they are told.
    fn planned(
        &self,
        rule: &Rule,
        scene: &Scene<'_>,
        reminder: Option<u32>,
        due: impl Fn(protocol::notification::Transport, TimeDelta) -> Due,
    ) -> Result<Vec<Planned>, Unplannable> {
        let recipients = recipients(rule, &scene.raw)?;
        let mut scope = scene.clean.clone();
        let mut dedupe = format!("{}/{}", rule.name, scene.event.id());
        if let Some(minutes) = reminder {
            scope.insert("reminder".into(), serde_json::json!({ "minutesBefore": minutes }));
            dedupe.push_str(&format!("/{minutes}"));
        }
        self.try_texts(rule, &scope)?;
        let collapse_key = match rule.collapse {
            true => Some(self.key("collapse", &template_name::collapse(&rule.name), scene)?),
            false => None,
        };
        // One for all of them: a list may hold thousands.
        let scope = Arc::new(scope);
        let planned = recipients.into_iter().map(|recipient| Planned {
            rule: rule.name.clone(),
            source_event: scene.event.id().clone(),
            dedupe: dedupe.clone(),
            recipient,
            r#type: rule.r#type.clone(),
            category: rule.category.clone(),
            transports: rule.transports.iter().map(|(transport, delay)| due(*transport, *delay)).collect(),
            collapse_key: collapse_key.clone(),
            actor: scene.event.actor().cloned(),
            scope: Arc::clone(&scope),
        });
        Ok(planned.collect())
    }

    /// Renders every text of the rule, so that what is missing is known now.
    fn try_texts(&self, rule: &Rule, scope: &Map<String, Value>) -> Result<(), Unplannable> {
        for locale in Locale::ALL.into_iter().filter(|locale| rule.has_texts(*locale)) {
            let reader = self.reader(Some(locale.as_str()), None, "");
            for (transport, _) in &rule.transports {
                self.render_rule(rule, scope, *transport, &reader).map_err(|source| Unplannable::Render {
                    key: format!("texts.{}, {transport}", locale.as_str()),
                    source,
                })?;
            }
        }
        Ok(())
    }

    fn key(&self, key: &'static str, template: &str, scene: &Scene<'_>) -> Result<String, Unplannable> {
        let made = self.engine.render(template, &scene.clean);
        let made = made.map_err(|source| Unplannable::Render { key: key.to_owned(), source })?;
        let made = text::one_line(&made);
        if made.is_empty() || made.chars().count() > KEY_CHARS_MAX { Err(Unplannable::Key(key)) } else { Ok(made) }
    }
}

fn recipients(rule: &Rule, raw: &Map<String, Value>) -> Result<Vec<Recipient>, Unplannable> {
    let exclude = excluded(&rule.exclude, raw)?;
    let id = |path: &Path| match path.find(raw) {
        None | Some(Value::Null) => Err(Unplannable::Missing(path.to_string())),
        Some(_) => path.word(raw).ok_or_else(|| Unplannable::NotAnId(path.to_string())),
    };
    match &rule.recipients {
        Recipients::Users(path) => {
            let users = path.users(raw)?.into_iter().filter(|user| !exclude.contains(user));
            Ok(users.map(|user_id| Recipient::User { user_id }).collect())
        }
        Recipients::Subscribers { target_type, target_id } => {
            let target_id = id(target_id)?;
            Ok(vec![Recipient::Subscribers { target_type: target_type.clone(), target_id, exclude }])
        }
        Recipients::Members(path) => {
            let room_id: RoomId = id(path)?.parse().map_err(|_| Unplannable::NotAnId(path.to_string()))?;
            Ok(vec![Recipient::Members { room_id, exclude }])
        }
    }
}

/// Who is not told. An event without an actor excludes none; anything else that is missing is an error, lest somebody
/// hears of their own doings because of a slip in a path.
fn excluded(paths: &[Path], raw: &Map<String, Value>) -> Result<Vec<UserId>, Unplannable> {
    let mut excluded = Vec::new();
    for path in paths {
        if !path.begins_with("actor") || raw.contains_key("actor") {
            excluded.extend(path.users(raw)?);
        }
    }
    Ok(excluded)
}

/// The map without `null`s, its texts cleaned.
fn cleaned(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), clean(value))).collect()
}

fn clean(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text::clean(text)),
        Value::Array(values) => Value::Array(values.iter().filter(|value| !value.is_null()).map(clean).collect()),
        Value::Object(map) => Value::Object(cleaned(map)),
        other => other.clone(),
    }
}
