//! The apps that this node serves, replaceable while it runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use protocol::App;

/// A registry of apps by id and by key. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct Apps {
    inner: Arc<Inner>,
}

/// An app as it is now: what holds one sees every change of it.
pub(crate) type LiveApp = Arc<ArcSwap<App>>;

#[derive(Default, Debug)]
struct Inner {
    // Read on every handshake and publish, written when an app changes. No lock is held across an await: methods are plain.
    maps: RwLock<Maps>,
    /// Counts replacements, so that shards notice one.
    generation: AtomicU64,
}

#[derive(Default, Debug)]
struct Maps {
    by_id: HashMap<String, LiveApp>,
    by_key: HashMap<String, LiveApp>,
    /// Apps that are gone, disabled: their sockets hold them still, and they may come back.
    gone: HashMap<String, LiveApp>,
}

impl Apps {
    /// A registry of these apps. Of two with one id or key the later one counts.
    pub fn new(apps: Vec<App>) -> Self {
        let registry = Self::default();
        registry.replace(apps);
        registry
    }

    /// Puts these apps in the place of all that were there. What changed holds at once, for sockets that are connected
    /// too; those of an app that is gone or disabled are closed with 4003 within a second.
    pub fn replace(&self, apps: Vec<App>) {
        let mut maps = self.inner.maps.write().expect("nothing panics while the registry is locked");
        let mut known = std::mem::take(&mut maps.gone);
        known.extend(std::mem::take(&mut maps.by_id));
        maps.by_key.clear();
        for app in apps {
            let id = app.id.as_str().to_owned();
            let live = known
                .remove(&id)
                .or_else(|| maps.by_id.get(&id).cloned())
                .unwrap_or_else(|| Arc::new(ArcSwap::from_pointee(app.clone())));
            let key = app.key.as_str().to_owned();
            live.store(Arc::new(app));
            maps.by_key.insert(key, Arc::clone(&live));
            maps.by_id.insert(id, live);
        }
        for live in known.values() {
            let mut app = App::clone(&live.load());
            app.policy.enabled = false;
            live.store(Arc::new(app));
        }
        maps.gone = known;
        drop(maps);
        self.inner.generation.fetch_add(1, Ordering::Release);
    }

    /// The app with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.read(|maps| maps.by_id.get(id).map(|live| live.load_full()))
    }

    /// The app with this key.
    pub fn by_key(&self, key: &str) -> Option<Arc<App>> {
        self.read(|maps| maps.by_key.get(key).map(|live| live.load_full()))
    }

    /// The app, when there is exactly one: then tokens need not name it.
    pub fn only(&self) -> Option<Arc<App>> {
        self.read(|maps| match maps.by_id.len() {
            1 => maps.by_id.values().next().map(|live| live.load_full()),
            _ => None,
        })
    }

    /// Every app, in no order.
    pub fn all(&self) -> Vec<Arc<App>> {
        self.read(|maps| maps.by_id.values().map(|live| live.load_full()).collect())
    }

    pub(crate) fn live_by_id(&self, id: &str) -> Option<LiveApp> {
        self.read(|maps| maps.by_id.get(id).cloned())
    }

    pub(crate) fn live_by_key(&self, key: &str) -> Option<LiveApp> {
        self.read(|maps| maps.by_key.get(key).cloned())
    }

    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    fn read<T>(&self, f: impl FnOnce(&Maps) -> T) -> T {
        f(&self.inner.maps.read().expect("nothing panics while the registry is locked"))
    }
}
