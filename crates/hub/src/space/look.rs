//! Questions about channels, for the HTTP API.

use std::time::Duration;

use protocol::Channel;
use protocol::frame::Rewind;

use super::Space;
use crate::history::Past;
use crate::{HistoryPage, JournalQuery, websocket};

/// An occupied channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: String,
    /// Sockets that are subscribed.
    pub subscription_count: usize,
    /// On presence channels, users.
    pub user_count: Option<usize>,
}

/// The last event of a cache channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedEvent {
    /// The event's name.
    pub event: String,
    /// Its payload.
    pub data: String,
    /// How long it is still kept.
    pub left: Duration,
}

/// An event that a channel keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// Its place in the channel's history.
    pub offset: u64,
    /// The event's name.
    pub event: String,
    /// Its payload.
    pub data: String,
}

impl Space {
    /// Channels with subscribers whose names start so, sorted by name.
    pub(crate) fn occupied(&self, prefix: &str) -> Vec<ChannelInfo> {
        let occupied = self.channels.iter().filter(|entry| entry.subscribers > 0 && entry.key().starts_with(prefix));
        let mut channels: Vec<_> = occupied
            .map(|entry| ChannelInfo {
                name: entry.key().to_string(),
                subscription_count: entry.subscribers,
                user_count: entry.member_count(),
            })
            .collect();
        channels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        channels
    }

    /// Whether a shard with subscribers has no room for a publication.
    pub(crate) fn is_full(&self, channel: &Channel) -> bool {
        self.channels.get(channel.name()).is_some_and(|entry| entry.is_full())
    }

    pub(crate) fn subscription_count(&self, name: &str) -> usize {
        self.channels.get(name).map_or(0, |entry| entry.subscribers)
    }

    pub(crate) fn user_count(&self, name: &str) -> usize {
        self.channels.get(name).and_then(|entry| entry.member_count()).unwrap_or(0)
    }

    pub(crate) fn member_ids(&self, name: &str) -> Vec<String> {
        self.channels.get(name).map_or_else(Vec::new, |entry| entry.member_ids())
    }

    pub(crate) fn cached(&self, name: &str) -> Option<CachedEvent> {
        let now = self.common.now();
        let entry = self.channels.get(name)?;
        let cached = entry.cached(now)?;
        let (event, data) = websocket::event_of(&cached.frame)?;
        Some(CachedEvent { event, data, left: Duration::from_secs((cached.until - now).into()) })
    }

    /// What memory has of a channel's history; `None` where it has none.
    pub(crate) fn kept(&self, channel: &Channel, query: &JournalQuery) -> Option<HistoryPage> {
        let now = self.common.now();
        let entry = self.channels.get(channel.name())?;
        let history = entry.history.as_ref()?;
        let position = history.position()?;
        let (first, through, whole) = match *query {
            JournalQuery::Newest { limit, seconds } => {
                let rewind = Rewind { messages: Some(limit), seconds };
                let Past::Whole(frames) = history.newest(rewind, now) else { return None };
                (position.offset - frames.len() as u64, position.offset, true)
            }
            JournalQuery::After { position: last, limit } => {
                let known = last.epoch == position.epoch && history.after(last.offset, None, now) != Past::Gone;
                let through = last.offset.saturating_add(limit.into()).min(position.offset);
                (if known { last.offset } else { through }, through, known && through == position.offset)
            }
        };
        let wanted = history.entries(now).filter(|(offset, _)| (first + 1..=through).contains(offset));
        let events = wanted.filter_map(|(offset, frame)| {
            let (event, data) = websocket::event_of(frame)?;
            Some(KeptEvent { offset, event, data })
        });
        Some(HistoryPage { position: Some(position), whole, events: events.collect() })
    }
}
