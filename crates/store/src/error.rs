//! What can go wrong between us and Postgres, in two kinds: try again later, or our fault.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// A query that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is down, too slow or has no connection to spare. The same call may work later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database answered with an error that trying again will not mend.
    #[error("a query failed")]
    Query(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What Postgres and libpq say, among errors without a kind of their own, when there is no database to talk to, or it
/// ran into one of our timeouts.
const UNAVAILABLE: &[&str] = &[
    "server closed the connection",
    "terminating connection",
    "connection to server",
    "connection not open",
    "no connection to the server",
    "could not receive data from server",
    "could not send data to server",
    "SSL connection has been closed",
    "SSL SYSCALL error",
    "SSL error",
    "the database system is",
    "canceling statement due to statement timeout",
    "canceling statement due to lock timeout",
    "canceling statement due to user request",
    "remaining connection slots are reserved",
    "too many clients",
];

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let unavailable = is_connection_lost(&error)
            || match &error {
                DieselError::DatabaseError(_, info) => {
                    UNAVAILABLE.iter().any(|text| info.message().contains(text)) || is_unmigrated(info.message())
                }
                _ => false,
            };
        match unavailable {
            true => Self::Unavailable(error.into()),
            false => Self::Query(error.into()),
        }
    }
}

impl From<diesel::ConnectionError> for Error {
    fn from(error: diesel::ConnectionError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// A table that is not there yet: the first migration is still running.
fn is_unmigrated(message: &str) -> bool {
    message.starts_with("relation \"") && message.ends_with("does not exist")
}

/// Whether the connection that the error came from is of no more use.
pub(crate) fn is_connection_lost(error: &DieselError) -> bool {
    match error {
        DieselError::BrokenTransactionManager => true,
        DieselError::DatabaseError(kind, info) => {
            matches!(kind, DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand)
                || UNAVAILABLE[..10].iter().any(|text| info.message().contains(text))
        }
        DieselError::RollbackErrorOnCommit { rollback_error, commit_error } => {
            is_connection_lost(rollback_error) || is_connection_lost(commit_error)
        }
        _ => false,
    }
}

/// Whether Postgres undid the transaction only because another one was in its way: once more is worth a try.
pub(crate) fn is_conflict(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        DieselError::DatabaseError(_, info) => info.message().contains("deadlock detected"),
        _ => false,
    }
}
