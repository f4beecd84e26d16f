//! The queue of deliveries: whose turn it is, who may finish, and what becomes of each.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use protocol::AppId;
use protocol::notification::{DeliveryId, NotificationId, Transport};
use serde_json::json;
use store::deliveries::{
    Answer, Begun, Claim, Claimed, Ended, NewDelivery, Outcome, State, Story, begin_attempt, claim_due, enqueue,
    finish, inspect, stats,
};
use store::{Error, PgConnection};
use testkit::TestDatabase;
use uuid::Uuid;

#[path = "deliveries/crash.rs"]
mod crash;
#[path = "deliveries/ends.rs"]
mod ends;
#[path = "deliveries/events.rs"]
mod events;
#[path = "deliveries/fairness.rs"]
mod fairness;
#[path = "deliveries/measured.rs"]
mod measured;
#[path = "deliveries/rescue.rs"]
mod rescue;

const ALL: [Transport; 3] = [Transport::Push, Transport::Email, Transport::Whatsapp];

fn app(id: &str) -> AppId {
    AppId::try_from(id).unwrap()
}

fn new(transport: Transport, priority: i16) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::mint(),
        notification: Some(NotificationId::mint()),
        user: "ada".try_into().unwrap(),
        category: "chat".try_into().unwrap(),
        transport,
        priority,
        run_at: Utc::now() - TimeDelta::seconds(60),
        expires_at: Utc::now() + TimeDelta::hours(1),
        collapse_key: Some("room".to_owned()),
        content: json!({"title": "Pesan Baru", "text": "halo"}),
    }
}

fn claim(worker: Uuid, limit: u32) -> Claim {
    Claim {
        worker,
        limit,
        transports: ALL.map(|transport| (transport, 1_000)).to_vec(),
        per_app: 1_000,
        apps: Vec::new(),
        lease: Duration::from_secs(60),
    }
}

fn take(conn: &mut PgConnection, limit: u32) -> Vec<Claimed> {
    claim_due(conn, &claim(Uuid::now_v7(), limit)).unwrap()
}

fn take_one(conn: &mut PgConnection) -> Claimed {
    let mut taken = take(conn, 10);
    assert_eq!(taken.len(), 1);
    taken.remove(0)
}

/// Queues one and claims it.
fn taken(conn: &mut PgConnection, transport: Transport) -> Claimed {
    enqueue(conn, &app("1"), &[new(transport, 50)]).unwrap();
    take_one(conn)
}

fn begin(conn: &mut PgConnection, claimed: &Claimed) -> Begun {
    begin_attempt(conn, claimed, "smtp", "ada@a.example").unwrap().unwrap()
}

fn answer(outcome: Outcome, message_id: Option<&str>) -> Answer {
    Answer { outcome, http_status: Some(200), message_id: message_id.map(str::to_owned), text: Some("{}".to_owned()) }
}

fn sent(message_id: &str) -> Answer {
    answer(Outcome::Sent, Some(message_id))
}

fn story(conn: &mut PgConnection, id: DeliveryId) -> Story {
    inspect(conn, &app("1"), id).unwrap().unwrap()
}

fn state(conn: &mut PgConnection, id: DeliveryId) -> State {
    story(conn, id).state
}

fn sql(conn: &mut PgConnection, text: &str) -> usize {
    diesel::sql_query(text).execute(conn).unwrap()
}

/// As if the lease of everything that is leased were over.
fn end_leases(conn: &mut PgConnection) {
    sql(conn, "UPDATE deliveries SET lease_until = now() - interval '1 s' WHERE state = 'leased'");
}

async fn on<T: Send + 'static>(db: &TestDatabase, f: impl FnOnce(&mut PgConnection) -> T + Send + 'static) -> T {
    db.store.run(move |conn| Ok::<_, Error>(f(conn))).await.unwrap()
}

