//! The one who writes: batches in, deliveries out, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{AppId, Channel, Position};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Appended, Journal, JournalEntry, JournalQuery, JournalUnavailable, Operation};
use crate::hub::{Publication, PublishError};
use crate::space::Space;

/// Publications stored in one go.
const BATCH_MAX: usize = 256;
/// Missed publications read in one go when a gap is healed.
const HEAL_MAX: u32 = 1000;
/// How long after a failure the journal is asked what became of it.
const DOUBT: Duration = Duration::from_secs(1);

/// A publication that waits to be stored, and who waits for it.
struct Waiting {
    space: Arc<Space>,
    reply: Option<oneshot::Sender<Result<Appended, PublishError>>>,
}

/// Channels of which it is not known whether something was stored that nobody has delivered.
type Doubts = HashMap<(AppId, Channel), Arc<Space>>;

/// Until the hub is gone.
pub(super) async fn run(journal: Arc<dyn Journal>, mut operations: mpsc::Receiver<Operation>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut doubts = Doubts::new();
    loop {
        if doubts.is_empty() {
            operations.recv_many(&mut batch, BATCH_MAX).await;
        } else if timeout(DOUBT, operations.recv_many(&mut batch, BATCH_MAX)).await.is_err() {
            settle(&*journal, &mut doubts).await;
            continue;
        }
        if batch.is_empty() {
            return;
        }
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        for operation in batch.drain(..) {
            match operation {
                Operation::Append { space, entry, reply } => {
                    entries.push(entry);
                    waiting.push(Waiting { space, reply });
                }
                Operation::Place { space, app, channel, reply } => {
                    // What was asked before is stored and delivered before.
                    append(&*journal, &mut entries, &mut waiting, &mut doubts).await;
                    let _ = reply.send(place(&*journal, &space, app, channel).await);
                }
            }
        }
        append(&*journal, &mut entries, &mut waiting, &mut doubts).await;
    }
}

async fn append(
    journal: &dyn Journal,
    entries: &mut Vec<JournalEntry>,
    waiting: &mut Vec<Waiting>,
    doubts: &mut Doubts,
) {
    if entries.is_empty() {
        return;
    }
    let stored: Arc<[JournalEntry]> = std::mem::take(entries).into();
    let waiting = std::mem::take(waiting);
    match journal.append(Arc::clone(&stored)).await {
        Ok(appended) => {
            for ((entry, waiting), appended) in stored.iter().zip(waiting).zip(appended) {
                let doubt = deliver(journal, &waiting.space, entry, appended).await.is_err();
                if doubt {
                    doubts.insert((entry.app.clone(), entry.channel.clone()), waiting.space);
                }
                if let Some(reply) = waiting.reply {
                    let _ = reply.send(Ok(appended));
                }
            }
        }
        Err(JournalUnavailable) => {
            for (entry, waiting) in stored.iter().zip(waiting) {
                doubts.insert((entry.app.clone(), entry.channel.clone()), waiting.space);
                if let Some(reply) = waiting.reply {
                    let _ = reply.send(Err(PublishError::Unavailable));
                }
            }
        }
    }
}

/// Delivers what was stored, and before it whatever was stored and not delivered.
async fn deliver(
    journal: &dyn Journal,
    space: &Space,
    entry: &JournalEntry,
    appended: Appended,
) -> Result<(), JournalUnavailable> {
    let position = appended.position;
    if let Some(last) = space.position(&entry.channel) {
        if last.epoch == position.epoch && last.offset >= position.offset {
            return Ok(());
        }
        let follows = last.epoch == position.epoch && last.offset + 1 == position.offset;
        if !follows && last.epoch == position.epoch {
            return heal(journal, space, &entry.app, &entry.channel, last, position.offset).await;
        }
    }
    let publication =
        Publication { event: &entry.event, data: &entry.data, user_id: None, except: entry.except, ephemeral: false };
    space.publish_stored(&entry.channel, &publication, position);
    Ok(())
}

/// Delivers everything after `last` up to `through` from the journal.
async fn heal(
    journal: &dyn Journal,
    space: &Space,
    app: &AppId,
    channel: &Channel,
    mut last: Position,
    through: u64,
) -> Result<(), JournalUnavailable> {
    while last.offset < through {
        let query = JournalQuery::After { position: last, limit: HEAL_MAX };
        let page = journal.read(app.clone(), channel.clone(), query).await?;
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

async fn place(journal: &dyn Journal, space: &Space, app: AppId, channel: Channel) -> Result<(), JournalUnavailable> {
    if space.position(&channel).is_some() {
        return Ok(());
    }
    let position = journal.position(app, channel.clone()).await?;
    space.place(&channel, position);
    Ok(())
}

/// Finds out what became of appends that were not answered.
async fn settle(journal: &dyn Journal, doubts: &mut Doubts) {
    let doubtful: Vec<_> =
        doubts.iter().map(|((app, channel), space)| (app.clone(), channel.clone(), Arc::clone(space))).collect();
    for (app, channel, space) in doubtful {
        let settled = match space.position(&channel) {
            // Nobody here has seen anything of the channel: nobody can have missed anything.
            None => true,
            Some(last) => match journal.position(app.clone(), channel.clone()).await {
                Ok(now) => heal(journal, &space, &app, &channel, last, now.offset).await.is_ok(),
                Err(JournalUnavailable) => return,
            },
        };
        if settled {
            doubts.remove(&(app, channel));
        }
    }
}
