//! Rules: which event tells whom what. Checked whole when the configuration is read.

use chrono::TimeDelta;
use protocol::domain_event::is_event_name;
use protocol::notification::{Category, NotificationType, Transport};
use serde_json::Value;

use crate::Locale;
use crate::config::{RemindersConfig, RuleConfig, TextConfig};
use crate::engine::Engine;
use crate::language::TemplateError;
use crate::link::{self, InvalidLink};
use crate::path::{InvalidPath, Path};

/// The longest that a transport may wait, and the longest that a reminder may come before: 90 days.
const SECONDS_MAX: u32 = 90 * 24 * 60 * 60;
/// The most reminders of one rule.
const REMINDERS_MAX: usize = 8;

/// A rule that cannot be one; `rule` and `key` say where.
#[derive(Debug, thiserror::Error)]
#[error("rule {rule}: {key}: {reason}")]
pub struct RuleError {
    /// The rule's name.
    pub rule: String,
    /// The key that is at fault, such as `texts.id.title`.
    pub key: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a key of a rule.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Something that only this key demands.
    #[error("{0}")]
    Demand(String),
    /// A template or an expression that is none.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A path that is none.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A link that may lead anywhere.
    #[error(transparent)]
    Link(#[from] InvalidLink),
}

impl Reason {
    pub(crate) fn demand(text: &str) -> Self {
        Self::Demand(text.to_owned())
    }
}

/// Where the recipients stand.
#[derive(Debug)]
pub(crate) enum Recipients {
    Users(Path),
    Subscribers { target_type: String, target_id: Path },
    Members(Path),
}

/// When to remind.
#[derive(Debug)]
pub(crate) struct Reminders {
    pub(crate) at: Path,
    /// The longest first, so that the soonest to be sent is.
    pub(crate) minutes_before: Vec<u32>,
    pub(crate) replan_on: Vec<String>,
    pub(crate) cancel_on: Vec<String>,
}

/// A rule; its templates are in the engine, under [`template_name`]s.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) event: String,
    pub(crate) recipients: Recipients,
    pub(crate) exclude: Vec<Path>,
    pub(crate) equals: Vec<(Path, Value)>,
    pub(crate) when: Option<String>,
    pub(crate) r#type: NotificationType,
    pub(crate) category: Category,
    pub(crate) transports: Vec<(Transport, TimeDelta)>,
    pub(crate) expires: Option<TimeDelta>,
    pub(crate) collapse: bool,
    pub(crate) reminders: Option<Reminders>,
    link: bool,
    locales: Vec<Locale>,
}

/// What the templates of a rule are called in the engine. A rule's name has no slash, so names cannot meet.
pub(crate) mod template_name {
    use protocol::notification::Transport;

    use crate::Locale;
    use crate::engine::LINK;

    pub(crate) fn link(rule: &str) -> String {
        format!("{rule}{LINK}")
    }

    pub(crate) fn collapse(rule: &str) -> String {
        format!("{rule}/collapse")
    }

    pub(crate) fn reminders_key(rule: &str) -> String {
        format!("{rule}/reminders.key")
    }

    pub(crate) fn text(rule: &str, locale: Locale, part: &str) -> String {
        format!("{rule}/texts.{}.{part}", locale.as_str())
    }

    pub(crate) fn other(rule: &str, locale: Locale, transport: Transport, part: &str) -> String {
        format!("{rule}/texts.{}.{transport}.{part}", locale.as_str())
    }
}

