//! Chat rooms: every message once, in the order of its `seq`, whatever happened to the connection.
//!
//! Live events are only the fast way. Each room keeps the `seq` up to which its messages were handed out; after each
//! (re)subscription, and whenever a live message leaves a gap, the messages after it are fetched over REST.

use std::collections::{BTreeMap, VecDeque};

use protocol::RoomId;
use protocol::chat::Message;
use tokio::time::sleep;

use crate::{Backoff, ChatApi, Client, Event, Events, HttpError, Next, Refused};

/// Messages fetched at once.
const PAGE: usize = 100;

/// The messages of some rooms, and everything else that the connection tells.
pub struct RoomStream {
    client: Client,
    events: Events,
    api: ChatApi,
    backoff: Backoff,
    rooms: BTreeMap<RoomId, Progress>,
    ready: VecDeque<RoomEvent>,
    // Fetches that failed one after the other.
    failures: u32,
}

/// From where on a room's messages are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// All after this `seq`, which the program has seen before; 0 is the whole history.
    After(i64),
    /// What is written from now on.
    Now,
}

/// What a [`RoomStream`] gives.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEvent {
    /// The next message of its room.
    Message(Message),
    /// The room cannot be read (it is gone, or the user is no member of it any more) and is followed no longer.
    Lost(RoomId),
    /// Anything else.
    Other(Event),
}

#[derive(Debug)]
struct Progress {
    // Handed out up to here; none before the first fetch of `Start::Now`.
    seq: Option<i64>,
    // Whether there may be messages after `seq` that no live event will bring.
    behind: bool,
}

impl Progress {
    /// Whether a live message is the next one. One that is further on means that some are missing.
    fn takes(&mut self, seq: i64) -> bool {
        let Some(last) = self.seq.filter(|_| !self.behind) else { return false };
        if seq > last + 1 {
            self.behind = true;
        }
        if seq == last + 1 {
            self.seq = Some(seq);
            return true;
        }
        false
    }
}

impl RoomStream {
    /// Listens through this client, which signs in as the user of `api`.
    pub fn new(client: Client, events: Events, api: ChatApi) -> Self {
        let (rooms, ready) = (BTreeMap::new(), VecDeque::new());
        Self { client, events, api, backoff: Backoff::default(), rooms, ready, failures: 0 }
    }

    /// Waits so between fetches that fail, instead of as [`Backoff::default`] says.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Follows a room. Following it again changes nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn follow(&mut self, room: RoomId, start: Start) -> Result<(), Refused> {
        self.client.subscribe(format!("chat-{room}"))?;
        let seq = match start {
            Start::After(seq) => Some(seq),
            Start::Now => None,
        };
        // Nothing is fetched before the subscription holds: what is written in between would be missed.
        self.rooms.entry(room).or_insert(Progress { seq, behind: false });
        Ok(())
    }

    /// Follows a room no longer.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn leave(&mut self, room: RoomId) -> Result<(), Refused> {
        self.rooms.remove(&room);
        self.client.unsubscribe(format!("chat-{room}"))
    }

    /// Up to which `seq` the room's messages were handed out: what to keep, and to give to [`Start::After`] at the next
    /// start of the program.
    pub fn last_seq(&self, room: RoomId) -> Option<i64> {
        let given = self.rooms.get(&room)?.seq?;
        let waiting = self.ready.iter().find_map(|event| match event {
            RoomEvent::Message(message) if message.room_id == room => Some(message.seq - 1),
            _ => None,
        });
        Some(waiting.unwrap_or(given))
    }

    /// The next message or other event; none after the connection has stopped for good. Dropping the future loses
    /// nothing. While a fetch is tried again, live events wait in the client's queue.
    pub async fn next(&mut self) -> Option<RoomEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let behind = self.rooms.iter().find(|(_, progress)| progress.behind);
            if let Some((&room, &Progress { seq, .. })) = behind {
                self.catch_up(room, seq).await;
                continue;
            }
            let event = self.events.next().await?;
            self.sort(event);
        }
    }

    /// Fetches one page, or where `Start::Now` begins.
    async fn catch_up(&mut self, room: RoomId, after: Option<i64>) {
        let fetched = match after {
            Some(seq) => self.api.messages_after(room, seq, PAGE).await.map(|page| {
                let more = page.messages.len() >= PAGE || page.next_cursor.is_some() && !page.messages.is_empty();
                (page.messages, more)
            }),
            None => self.api.last_seq(room).await.map(|seq| {
                self.rooms.entry(room).and_modify(|progress| progress.seq = Some(seq));
                (Vec::new(), false)
            }),
        };
        match fetched {
            Ok((messages, more)) => {
                self.failures = 0;
                self.take(room, messages, more);
            }
            Err(error) if error.is_temporary() => self.wait_after(&error).await,
            Err(error) => {
                tracing::debug!(%room, error = &error as &dyn std::error::Error, "the room cannot be read");
                self.rooms.remove(&room);
                self.ready.push_back(RoomEvent::Lost(room));
            }
        }
    }

    fn take(&mut self, room: RoomId, messages: Vec<Message>, more: bool) {
        let Some(progress) = self.rooms.get_mut(&room) else { return };
        for message in messages {
            if progress.seq.is_none_or(|last| message.seq > last) {
                progress.seq = Some(message.seq);
                self.ready.push_back(RoomEvent::Message(message));
            }
        }
        progress.behind = more;
    }

    async fn wait_after(&mut self, error: &HttpError) {
        let next = self.backoff.next(None, self.failures, rand::random());
        self.failures = self.failures.saturating_add(1);
        tracing::debug!(error = error as &dyn std::error::Error, ?next, "messages could not be fetched");
        if let Next::After(wait) = next {
            sleep(wait).await;
        }
    }

    /// Hands on what is nobody's message, takes a message that is the next one, and sees where one is missing.
    fn sort(&mut self, event: Event) {
        match &event {
            Event::Subscribed { channel, .. } => {
                if let Some(progress) = room_of(channel).and_then(|room| self.rooms.get_mut(&room)) {
                    progress.behind = true;
                }
            }
            Event::Message(live) if live.name == "new-message" => {
                let progress = room_of(&live.channel).and_then(|room| self.rooms.get_mut(&room));
                if let (Some(progress), Ok(message)) = (progress, serde_json::from_str::<Message>(&live.data)) {
                    if progress.takes(message.seq) {
                        self.ready.push_back(RoomEvent::Message(message));
                    }
                    return;
                }
            }
            _ => {}
        }
        self.ready.push_back(RoomEvent::Other(event));
    }
}

fn room_of(channel: &str) -> Option<RoomId> {
    channel.strip_prefix("chat-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_message_is_taken_live_and_a_gap_is_seen() {
        let mut progress = Progress { seq: Some(4), behind: false };
        assert!(!progress.takes(4) && !progress.behind, "a repeat");
        assert!(progress.takes(5) && !progress.behind);
        assert!(!progress.takes(7) && progress.behind, "6 is missing");
        assert!(!progress.takes(6), "the fetch brings it");
        assert_eq!(progress.seq, Some(5));
    }
}
