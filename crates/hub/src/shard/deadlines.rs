//! What happens when time has passed: pings, and the ends of those who stall.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use protocol::{ChannelKind, CloseCode, frame};

use super::{Inner, Place, State, seconds};
use crate::socket::Phase;
use crate::wheel::Deadline;

pub(super) async fn clock(inner: Rc<Inner>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        if inner.inbox.shard == 0 {
            inner.shared.directory.tick();
        }
        let mut state = inner.state.borrow_mut();
        state.close_disabled();
        let now = state.started.elapsed().as_secs() as u32;
        for (place, deadline) in state.wheel.advance(now) {
            state.due(place, deadline);
        }
    }
}

impl State {
    /// Has the socket looked at in so many seconds, unless it is going to be anyway.
    pub(super) fn watch(&mut self, slot: u32, deadline: Deadline, seconds: u32) {
        if self.socket(slot).watched.begin(deadline) {
            let place = self.place(slot);
            self.wheel.schedule(seconds, place, deadline);
        }
    }

    fn due(&mut self, place: Place, deadline: Deadline) {
        let Some(socket) = self.find(place) else { return };
        socket.watched.end(deadline);
        match deadline {
            Deadline::Idle => self.due_idle(place),
            Deadline::Frame => self.due_frame(place),
            Deadline::Stall => self.due_stall(place),
            Deadline::Token => self.due_token(place),
            Deadline::Authorization => self.due_authorization(place),
            Deadline::Linger => self.socket(place.slot).gone(),
        }
    }

    /// Pings a silent peer, and closes one that was silent even then.
    fn due_idle(&mut self, place: Place) {
        let (now, limit) = (self.wheel.now(), self.idle_seconds());
        let socket = self.socket(place.slot);
        let silent = now.saturating_sub(socket.last_seen);
        if silent < limit {
            self.watch(place.slot, Deadline::Idle, limit - silent);
        } else if socket.pinged {
            self.close(place.slot, CloseCode::NO_PONG);
        } else {
            socket.pinged = true;
            self.send(place.slot, frame::PING);
            self.flush(place.slot);
            self.watch(place.slot, Deadline::Idle, seconds(self.shared.config().pong_timeout));
        }
    }

    /// Has a frame that was begun looked at when its time is up.
    pub(super) fn watch_frame(&mut self, slot: u32) {
        let (now, limit) = (self.wheel.now(), seconds(self.shared.config().frame_timeout));
        let socket = self.socket(slot);
        if !socket.decoder.is_mid_frame() {
            socket.frame_since = None;
        } else if socket.frame_since.is_none() {
            socket.frame_since = Some(now);
            self.watch(slot, Deadline::Frame, limit);
        }
    }

    fn due_frame(&mut self, place: Place) {
        let (now, limit) = (self.wheel.now(), seconds(self.shared.config().frame_timeout));
        let Some(since) = self.socket(place.slot).frame_since else { return };
        match limit.saturating_sub(now - since) {
            0 => self.close(place.slot, CloseCode::STALLED_FRAME),
            // Another frame has begun since.
            left => self.watch(place.slot, Deadline::Frame, left),
        }
    }

    pub(super) fn watch_stall(&mut self, slot: u32) {
        self.watch(slot, Deadline::Stall, seconds(self.shared.config().stall_timeout));
    }

    fn due_stall(&mut self, place: Place) {
        let (now, limit) = (self.wheel.now(), seconds(self.shared.config().stall_timeout));
        let socket = self.socket(place.slot);
        let Some(since) = socket.blocked_since else { return };
        match limit.saturating_sub(now - since) {
            0 if socket.phase == Phase::Open => self.close(place.slot, CloseCode::SLOW),
            0 => socket.gone(),
            left => self.watch(place.slot, Deadline::Stall, left),
        }
    }

    /// Has a socket closed when the token that it was signed in with has run out.
    pub(crate) fn watch_token(&mut self, slot: u32, expires_at: SystemTime) {
        let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        self.watch(slot, Deadline::Token, seconds(left + self.shared.config().token_grace));
    }

    /// Closes a socket that has shown nobody's authorisation by now.
    fn due_authorization(&mut self, place: Place) {
        let socket = self.socket(place.slot);
        let authorized = socket.bound.is_some()
            || socket
                .subscriptions
                .iter()
                .any(|held| held.channel.kind() != ChannelKind::Public || held.user.is_some());
        let wanted = socket.tenant.as_ref().is_some_and(|tenant| tenant.app().policy.authorized_only);
        if wanted && !authorized {
            self.refuse(place.slot, CloseCode::UNAUTHORIZED);
        }
    }

    /// Once apps have changed: closes the sockets of those that are disabled or gone.
    fn close_disabled(&mut self) {
        let generation = self.shared.apps.generation();
        if std::mem::replace(&mut self.apps_seen, generation) == generation {
            return;
        }
        let is_disabled =
            |socket: &crate::socket::Socket| socket.tenant.as_ref().is_some_and(|tenant| !tenant.app().policy.enabled);
        let disabled: Vec<u32> =
            self.sockets.iter().filter(|(_, socket)| is_disabled(socket)).map(|(slot, _)| slot as u32).collect();
        for slot in disabled {
            self.refuse(slot, CloseCode::DISABLED_APP);
        }
    }

    fn due_token(&mut self, place: Place) {
        let expires_at = self.socket(place.slot).bound.as_ref().and_then(|bound| bound.expires_at);
        match expires_at {
            // Signed in again, with a token that lasts longer.
            Some(later) if later > SystemTime::now() => self.watch_token(place.slot, later),
            Some(_) => self.refuse(place.slot, CloseCode::UNAUTHORIZED),
            None => {}
        }
    }
}