impl Rule {
    /// Reads a rule and puts its templates into the engine; `category` knows the app's types.
    pub(crate) fn read(
        config: &RuleConfig,
        engine: &mut Engine,
        category: impl Fn(&str) -> Option<Category>,
    ) -> Result<Self, RuleError> {
        let fail = |key: &str, reason: Reason| RuleError { rule: config.name.clone(), key: key.to_owned(), reason };
        let path = |key: &str, text: &str| Path::parse(text).map_err(|error| fail(key, error.into()));
        for (key, name) in [("name", &config.name), ("event", &config.event)] {
            if !is_event_name(name) {
                return Err(fail(
                    key,
                    Reason::demand("words of a-z, 0-9 and _ with dots between, 64 characters at most"),
                ));
            }
        }
        let unknown = || fail("type", Reason::Demand(format!("there is no type {:?}", config.r#type)));
        let r#type = NotificationType::try_from(config.r#type.as_str()).map_err(|_| unknown())?;
        let category = category(r#type.as_str()).ok_or_else(unknown)?;
        if let Some(when) = &config.when {
            engine.check_expression(when).map_err(|error| fail("when", error.into()))?;
        }
        if let Some(link) = &config.link {
            link::check(link).map_err(|error| fail("link", error.into()))?;
            engine.add(template_name::link(&config.name), link).map_err(|error| fail("link", error.into()))?;
        }
        if let Some(collapse) = &config.collapse {
            engine
                .add(template_name::collapse(&config.name), collapse)
                .map_err(|error| fail("collapse", error.into()))?;
        }
        let equals = config.equals.iter().map(|(at, value)| Ok((path("equals", at)?, value.clone())));
        Ok(Self {
            name: config.name.clone(),
            event: config.event.clone(),
            recipients: recipients(config, &fail)?,
            exclude: config.exclude.iter().map(|at| path("exclude", at)).collect::<Result<_, _>>()?,
            equals: equals.collect::<Result<_, _>>()?,
            when: config.when.clone(),
            r#type,
            category,
            transports: transports(config, &fail)?,
            expires: config.expires_seconds.map(|seconds| TimeDelta::seconds(seconds.into())),
            collapse: config.collapse.is_some(),
            reminders: config.reminders.as_ref().map(|of| reminders(config, of, engine, &fail)).transpose()?,
            link: config.link.is_some(),
            locales: texts(config, engine, &fail)?,
        })
    }

    pub(crate) fn has_texts(&self, locale: Locale) -> bool {
        self.locales.contains(&locale)
    }

    pub(crate) fn link(&self) -> bool {
        self.link
    }

    /// Whether anything is to be done about events of this name.
    pub(crate) fn is_about(&self, event: &str) -> bool {
        let reminders = self.reminders.iter().flat_map(|of| of.replan_on.iter().chain(&of.cancel_on));
        self.event == event || reminders.into_iter().any(|name| name == event)
    }
}

fn recipients(config: &RuleConfig, fail: &impl Fn(&str, Reason) -> RuleError) -> Result<Recipients, RuleError> {
    let path = |key: &str, text: &str| Path::parse(text).map_err(|error| fail(key, error.into()));
    match (&config.recipients, &config.subscribers, &config.members) {
        (Some(at), None, None) => Ok(Recipients::Users(path("recipients", at)?)),
        (None, None, Some(at)) => Ok(Recipients::Members(path("members", at)?)),
        (None, Some(of), None) => {
            let word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if !(1..=32).contains(&of.target_type.len()) || !of.target_type.bytes().all(word) {
                return Err(fail(
                    "subscribers.target_type",
                    Reason::demand("1 to 32 of A-Z, 0-9 and _, such as GROUP"),
                ));
            }
            let target_id = path("subscribers.target_id", &of.target_id)?;
            Ok(Recipients::Subscribers { target_type: of.target_type.clone(), target_id })
        }
        _ => Err(fail("recipients", Reason::demand("one of recipients, subscribers and members says who is told"))),
    }
}

fn transports(
    config: &RuleConfig,
    fail: &impl Fn(&str, Reason) -> RuleError,
) -> Result<Vec<(Transport, TimeDelta)>, RuleError> {
    let mut transports = config.transports.clone();
    transports.sort();
    transports.dedup();
    if transports.is_empty() || transports.len() < config.transports.len() {
        return Err(fail("transports", Reason::demand("each at most once, and one at least")));
    }
    for (transport, seconds) in &config.delay_seconds {
        if !transports.contains(transport) || *seconds > SECONDS_MAX {
            let demand = format!("{transport} must be one of transports, and wait {SECONDS_MAX} seconds at most");
            return Err(fail("delay_seconds", Reason::Demand(demand)));
        }
    }
    if config.expires_seconds.is_some_and(|seconds| seconds == 0 || seconds > SECONDS_MAX) {
        return Err(fail("expires_seconds", Reason::Demand(format!("1 to {SECONDS_MAX}"))));
    }
    let delay = |transport| config.delay_seconds.get(&transport).copied().unwrap_or(0);
    if transports.iter().any(|transport| config.expires_seconds.is_some_and(|expires| expires <= delay(*transport))) {
        return Err(fail("expires_seconds", Reason::demand("must be longer than delay_seconds")));
    }
    Ok(transports.into_iter().map(|of| (of, TimeDelta::seconds(delay(of).into()))).collect())
}

fn reminders(
    config: &RuleConfig,
    of: &RemindersConfig,
    engine: &mut Engine,
    fail: &impl Fn(&str, Reason) -> RuleError,
) -> Result<Reminders, RuleError> {
    let at = Path::parse(&of.at).map_err(|error| fail("reminders.at", error.into()))?;
    let key = template_name::reminders_key(&config.name);
    engine.add(key, &of.key).map_err(|error| fail("reminders.key", error.into()))?;
    let mut minutes_before = of.minutes_before.clone();
    minutes_before.sort_by(|a, b| b.cmp(a));
    minutes_before.dedup();
    let within = minutes_before.iter().all(|minutes| (1..=SECONDS_MAX / 60).contains(minutes));
    if !(1..=REMINDERS_MAX).contains(&minutes_before.len()) || !within {
        let demand = format!("1 to {REMINDERS_MAX} of them, each of 1 to {} minutes", SECONDS_MAX / 60);
        return Err(fail("reminders.minutes_before", Reason::Demand(demand)));
    }
    if !config.delay_seconds.is_empty() || config.expires_seconds.is_some() {
        return Err(fail("reminders", Reason::demand("have their own times: no delay_seconds, no expires_seconds")));
    }
    for (key, names) in [("reminders.replan_on", &of.replan_on), ("reminders.cancel_on", &of.cancel_on)] {
        if let Some(bad) = names.iter().find(|name| !is_event_name(name) || **name == config.event) {
            return Err(fail(key, Reason::Demand(format!("{bad:?} is no name of another event"))));
        }
    }
    let (replan_on, cancel_on) = (of.replan_on.clone(), of.cancel_on.clone());
    Ok(Reminders { at, minutes_before, replan_on, cancel_on })
}

/// Puts the texts into the engine; the languages that there are.
fn texts(
    config: &RuleConfig,
    engine: &mut Engine,
    fail: &impl Fn(&str, Reason) -> RuleError,
) -> Result<Vec<Locale>, RuleError> {
    let mut locales = Vec::new();
    for locale in Locale::ALL {
        let Some(texts) = config.texts.of(locale) else { continue };
        for (name, source) in sources(&config.name, locale, texts) {
            let key = name.split_once('/').map_or("texts", |(_, key)| key).to_owned();
            engine.add(name, source).map_err(|error| fail(&key, error.into()))?;
        }
        if texts.title.trim().is_empty() {
            return Err(fail(&format!("texts.{}.title", locale.as_str()), Reason::demand("is empty")));
        }
        locales.push(locale);
    }
    if locales.is_empty() {
        return Err(fail("texts", Reason::demand("one language at least: id or en")));
    }
    Ok(locales)
}

fn sources<'a>(rule: &str, locale: Locale, texts: &'a TextConfig) -> Vec<(String, &'a str)> {
    let mut sources = vec![
        (template_name::text(rule, locale, "title"), texts.title.as_str()),
        (template_name::text(rule, locale, "text"), texts.text.as_str()),
    ];
    for transport in Transport::ALL {
        let Some(other) = texts.other(transport) else { continue };
        for (part, source) in [("title", &other.title), ("text", &other.text)] {
            let source = source.as_deref().map(|source| (template_name::other(rule, locale, transport, part), source));
            sources.extend(source);
        }
    }
    sources
}
