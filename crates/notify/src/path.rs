//! Paths into an event, such as `post.authorId`.

use std::fmt;

use protocol::UserId;
use serde_json::{Map, Value};

/// The most parts of a path.
const PARTS_MAX: usize = 8;

/// Where in an event a value stands: keys with dots between. It may begin with `actor`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Path(String);

/// Text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path: 1 to {PARTS_MAX} keys of letters, digits, _ and - with dots between, such as post.authorId")]
pub struct InvalidPath(String);

/// What stands at a path cannot name users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoUsers {
    /// Nothing stands there.
    #[error("the event has no {0}")]
    Missing(String),
    /// Something else does.
    #[error("{0} is no user id, and no list of them")]
    NotAnId(String),
}

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPath> {
        let part = |part: &str| {
            (1..=64).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        match text.split('.').count() <= PARTS_MAX && text.split('.').all(part) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidPath(text.to_owned())),
        }
    }

    pub(crate) fn begins_with(&self, part: &str) -> bool {
        self.0.split('.').next() == Some(part)
    }

    /// What stands there; none if a key on the way is missing.
    pub(crate) fn find<'a>(&self, scope: &'a Map<String, Value>) -> Option<&'a Value> {
        let mut parts = self.0.split('.');
        let first = scope.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.as_object()?.get(part))
    }

    /// The ids that stand there, each once: one, or a list. `null` is nobody: an author who is gone, say.
    pub(crate) fn users(&self, scope: &Map<String, Value>) -> Result<Vec<UserId>, NoUsers> {
        let not_an_id = || NoUsers::NotAnId(self.0.clone());
        let mut users = match self.find(scope).ok_or_else(|| NoUsers::Missing(self.0.clone()))? {
            Value::Null => Vec::new(),
            Value::Array(ids) => ids.iter().map(user).collect::<Option<Vec<_>>>().ok_or_else(not_an_id)?,
            id => vec![user(id).ok_or_else(not_an_id)?],
        };
        let mut seen = std::collections::HashSet::new();
        users.retain(|user| seen.insert(user.clone()));
        Ok(users)
    }

    /// What stands there as a plain word: text, or a whole number.
    pub(crate) fn word(&self, scope: &Map<String, Value>) -> Option<String> {
        self.find(scope).and_then(word).filter(|word| !word.is_empty())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn user(id: &Value) -> Option<UserId> {
    UserId::try_from(word(id)?).ok()
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Map<String, Value> {
        let scope =
            json!({ "post": { "authorId": "7", "n": 8, "gone": null, "all": ["a", 1, "a"], "bad": ["a", {}] } });
        scope.as_object().unwrap().clone()
    }

    fn users(path: &str) -> Result<Vec<String>, NoUsers> {
        let users = Path::parse(path).unwrap().users(&scope())?;
        Ok(users.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_path_leads_to_users() {
        assert_eq!(users("post.authorId").unwrap(), ["7"]);
        assert_eq!(users("post.n").unwrap(), ["8"]);
        assert_eq!(users("post.all").unwrap(), ["a", "1"]);
        assert!(users("post.gone").unwrap().is_empty());
        assert_eq!(users("post.nothing"), Err(NoUsers::Missing("post.nothing".into())));
        assert_eq!(users("post.n.x"), Err(NoUsers::Missing("post.n.x".into())));
        assert_eq!(users("post"), Err(NoUsers::NotAnId("post".into())));
        assert_eq!(users("post.bad"), Err(NoUsers::NotAnId("post.bad".into())));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in ["", ".", "a.", "a..b", "a b", "a[0]", "$.a", "a.b.c.d.e.f.g.h.i", &"x".repeat(65)] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
