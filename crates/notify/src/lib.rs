//! Domain events become notifications: who hears of what, of which type, with which texts, in the reader's language.
//!
//! ```text
//! rules     an app's triggers, read and checked whole     plan      event × rules → what to do, for whom, when
//! planned   notifications whose texts wait for a reader   content   planned × reader × transport → title, text, link
//! ```
//!
//! All of this is pure: no I/O, no clock, no database. Whoever calls stores what is planned, asks who subscribes, and
//! renders when it is known who reads. `builtin.toml` has the rules of every app; `docs/triggers.md` tells how to write
//! more.

mod amount;
pub mod config;
mod content;
mod engine;
mod filters;
mod language;
mod layout;
mod link;
mod locale;
mod moment;
mod path;
mod plan;
mod planned;
mod rule;
mod rules;
mod text;

pub use config::{Limits, TriggersConfig};
pub use content::{Content, Reader};
pub use engine::RenderError;
pub use language::TemplateError;
pub use link::InvalidLink;
pub use locale::Locale;
pub use path::{InvalidPath, NoUsers};
pub use plan::{PlanError, Unplannable};
pub use planned::{Action, Due, Planned, Recipient};
pub use protocol::domain_event::DomainEvent;
pub use rule::{Reason, RuleError};
pub use rules::{ConfigError, Rules};
