//! Durable channels, with a journal that fails when it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hub::{
    Accepted, Appended, Journal, JournalEntry, JournalEvent, JournalPage, JournalQuery, JournalUnavailable,
    Publication, PublishError, Stored,
};
use protocol::{App, AppId, Channel, Epoch, HistoryRule, Position};
use serde_json::{Value, json};
use testkit::Socket;
use tokio::sync::Semaphore;

use crate::support::{KEY, Node, SECRET, app_id, channel_named};

/// What the hub asks of the outside, kept in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    channels: Mutex<HashMap<String, Vec<JournalEntry>>>,
    fault: Mutex<Fault>,
    asked: AtomicUsize,
    read: AtomicUsize,
}

#[derive(Clone, Default)]
enum Fault {
    #[default]
    None,
    /// The next append takes place, and its answer is lost.
    Unanswered,
    /// Every append takes a permit, then fails.
    Hanging(Arc<Semaphore>),
}

impl Memory {
    fn fail(&self, fault: Fault) {
        *self.0.fault.lock().unwrap() = fault;
    }

    fn store(&self, entry: &JournalEntry) -> Appended {
        let mut channels = self.0.channels.lock().unwrap();
        let stored = channels.entry(entry.channel.name().to_owned()).or_default();
        let known = stored.iter().position(|known| known.id.is_some() && known.id == entry.id);
        if known.is_none() {
            stored.push(entry.clone());
        }
        let offset = known.map_or(stored.len(), |index| index + 1) as u64;
        Appended { position: Position { epoch: Epoch(7), offset }, duplicate: known.is_some() }
    }

    fn stored(&self, channel: &str) -> Vec<JournalEntry> {
        self.0.channels.lock().unwrap().get(channel).cloned().unwrap_or_default()
    }
}

impl Journal for Memory {
    fn append(&self, entries: Arc<[JournalEntry]>) -> Stored<Vec<Appended>> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let this = self.clone();
        let fault = {
            let mut fault = self.0.fault.lock().unwrap();
            match &*fault {
                Fault::Unanswered => std::mem::take(&mut *fault),
                fault => fault.clone(),
            }
        };
        Box::pin(async move {
            if let Fault::Hanging(permits) = &fault {
                permits.acquire().await.unwrap().forget();
                return Err(JournalUnavailable);
            }
            let appended = entries.iter().map(|entry| this.store(entry)).collect();
            if matches!(fault, Fault::Unanswered) { Err(JournalUnavailable) } else { Ok(appended) }
        })
    }

    fn position(&self, _: AppId, channel: Channel) -> Stored<Position> {
        let offset = self.stored(channel.name()).len() as u64;
        Box::pin(async move { Ok(Position { epoch: Epoch(7), offset }) })
    }

    fn read(&self, _: AppId, channel: Channel, query: JournalQuery) -> Stored<JournalPage> {
        self.0.read.fetch_add(1, Ordering::SeqCst);
        let stored = self.stored(channel.name());
        let skip = match query {
            JournalQuery::After { position, .. } => position.offset as usize,
            JournalQuery::Newest { limit, .. } => stored.len().saturating_sub(limit as usize),
        };
        let position = Position { epoch: Epoch(7), offset: stored.len() as u64 };
        let events = stored.into_iter().enumerate().skip(skip).map(|(index, entry)| JournalEvent {
            offset: index as u64 + 1,
            event: entry.event,
            data: entry.data,
            except: entry.except,
            age_seconds: 0,
        });
        let events = events.collect();
        Box::pin(async move { Ok(JournalPage { position, whole: true, events }) })
    }
}

/// A node whose `log-…` channels are durable.
fn node(journal: &Memory) -> Node {
    let node = Node::start();
    let mut app = App::new("1".try_into().unwrap(), KEY.try_into().unwrap(), SECRET).unwrap();
    let rule = HistoryRule { prefix: "log-".into(), messages_max: 1_000, seconds: 3_600, durable: true };
    app.policy.history.push(rule);
    node.hub.apps().replace(vec![app]);
    node.hub.keep_with(Arc::new(journal.clone()));
    node
}

async fn accept(node: &Node, channel: &str, data: &str, id: Option<&str>) -> Result<Accepted, PublishError> {
    let publication = Publication { event: "e", data, ..Publication::default() };
    node.hub.accept(&app_id(), &channel_named(channel), &publication, id).await
}

/// Subscribes and is told offsets from now on.
async fn follow(socket: &mut Socket, channel: &str) -> Value {
    socket.send_subscribe(json!({ "channel": channel, "recover": true })).await;
    socket.expect_event("pusher_internal:subscription_succeeded").await;
    socket.expect_event("kabar:position").await.data
}

