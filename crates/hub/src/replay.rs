//! A subscription on its way into a channel, and what it still has to learn of the channel's past.

use std::sync::Arc;

use bytes::Bytes;
use protocol::frame::{ChannelData, ChannelEvent};
use protocol::{Channel, SocketId};

use crate::hub::Shared;
use crate::journal::{JournalEvent, JournalPage, JournalQuery, JournalUnavailable};
use crate::space::{Resume, Space, Stored};
use crate::websocket;

/// How often the journal is asked for one subscription. Where a channel is that busy, memory will do by then, or the
/// subscriber is told to try again.
const QUESTIONS_MAX: u8 = 4;

/// What a socket that may subscribe is going to join with.
pub(crate) struct Replay {
    pub(crate) channel: Channel,
    /// For presence channels, and to know whose subscription it is.
    pub(crate) member: Option<ChannelData>,
    pub(crate) resume: Resume,
    questions: u8,
}

impl Replay {
    pub(crate) fn new(channel: Channel, member: Option<ChannelData>, resume: Resume) -> Self {
        Self { channel, member, resume, questions: 0 }
    }

    /// Counts one more question to the journal; whether it may be asked.
    pub(crate) fn may_ask(&mut self) -> bool {
        self.questions += 1;
        self.questions <= QUESTIONS_MAX
    }

    /// Learns where the channel is, then reads what memory lacks.
    pub(crate) async fn ask(&self, shared: &Shared, space: &Arc<Space>) -> Result<Stored, JournalUnavailable> {
        let keeper = shared.keeper.get().ok_or(JournalUnavailable)?;
        let app = space.app().id.clone();
        if space.position(&self.channel).is_none() {
            // That also reads its newest: most who come back will find in memory what they missed.
            keeper.place(Arc::clone(space), app, self.channel.clone()).await?;
            return Ok(Stored { through: 0, whole: true, frames: Vec::new() });
        }
        let limit = shared.config().replay_messages_max;
        let query = match self.resume {
            Resume::After { position, .. } => JournalQuery::After { position, limit },
            Resume::Newest(rewind) => {
                let limit = rewind.messages.unwrap_or(limit).min(limit);
                JournalQuery::Newest { limit, seconds: rewind.seconds }
            }
            Resume::Nothing | Resume::Position => return Ok(Stored { through: 0, whole: true, frames: Vec::new() }),
        };
        let page = keeper.journal.read(app, self.channel.clone(), query).await?;
        Ok(self.stored(&page))
    }

    fn stored(&self, page: &JournalPage) -> Stored {
        let (own, through) = match self.resume {
            Resume::After { position, own } => (own, position.offset),
            _ => (None, page.position.offset),
        };
        let through = page.events.last().map_or(through, |last| last.offset);
        let wanted = page.events.iter().filter(|event| own.is_none() || event.except != own);
        let frames = wanted.map(|event| (event.offset, encode(&self.channel, event))).collect();
        Stored { through, whole: page.whole, frames }
    }
}

impl JournalPage {
    /// The frames of its events, with the sockets that did not get them and their ages in seconds.
    pub(crate) fn frames(&self, channel: &Channel) -> impl Iterator<Item = (Bytes, Option<SocketId>, u32)> {
        self.events.iter().map(move |event| (encode(channel, event), event.except, event.age_seconds))
    }
}

fn encode(channel: &Channel, event: &JournalEvent) -> Bytes {
    let (channel, data) = (channel.name(), &*event.data);
    let event = ChannelEvent { event: &event.event, channel, data, user_id: None };
    websocket::text_frame(&event.encode())
}
