//! What every provider can do, and what may come of sending.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use protocol::notification::{FailureClass, Transport};

use crate::outgoing::Outgoing;

/// The most characters that are kept of what went wrong.
pub const TEXT_CHARS_MAX: usize = 500;

/// A send on its way.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Who carries what is sent. One value serves everybody at once.
pub trait Provider: Send + Sync + 'static {
    /// What the operator calls it; two of one kind have two names.
    fn name(&self) -> &str;

    /// What it carries.
    fn transport(&self) -> Transport;

    /// What it does with the same delivery sent twice.
    fn dedup(&self) -> Dedup;

    /// Sends it once, and takes no longer than the provider's deadline.
    ///
    /// Dropped before it is done, nothing is left in doubt but this one delivery: no connection with half an exchange on
    /// it is used again.
    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a>;
}

/// What a provider does with the same delivery sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// It sends it once: an outcome that is [`FailureClass::Unknown`] may be tried again without harm, here.
    Key,
    /// The second one replaces the first, or can be recognised as the same, but it may show twice.
    Soft,
    /// It sends it twice.
    None,
}

/// What came of one send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has taken it, which is not to say that it has arrived.
    Sent {
        /// The provider's name of it.
        message_id: Option<String>,
        /// What the provider said beside it, redacted, such as that it had it already.
        note: Option<String>,
    },
    /// Nobody is there to get it, for now: nothing was sent, nothing went wrong, the address is not at fault.
    NoRecipient {
        /// In one word, such as `no_subscription`.
        note: String,
    },
    /// It was not sent, or nobody knows.
    Failed(Failed),
}

/// Why a send failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What is to be done about it.
    pub class: FailureClass,
    /// The status of the answer (of SMTP, the reply's code), where there was one.
    pub status: Option<u16>,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
    /// What it said, without secrets and addresses, at most [`TEXT_CHARS_MAX`] characters.
    pub text: String,
}

impl Failed {
    pub(crate) fn without_answer(class: FailureClass, text: impl Into<String>) -> Self {
        Self { class, status: None, retry_after: None, text: text.into() }
    }
}

impl Outcome {
    /// A failure without an answer.
    pub(crate) fn failed(class: FailureClass, text: impl Into<String>) -> Self {
        Self::Failed(Failed::without_answer(class, text))
    }

    /// The delivery was handed to a provider that cannot reach such an address.
    pub(crate) fn wrong_address(takes: &str) -> Self {
        Self::failed(FailureClass::PermanentMessage, format!("this provider sends to {takes} alone"))
    }
}
