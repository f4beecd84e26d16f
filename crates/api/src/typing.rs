//! Who is typing, in memory only. A sign ends by itself; one timer serves all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use protocol::chat::Typing as Sign;
use protocol::{AppId, RoomId, UserId};
use tokio::sync::Notify;

use crate::api::Inner;
use crate::{Api, announce};

/// The most signs at once; past it a new one is not shown.
const SIGNS_MAX: usize = 10_000;
/// A refresh sooner after the last one is taken, but not told to others again.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The timer looks no more often than this, so that many signs are ended in one look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

type Key = (AppId, RoomId, UserId);

pub(crate) struct Typing {
    timeout: Duration,
    signs: Mutex<HashMap<Key, Entry>>,
    begun: Notify,
}

struct Entry {
    name: String,
    until: Instant,
    told: Instant,
}

impl Typing {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, signs: Mutex::default(), begun: Notify::new() }
    }

    /// Takes a sign. `tell` is called while the signs are locked, so that signs reach others in the order they came.
    fn set(&self, key: Key, name: String, is_typing: bool, tell: impl FnOnce(&Key, &str, bool)) {
        let now = Instant::now();
        let mut signs = self.lock();
        if !is_typing {
            if let Some(entry) = signs.remove(&key) {
                tell(&key, &entry.name, false);
            }
            return;
        }
        let until = now + self.timeout;
        if let Some(entry) = signs.get_mut(&key) {
            entry.until = until;
            if now.duration_since(entry.told) >= TOLD_EVERY.min(self.timeout / 2) {
                entry.told = now;
                tell(&key, &name, true);
            }
            return;
        }
        if signs.len() < SIGNS_MAX {
            tell(&key, &name, true);
            signs.insert(key, Entry { name, until, told: now });
            self.begun.notify_one();
        }
    }

    /// Ends what is over at `now`; when the next sign ends.
    fn end(&self, now: Instant, mut tell: impl FnMut(&Key, &str, bool)) -> Option<Instant> {
        let mut signs = self.lock();
        signs.retain(|key, entry| {
            let lasts = entry.until > now;
            if !lasts {
                tell(key, &entry.name, false);
            }
            lasts
        });
        signs.values().map(|entry| entry.until).min()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.signs.lock().expect("nothing panics while the signs are locked")
    }
}

impl Api {
    /// The user, a member, types in the room or no longer does.
    pub(crate) fn typing(&self, app: &AppId, room: RoomId, user: &UserId, name: &str, is_typing: bool) {
        let key = (app.clone(), room, user.clone());
        self.inner.typing.set(key, name.to_owned(), is_typing, |key, name, on| tell(&self.inner, key, name, on));
    }
}

fn tell(inner: &Inner, (app, room, user): &Key, name: &str, is_typing: bool) {
    if let Some(hub) = inner.hub.get() {
        let sign = Sign { user_id: user.clone(), user_name: name.to_owned(), is_typing };
        announce::typing(hub, app, *room, &sign);
    }
}

/// Ends signs that nobody refreshed, as long as the API exists.
pub(crate) async fn expire(api: Weak<Inner>) {
    loop {
        let Some(inner) = api.upgrade() else { return };
        let next = inner.typing.end(Instant::now(), |key, name, on| tell(&inner, key, name, on));
        match next {
            Some(next) => {
                drop(inner);
                tokio::time::sleep_until(next.max(Instant::now() + LOOK_EVERY).into()).await;
            }
            // Nobody types: woken by the next sign, or now and then to see whether the API is still there.
            None => drop(tokio::time::timeout(Duration::from_secs(5), inner.typing.begun.notified()).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_told_once_and_its_end_too() {
        let typing = Typing::new(Duration::from_secs(3));
        let key = (AppId::try_from("1").unwrap(), RoomId::mint(), UserId::try_from("ada").unwrap());
        let told = Mutex::new(Vec::new());
        let tell = |_: &Key, name: &str, on| told.lock().unwrap().push((name.to_owned(), on));
        typing.set(key.clone(), "Ada".into(), false, tell);
        typing.set(key.clone(), "Ada".into(), true, tell);
        typing.set(key.clone(), "Ada".into(), true, tell);
        assert!(typing.end(Instant::now(), tell).is_some());
        assert_eq!(*told.lock().unwrap(), [("Ada".to_owned(), true)]);
        assert_eq!(typing.end(Instant::now() + Duration::from_secs(3), tell), None);
        typing.set(key, "Ada".into(), false, tell);
        assert_eq!(*told.lock().unwrap(), [("Ada".to_owned(), true), ("Ada".to_owned(), false)]);
    }
}
