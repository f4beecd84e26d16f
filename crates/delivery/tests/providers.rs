//! Providers against the other end of real sockets: what exactly is asked, and what is made of every kind of answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "providers/dkim.rs"]
mod dkim;
#[path = "providers/fcm.rs"]
mod fcm;
#[path = "providers/http_double.rs"]
mod http_double;
#[path = "providers/mailketing.rs"]
mod mailketing;
#[path = "providers/meta.rs"]
mod meta;
#[path = "providers/onesignal.rs"]
mod onesignal;
#[path = "providers/smtp.rs"]
mod smtp;
#[path = "providers/smtp_double.rs"]
mod smtp_double;
#[path = "providers/starsender.rs"]
mod starsender;
#[path = "providers/support.rs"]
mod support;
#[path = "providers/web_push.rs"]
mod web_push;
