//! [`Store`]: connections, handed to work that runs off the async threads.
//!
//! Nothing here waits without a bound. However Postgres fails (stopped, frozen, cut off, saturated), [`Store::run`]
//! answers [`Error::Unavailable`] within 2 s, and works again by itself once Postgres does.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::pool::{Pool, Settings};
use crate::{Error, Listener, PgConnection};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// How long work may take before we ask whether Postgres is there at all. A slow query on a healthy Postgres goes on.
const SUSPICION_AFTER: Duration = Duration::from_millis(1_200);
/// How long Postgres may take to answer that.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// Where Postgres is and how it is used.
#[derive(Clone, Debug)]
pub struct Config {
    /// `postgres://…`, or libpq's `key=value` form.
    pub url: SecretString,
    /// The most connections, and the most work at once.
    pub pool_size: u32,
    /// How long work waits for its turn and its connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

impl Config {
    /// The defaults: 10 connections, 1.5 s to get one, 5 s for a statement.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            pool_size: 10,
            acquire_timeout: Duration::from_millis(1_500),
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// The database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    turns: Arc<Semaphore>,
    acquire_timeout: Duration,
    settings: Settings,
    /// What the last probe found and when, so that many who doubt at once ask once.
    probed: Mutex<Option<(Instant, bool)>>,
}

impl Store {
    /// A store that connects when it is first needed: the database may still be down.
    ///
    /// # Errors
    /// None today; a URL that can never work shows at the first use.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let url = crate::conninfo::complete(config.url.expose_secret());
        let settings = Settings { url: url.into(), statement_timeout: config.statement_timeout };
        let inner = Inner {
            pool: Pool::new(settings.clone(), config.pool_size, config.acquire_timeout),
            turns: Arc::new(Semaphore::new(config.pool_size as usize)),
            acquire_timeout: config.acquire_timeout,
            settings,
            probed: Mutex::new(None),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Brings the schema up to date. Several at once wait for each other.
    pub async fn migrate(&self) -> Result<(), Error> {
        let settings = self.inner.settings.clone();
        // On a connection of its own: building an index may take longer than a statement of ours is allowed to.
        let migrated = tokio::task::spawn_blocking(move || {
            let mut conn = settings.connect()?;
            settings.unlimited(&mut conn)?;
            migrate(&mut conn)
        });
        migrated.await.map_err(|error| Error::Query(error.into()))?
    }

    /// Runs `f` on a connection, off the async threads.
    ///
    /// Waits at most [`Config::acquire_timeout`] for its turn. Where Postgres stops answering, the caller gets
    /// [`Error::Unavailable`] while `f` is left behind: what it was writing may or may not be stored.
    pub async fn run<T, E>(&self, f: impl FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let suspicion = Instant::now() + SUSPICION_AFTER;
        let turn = timeout(self.inner.acquire_timeout, Arc::clone(&self.inner.turns).acquire_owned()).await;
        let turn = turn
            .map_err(|elapsed| Error::Unavailable(elapsed.into()))?
            .map_err(|closed| Error::Unavailable(closed.into()))?;
        let pool = self.inner.pool.clone();
        let mut work = tokio::task::spawn_blocking(move || {
            let mut conn = pool.get()?;
            let answer = f(&mut conn);
            drop(conn);
            // Only now: a turn always finds a connection free.
            drop(turn);
            answer
        });
        let done = match timeout_at(suspicion, &mut work).await {
            Ok(done) => done,
            Err(_) => tokio::select! {
                done = &mut work => done,
                () = self.lost() => return Err(Error::Unavailable("Postgres does not answer".into()).into()),
            },
        };
        match done {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(Error::Unavailable(error.into()).into()),
            },
        }
    }

    /// Listens for notifications on a channel, on a connection of its own that is made when it is first waited for.
    pub fn listen(&self, channel: &'static str) -> Listener {
        Listener::new(self.inner.settings.clone(), channel)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.run(|conn| {
            diesel::select(1.into_sql::<diesel::sql_types::Integer>()).execute(conn).map(drop).map_err(Error::from)
        })
        .await
    }

    /// Returns when Postgres is found not to answer; never as long as it does.
    async fn lost(&self) {
        loop {
            if !self.probe().await {
                return;
            }
            tokio::time::sleep(PROBE_TIMEOUT).await;
        }
    }

    async fn probe(&self) -> bool {
        let asked = Instant::now();
        let mut probed = self.inner.probed.lock().await;
        if let Some((at, answers)) = *probed
            && at + PROBE_TIMEOUT > asked
        {
            return answers;
        }
        let settings = self.inner.settings.clone();
        // On a connection of its own: those of the pool may all be waiting.
        let probe = tokio::task::spawn_blocking(move || settings.connect().is_ok());
        let answers = matches!(timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(true)));
        *probed = Some((Instant::now(), answers));
        answers
    }
}

/// Runs the migrations that are missing, one program at a time.
fn migrate(conn: &mut PgConnection) -> Result<(), Error> {
    diesel::define_sql_function!(fn pg_advisory_lock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool);
    const LOCK: i64 = 0x6b61_6261_725f_6d67;
    // Held until the connection ends, which is right after this.
    diesel::select(pg_advisory_lock(LOCK)).execute(conn)?;
    let done = conn.run_pending_migrations(MIGRATIONS).map_err(Error::Query)?;
    for migration in done {
        tracing::info!(%migration, "migrated the database to {migration}");
    }
    Ok(())
}
