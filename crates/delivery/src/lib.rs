//! Notifications leaving the house: one client per provider of push, email and WhatsApp.
//!
//! ```text
//! provider   what every provider can do, and what may come of it     outgoing   what is sent: content and its bounds
//! address    to whom, typed per kind of address                      link       URLs that may stand in what is sent
//! classify   answer → failure class, as tables                       http       one bounded, guarded exchange
//! redact     what may be kept of an answer                           vapid      the keys that Web Push is signed with
//!
//! email      smtp, mailketing (v2 and v1)
//! push       web_push, fcm, onesignal
//! whatsapp   starsender, meta
//! ```
//!
//! A provider's `send` never fails silently and never claims more than it knows: what was answered and understood is
//! [`Outcome::Sent`] or a failure with its class, and whatever may or may not have been taken is
//! [`FailureClass::Unknown`](protocol::notification::FailureClass::Unknown). Retrying is up to who calls.

pub mod address;
mod classify;
pub mod fcm;
pub mod http;
pub mod link;
pub mod mailketing;
pub mod meta;
pub mod onesignal;
pub mod outgoing;
pub mod provider;
mod redact;
pub mod smtp;
pub mod starsender;
pub mod vapid;
pub mod web_push;

pub use address::Address;
pub use http::Http;
pub use link::Link;
pub use outgoing::{Content, Outgoing};
pub use provider::{Dedup, Failed, Outcome, Provider, Sending};
