//! The handle that the rest of the program holds.

mod publish;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::{AppId, Channel, CloseCode, Position, Protected, UserId};

pub use publish::{Accepted, Busy, Publication, PublishError};

use crate::directory::Directory;
use crate::fallback::Sessions;
use crate::inbox::Command;
use crate::journal::Keeper;
use crate::space::Space;
use crate::{
    Apps, CachedEvent, ChannelInfo, Config, Gate, Journal, JournalQuery, JournalUnavailable, KeptEvent, Observer, Shard,
};

/// The hub of this node. Clones share it; every method may be called from any thread and none blocks.
#[derive(Clone)]
pub struct Hub {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) apps: Apps,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) directory: Directory,
    pub(crate) keeper: OnceLock<Keeper>,
    pub(crate) sessions: Sessions,
    shards: AtomicU32,
}

impl Shared {
    pub(crate) fn config(&self) -> &Config {
        &self.directory.common.config
    }
}

/// Part of a channel's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Where the channel is now; `None` where it keeps nothing.
    pub position: Option<Position>,
    /// Whether `events` are all that was asked for: where it is false, part of it is gone.
    pub whole: bool,
    /// Oldest first.
    pub events: Vec<KeptEvent>,
}

impl Hub {
    /// A hub without shards: each worker thread adds its own by [`Hub::shard`].
    pub fn new(config: Config, apps: Apps, gate: Arc<dyn Gate>) -> Self {
        let shared = Shared {
            apps,
            gate,
            directory: Directory::new(config),
            sessions: Sessions::default(),
            keeper: OnceLock::new(),
            shards: AtomicU32::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells this observer what happens from now on. Only the first one counts.
    pub fn observe_with(&self, observer: Arc<dyn Observer>) {
        let _ = self.shared.directory.common.observer.set(observer);
    }

    /// Keeps what durable channels say in this journal; before it, publishing there is [`PublishError::Unavailable`].
    /// Starts a task on the current Tokio runtime. Only the first journal counts.
    pub fn keep_with(&self, journal: Arc<dyn Journal>) {
        self.shared.keeper.get_or_init(|| Keeper::start(journal, self.shared.config().journal_queue_max));
    }

    /// The apps that may connect.
    pub fn apps(&self) -> &Apps {
        &self.shared.apps
    }

    /// A new shard for the calling thread, which must run a Tokio `LocalSet`.
    pub fn shard(&self) -> Shard {
        let index = self.shared.shards.fetch_add(1, Ordering::Relaxed);
        Shard::start(self.clone(), index)
    }

    /// How many sockets are subscribed.
    pub fn subscription_count(&self, app: &AppId, channel: &Channel) -> usize {
        self.space(app).map_or(0, |space| space.subscription_count(channel.name()))
    }

    /// How many users are in a presence channel; 0 for any other kind.
    pub fn user_count(&self, app: &AppId, channel: &Channel) -> usize {
        self.space(app).map_or(0, |space| space.user_count(channel.name()))
    }

    /// Channels that somebody is subscribed to and whose names start so, sorted by name.
    pub fn channels(&self, app: &AppId, prefix: &str) -> Vec<ChannelInfo> {
        self.space(app).map_or_else(Vec::new, |space| space.occupied(prefix))
    }

    /// Ids of the users in a presence channel, sorted; none for any other kind.
    pub fn users(&self, app: &AppId, channel: &Channel) -> Vec<String> {
        self.space(app).map_or_else(Vec::new, |space| space.member_ids(channel.name()))
    }

    /// What a cache channel holds.
    pub fn cached(&self, app: &AppId, channel: &Channel) -> Option<CachedEvent> {
        self.space(app)?.cached(channel.name())
    }

    /// Whether the user is online: a socket is signed in as them, or subscribed to their own channel.
    pub fn is_online(&self, app: &AppId, user: &UserId) -> bool {
        let Some(space) = self.space(app) else { return false };
        let own = || Protected::User(user.clone()).channels();
        space.users.is_online(user.as_str()) || own().iter().any(|name| space.subscription_count(name.name()) > 0)
    }

    /// Ends the subscriptions that the user holds to a protected channel, under every name. A subscription that is
    /// being decided at this moment is decided again.
    pub fn revoke(&self, app: &AppId, user: &UserId, from: &Protected) {
        let Some(space) = self.space(app) else { return };
        space.revoke(user.as_str(), &from.channels());
    }

    /// Closes the sockets that are signed in as the user with 4009.
    pub fn terminate(&self, app: &AppId, user: &UserId) {
        let Some(space) = self.space(app) else { return };
        for (socket, inbox) in space.users.sockets(user.as_str()) {
            inbox.push(Command::Close { socket, code: CloseCode::UNAUTHORIZED });
        }
    }

    /// Reads what a channel keeps: everything after a position, or the newest.
    ///
    /// # Errors
    /// [`JournalUnavailable`], only on durable channels.
    pub async fn history(
        &self,
        app: &AppId,
        channel: &Channel,
        query: JournalQuery,
    ) -> Result<HistoryPage, JournalUnavailable> {
        let durable = self.shared.apps.by_id(app.as_str()).is_some_and(|app| app.policy.is_durable(channel.name()));
        if durable {
            let keeper = self.shared.keeper.get().ok_or(JournalUnavailable)?;
            let page = keeper.journal.read(app.clone(), channel.clone(), query).await?;
            let events = page.events.into_iter();
            let events = events.map(|kept| KeptEvent { offset: kept.offset, event: kept.event, data: kept.data });
            return Ok(HistoryPage { position: Some(page.position), whole: page.whole, events: events.collect() });
        }
        let kept = self.space(app).and_then(|space| space.kept(channel, &query));
        Ok(kept.unwrap_or(HistoryPage {
            position: None,
            whole: !matches!(query, JournalQuery::After { .. }),
            events: Vec::new(),
        }))
    }

    /// Sockets that are connected now.
    pub fn socket_count(&self) -> usize {
        self.shared.directory.socket_count()
    }

    /// Closes every socket with 4200, spread over the given time, and waits until the last one is gone or that time
    /// and two seconds more have passed. pusher-js comes back at once, without jitter: the spreading is ours to do.
    pub async fn drain(&self, over: Duration) {
        let seconds = u32::try_from(over.as_secs()).unwrap_or(u32::MAX);
        for inbox in self.shared.directory.inboxes() {
            inbox.push(Command::Drain { seconds });
        }
        let _ = tokio::time::timeout(over + Duration::from_secs(2), self.shared.directory.all_gone()).await;
    }

    fn space(&self, app: &AppId) -> Option<Arc<Space>> {
        self.shared.directory.find(app)
    }
}
