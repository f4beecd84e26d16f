//! The apps that this node serves, replaceable while it runs.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use protocol::App;

/// A registry of apps by id and by key. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct Apps {
    // Read on every handshake and publish, written when an app changes. No lock is held across an await: methods are plain.
    maps: Arc<RwLock<Maps>>,
}

#[derive(Default, Debug)]
struct Maps {
    by_id: HashMap<String, Arc<App>>,
    by_key: HashMap<String, Arc<App>>,
}

impl Apps {
    /// A registry of these apps. Of two with one id or key the later one counts.
    pub fn new(apps: Vec<App>) -> Self {
        let registry = Self::default();
        registry.replace(apps);
        registry
    }

    /// Puts these apps in the place of all that were there. Sockets that are connected stay connected.
    pub fn replace(&self, apps: Vec<App>) {
        let mut maps = Maps::default();
        for app in apps.into_iter().map(Arc::new) {
            maps.by_id.insert(app.id.as_str().to_owned(), Arc::clone(&app));
            maps.by_key.insert(app.key.as_str().to_owned(), app);
        }
        *self.maps.write().expect("nothing panics while the registry is locked") = maps;
    }

    /// The app with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.read(|maps| maps.by_id.get(id).cloned())
    }

    /// The app with this key.
    pub fn by_key(&self, key: &str) -> Option<Arc<App>> {
        self.read(|maps| maps.by_key.get(key).cloned())
    }

    /// The app, when there is exactly one: then tokens need not name it.
    pub fn only(&self) -> Option<Arc<App>> {
        self.read(|maps| match maps.by_id.len() {
            1 => maps.by_id.values().next().cloned(),
            _ => None,
        })
    }

    /// Every app, in no order.
    pub fn all(&self) -> Vec<Arc<App>> {
        self.read(|maps| maps.by_id.values().cloned().collect())
    }

    fn read<T>(&self, f: impl FnOnce(&Maps) -> T) -> T {
        f(&self.maps.read().expect("nothing panics while the registry is locked"))
    }
}
