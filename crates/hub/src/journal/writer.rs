//! The one who writes: batches in, deliveries out, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{AppId, Channel, Position};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Appended, Journal, JournalEntry, JournalQuery, JournalUnavailable, Operation, Queued};
use crate::hub::{Publication, PublishError};
use crate::space::Space;

/// Publications stored in one go.
const BATCH_MAX: usize = 256;
/// Publications read in one go: of a channel that is new to this node, so that those who come back after a restart ask
/// the journal once and not one by one; and of a gap that is healed.
const PAGE_MAX: u32 = 1000;
/// How often channels in doubt are looked at.
const DOUBT_EVERY: Duration = Duration::from_secs(1);
/// Seconds after which the journal is asked about a doubt again though it has answered: what was given up may arrive late.
const AGAIN_AFTER: [u64; 3] = [1, 3, 9];
/// Channels that it is asked about in one go; meanwhile nothing is stored.
const DOUBTS_MAX: usize = 200;

/// A publication that waits to be stored, and who waits for it.
struct Waiting {
    space: Arc<Space>,
    reply: Option<oneshot::Sender<Result<Appended, PublishError>>>,
}

/// Of a channel it is not known whether something was stored that nobody has delivered.
struct Doubt {
    space: Arc<Space>,
    /// Not asked about before.
    due: Instant,
    /// How often the journal has answered since.
    answers: usize,
}

struct Writer {
    journal: Arc<dyn Journal>,
    doubts: HashMap<(AppId, Channel), Doubt>,
    /// When doubts are looked at next.
    due: Instant,
    /// When the journal last did not answer.
    failed: Option<Instant>,
}

/// Until the hub is gone.
pub(super) async fn run(journal: Arc<dyn Journal>, mut operations: mpsc::Receiver<Queued>) {
    let mut writer = Writer { journal, doubts: HashMap::new(), due: Instant::now(), failed: None };
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        // Looked at first, so that doubts are settled also while there is always something to store.
        if !writer.doubts.is_empty() && writer.due <= Instant::now() {
            writer.settle().await;
            writer.due = Instant::now() + DOUBT_EVERY;
        }
        if writer.doubts.is_empty() {
            operations.recv_many(&mut batch, BATCH_MAX).await;
        } else if timeout_at(writer.due, operations.recv_many(&mut batch, BATCH_MAX)).await.is_err() {
            continue;
        }
        if batch.is_empty() {
            return;
        }
        writer.work(&mut batch).await;
    }
}

impl Writer {
    async fn work(&mut self, batch: &mut Vec<Queued>) {
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        for Queued { operation, at } in batch.drain(..) {
            match operation {
                Operation::Append { reply, .. } if self.is_futile(at) => {
                    let _ = reply.map(|reply| reply.send(Err(PublishError::Unavailable)));
                }
                Operation::Append { space, entry, reply } => {
                    entries.push(entry);
                    waiting.push(Waiting { space, reply });
                }
                Operation::Place { space, app, channel, reply } => {
                    // What was asked before is stored and delivered before.
                    self.append(&mut entries, &mut waiting).await;
                    let placed = match self.is_futile(at) {
                        true => Err(JournalUnavailable),
                        false => self.place(&space, &app, &channel).await,
                    };
                    let _ = reply.send(placed);
                }
            }
        }
        self.append(&mut entries, &mut waiting).await;
    }

    /// Whether the journal failed after this was queued. Each failure takes its time; if everyone who waits were to find
    /// out alone, the last would wait for all of them.
    fn is_futile(&self, queued: Instant) -> bool {
        self.failed.is_some_and(|failed| queued < failed)
    }

    fn failed(&mut self, JournalUnavailable: JournalUnavailable) -> JournalUnavailable {
        self.failed = Some(Instant::now());
        JournalUnavailable
    }

    async fn append(&mut self, entries: &mut Vec<JournalEntry>, waiting: &mut Vec<Waiting>) {
        if entries.is_empty() {
            return;
        }
        let entries: Arc<[JournalEntry]> = std::mem::take(entries).into();
        let waiting = std::mem::take(waiting);
        let appended = match self.place_audiences(&entries, &waiting).await {
            Ok(()) => self.journal.append(Arc::clone(&entries)).await.map_err(|error| self.failed(error)),
            // Nothing was stored; the answer is the same.
            Err(error) => Err(error),
        };
        match appended {
            Ok(appended) => {
                for ((entry, waiting), appended) in entries.iter().zip(waiting).zip(appended) {
                    if self.deliver(&waiting.space, entry, appended).await.is_err() {
                        self.doubt(entry, waiting.space);
                    }
                    let _ = waiting.reply.map(|reply| reply.send(Ok(appended)));
                }
            }
            Err(JournalUnavailable) => {
                for (entry, waiting) in entries.iter().zip(waiting) {
                    self.doubt(entry, waiting.space);
                    let _ = waiting.reply.map(|reply| reply.send(Err(PublishError::Unavailable)));
                }
            }
        }
    }

