//! Telling workers that something may be due.

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::PgConnection;

/// On which [`crate::Listener`]s hear that something may be due. A hint: workers look for themselves every second too.
pub const WAKE: &str = "kabar_deliveries";

/// What is due later than this is found by workers that look for themselves; this much may clocks disagree.
pub(super) const WITHIN: TimeDelta = TimeDelta::seconds(2);

/// Tells them when the transaction commits; Postgres makes many of one transaction one.
pub(super) fn wake(conn: &mut PgConnection) -> QueryResult<()> {
    diesel::select(pg_notify(WAKE, "")).execute(conn).map(drop)
}

diesel::define_sql_function! {
    fn pg_notify(channel: Text, payload: Text) -> Text;
}
