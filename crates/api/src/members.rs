//! Who was just found to be in a room, so that a keystroke does not cost a query.
//!
//! Only good news is kept, for [`KEPT`], and taken back when a membership ends through this node.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use protocol::{AppId, RoomId, UserId};

use crate::Api;
use crate::error::ApiError;

const KEPT: Duration = Duration::from_secs(5);
/// The most memberships remembered; past it all are forgotten.
const MEMBERS_MAX: usize = 10_000;

type Key = (AppId, RoomId, UserId);

#[derive(Default)]
pub(crate) struct Members {
    found: Mutex<HashMap<Key, Instant>>,
}

impl Members {
    fn knows(&self, key: &Key) -> bool {
        self.lock().get(key).is_some_and(|since| since.elapsed() < KEPT)
    }

    fn remember(&self, key: Key) {
        let mut found = self.lock();
        if found.len() >= MEMBERS_MAX {
            found.clear();
        }
        found.insert(key, Instant::now());
    }

    pub(crate) fn forget(&self, app: &AppId, room: RoomId, user: &UserId) {
        self.lock().remove(&(app.clone(), room, user.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.found.lock().expect("nothing panics while the memberships are locked")
    }
}

impl Api {
    /// Whether the user is in the room, as of at most [`KEPT`] ago.
    pub(crate) async fn is_member_lately(&self, app: &AppId, room: RoomId, user: &UserId) -> Result<bool, ApiError> {
        let key = (app.clone(), room, user.clone());
        if self.inner.members.knows(&key) {
            return Ok(true);
        }
        let (app, user) = (app.clone(), user.clone());
        let member = self.store(move |conn| store::rooms::is_member(conn, &app, room, &user)).await?;
        if member {
            self.inner.members.remember(key);
        }
        Ok(member)
    }
}