    /// Finds out where channels are that have subscribers, before anything happens to them: only then can it be told
    /// what those miss should the answer be lost.
    async fn place_audiences(
        &mut self,
        entries: &[JournalEntry],
        waiting: &[Waiting],
    ) -> Result<(), JournalUnavailable> {
        for (entry, Waiting { space, .. }) in entries.iter().zip(waiting) {
            if space.subscription_count(entry.channel.name()) > 0 {
                self.place(space, &entry.app, &entry.channel).await?;
            }
        }
        Ok(())
    }

    /// Remembers to ask what became of it. Where nobody here knows where the channel is, nobody can miss anything.
    fn doubt(&mut self, entry: &JournalEntry, space: Arc<Space>) {
        if space.position(&entry.channel).is_none() {
            return;
        }
        let now = Instant::now();
        if self.doubts.is_empty() {
            self.due = now + DOUBT_EVERY;
        }
        let doubt = Doubt { space, due: now, answers: 0 };
        self.doubts.insert((entry.app.clone(), entry.channel.clone()), doubt);
    }

    /// Delivers what was stored, and before it whatever was stored and not delivered.
    async fn deliver(
        &mut self,
        space: &Space,
        entry: &JournalEntry,
        appended: Appended,
    ) -> Result<(), JournalUnavailable> {
        let position = appended.position;
        match space.position(&entry.channel) {
            // It was published before anybody came who is here now, perhaps long ago.
            None if appended.duplicate => return Ok(()),
            Some(last) if last.epoch == position.epoch && last.offset >= position.offset => return Ok(()),
            Some(last) if last.epoch == position.epoch && last.offset + 1 < position.offset => {
                return self.heal(space, &entry.app, &entry.channel, last, position.offset).await;
            }
            _ => {}
        }
        let publication = Publication {
            event: &entry.event,
            data: &entry.data,
            user_id: None,
            except: entry.except,
            ephemeral: false,
        };
        space.publish_stored(&entry.channel, &publication, position);
        Ok(())
    }

    /// Delivers everything after `last` up to `through` from the journal.
    async fn heal(
        &mut self,
        space: &Space,
        app: &AppId,
        channel: &Channel,
        mut last: Position,
        through: u64,
    ) -> Result<(), JournalUnavailable> {
        while last.offset < through {
            let query = JournalQuery::After { position: last, limit: PAGE_MAX };
            let page = self.journal.read(app.clone(), channel.clone(), query).await;
            let page = page.map_err(|error| self.failed(error))?;
            if page.position.epoch != last.epoch {
                space.place(channel, page.position);
                return Ok(());
            }
            let before = last.offset;
            for stored in page.events.iter().filter(|stored| stored.offset <= through) {
                let (event, data, except) = (stored.event.as_str(), stored.data.as_str(), stored.except);
                let publication = Publication { event, data, user_id: None, except, ephemeral: false };
                last.offset = stored.offset;
                space.publish_stored(channel, &publication, last);
            }
            if last.offset == before {
                // Retention has taken what was missing: subscribers see the gap in the offsets.
                space.place(channel, Position { offset: through, ..last });
                return Ok(());
            }
        }
        Ok(())
    }

    async fn place(&mut self, space: &Space, app: &AppId, channel: &Channel) -> Result<(), JournalUnavailable> {
        if space.position(channel).is_some() {
            return Ok(());
        }
        let query = JournalQuery::Newest { limit: PAGE_MAX, seconds: None };
        let page = self.journal.read(app.clone(), channel.clone(), query).await;
        space.load(channel, &page.map_err(|error| self.failed(error))?);
        Ok(())
    }

    /// Finds out what became of appends that were not answered.
    async fn settle(&mut self) {
        let now = Instant::now();
        let due = self.doubts.iter().filter(|(_, doubt)| doubt.due <= now).take(DOUBTS_MAX);
        let due: Vec<_> = due.map(|(key, doubt)| (key.clone(), Arc::clone(&doubt.space))).collect();
        for ((app, channel), space) in due {
            if self.settle_one(&space, &app, &channel).await.is_err() {
                return;
            }
            let key = (app, channel);
            let Some(doubt) = self.doubts.get_mut(&key) else { continue };
            match AGAIN_AFTER.get(doubt.answers) {
                Some(seconds) => (doubt.answers, doubt.due) = (doubt.answers + 1, now + Duration::from_secs(*seconds)),
                None => drop(self.doubts.remove(&key)),
            }
        }
    }

    async fn settle_one(&mut self, space: &Space, app: &AppId, channel: &Channel) -> Result<(), JournalUnavailable> {
        // Forgotten meanwhile: nobody is there any more.
        let Some(last) = space.position(channel) else { return Ok(()) };
        let top = self.journal.position(app.clone(), channel.clone()).await.map_err(|error| self.failed(error))?;
        match top.epoch == last.epoch {
            true => self.heal(space, app, channel, last, top.offset).await,
            false => {
                space.place(channel, top);
                Ok(())
            }
        }
    }
}
