//! Publishing: to memory at once, to durable channels once it is stored.

use std::sync::Arc;

use bytes::Bytes;
use protocol::frame::ChannelEvent;
use protocol::{AppId, Channel, Position, Protected, SocketId};

use super::Hub;
use crate::space::Space;
use crate::websocket;

/// An event on its way to a channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The payload: goes out as a string, whatever it holds.
    pub data: &'a str,
    /// On presence channels, who sent a client event.
    pub user_id: Option<&'a str>,
    /// A socket that shall not get it.
    pub except: Option<SocketId>,
    /// Only for those who are there now: kept in no history and no cache.
    pub ephemeral: bool,
}

/// A publication that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its place in the channel's history; `None` where nothing is kept.
    pub position: Option<Position>,
    /// Whether it had been accepted before.
    pub duplicate: bool,
}

/// A shard has [`crate::Config::inbox_bytes_max`] waiting, or the journal [`crate::Config::journal_queue_max`]. Nothing
/// was published; it may be tried again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many publications are waiting")]
pub struct Busy;

/// Why a publication was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// See [`Busy`].
    #[error("too many publications are waiting")]
    Busy,
    /// The channel is durable and the journal does not answer. Whether it is stored is not known: try again with the
    /// same id, and it is stored once.
    #[error("the channel is durable and its journal is unavailable")]
    Unavailable,
}

impl From<Busy> for PublishError {
    fn from(Busy: Busy) -> Self {
        Self::Busy
    }
}

impl Hub {
    /// Publishes to the subscribers of exactly this channel name, in one order for all of them. Nobody there is fine. On
    /// a durable channel it is queued to be stored and then delivered; who has to know that, calls [`Hub::accept`].
    ///
    /// # Errors
    /// [`Busy`], and then nobody gets it.
    pub fn publish(&self, app: &AppId, channel: &Channel, publication: &Publication<'_>) -> Result<(), Busy> {
        let Some(space) = self.publishing(app) else { return Ok(()) };
        if !publication.ephemeral && space.is_durable(channel) {
            let Some(keeper) = self.shared.keeper.get() else { return Err(Busy) };
            return keeper.append(space, app, channel, publication, None).map(drop).map_err(|_| Busy);
        }
        space.publish(channel, publication).map(drop)
    }

    /// As [`Hub::publish`], and says where in the channel's history it is. On a durable channel the answer comes once it
    /// is stored; there `id`, the publisher's own, is accepted once within a day.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn accept(
        &self,
        app: &AppId,
        channel: &Channel,
        publication: &Publication<'_>,
        id: Option<&str>,
    ) -> Result<Accepted, PublishError> {
        let Some(space) = self.publishing(app) else { return Ok(Accepted { position: None, duplicate: false }) };
        if publication.ephemeral || !space.is_durable(channel) {
            return Ok(Accepted { position: space.publish(channel, publication)?, duplicate: false });
        }
        let keeper = self.shared.keeper.get().ok_or(PublishError::Unavailable)?;
        let stored = keeper.append(space, app, channel, publication, id.map(str::to_owned))?;
        let appended = stored.await.unwrap_or(Err(PublishError::Unavailable))?;
        Ok(Accepted { position: Some(appended.position), duplicate: appended.duplicate })
    }

    /// Publishes under every name that a protected channel has.
    ///
    /// # Errors
    /// [`Busy`]; some names may have been served.
    pub fn publish_protected(&self, app: &AppId, to: &Protected, publication: &Publication<'_>) -> Result<(), Busy> {
        to.channels().iter().try_for_each(|channel| self.publish(app, channel, publication))
    }

    /// Whether all of the channels would take a publication now: asked before several are published together, so that
    /// none goes out where another would be refused. What comes in between may still fill a queue.
    ///
    /// # Errors
    /// What publishing would answer.
    pub fn has_room<'c>(
        &self,
        app: &AppId,
        channels: impl IntoIterator<Item = &'c Channel>,
    ) -> Result<(), PublishError> {
        let Some(space) = self.publishing(app) else { return Ok(()) };
        let (live, mut stored) = (space.app(), 0);
        for channel in channels {
            if live.policy.is_durable(channel.name()) {
                stored += 1;
            } else if space.is_full(channel) {
                return Err(PublishError::Busy);
            }
        }
        match (stored, self.shared.keeper.get()) {
            (0, _) => Ok(()),
            (_, None) => Err(PublishError::Unavailable),
            (stored, Some(keeper)) if keeper.room() < stored => Err(PublishError::Busy),
            _ => Ok(()),
        }
    }

    /// Whether the app may publish so many events more in this second; counts them if so.
    pub fn allows_publishes(&self, app: &AppId, count: u32) -> bool {
        self.publishing(app).is_none_or(|space| space.allows_publishes(count))
    }

    /// Where an app's publications go, though nobody may have connected yet.
    fn publishing(&self, app: &AppId) -> Option<Arc<Space>> {
        let directory = &self.shared.directory;
        directory.find(app).or_else(|| self.shared.apps.live_by_id(app.as_str()).map(|live| directory.space(&live)))
    }
}

impl Publication<'_> {
    pub(crate) fn encode(&self, channel: &Channel) -> Bytes {
        let (Self { event, data, user_id, .. }, channel) = (*self, channel.name());
        websocket::text_frame(&ChannelEvent { event, channel, data, user_id }.encode())
    }
}
