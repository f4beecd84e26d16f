//! Which failure an answer is, as tables: what providers say changes, and then a row changes.

use std::time::Duration;

use protocol::notification::FailureClass;
use protocol::notification::FailureClass::{Operator, PermanentMessage, Retryable, Unknown};

/// Which statuses a rule is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Status {
    /// Any.
    Any,
    /// This one.
    Is(u16),
    /// From this one to that one, both included.
    Within(u16, u16),
}

/// A row: what was answered, and which failure that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    status: Status,
    /// In lower case, somewhere in what was said, compared without case; empty for anything.
    says: &'static str,
    pub(crate) class: FailureClass,
    /// How long to leave the provider alone where it does not say itself.
    pub(crate) retry_after: Option<Duration>,
}

/// A row for answers with a status, whatever they say.
pub(crate) const fn status(status: u16, class: FailureClass) -> Rule {
    Rule { status: Status::Is(status), says: "", class, retry_after: None }
}

/// A row for answers that say something, whatever their status.
pub(crate) const fn says(says: &'static str, class: FailureClass) -> Rule {
    Rule { status: Status::Any, says, class, retry_after: None }
}

/// A row for answers that say something and have a status.
pub(crate) const fn status_says(status: u16, says: &'static str, class: FailureClass) -> Rule {
    Rule { status: Status::Is(status), says, class, retry_after: None }
}

/// A row for answers with such a status, whatever they say.
pub(crate) const fn within(from: u16, to: u16, class: FailureClass) -> Rule {
    Rule { status: Status::Within(from, to), says: "", class, retry_after: None }
}

impl Rule {
    pub(crate) const fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(Duration::from_secs(seconds));
        self
    }

    fn fits(&self, status: u16, said: &str) -> bool {
        let status = match self.status {
            Status::Any => true,
            Status::Is(one) => status == one,
            Status::Within(from, to) => (from..=to).contains(&status),
        };
        status && said.contains(self.says)
    }
}

/// What a status means where a provider's own table does not say.
const USUAL: [Rule; 10] = [
    // An answer that nobody understood: it may be a proxy's, in front of a provider that has taken it.
    within(200, 299, Unknown),
    // Redirects are not followed: the base URL is wrong.
    within(300, 399, Operator),
    within(401, 403, Operator),
    // Of the path, not of the recipient: the base URL is wrong.
    within(404, 405, Operator),
    status(408, Retryable),
    status(425, Retryable),
    status(429, Retryable),
    within(400, 499, PermanentMessage),
    // A proxy has given up on a provider that may yet have taken it.
    status(504, Unknown),
    within(500, 599, Retryable),
];

/// What fits first in `rules`, then in [`USUAL`]; a status that is none is unknown.
pub(crate) fn classify(rules: &[Rule], status: u16, said: &str) -> Rule {
    let said = said.to_lowercase();
    let found = rules.iter().chain(&USUAL).find(|rule| rule.fits(status, &said));
    found.copied().unwrap_or(within(0, u16::MAX, Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::PermanentRecipient;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules =
            [says("blacklisted", PermanentRecipient), status_says(400, "token", Operator), status(418, Retryable)];
        for (code, said, class) in [
            (200, "Blacklisted", PermanentRecipient),
            (400, "bad TOKEN", Operator),
            (400, "other", PermanentMessage),
            (418, "", Retryable),
            (200, "thanks", Unknown),
            (302, "", Operator),
            (402, "", Operator),
            (422, "", PermanentMessage),
            (429, "", Retryable),
            (503, "", Retryable),
            (504, "", Unknown),
            (999, "", Unknown),
        ] {
            assert_eq!(classify(&rules, code, said).class, class, "{code} {said}");
        }
    }
}
