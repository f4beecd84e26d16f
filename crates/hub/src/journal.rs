//! Channels whose history outlives the process: where it is kept, and the one who writes it.
//!
//! A single task per node stores publications in batches and delivers them only then, in the order of their offsets. It
//! also is the only one who says where a durable channel is, so nothing can come between being stored and being
//! delivered.

mod writer;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use protocol::{AppId, Channel, Position, SocketId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::hub::{Publication, PublishError};
use crate::space::Space;

/// An answer of the journal on its way.
pub type Stored<T> = Pin<Box<dyn Future<Output = Result<T, JournalUnavailable>> + Send>>;

/// Keeps publications of durable channels. Its answers must take bounded time.
pub trait Journal: Send + Sync + 'static {
    /// Stores them all or none, each at its channel's next offset, and answers in the same order once they are safe. One
    /// whose `id` the channel had within a day is not stored again: the answer is where it is.
    fn append(&self, entries: Arc<[JournalEntry]>) -> Stored<Vec<Appended>>;
    /// Where the channel is; a channel that never was begins with offset 0.
    fn position(&self, app: AppId, channel: Channel) -> Stored<Position>;
    /// Reads what is kept, oldest first.
    fn read(&self, app: AppId, channel: Channel, query: JournalQuery) -> Stored<JournalPage>;
}

/// The journal cannot be asked now. Whether an append took place is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal is unavailable")]
pub struct JournalUnavailable;

/// A publication to be stored.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The tenant.
    pub app: AppId,
    /// Where it goes.
    pub channel: Channel,
    /// The event's name.
    pub event: String,
    /// The payload.
    pub data: String,
    /// A socket that shall not get it.
    pub except: Option<SocketId>,
    /// The publisher's own id of it: accepted once.
    pub id: Option<String>,
}

/// Where a publication is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub position: Position,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalQuery {
    /// Everything after a position, up to so many.
    After {
        /// The last one that is known.
        position: Position,
        /// The most to read: if there are more, the page is not whole.
        limit: u32,
    },
    /// The newest so many, none older than so many seconds.
    Newest {
        /// The most to read.
        limit: u32,
        /// None older than this.
        seconds: Option<u32>,
    },
}

/// What was read.
#[derive(Clone, Debug)]
pub struct JournalPage {
    /// Where the channel was when it was read.
    pub position: Position,
    /// Whether `events` are all that the query asks for.
    pub whole: bool,
    /// Oldest first.
    pub events: Vec<JournalEvent>,
}

/// A publication as it is stored.
#[derive(Clone, Debug)]
pub struct JournalEvent {
    /// Its place.
    pub offset: u64,
    /// The event's name.
    pub event: String,
    /// The payload.
    pub data: String,
    /// The socket that did not get it.
    pub except: Option<SocketId>,
    /// How long ago it was stored.
    pub age_seconds: u32,
}

/// The journal of a node, and the way to its writer.
pub(crate) struct Keeper {
    pub(crate) journal: Arc<dyn Journal>,
    operations: mpsc::Sender<Queued>,
}

/// What the writer does, and since when it waits.
struct Queued {
    operation: Operation,
    at: Instant,
}

/// What the writer does, one after another.
enum Operation {
    Append {
        space: Arc<Space>,
        entry: JournalEntry,
        reply: Option<oneshot::Sender<Result<Appended, PublishError>>>,
    },
    /// Finds out where a channel is.
    Place {
        space: Arc<Space>,
        app: AppId,
        channel: Channel,
        reply: oneshot::Sender<Result<(), JournalUnavailable>>,
    },
}

impl Keeper {
    /// Starts the writer on the current Tokio runtime.
    pub(crate) fn start(journal: Arc<dyn Journal>, queue_max: usize) -> Self {
        let (operations, receiver) = mpsc::channel(queue_max.max(1));
        tokio::spawn(writer::run(Arc::clone(&journal), receiver));
        Self { journal, operations }
    }

    /// How many publications may be queued now.
    pub(crate) fn room(&self) -> usize {
        self.operations.capacity()
    }

    /// Queues a publication; its answer comes once it is stored.
    pub(crate) fn append(
        &self,
        space: Arc<Space>,
        app: &AppId,
        channel: &Channel,
        publication: &Publication<'_>,
        id: Option<String>,
    ) -> Result<oneshot::Receiver<Result<Appended, PublishError>>, PublishError> {
        let entry = JournalEntry {
            app: app.clone(),
            channel: channel.clone(),
            event: publication.event.to_owned(),
            data: publication.data.to_owned(),
            except: publication.except,
            id,
        };
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Append { space, entry, reply: Some(reply) };
        self.queue(operation).map_err(|_| PublishError::Busy)?;
        Ok(answer)
    }

    /// Makes sure that the space knows where the channel is.
    pub(crate) async fn place(
        &self,
        space: Arc<Space>,
        app: AppId,
        channel: Channel,
    ) -> Result<(), JournalUnavailable> {
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Place { space, app, channel, reply };
        self.queue(operation).map_err(|_| JournalUnavailable)?;
        answer.await.unwrap_or(Err(JournalUnavailable))
    }

    fn queue(&self, operation: Operation) -> Result<(), Full> {
        self.operations.try_send(Queued { operation, at: Instant::now() }).map_err(|_| Full)
    }
}

/// The writer has too much to do, or is gone with its runtime.
struct Full;
