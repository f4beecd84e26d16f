//! A delivery written as an email.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lettre::Message;
use lettre::address::Envelope;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use secrecy::{ExposeSecret, SecretString};

use super::InvalidSmtp;
use crate::Link;
use crate::address::EmailAddress;
use crate::outgoing::{Outgoing, cut};

/// The most characters of a subject.
const SUBJECT_CHARS_MAX: usize = 250;
/// What is signed. Not `Content-Type`: lettre counts it to the body and signs as if it were not there, while whoever
/// checks finds it.
const FROM_AND_SO_ON: [&str; 6] = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version"];
/// Signed too, or a mailbox does not offer the button (RFC 8058, 4).
const LIST: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];

/// How messages are signed (RFC 6376).
#[derive(Clone, Debug)]
pub struct Dkim {
    /// Whose key it is: the domain of the sender, or one above it.
    pub domain: String,
    /// The name under which the domain publishes it.
    pub selector: String,
    /// What kind of key.
    pub algorithm: DkimAlgorithm,
    /// RSA: PKCS #1 in PEM. Ed25519: 32 bytes in base64.
    pub private_key: SecretString,
}

/// What kind of DKIM key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DkimAlgorithm {
    /// Understood everywhere.
    Rsa,
    /// Short, and not understood everywhere.
    Ed25519,
}

impl Dkim {
    fn config(&self, headers: &[&'static str]) -> Result<DkimConfig, InvalidSmtp> {
        let algorithm = match self.algorithm {
            DkimAlgorithm::Rsa => DkimSigningAlgorithm::Rsa,
            DkimAlgorithm::Ed25519 => DkimSigningAlgorithm::Ed25519,
        };
        let key = DkimSigningKey::new(self.private_key.expose_secret().trim(), algorithm);
        Ok(DkimConfig::new(
            self.selector.clone(),
            self.domain.clone(),
            key.map_err(|_| InvalidSmtp::Dkim)?,
            headers.iter().map(|name| HeaderName::new_from_ascii_str(name)).collect(),
            DkimCanonicalization { header: DkimCanonicalizationType::Relaxed, body: DkimCanonicalizationType::Relaxed },
        ))
    }
}

struct Signatures {
    plain: DkimConfig,
    list: DkimConfig,
}

/// Writes messages of one sender.
pub(super) struct Writer {
    from: EmailAddress,
    dkim: Option<Signatures>,
}

/// A message, ready to go.
pub(super) struct Written {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    pub(super) message_id: String,
}

impl Writer {
    pub(super) fn new(from: EmailAddress, dkim: Option<Dkim>) -> Result<Self, InvalidSmtp> {
        let sign = |dkim: Dkim| {
            let list = [&FROM_AND_SO_ON[..], &LIST].concat();
            Ok::<_, InvalidSmtp>(Signatures { plain: dkim.config(&FROM_AND_SO_ON)?, list: dkim.config(&list)? })
        };
        Ok(Self { from, dkim: dkim.map(sign).transpose()? })
    }

    /// None if it cannot be written.
    pub(super) fn write(&self, outgoing: &Outgoing, to: &EmailAddress) -> Option<Written> {
        // lettre has panicked at what people put into names; one message must not take its worker along.
        catch_unwind(AssertUnwindSafe(|| self.try_write(outgoing, to))).ok()?
    }

    fn try_write(&self, outgoing: &Outgoing, to: &EmailAddress) -> Option<Written> {
        let content = &outgoing.content;
        let message_id = format!("<{}@{}>", outgoing.id, self.from.address().domain());
        let builder = Message::builder()
            .from(mailbox(&self.from))
            .to(mailbox(to))
            .subject(cut(&content.title_line(), SUBJECT_CHARS_MAX))
            .message_id(Some(message_id.clone()))
            .date_now();
        let text = SinglePart::plain(content.text_and_link());
        let mut message = match &content.html {
            Some(html) => {
                builder.multipart(MultiPart::alternative().singlepart(text).singlepart(SinglePart::html(html.clone())))
            }
            None => builder.singlepart(text),
        }
        .ok()?;
        let headers = message.headers_mut();
        // Nobody's holiday note answers it (RFC 3834).
        headers.insert_raw(header("Auto-Submitted", "auto-generated"));
        let unsubscribe = content.unsubscribe.as_ref();
        if let Some(link) = unsubscribe {
            headers.insert_raw(header("List-Unsubscribe", &format!("<{link}>")));
        }
        let one_click = unsubscribe.is_some_and(Link::is_https);
        if one_click {
            headers.insert_raw(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        if let Some(dkim) = &self.dkim {
            message.sign(if one_click { &dkim.list } else { &dkim.plain });
        }
        Some(Written { envelope: message.envelope().clone(), bytes: message.formatted(), message_id })
    }
}

fn mailbox(address: &EmailAddress) -> Mailbox {
    Mailbox::new(address.name().map(str::to_owned), address.address().clone())
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
