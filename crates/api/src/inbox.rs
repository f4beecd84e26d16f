//! Users' lists: notifications are stored, then announced in the order of their `seq`.

use std::collections::HashMap;

use protocol::notification::NotificationEvent;
use protocol::{AppId, UserId};
use store::notifications::{Made, NewNotification, Outcome};

use crate::order::Turn;
use crate::{Api, announce};

/// A place in the order of announcements for each notification that is about to be stored.
pub(crate) struct Turns(HashMap<UserId, Vec<Turn<(AppId, UserId)>>>);

impl Api {
    /// Has to be called before these are stored.
    pub(crate) fn take_turns(&self, app: &AppId, new: &[NewNotification]) -> Turns {
        let mut turns: HashMap<UserId, Vec<_>> = HashMap::new();
        for new in new {
            let turn = self.inner.inboxes.begin((app.clone(), new.user.clone()));
            turns.entry(new.user.clone()).or_default().push(turn);
        }
        Turns(turns)
    }

    /// Announces what was told: after the commit, never before. Without turns it is announced at once.
    pub(crate) fn announce_made(&self, app: &AppId, made: Vec<Made>, turns: Option<Turns>) {
        let mut turns = turns.map(|turns| turns.0).unwrap_or_default();
        for made in made {
            let Outcome::Told { notification: Some(notification), unread, .. } = made.outcome else { continue };
            let turn = turns.get_mut(&made.user).and_then(Vec::pop);
            let turn = turn.unwrap_or_else(|| self.inner.inboxes.begin((app.clone(), made.user.clone())));
            let (api, app, seq) = (self.clone(), app.clone(), notification.seq);
            turn.announce(seq, move || {
                let Some(hub) = api.hub() else { return };
                let told = NotificationEvent { notification: *notification, unread_count: unread };
                announce::notification_new(hub, &app, &told);
                api.inner.unread.mark_user(&app, &made.user);
            });
        }
    }
}
