//! Defaults, file and environment become one table; the table becomes [`Settings`].

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use figment::Figment;
use figment::error::Kind;
use figment::providers::Serialized;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::{BadSetting, Settings};

/// The embedded file that holds every default and documents every key.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");
/// Read when it is there and no other file is named.
const FILE: &str = "kabar.toml";
const PREFIX: &str = "KABAR__";
/// Keys without a default whose values are no strings: a variable's text is read as JSON.
const STRUCTURED: [&str; 9] =
    ["apps", "api_keys", "public_keys", "policy", "trusted_proxies", "webhooks", "events", "headers", "batching"];

/// What was read, to be compared with what is read later. Shows nothing of itself: there are secrets in it.
#[derive(Clone, Default)]
pub(super) struct Read(Table);

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read(…)")
    }
}

impl Read {
    /// The keys other than `apps` whose values are not the same in both.
    pub(super) fn differs(&self, other: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        differing("", &self.0, &other.0, &mut keys);
        keys.retain(|key| key != "apps");
        keys
    }
}

fn differing(path: &str, ours: &Table, theirs: &Table, keys: &mut Vec<String>) {
    let only_theirs = theirs.iter().filter(|(key, _)| !ours.contains_key(*key)).map(|(key, _)| key);
    for key in ours.keys().chain(only_theirs) {
        match (ours.get(key), theirs.get(key)) {
            (Some(Value::Table(ours)), Some(Value::Table(theirs))) => {
                differing(&format!("{path}{key}."), ours, theirs, keys);
            }
            (ours, theirs) if ours != theirs => keys.push(format!("{path}{key}")),
            _ => {}
        }
    }
}

/// A time with its offset, as RFC 3339 writes it; TOML's own form without quotes is the same.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    const WRONG: &str = "must be a time as in RFC 3339, such as \"2026-12-01T00:00:00Z\"";
    let text = Option::<String>::deserialize(deserializer)?;
    let parsed = text.map(|text| DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc())).transpose();
    parsed.map_err(|_| serde::de::Error::custom(WRONG))
}

pub(super) fn read(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, BadSetting> {
    let defaults: Table = DEFAULTS.parse().expect("config.default.toml is TOML: a test reads it");
    let mut table = defaults.clone();
    let named =
        file.map(Path::to_owned).or_else(|| Some(FILE.into()).filter(|path: &std::path::PathBuf| path.exists()));
    if let Some(path) = named {
        merge(&mut table, read_file(&path)?);
    }
    let mut variables: Vec<_> = environment
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    // KABAR__APPS before KABAR__APPS__0__KEY, whatever order the environment has.
    variables.sort();
    for (name, text) in variables {
        set(&mut table, &defaults, &name, text)?;
    }
    table.iter_mut().for_each(|(_, value)| write_times(value));
    let settings: Settings = Figment::from(Serialized::defaults(&table)).extract().map_err(|error| bad(&error))?;
    Ok(Settings { read: Read(table), ..settings })
}

/// Turns TOML's own times into text, which is what they are in the environment.
fn write_times(value: &mut Value) {
    match value {
        Value::Datetime(time) => *value = Value::String(time.to_string()),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| write_times(value)),
        Value::Array(list) => list.iter_mut().for_each(write_times),
        _ => {}
    }
}

fn read_file(path: &Path) -> Result<Table, BadSetting> {
    let failed = |why: String| BadSetting::new(path.display().to_string(), why);
    let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    // The parser's own display is many lines and quotes the source, secrets with it.
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        failed(format!("line {line} is no TOML: {}", error.message().lines().next().unwrap_or_default()))
    })
}

/// Tables merge key by key; everything else, lists as well, is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// Puts a variable where its name says: `KABAR__A__B__0__C` is `a.b[0].c`.
fn set(table: &mut Table, defaults: &Table, name: &str, text: OsString) -> Result<(), BadSetting> {
    let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let failed = |why: &str| BadSetting::new(path.join("."), format!("{why} (from the variable {name})"));
    let text = text.into_string().map_err(|_| failed("is not UTF-8"))?;
    let value = value_at(defaults, &path, &text).map_err(failed)?;
    let (last, parents) = path.split_last().expect("split yields one piece at least");
    let mut root = Value::Table(std::mem::take(table));
    let mut place = &mut root;
    for (depth, step) in parents.iter().enumerate() {
        let next_is_index = path[depth + 1].parse::<usize>().is_ok();
        let empty = || if next_is_index { Value::Array(Vec::new()) } else { Value::Table(Table::new()) };
        place = child(place, step, empty).ok_or_else(|| failed("is not a known key"))?;
    }
    *child(place, last, || Value::Boolean(false)).ok_or_else(|| failed("is not a known key"))? = value;
    if let Value::Table(filled) = root {
        *table = filled;
    }
    Ok(())
}

/// The value under a key or index, made where it is missing; an index may only be the next one.
fn child<'a>(value: &'a mut Value, step: &str, empty: impl FnOnce() -> Value) -> Option<&'a mut Value> {
    match value {
        Value::Table(table) => Some(table.entry(step).or_insert_with(empty)),
        Value::Array(list) => {
            let index: usize = step.parse().ok()?;
            if index == list.len() {
                list.push(empty());
            }
            list.get_mut(index)
        }
        _ => None,
    }
}

/// A variable is text; what it means depends on the key.
fn value_at(defaults: &Table, path: &[String], text: &str) -> Result<Value, &'static str> {
    let mut default = None;
    let mut table = Some(defaults);
    for step in path {
        default = table.and_then(|table| table.get(step));
        table = default.and_then(Value::as_table);
    }
    let named = path.last().is_some_and(|last| STRUCTURED.contains(&last.as_str()));
    // `apps.0.policy.…`: its keys are of many types, and have no default here.
    let in_policy = path.first().is_some_and(|first| first == "apps") && path.get(2).is_some_and(|key| key == "policy");
    match default {
        Some(Value::Integer(_)) => text.trim().parse().map(Value::Integer).map_err(|_| "must be a whole number"),
        Some(Value::Boolean(_)) => text.trim().parse().map(Value::Boolean).map_err(|_| "must be true or false"),
        Some(Value::Array(_)) => serde_json::from_str(text).map_err(|_| "must be JSON"),
        None if named => serde_json::from_str(text).map_err(|_| "must be JSON"),
        None if in_policy => Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// Says what is wrong without repeating the value, which may be a secret.
pub(super) fn bad(error: &figment::Error) -> BadSetting {
    let mut path = error.path.clone();
    let why = match &error.kind {
        Kind::UnknownField(field, known) => {
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            format!("is not a known key; known here: {}", known.join(", "))
        }
        Kind::MissingField(field) => {
            path.push(field.to_string());
            "must be set".to_owned()
        }
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("must be {expected}"),
        Kind::Message(message) => message.lines().next().unwrap_or_default().to_owned(),
        _ => "cannot be read".to_owned(),
    };
    BadSetting::new(path.join("."), why)
}
