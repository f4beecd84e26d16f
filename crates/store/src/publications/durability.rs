//! Whether Postgres keeps what it says that it has stored.

use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::{Error, PgConnection};

/// Why what is committed here may be lost.
#[derive(Debug, thiserror::Error)]
pub enum NotDurable {
    /// A setting of Postgres says that a commit need not survive a crash.
    #[error("Postgres has {setting} = off, so what it has committed may be lost in a crash")]
    Setting {
        /// Its name in `postgresql.conf`.
        setting: &'static str,
    },
    /// The database's.
    #[error(transparent)]
    Store(#[from] Error),
}

diesel::define_sql_function! {
    fn current_setting(name: Text) -> Text;
}

/// Finds out whether a commit on this connection survives a crash: `fsync` and `full_page_writes` are on,
/// `synchronous_commit` is not off.
///
/// # Errors
/// The first setting that is off, or the database's.
pub fn check_durability(conn: &mut PgConnection) -> Result<(), NotDurable> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = diesel::select(current_setting(setting)).get_result(conn).map_err(Error::from)?;
        if value == "off" {
            return Err(NotDurable::Setting { setting });
        }
    }
    Ok(())
}
