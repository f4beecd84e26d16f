//! How verbs use transactions.

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::prelude::*;

use crate::error::is_conflict;
use crate::{Error, PgConnection};

/// All of `f` or nothing; once more if another transaction was in its way. Inside a transaction, a savepoint, which is
/// not tried again: the conflict is the outer one's.
pub(crate) fn transaction<T>(
    conn: &mut PgConnection,
    mut f: impl FnMut(&mut PgConnection) -> QueryResult<T>,
) -> Result<T, Error> {
    let outermost = is_idle(conn);
    match conn.transaction(&mut f) {
        Err(error) if outermost && is_conflict(&error) => Ok(conn.transaction(f)?),
        result => Ok(result?),
    }
}

/// `f` sees the database as it was at its first query, so that several queries agree with each other. Inside a
/// transaction it sees what that one sees.
pub(crate) fn snapshot<T>(
    conn: &mut PgConnection,
    f: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> Result<T, Error> {
    if is_idle(conn) { Ok(conn.build_transaction().read_only().repeatable_read().run(f)?) } else { Ok(f(conn)?) }
}

/// Whether no transaction is open.
pub(crate) fn is_idle(conn: &mut PgConnection) -> bool {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    matches!(status.transaction_depth(), Ok(None))
}
