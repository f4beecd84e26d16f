//! The rules of one app: the built-in ones, and its own.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use protocol::notification::{Category, NotificationType, builtin_category};
use serde::Deserialize;

use crate::config::{Limits, RuleConfig, TriggersConfig};
use crate::engine::Engine;
use crate::link::BaseUrl;
use crate::rule::{Reason, Rule, RuleError};
use crate::{Locale, layout};

/// The rules that every app has, in the form in which an app writes its own.
const BUILTIN: &str = include_str!("builtin.toml");

/// A configuration of triggers that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key beside the rules.
    #[error("{key}: {reason}")]
    Key {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// Which domain events notify whom, with which texts; for one app. Cheap to share, costly to make.
pub struct Rules {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) base_url: BaseUrl,
    pub(crate) locale: Locale,
    pub(crate) time_zone: Tz,
    rules: BTreeMap<String, Rule>,
}

impl Rules {
    /// Reads an app's triggers. Every template and path is checked here; what cannot work is an error that names the
    /// rule and the key.
    pub fn new(config: &TriggersConfig, limits: Limits) -> Result<Self, ConfigError> {
        let key = |key, reason: String| ConfigError::Key { key, reason };
        let base_url = BaseUrl::parse(&config.base_url).map_err(|error| key("base_url", error.to_string()))?;
        let zone = |_| key("time_zone", format!("there is no time zone {:?}", config.time_zone));
        let time_zone = config.time_zone.parse().map_err(zone)?;
        let types = types(config)?;
        let category =
            |name: &str| types.get(name).cloned().or_else(|| Category::try_from(builtin_category(name)?).ok());

        let mut wanted = builtin();
        for name in &config.without {
            wanted.remove(name).ok_or_else(|| key("without", format!("there is no built-in rule {name:?}")))?;
        }
        let mut own = BTreeMap::new();
        for rule in &config.rules {
            if own.insert(rule.name.clone(), rule.clone()).is_some() {
                let reason = Reason::demand("another rule has this name");
                return Err(RuleError { rule: rule.name.clone(), key: "name".into(), reason }.into());
            }
        }
        wanted.extend(own);

        let mut engine = Engine::new(limits);
        layout::add(&mut engine);
        let mut rules = BTreeMap::new();
        for (name, rule) in wanted {
            rules.insert(name, Rule::read(&rule, &mut engine, category)?);
        }
        Ok(Self { engine, limits, base_url, locale: config.locale, time_zone, rules })
    }

    /// Whether any rule is about events of this name.
    pub fn knows(&self, event: &str) -> bool {
        self.about(event).next().is_some()
    }

    pub(crate) fn about(&self, event: &str) -> impl Iterator<Item = &Rule> {
        self.rules.values().filter(move |rule| rule.is_about(event))
    }

    pub(crate) fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.get(name)
    }
}

/// The built-in rules by name.
fn builtin() -> BTreeMap<String, RuleConfig> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Builtin {
        rules: Vec<RuleConfig>,
    }
    let Builtin { rules } = toml::from_str(BUILTIN).expect("builtin.toml holds rules");
    rules.into_iter().map(|rule| (rule.name.clone(), rule)).collect()
}

/// The app's own types.
fn types(config: &TriggersConfig) -> Result<BTreeMap<String, Category>, ConfigError> {
    let mut types = BTreeMap::new();
    for (name, category) in &config.types {
        let key = |reason: String| ConfigError::Key { key: "types", reason };
        let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if NotificationType::try_from(name.as_str()).is_err() || !name.bytes().all(upper) {
            return Err(key(format!("{name:?} is no type: 1 to 64 of A-Z, 0-9 and _")));
        }
        if builtin_category(name).is_some() {
            return Err(key(format!("{name} is a type that every app has")));
        }
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let parsed = Category::try_from(category.as_str()).ok().filter(|_| category.bytes().all(lower));
        let parsed = parsed.ok_or_else(|| key(format!("{category:?} is no category: 1 to 64 of a-z, 0-9 and _")))?;
        types.insert(name.clone(), parsed);
    }
    Ok(types)
}
