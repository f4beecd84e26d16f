//! The connection pool: r2d2 with a manager that notices lost connections without asking on every checkout.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, PooledConnection};
use diesel::sql_types::{Bool, Text};
use secrecy::{ExposeSecret, SecretString};

use crate::error::is_connection_lost;
use crate::{Error, PgConnection};

/// A connection unused for longer than this is asked whether it still lives before it is handed out.
const ASK_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How a connection is made.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) url: SecretString,
    pub(crate) statement_timeout: Duration,
}

diesel::define_sql_function! {
    fn set_config(name: Text, value: Text, is_local: Bool) -> Text;
}

impl Settings {
    pub(crate) fn connect(&self) -> Result<PgConnection, Error> {
        let mut conn = PgConnection::establish(self.url.expose_secret())?;
        let statement_timeout = self.statement_timeout.as_millis().to_string();
        // The server gives up by itself, so nothing of ours stays behind in it when we are gone.
        diesel::select((
            set_config("statement_timeout", &statement_timeout, false),
            set_config("lock_timeout", "2000", false),
            set_config("idle_in_transaction_session_timeout", "10000", false),
        ))
        .execute(&mut conn)?;
        Ok(conn)
    }

    /// Takes the limits off a connection, for migrations.
    pub(crate) fn unlimited(&self, conn: &mut PgConnection) -> Result<(), Error> {
        diesel::select((set_config("statement_timeout", "0", false), set_config("lock_timeout", "0", false)))
            .execute(conn)?;
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Pool {
    pool: diesel::r2d2::Pool<Manager>,
}

impl Pool {
    pub(crate) fn new(settings: Settings, size: u32, acquire_timeout: Duration) -> Self {
        let pool = diesel::r2d2::Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(acquire_timeout)
            .error_handler(Box::new(LogErrors))
            .build_unchecked(Manager { settings, losses: Arc::default() });
        Self { pool }
    }

    /// A connection; waits at most the acquire timeout for it.
    pub(crate) fn get(&self) -> Result<PooledConnection<Manager>, Error> {
        self.pool.get().map_err(|error| Error::Unavailable(error.into()))
    }
}

/// A connection and what we know of it.
pub(crate) struct Conn {
    conn: PgConnection,
    lost: Arc<AtomicBool>,
    /// How many losses the pool had seen when this was made.
    losses: u64,
    used_at: Instant,
}

impl Deref for Conn {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Conn {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

pub(crate) struct Manager {
    settings: Settings,
    losses: Arc<AtomicU64>,
}

impl ManageConnection for Manager {
    type Connection = Conn;
    type Error = Error;

    fn connect(&self) -> Result<Conn, Error> {
        let losses = self.losses.load(Ordering::Acquire);
        let mut conn = self.settings.connect()?;
        let lost = Arc::new(AtomicBool::new(false));
        let (flag, count) = (Arc::clone(&lost), Arc::clone(&self.losses));
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::FinishQuery { error: Some(error), .. } = event
                && is_connection_lost(error)
                && !flag.swap(true, Ordering::AcqRel)
            {
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        Ok(Conn { conn, lost, losses, used_at: Instant::now() })
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), Error> {
        // One lost connection puts all older ones in doubt: Postgres was probably restarted.
        let doubtful = conn.losses != self.losses.load(Ordering::Acquire);
        if doubtful || conn.used_at.elapsed() > ASK_AFTER_IDLE {
            diesel::select(true.into_sql::<Bool>()).execute(&mut conn.conn)?;
            conn.losses = self.losses.load(Ordering::Acquire);
        }
        conn.used_at = Instant::now();
        Ok(())
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.used_at = Instant::now();
        conn.lost.load(Ordering::Acquire) || diesel::r2d2::R2D2Connection::is_broken(&mut conn.conn)
    }
}

#[derive(Debug)]
struct LogErrors;

impl diesel::r2d2::HandleError<Error> for LogErrors {
    fn handle_error(&self, error: Error) {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%cause, "no connection to the database");
    }
}
