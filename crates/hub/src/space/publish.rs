//! Publishing within a space: to those who are there, and into what the channel keeps.

use dashmap::mapref::entry::Entry;
use protocol::{Channel, Position};

use super::Space;
use crate::channel::ChannelState;
use crate::hub::{Busy, Publication};
use crate::inbox::Outgoing;
use crate::websocket;

impl Space {
    /// Hands a publication to every shard with subscribers, and keeps it where the channel keeps anything. Gives its
    /// place in the channel's history.
    pub(crate) fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<Option<Position>, Busy> {
        if let Some(mut state) = self.channels.get_mut(channel.name()) {
            return self.publish_to(&mut state, channel, publication);
        }
        let policy = &self.app.load().policy;
        if publication.ephemeral || (self.rule(policy, channel).is_none() && !channel.is_cache()) {
            return Ok(None);
        }
        let mut state = match self.channels.entry(channel.shared_name()) {
            Entry::Occupied(state) => state.into_ref(),
            Entry::Vacant(vacant) => {
                let state = self.fresh(policy, channel);
                if state.expires_at() == Some(0) {
                    // There is no room to keep anything for those who may come.
                    return Ok(None);
                }
                vacant.insert(state)
            }
        };
        let published = self.publish_to(&mut state, channel, publication);
        self.watch_expiry(channel, &mut state);
        published
    }

    fn publish_to(
        &self,
        state: &mut ChannelState,
        channel: &Channel,
        publication: &Publication<'_>,
    ) -> Result<Option<Position>, Busy> {
        if state.is_full() {
            return Err(Busy);
        }
        let history = state.history.as_deref_mut().filter(|history| !publication.ephemeral && !history.is_durable());
        let position =
            history.and_then(|history| history.position().map(|last| Position { offset: last.offset + 1, ..last }));
        self.fan_out(state, channel, publication, position);
        Ok(position)
    }

    /// Delivers what the journal has stored at `position`.
    pub(crate) fn publish_stored(&self, channel: &Channel, publication: &Publication<'_>, position: Position) {
        // Where nobody is subscribed and nobody was, the journal alone keeps it.
        if let Some(mut state) = self.channels.get_mut(channel.name()) {
            self.fan_out(&mut state, channel, publication, Some(position));
        }
    }

    fn fan_out(
        &self,
        state: &mut ChannelState,
        channel: &Channel,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) {
        let keeps = !publication.ephemeral && (position.is_some() || channel.is_cache());
        if state.locals.is_empty() && !keeps {
            return;
        }
        let frame = publication.encode(channel);
        let offset = position.filter(|_| state.positioned > 0).map(|position| position.offset);
        let numbered = offset.map(|offset| websocket::numbered(&frame, offset));
        if let (Some(history), Some(position)) = (&mut state.history, position) {
            history.push(position, frame.clone(), publication.except, &self.common.budget, self.common.now());
        }
        if channel.is_cache() && !publication.ephemeral {
            let until = self.common.now().saturating_add(self.common.config.cache_seconds);
            state.cache(&frame, &self.common.budget, until);
            state.miss_told = None;
        }
        state.deliver(&Outgoing { plain: frame, numbered }, publication.except);
    }

    /// Takes the journal's word for where a channel is; it is the one who publishes there, so nothing comes between.
    pub(crate) fn place(&self, channel: &Channel, position: Position) {
        let policy = &self.app.load().policy;
        let mut state = self.channels.entry(channel.shared_name()).or_insert_with(|| self.fresh(policy, channel));
        if let Some(history) = &mut state.history {
            history.place(position);
        }
        self.watch_expiry(channel, &mut state);
    }
}
