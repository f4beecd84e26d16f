//! Which apps have anything on this node, and which shards there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;

use dashmap::DashMap;
use protocol::AppId;
use tokio::sync::Notify;

use crate::apps::LiveApp;
use crate::history::Budget;
use crate::inbox::Inbox;
use crate::space::Space;
use crate::{Config, Observer};

/// The node's clock begins here, so that what is older than the node has a time on it too: longer than anything is kept.
const CLOCK_START: u32 = 40 * 24 * 3600;

/// Every app's space, and the shards. Apps do not share a map, so no name can reach across.
pub(crate) struct Directory {
    pub(crate) common: Arc<Common>,
    spaces: DashMap<AppId, Arc<Space>>,
    inboxes: RwLock<Vec<Arc<Inbox>>>,
    sockets: AtomicUsize,
    gone: Notify,
}

/// What all spaces share.
pub(crate) struct Common {
    pub(crate) config: Config,
    pub(crate) budget: Arc<Budget>,
    pub(crate) observer: OnceLock<Arc<dyn Observer>>,
    started: Instant,
}

impl Common {
    /// Whole seconds of the node's own clock, which never goes back.
    pub(crate) fn now(&self) -> u32 {
        CLOCK_START + self.started.elapsed().as_secs() as u32
    }
}

impl Directory {
    pub(crate) fn new(config: Config) -> Self {
        let budget = Budget::new(config.history_bytes_max);
        let common = Common { config, budget, observer: OnceLock::new(), started: Instant::now() };
        Self {
            common: Arc::new(common),
            spaces: DashMap::new(),
            inboxes: RwLock::default(),
            sockets: AtomicUsize::new(0),
            gone: Notify::new(),
        }
    }

    pub(crate) fn find(&self, app: &AppId) -> Option<Arc<Space>> {
        self.spaces.get(app).map(|space| Arc::clone(&space))
    }

    pub(crate) fn space(&self, app: &LiveApp) -> Arc<Space> {
        let id = app.load().id.clone();
        self.find(&id).unwrap_or_else(|| {
            let space = || Arc::new(Space::new(Arc::clone(app), Arc::clone(&self.common)));
            Arc::clone(&self.spaces.entry(id).or_insert_with(space))
        })
    }

    /// What has to be done once a second: by one shard for all.
    pub(crate) fn tick(&self) {
        let spaces: Vec<_> = self.spaces.iter().map(|space| Arc::clone(&space)).collect();
        spaces.iter().for_each(|space| space.tick());
    }

    pub(crate) fn add_inbox(&self, inbox: Arc<Inbox>) {
        self.inboxes.write().expect("nothing panics while the list is locked").push(inbox);
    }

    pub(crate) fn inboxes(&self) -> Vec<Arc<Inbox>> {
        self.inboxes.read().expect("nothing panics while the list is locked").clone()
    }

    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn socket_added(&self) {
        self.sockets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn socket_removed(&self) {
        if self.sockets.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gone.notify_waiters();
        }
    }

    /// Until no socket is left.
    pub(crate) async fn all_gone(&self) {
        loop {
            let mut gone = std::pin::pin!(self.gone.notified());
            gone.as_mut().enable();
            if self.socket_count() == 0 {
                return;
            }
            gone.await;
        }
    }
}
