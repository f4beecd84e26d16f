//! Which operation a path and a method mean. The router of actix-web is not asked: it costs more than a publish does.

use std::borrow::Cow;

use protocol::signature::percent_decode;

use super::answer::Refused;

/// Stands for `/users/…` beside the segments below an app, none of which is empty there.
const BY_KEY: &str = "";

/// An operation, with what its path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation<'p> {
    PublishEvent,
    PublishBatch,
    PublishToChannel(Cow<'p, str>),
    ListChannels,
    GetChannel(Cow<'p, str>),
    ListUsers(Cow<'p, str>),
    GetStats(Cow<'p, str>),
    GetHistory(Cow<'p, str>),
    Terminate(Cow<'p, str>),
    TerminateByKey(Cow<'p, str>),
}

/// What is asked for, and of which app; one SDK names the app only by its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'p> {
    pub(super) app: Option<Cow<'p, str>>,
    pub(super) operation: Operation<'p>,
}

/// Whether a path belongs to the signed interface.
pub(super) fn is_signed(path: &str) -> bool {
    path.starts_with("/apps/") || path.starts_with("/users/") || path == "/apps"
}

impl<'p> Route<'p> {
    pub(super) fn find(method: &str, path: &'p str) -> Result<Self, Refused> {
        Self::of(method, path).ok_or_else(|| {
            let allow = crate::openapi::methods(path).join(", ");
            if allow.is_empty() { Refused::NotFound } else { Refused::MethodNotAllowed { allow } }
        })
    }

    fn of(method: &str, path: &'p str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let segments: [Option<&str>; 6] = std::array::from_fn(|_| segments.next());
        let named = |text: &'p str| Some(percent_decode(text, false)).filter(|text| !text.is_empty());
        let (app, rest) = match segments {
            [Some("apps"), Some(app), Some(kind), name, last, None] => (Some(named(app)?), (kind, name, last)),
            [Some("users"), user, last, None, ..] => (None, (BY_KEY, user, last)),
            _ => return None,
        };
        let operation = match (method, rest) {
            ("POST", ("events", None, None)) => Operation::PublishEvent,
            ("POST", ("batch_events", None, None)) => Operation::PublishBatch,
            ("GET", ("channels", None, None)) => Operation::ListChannels,
            ("GET", ("channels", Some(channel), None)) => Operation::GetChannel(named(channel)?),
            ("GET", ("channels", Some(channel), Some("users"))) => Operation::ListUsers(named(channel)?),
            ("GET", ("channels", Some(channel), Some("stats"))) => Operation::GetStats(named(channel)?),
            ("GET", ("channels", Some(channel), Some("history"))) => Operation::GetHistory(named(channel)?),
            ("POST", ("channels", Some(channel), Some("events"))) => Operation::PublishToChannel(named(channel)?),
            ("POST", ("users", Some(user), Some("terminate_connections"))) => Operation::Terminate(named(user)?),
            ("POST", (BY_KEY, Some(user), Some("terminate_connections"))) => Operation::TerminateByKey(named(user)?),
            _ => return None,
        };
        Some(Self { app, operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every path and method that the description has, and no more: what is served is described.
    #[test]
    fn exactly_what_is_described_is_routed() {
        let document: serde_json::Value = serde_json::from_str(&crate::openapi()).unwrap();
        let signed: Vec<_> =
            document["paths"].as_object().unwrap().iter().filter(|(path, _)| is_signed(path)).collect();
        let fill = |path: &str| path.replace("{id}", "1").replace("{channel}", "c").replace("{userId}", "u");
        let mut operations = Vec::new();
        for (path, item) in &signed {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
                let described = item.get(method.to_lowercase()).is_some();
                let path = fill(path);
                let found = Route::find(method, &path).map(|route| format!("{route:?}"));
                assert_eq!(found.is_ok(), described, "{method} {path}");
                operations.extend(found);
            }
        }
        operations.sort();
        operations.dedup();
        // Nine operations, and the one that is served under a second path.
        assert_eq!(operations.len(), 10, "{operations:#?}");
    }

    #[test]
    fn names_are_unescaped_and_nothing_else_is_served() {
        let name = |path| Route::find("GET", path).map(|route| route.operation);
        assert_eq!(name("/apps/1/channels/a%2Cb"), Ok(Operation::GetChannel("a,b".into())));
        assert_eq!(name("/apps/1/channels/a+b"), Ok(Operation::GetChannel("a+b".into())));
        for path in
            ["/apps", "/apps/", "/apps/1", "/apps/1/", "/apps//events", "/apps/1/channels/", "/apps/1/x", "/users/"]
        {
            assert_eq!(name(path), Err(Refused::NotFound), "{path}");
        }
        assert_eq!(name("/apps/1/channels/a/users/b"), Err(Refused::NotFound));
        let allow = |path| Route::find("DELETE", path).map(|_| ());
        assert_eq!(allow("/apps/1/events"), Err(Refused::MethodNotAllowed { allow: "POST".into() }));
        assert_eq!(allow("/apps/1/channels/a"), Err(Refused::MethodNotAllowed { allow: "GET".into() }));
    }
}
