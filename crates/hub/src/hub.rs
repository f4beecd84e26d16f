//! The handle that the rest of the program holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::frame::ChannelEvent;
use protocol::{AppId, Channel, CloseCode, Protected, SocketId, UserId};

use crate::directory::{Directory, Space};
use crate::fallback::Sessions;
use crate::inbox::Command;
use crate::{Apps, Config, Gate, Shard, websocket};

/// The hub of this node. Clones share it; every method may be called from any thread and none blocks.
#[derive(Clone)]
pub struct Hub {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) apps: Apps,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) directory: Directory,
    pub(crate) sessions: Sessions,
    shards: AtomicU32,
}

/// An event on its way to a channel.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The payload: goes out as a string, whatever it holds.
    pub data: &'a str,
    /// On presence channels, who sent a client event.
    pub user_id: Option<&'a str>,
    /// A socket that shall not get it.
    pub except: Option<SocketId>,
}

/// A shard has [`Config::inbox_bytes_max`] waiting. Nothing was published; it may be tried again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many publications are waiting")]
pub struct Busy;

impl Hub {
    /// A hub without shards: each worker thread adds its own by [`Hub::shard`].
    pub fn new(config: Config, apps: Apps, gate: Arc<dyn Gate>) -> Self {
        let shared = Shared {
            config,
            apps,
            gate,
            directory: Directory::default(),
            sessions: Sessions::default(),
            shards: AtomicU32::new(0),
        };
        Self { shared: Arc::new(shared) }
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

    /// Publishes to the subscribers of exactly this channel name, in one order for all of them. Nobody there is fine.
    ///
    /// # Errors
    /// [`Busy`], and then nobody gets it.
    pub fn publish(&self, app: &AppId, channel: &Channel, publication: &Publication<'_>) -> Result<(), Busy> {
        match self.space(app) {
            Some(space) => space.publish(channel.name(), publication.except, || publication.encode(channel)),
            None => Ok(()),
        }
    }

    /// Publishes under every name that a protected channel has.
    ///
    /// # Errors
    /// [`Busy`]; some names may have been served.
    pub fn publish_protected(&self, app: &AppId, to: &Protected, event: &str, data: &str) -> Result<(), Busy> {
        let publication = Publication { event, data, user_id: None, except: None };
        to.channels().iter().try_for_each(|channel| self.publish(app, channel, &publication))
    }

    /// How many sockets are subscribed.
    pub fn subscription_count(&self, app: &AppId, channel: &Channel) -> usize {
        self.space(app).map_or(0, |space| space.subscription_count(channel.name()))
    }

    /// How many users are in a presence channel; 0 for any other kind.
    pub fn user_count(&self, app: &AppId, channel: &Channel) -> usize {
        self.space(app).map_or(0, |space| space.user_count(channel.name()))
    }

    /// Whether a socket is signed in as the user, or subscribed to the user's own channel.
    pub fn is_online(&self, app: &AppId, user: &UserId) -> bool {
        let Some(space) = self.space(app) else { return false };
        let own = || Protected::User(user.clone()).channels();
        space.is_signed_in(user.as_str()) || own().iter().any(|name| space.subscription_count(name.name()) > 0)
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
        for (socket, inbox) in space.sockets_of(user.as_str()) {
            inbox.push(Command::Close { socket, code: CloseCode::UNAUTHORIZED });
        }
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

impl Publication<'_> {
    pub(crate) fn encode(&self, channel: &Channel) -> Bytes {
        let event = ChannelEvent { event: self.event, channel: channel.name(), data: self.data, user_id: self.user_id };
        websocket::text_frame(&event.encode())
    }
}
