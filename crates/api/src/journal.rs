//! [`PgJournal`]: the hub's durable channels in Postgres.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hub::{Appended, Journal, JournalEntry, JournalEvent, JournalPage, JournalQuery, JournalUnavailable, Stored};
use protocol::{AppId, Channel, Position};
use store::publications::{self, NewPublication, NotDurable, Page};
use store::{PgConnection, Store};

use crate::error::Chain;

/// Keeps durable channels in Postgres, and only in one that does not lose what it has committed: the settings are looked
/// at before the first use and again after every outage, and where one of them is off, everything is refused.
pub struct PgJournal {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    /// The settings were seen to be good, and nothing has failed since.
    trusted: AtomicBool,
    /// The last answer was a failure, which is in the log.
    failing: AtomicBool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl PgJournal {
    /// A journal in this database, which may be away for now.
    pub fn new(store: Store) -> Self {
        let shared = Shared { store, trusted: AtomicBool::new(false), failing: AtomicBool::new(false) };
        Self { shared: Arc::new(shared) }
    }

    fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut PgConnection) -> Result<T, store::Error> + Send + 'static,
    ) -> Stored<T> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let trusted = shared.trusted.load(Ordering::Acquire);
            let answer = shared.store.run(move |conn| {
                if !trusted {
                    publications::check_durability(conn)?;
                }
                Ok::<_, Failure>(f(conn)?)
            });
            let answer = answer.await;
            shared.note(answer.as_ref().err());
            answer.map_err(|_| JournalUnavailable)
        })
    }
}

impl Shared {
    /// One line when it fails, one when it works again; not one for each publication.
    fn note(&self, failure: Option<&Failure>) {
        self.trusted.store(failure.is_none(), Ordering::Release);
        let failed_before = self.failing.swap(failure.is_some(), Ordering::AcqRel);
        match failure {
            None if failed_before => tracing::info!("durable channels are stored again"),
            Some(Failure::NotDurable(error @ NotDurable::Setting { .. })) if !failed_before => {
                tracing::error!("durable channels are refused: {error}");
            }
            Some(Failure::Store(error @ store::Error::Query(_))) if !failed_before => {
                tracing::error!(cause = %Chain(error), "durable channels cannot be stored");
            }
            Some(error) if !failed_before => {
                tracing::warn!(cause = %Chain(error), "durable channels are unavailable: no database");
            }
            _ => {}
        }
    }
}

impl Journal for PgJournal {
    fn append(&self, entries: Arc<[JournalEntry]>) -> Stored<Vec<Appended>> {
        self.ask(move |conn| {
            let new: Vec<_> = entries.iter().map(new_publication).collect();
            let appended = publications::append(conn, &new)?.into_iter();
            Ok(appended.map(|at| Appended { position: at.position, duplicate: at.duplicate }).collect())
        })
    }

    fn position(&self, app: AppId, channel: Channel) -> Stored<Position> {
        self.ask(move |conn| publications::position(conn, &app, channel.name()))
    }

    fn read(&self, app: AppId, channel: Channel, query: JournalQuery) -> Stored<JournalPage> {
        self.ask(move |conn| {
            let page = match query {
                JournalQuery::After { position, limit } => {
                    publications::read_after(conn, &app, channel.name(), position, limit)?
                }
                JournalQuery::Newest { limit, seconds } => {
                    publications::read_newest(conn, &app, channel.name(), limit, seconds)?
                }
            };
            Ok(journal_page(page))
        })
    }
}

impl fmt::Debug for PgJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgJournal").finish_non_exhaustive()
    }
}

fn new_publication(entry: &JournalEntry) -> NewPublication<'_> {
    NewPublication {
        app: &entry.app,
        channel: entry.channel.name(),
        event: &entry.event,
        data: &entry.data,
        except: entry.except,
        id: entry.id.as_deref(),
    }
}

fn journal_page(page: Page) -> JournalPage {
    let events = page.publications.into_iter().map(|stored| JournalEvent {
        offset: stored.offset,
        event: stored.event,
        data: stored.data,
        except: stored.except,
        age_seconds: stored.age_seconds,
    });
    JournalPage { position: page.position, whole: page.whole, events: events.collect() }
}