#[tokio::test]
async fn what_is_queued_is_claimed_with_all_a_sender_needs_and_finished() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let one = new(Transport::Email, 50);
        let later = NewDelivery { run_at: Utc::now() + TimeDelta::hours(1), ..new(Transport::Email, 0) };
        enqueue(conn, &app("1"), &[one.clone(), later.clone()]).unwrap();
        let worker = Uuid::now_v7();
        let claimed = claim_due(conn, &claim(worker, 10)).unwrap().remove(0);
        assert_eq!((claimed.app.clone(), claimed.id, claimed.worker), (app("1"), one.id, worker));
        assert_eq!(
            (claimed.notification, &claimed.user, &claimed.category),
            (one.notification, &one.user, &one.category)
        );
        assert_eq!((claimed.transport, claimed.priority), (Transport::Email, 50));
        assert_eq!((&claimed.collapse_key, &claimed.content), (&one.collapse_key, &one.content));
        assert_eq!((claimed.attempt, claimed.tries, claimed.duplicate_possible), (1, 1, false));
        assert!(claimed.lease_until > Utc::now() + TimeDelta::seconds(30));
        assert_eq!(state(conn, one.id), State::Leased);
        assert!(take(conn, 10).is_empty(), "it is leased, and the other one is not due");

        let begun = begin(conn, &claimed);
        assert_eq!((begun.number, begun.call), (1, 1));
        assert_eq!(story(conn, one.id).attempts[0].finished_at, None, "on record before the call");
        assert!(finish(conn, &claimed, Some((&begun, &sent("m1"))), &Ended::Sent).unwrap());
        assert!(!finish(conn, &claimed, None, &Ended::Dead("twice".to_owned())).unwrap(), "it was let go");
        let story = story(conn, one.id);
        assert_eq!((story.state, story.reason, story.provider.as_deref()), (State::Sent, None, Some("smtp")));
        assert_eq!(story.provider_message_id.as_deref(), Some("m1"));
        let attempt = &story.attempts[0];
        assert_eq!(
            (attempt.outcome.as_deref(), attempt.http_status, attempt.address.as_str()),
            (Some("sent"), Some(200), "ada@a.example")
        );
        assert!(attempt.finished_at.is_some());

        let counts = stats(conn, Some(&app("1"))).unwrap();
        let counts: Vec<_> =
            counts.iter().map(|one| (one.state, one.transport, one.count, one.oldest_seconds)).collect();
        assert_eq!(counts, [(State::Ready, Transport::Email, 1, 0), (State::Sent, Transport::Email, 1, 0)]);
        assert!(stats(conn, Some(&app("2"))).unwrap().is_empty());
        assert_eq!(inspect(conn, &app("2"), one.id).unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_was_overtaken_can_neither_call_nor_finish() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let stale = taken(conn, Transport::Email);
        let begun = begin(conn, &stale);
        end_leases(conn);
        assert_eq!(begin_attempt(conn, &stale, "smtp", "a").unwrap(), None, "its time is over");
        rescue::rescue(conn);
        assert_eq!(begin_attempt(conn, &stale, "smtp", "a").unwrap(), None);
        let second = take_one(conn);
        assert_eq!((second.id, second.attempt, second.duplicate_possible), (stale.id, 2, true));
        assert_eq!(begin_attempt(conn, &stale, "smtp", "a").unwrap(), None);
        assert!(!finish(conn, &stale, Some((&begun, &sent("late"))), &Ended::Sent).unwrap());
        let story = story(conn, stale.id);
        assert_eq!((story.state, story.provider_message_id), (State::Leased, None));
        assert_eq!(story.attempts[0].provider_message_id.as_deref(), Some("late"), "its result is kept with its call");
        // The same worker, claiming again, is not its former self either.
        let begun = begin(conn, &second);
        assert!(!finish(conn, &Claimed { attempt: 1, ..second.clone() }, None, &Ended::Sent).unwrap());
        assert!(!finish(conn, &Claimed { worker: stale.worker, ..second.clone() }, None, &Ended::Sent).unwrap());
        assert!(finish(conn, &second, Some((&begun, &sent("m2"))), &Ended::Sent).unwrap());
        let story = self::story(conn, stale.id);
        assert!(
            story.duplicate_possible && story.attempts[1].duplicate_possible && !story.attempts[0].duplicate_possible
        );
    })
    .await;
}

#[tokio::test]
async fn a_listener_wakes_once_the_transaction_has_committed() {
    let db = testkit::database().await;
    let mut listener = db.store.listen(store::deliveries::WAKE);
    assert!(listener.wait(Duration::from_secs(10)).await, "connected");
    on(&db, |conn| {
        let undone = conn.transaction(|conn| {
            enqueue(conn, &app("1"), &[new(Transport::Push, 0)]).unwrap();
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        assert!(undone.is_err());
        let later = NewDelivery { run_at: Utc::now() + TimeDelta::hours(1), ..new(Transport::Push, 0) };
        enqueue(conn, &app("1"), &[later]).unwrap();
    })
    .await;
    assert!(!listener.wait(Duration::from_millis(300)).await, "undone, or not due");
    on(&db, |conn| {
        let queued = conn.transaction(|conn| {
            enqueue(conn, &app("1"), &[new(Transport::Push, 0)])?;
            enqueue(conn, &app("1"), &[new(Transport::Push, 0)])
        });
        queued.map_err(|error: Error| error.to_string()).unwrap();
    })
    .await;
    assert!(listener.wait(Duration::from_secs(10)).await);
}

/// What the database may never say, whatever was done.
fn check(conn: &mut PgConnection) {
    let wrong = "SELECT 1 FROM deliveries d WHERE (state = 'leased') <> (lease IS NOT NULL)
        OR tries > attempt OR (state = 'delivered') <> (delivered_at IS NOT NULL)
        OR (read_at IS NOT NULL AND state <> 'delivered')
        OR attempt < (SELECT coalesce(max(number), 0) FROM attempts a WHERE a.delivery_id = d.id)
        OR (state = 'sent' AND NOT EXISTS (SELECT FROM attempts a WHERE a.delivery_id = d.id AND outcome = 'sent'))";
    assert_eq!(sql(conn, wrong), 0);
}

fn ids(claimed: &[Claimed]) -> BTreeSet<DeliveryId> {
    claimed.iter().map(|one| one.id).collect()
}

fn in_one_hour() -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(1)
}
