//! Unread counts after new messages and notifications: told to those online, gathered so that a busy room costs few
//! queries, and counted after whatever changed them, so that the last one told is right.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use hub::Hub;
use protocol::chat::UnreadCount;
use protocol::{AppId, RoomId, UserId};
use tokio::sync::Notify;

use crate::announce;
use crate::api::Inner;

/// The most rooms, and the most users, that may wait; past it they learn their count with the next change.
const WAITING_MAX: usize = 10_000;

/// Rooms in which something was written, and users whose list changed, since they were last told.
#[derive(Default)]
pub(crate) struct Unread {
    rooms: Mutex<HashSet<(AppId, RoomId)>>,
    users: Mutex<HashSet<(AppId, UserId)>>,
    written: Notify,
}

/// Of one app.
#[derive(Default)]
struct Changed {
    rooms: Vec<RoomId>,
    users: Vec<UserId>,
}

impl Unread {
    /// Something was written in the room.
    pub(crate) fn mark(&self, app: &AppId, room: RoomId) {
        let mut rooms = self.rooms.lock().expect("nothing panics while the rooms are locked");
        if rooms.len() < WAITING_MAX && rooms.insert((app.clone(), room)) {
            self.written.notify_one();
        }
    }

    /// The user's list changed.
    pub(crate) fn mark_user(&self, app: &AppId, user: &UserId) {
        let mut users = self.users.lock().expect("nothing panics while the users are locked");
        if users.len() < WAITING_MAX && users.insert((app.clone(), user.clone())) {
            self.written.notify_one();
        }
    }

    fn take(&self) -> HashMap<AppId, Changed> {
        let rooms = std::mem::take(&mut *self.rooms.lock().expect("nothing panics while the rooms are locked"));
        let users = std::mem::take(&mut *self.users.lock().expect("nothing panics while the users are locked"));
        let mut by_app: HashMap<AppId, Changed> = HashMap::new();
        for (app, room) in rooms {
            by_app.entry(app).or_default().rooms.push(room);
        }
        for (app, user) in users {
            by_app.entry(app).or_default().users.push(user);
        }
        by_app
    }
}

/// Tells members their counts, as long as the API exists.
pub(crate) async fn tell(api: Weak<Inner>) {
    loop {
        let Some(inner) = api.upgrade() else { return };
        // Woken now and then to see whether the API is still there.
        let written = tokio::time::timeout(Duration::from_secs(5), inner.unread.written.notified()).await.is_ok();
        let interval = inner.config.unread_interval;
        let Some(hub) = inner.hub.get().cloned().filter(|_| written) else { continue };
        drop(inner);
        tokio::time::sleep(interval).await;
        let Some(inner) = api.upgrade() else { return };
        for (app, changed) in inner.unread.take() {
            tell_app(&inner, &hub, app, changed).await;
        }
    }
}

async fn tell_app(inner: &Inner, hub: &Hub, app: AppId, changed: Changed) {
    let (scope, online_in) = (app.clone(), hub.clone());
    let counts = inner.store.run(move |conn| -> Result<Vec<_>, store::Error> {
        let mut users: HashSet<UserId> = changed.users.into_iter().collect();
        for room in changed.rooms {
            users.extend(store::rooms::member_ids(conn, &scope, room)?);
        }
        let online: Vec<_> = users.into_iter().filter(|user| online_in.is_online(&scope, user)).collect();
        if online.is_empty() {
            return Ok(Vec::new());
        }
        let listed: HashMap<_, _> = store::notifications::unread_counts(conn, &scope, &online)?.into_iter().collect();
        let totals = store::chat::unread_totals(conn, &scope, &online)?.into_iter();
        let counts = totals.map(|(user, chat)| {
            let notifications = listed.get(&user).copied().unwrap_or(0);
            (user, UnreadCount { notifications, chat })
        });
        Ok(counts.collect())
    });
    match counts.await {
        Ok(counts) => {
            for (user, count) in counts {
                announce::unread_count(hub, &app, &user, count);
            }
        }
        // The next message or read tells the right count: nothing is owed.
        Err(error) => tracing::warn!(error = %error, "unread counts could not be told: {error}"),
    }
}