#[tokio::test]
async fn what_was_stored_without_an_answer_is_delivered_though_others_publish_all_the_time() {
    let journal = Memory::default();
    let node = node(&journal);
    let (mut socket, mut plain) = (node.connect().await, node.connect().await);
    assert_eq!(follow(&mut socket, "log-a").await["offset"], 0);
    plain.subscribe("log-b").await;
    accept(&node, "log-a", "1", None).await.unwrap();
    assert_eq!(socket.expect_event("e").await.frame["offset"], 1);
    for channel in ["log-a", "log-b"] {
        journal.fail(Fault::Unanswered);
        assert_eq!(accept(&node, channel, "late", None).await, Err(PublishError::Unavailable));
    }
    let heard = async {
        let event = socket.expect_event("e").await;
        assert_eq!((&event.data, &event.frame["offset"]), (&json!("late"), &json!(2)));
        assert_eq!(plain.expect_event("e").await.data, "late", "nobody had to ask for a position");
    };
    tokio::select! {
        () = heard => {}
        () = async { loop { accept(&node, "log-busy", "x", None).await.unwrap(); } } => {}
    }
    accept(&node, "log-a", "next", None).await.unwrap();
    assert_eq!(socket.expect_event("e").await.frame["offset"], 3);
}

#[tokio::test]
async fn what_was_stored_without_an_answer_comes_before_what_is_published_next() {
    let journal = Memory::default();
    let node = node(&journal);
    let mut socket = node.connect().await;
    follow(&mut socket, "log-a").await;
    journal.fail(Fault::Unanswered);
    assert_eq!(accept(&node, "log-a", "1", Some("x")).await, Err(PublishError::Unavailable));
    let retried = accept(&node, "log-a", "1", Some("x")).await.unwrap();
    assert!(retried.duplicate && retried.position.is_some_and(|position| position.offset == 1));
    accept(&node, "log-a", "2", None).await.unwrap();
    for offset in [1, 2] {
        let event = socket.expect_event("e").await;
        assert_eq!((event.data, &event.frame["offset"]), (json!(offset), &json!(offset)));
    }
    socket.expect_quiet().await;
}

#[tokio::test]
async fn an_old_retry_that_reaches_a_node_after_its_restart_is_not_delivered_again() {
    let journal = Memory::default();
    let before = node(&journal);
    for n in 1..=5 {
        accept(&before, "log-a", &n.to_string(), Some(&format!("id-{n}"))).await.unwrap();
    }
    drop(before);
    let after = node(&journal);
    let mut socket = after.connect().await;
    socket.subscribe("log-a").await;
    let retried = accept(&after, "log-a", "2", Some("id-2")).await.unwrap();
    assert!(retried.duplicate && retried.position.is_some_and(|position| position.offset == 2));
    accept(&after, "log-a", "6", None).await.unwrap();
    assert_eq!(socket.expect_event("e").await.data, json!(6));
    socket.expect_quiet().await;
}

#[tokio::test]
async fn those_who_wait_while_the_journal_fails_are_told_together() {
    let journal = Memory::default();
    let node = node(&journal);
    let permits = Arc::new(Semaphore::new(0));
    journal.fail(Fault::Hanging(Arc::clone(&permits)));
    let publishing = (0..600).map(|n| (n, channel_named(&format!("log-{n}"))));
    let publishing: Vec<_> = publishing
        .map(|(n, channel)| {
            let hub = node.hub.clone();
            tokio::spawn(async move {
                let publication = Publication { event: "e", data: "x", ..Publication::default() };
                let id = n.to_string();
                hub.accept(&app_id(), &channel, &publication, Some(&id)).await
            })
        })
        .collect();
    // All of them are queued once each has had its turn.
    while journal.0.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..publishing.len() {
        tokio::task::yield_now().await;
    }
    permits.add_permits(1);
    for publish in publishing {
        assert_eq!(publish.await.unwrap(), Err(PublishError::Unavailable));
    }
    assert_eq!(journal.0.asked.load(Ordering::SeqCst), 1, "one failure is enough for all of them");
    journal.fail(Fault::None);
    assert_eq!(accept(&node, "log-1", "x", None).await.unwrap().position.map(|position| position.offset), Some(1));
}

#[tokio::test]
async fn those_who_come_back_to_another_node_at_once_cost_the_journal_one_read_a_channel() {
    let journal = Memory::default();
    let before = node(&journal);
    (0..50).map(|number| number.to_string()).for_each(|data| before.publish("log-a", "e", &data));
    accept(&before, "log-a", "50", None).await.unwrap();
    drop(before);
    let after = node(&journal);
    journal.0.read.store(0, Ordering::SeqCst);
    let mut sockets = Vec::new();
    for missed in 1..=40 {
        sockets.push((missed, after.connect().await));
    }
    for (missed, socket) in &mut sockets {
        let recover = json!({"epoch": "0000000000000007", "offset": 51 - *missed});
        socket.send_subscribe(json!({ "channel": "log-a", "recover": recover })).await;
    }
    for (missed, mut socket) in sockets {
        socket.expect_event("pusher_internal:subscription_succeeded").await;
        assert_eq!(socket.expect_event("kabar:position").await["recovered"], true);
        for number in 51 - missed..=50 {
            assert_eq!(socket.expect_event("e").await.data, number);
        }
        socket.expect_quiet().await;
    }
    assert_eq!(journal.0.read.load(Ordering::SeqCst), 1);
}
