//! Unread counts after new messages: told to those online, gathered so that a busy room costs few queries.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use hub::Hub;
use protocol::chat::UnreadCount;
use protocol::{AppId, RoomId};
use tokio::sync::Notify;

use crate::announce;
use crate::api::Inner;

/// The most rooms that may wait; past it a room's members learn their count with its next message.
const ROOMS_MAX: usize = 10_000;

/// Rooms in which something was written since their members were last told.
#[derive(Default)]
pub(crate) struct Unread {
    rooms: Mutex<HashSet<(AppId, RoomId)>>,
    written: Notify,
}

impl Unread {
    /// Something was written in the room.
    pub(crate) fn mark(&self, app: &AppId, room: RoomId) {
        let mut rooms = self.rooms.lock().expect("nothing panics while the rooms are locked");
        if rooms.len() < ROOMS_MAX && rooms.insert((app.clone(), room)) {
            self.written.notify_one();
        }
    }

    fn take(&self) -> HashMap<AppId, Vec<RoomId>> {
        let rooms = std::mem::take(&mut *self.rooms.lock().expect("nothing panics while the rooms are locked"));
        let mut by_app: HashMap<AppId, Vec<RoomId>> = HashMap::new();
        for (app, room) in rooms {
            by_app.entry(app).or_default().push(room);
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
        for (app, rooms) in inner.unread.take() {
            tell_app(&inner, &hub, app, rooms).await;
        }
    }
}

async fn tell_app(inner: &Inner, hub: &Hub, app: AppId, rooms: Vec<RoomId>) {
    let (scope, online_in) = (app.clone(), hub.clone());
    let counts = inner.store.run(move |conn| {
        let mut users = HashSet::new();
        for room in rooms {
            users.extend(store::rooms::member_ids(conn, &scope, room)?);
        }
        let online: Vec<_> = users.into_iter().filter(|user| online_in.is_online(&scope, user)).collect();
        match online.is_empty() {
            true => Ok(Vec::new()),
            false => store::chat::unread_totals(conn, &scope, &online),
        }
    });
    match counts.await {
        Ok(counts) => {
            for (user, chat) in counts {
                announce::unread_count(hub, &app, &user, UnreadCount { chat });
            }
        }
        // The next message or read tells the right count: nothing is owed.
        Err(error) => tracing::warn!(error = %error, "unread counts could not be told: {error}"),
    }
}
