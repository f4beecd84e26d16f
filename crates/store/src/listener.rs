//! [`Listener`]: waiting for Postgres to say that something changed.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::pool::Settings;
use crate::{Error, PgConnection};

/// How often what has arrived is looked at. One read of this process's own socket: Postgres does not notice it, and
/// libpq gives nothing to await.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a connection that could not be made is not tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is notified on one channel, on a connection that is made again whenever it is lost.
///
/// Notifications are hints: what was notified while there was no connection is lost. Who needs every change looks for
/// itself now and then, which is what the bound of [`Listener::wait`] is for.
pub struct Listener {
    settings: Settings,
    channel: &'static str,
    conn: Option<PgConnection>,
}

impl Listener {
    pub(crate) fn new(settings: Settings, channel: &'static str) -> Self {
        Self { settings, channel, conn: None }
    }

    /// Waits until something was notified, for so long at most. Whether it may have been: true as well right after the
    /// connection was made, because nobody knows what was notified before. Many notifications at once are one.
    pub async fn wait(&mut self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        while Instant::now() < until {
            let pause = match &mut self.conn {
                Some(conn) => match notified(conn) {
                    Ok(true) => return true,
                    Ok(false) => LOOK_EVERY,
                    Err(error) => {
                        tracing::debug!(%error, "the connection that listens on {} was lost", self.channel);
                        self.conn = None;
                        RETRY_AFTER
                    }
                },
                None => match timeout_at(until, connect(self.settings.clone(), self.channel)).await {
                    Ok(Ok(conn)) => {
                        self.conn = Some(conn);
                        return true;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "nothing listens on {}", self.channel);
                        RETRY_AFTER
                    }
                    Err(_) => break,
                },
            };
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
        }
        sleep_until(until).await;
        false
    }
}

async fn connect(settings: Settings, channel: &'static str) -> Result<PgConnection, Error> {
    let connected = tokio::task::spawn_blocking(move || {
        let mut conn = settings.connect()?;
        sql_query(format!("LISTEN {channel}")).execute(&mut conn)?;
        Ok(conn)
    });
    connected.await.map_err(|error| Error::Unavailable(error.into()))?
}

/// Takes everything that has arrived; does not wait.
fn notified(conn: &mut PgConnection) -> QueryResult<bool> {
    let mut any = false;
    for notification in conn.notifications_iter() {
        notification?;
        any = true;
    }
    Ok(any)
}
