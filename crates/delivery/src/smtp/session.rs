//! One message over one connection, and what a refusal of it means.

use std::error::Error as _;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::transport::smtp::response::Code;
use protocol::notification::FailureClass;
use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};

use super::message::Written;
use crate::provider::{Failed, Outcome};
use crate::redact::redact;

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To the end of `EHLO`, TLS included.
    Connect,
    /// `AUTH`.
    Auth,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`.
    Rcpt,
    /// `DATA`, until it may be sent.
    Data,
    /// The message itself: from here on it may have been taken.
    Content,
}

/// Why it did not go through.
#[derive(Debug)]
pub(super) enum Refused {
    /// lettre's word: a reply, or no reply.
    Smtp(lettre::transport::smtp::Error),
    /// The server does not offer STARTTLS, and nothing is said in the clear.
    NoTls,
    /// The server takes no password.
    NoAuth,
    /// The server does not take addresses beyond ASCII.
    NoUnicode,
}

impl From<lettre::transport::smtp::Error> for Refused {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        Self::Smtp(error)
    }
}

/// A row: in which phase (any, if none), how the reply's code and its enhanced code (RFC 3463) begin.
type Rule = (Option<Phase>, &'static str, &'static str, FailureClass);

/// What a mail server's refusals mean; the first row to fit decides.
const RULES: [Rule; 21] = [
    (None, "4", "", Retryable),
    (Some(Phase::Connect), "5", "", Operator),
    (Some(Phase::Auth), "5", "", Operator),
    (None, "530", "", Operator),
    (None, "534", "", Operator),
    (None, "535", "", Operator),
    // Policy: the sender, the relay, the reputation.
    (None, "5", "5.7.", Operator),
    (None, "5", "5.3.4", PermanentMessage),
    (None, "552", "", PermanentMessage),
    // The sender's address.
    (Some(Phase::Mail), "5", "", Operator),
    (None, "5", "5.1.7", Operator),
    (None, "5", "5.1.8", Operator),
    (None, "5", "5.1.", PermanentRecipient),
    (None, "5", "5.2.1", PermanentRecipient),
    // A full mailbox may be emptied: the address is not dead.
    (None, "5", "5.2.2", PermanentMessage),
    (None, "5", "5.2.3", PermanentMessage),
    (Some(Phase::Rcpt), "550", "", PermanentRecipient),
    (Some(Phase::Rcpt), "551", "", PermanentRecipient),
    (Some(Phase::Rcpt), "553", "", PermanentRecipient),
    (None, "5", "", PermanentMessage),
    (None, "", "", Unknown),
];

/// Sends it; what the server said to that.
pub(super) async fn send(
    connection: &mut AsyncSmtpConnection,
    mail: &Written,
    phase: &mut Phase,
) -> Result<String, Refused> {
    let mut parameters = Vec::new();
    let mut addresses = mail.envelope.from().into_iter().chain(mail.envelope.to());
    if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Refused::NoUnicode);
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    *phase = Phase::Mail;
    connection.command(Mail::new(mail.envelope.from().cloned(), parameters)).await?;
    *phase = Phase::Rcpt;
    for recipient in mail.envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), vec![])).await?;
    }
    *phase = Phase::Data;
    connection.command(Data).await?;
    *phase = Phase::Content;
    let reply = connection.message(&mail.bytes).await?;
    Ok(reply.message().collect::<Vec<_>>().join(" "))
}

/// What a refusal is.
pub(super) fn failure(phase: Phase, refused: &Refused, hidden: &[&str]) -> Outcome {
    let error = match refused {
        Refused::Smtp(error) => error,
        Refused::NoTls => return Outcome::failed(Operator, "the mail server offers no STARTTLS"),
        Refused::NoAuth => return Outcome::failed(Operator, "the mail server takes no user and password"),
        Refused::NoUnicode => {
            return Outcome::failed(PermanentMessage, "the mail server takes no address beyond ASCII");
        }
    };
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => {
            let code = number(code);
            let class = classify(phase, code, &said);
            Outcome::Failed(Failed { class, status: Some(code), retry_after: None, text: redact(&said, hidden) })
        }
        None if phase == Phase::Content => Outcome::failed(Unknown, redact(&format!("broke off: {said}"), hidden)),
        None if is_certificate(error) => Outcome::failed(Operator, redact(&format!("TLS: {said}"), hidden)),
        None => Outcome::failed(Retryable, redact(&format!("no connection: {said}"), hidden)),
    }
}

/// What it is to hear nothing in time.
pub(super) fn late(phase: Phase) -> Outcome {
    match phase {
        Phase::Content => Outcome::failed(Unknown, "no answer to the message in time"),
        _ => Outcome::failed(Retryable, "the mail server did not answer in time"),
    }
}

fn number(code: Code) -> u16 {
    code.severity as u16 * 100 + code.category as u16 * 10 + code.detail as u16
}

fn classify(phase: Phase, code: u16, said: &str) -> FailureClass {
    let code = code.to_string();
    let enhanced = said.split_whitespace().next().unwrap_or_default();
    let fits = |rule: &&Rule| {
        rule.0.is_none_or(|only| only == phase) && code.starts_with(rule.1) && enhanced.starts_with(rule.2)
    };
    RULES.iter().find(fits).map_or(Unknown, |rule| rule.3)
}

/// Whether it failed for the other side's certificate, which waiting does not mend.
fn is_certificate(error: &lettre::transport::smtp::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| matches!(inner.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))) {
            return true;
        }
        cause = error.source();
    }
    error.is_tls()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_means_something_else_in_each_phase() {
        for (phase, code, said, class) in [
            (Phase::Connect, 421, "4.3.2 closing", Retryable),
            (Phase::Connect, 554, "no service for you", Operator),
            (Phase::Auth, 535, "5.7.8 bad password", Operator),
            (Phase::Auth, 454, "4.7.0 later", Retryable),
            (Phase::Mail, 550, "5.1.0 who are you", Operator),
            (Phase::Mail, 550, "no such sender", Operator),
            (Phase::Mail, 553, "5.1.8 no such sender", Operator),
            (Phase::Rcpt, 450, "4.2.0 greylisted", Retryable),
            (Phase::Rcpt, 550, "5.1.1 unknown", PermanentRecipient),
            (Phase::Rcpt, 550, "unknown", PermanentRecipient),
            (Phase::Rcpt, 554, "5.7.1 relay access denied", Operator),
            (Phase::Rcpt, 552, "5.2.2 full", PermanentMessage),
            (Phase::Rcpt, 554, "no", PermanentMessage),
            (Phase::Content, 552, "5.3.4 too big", PermanentMessage),
            (Phase::Content, 554, "5.6.0 malformed", PermanentMessage),
            (Phase::Content, 451, "4.3.0 later", Retryable),
        ] {
            assert_eq!(classify(phase, code, said), class, "{phase:?} {code} {said}");
        }
    }
}
