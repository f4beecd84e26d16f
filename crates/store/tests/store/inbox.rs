//! The list of a user while many write to it: no gap, no drift, no page that moves.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use protocol::UserId;
use protocol::notification::{Category, Notification, NotificationId};
use store::notifications::{
    self, ListNotifications, Listed, Made, Mark, NewNotification, Outcome, Rules, Start, Which,
};
use store::{Error, Store};
use tokio::task::JoinSet;

use crate::support::{app, user};

pub(crate) fn new(whom: &str, r#type: &str, category: &str) -> NewNotification {
    let (r#type, category) = (r#type.try_into().unwrap(), category.try_into().unwrap());
    NewNotification::new(user(whom), r#type, category, "title", "body")
}

pub(crate) async fn notify(store: &Store, new: Vec<NewNotification>) -> Vec<Made> {
    store.run(move |conn| notifications::notify(conn, &app(), &Rules::default(), &new)).await.unwrap()
}

pub(crate) fn told(made: &Made) -> (&Notification, i64) {
    match &made.outcome {
        Outcome::Told { notification: Some(notification), unread, .. } => (notification, *unread),
        other => panic!("not in the list: {other:?}"),
    }
}

pub(crate) async fn list(store: &Store, whom: &UserId, asked: ListNotifications) -> Listed {
    let whom = whom.clone();
    store.run(move |conn| notifications::list(conn, &app(), &whom, &asked)).await.unwrap()
}

pub(crate) fn page(limit: i64, start: Start) -> ListNotifications {
    ListNotifications { limit, start, types: Vec::new(), category: None, unread_only: false }
}

pub(crate) async fn mark(store: &Store, whom: &str, which: Which, mark: Mark) -> Option<notifications::Marked> {
    let whom = user(whom);
    store.run::<_, Error>(move |conn| notifications::mark(conn, &app(), &whom, &which, mark)).await.unwrap()
}

#[tokio::test]
async fn sixteen_at_once_leave_no_gap_in_the_list_of_one() {
    let db = testkit::database().await;
    let mut tellers = JoinSet::new();
    for teller in 0..16 {
        let store = db.store.clone();
        tellers.spawn(async move {
            let mut made = Vec::new();
            for n in 0..6 {
                // Batches with the same people in another order must not wait for each other.
                let mut whom = ["ada", "bob", "eve"];
                whom.rotate_left((teller + n) % 3);
                let batch = whom.iter().map(|whom| new(whom, "COMMENT", "comment")).collect();
                made.extend(notify(&store, batch).await);
            }
            made
        });
    }
    let made: Vec<Made> = tellers.join_all().await.into_iter().flatten().collect();
    for whom in ["ada", "bob", "eve"] {
        let of = made.iter().filter(|made| made.user == user(whom)).map(told);
        // Nobody reads, so what was told beside a notification is its own place.
        let seqs: BTreeSet<i64> =
            of.map(|(notification, unread)| (notification.seq == unread).then_some(unread).unwrap()).collect();
        assert_eq!(seqs, (1..=96).collect());
        let all = list(&db.store, &user(whom), page(100, Start::Offset(0))).await;
        assert_eq!((all.total, all.unread, all.next), (Some(96), 96, None));
        assert!(all.notifications.is_sorted_by_key(|one| std::cmp::Reverse((one.seq, one.created_at))));
    }
}

#[tokio::test]
async fn pages_hold_still_while_more_comes() {
    let db = testkit::database().await;
    notify(&db.store, (0..5).map(|_| new("ada", "COMMENT", "comment")).collect()).await;
    let first = list(&db.store, &user("ada"), page(2, Start::Offset(0))).await;
    assert_eq!(first.notifications.iter().map(|one| one.seq).collect::<Vec<_>>(), [5, 4]);
    notify(&db.store, (0..3).map(|_| new("ada", "SYSTEM", "system")).collect()).await;
    let (mut next, mut seqs) = (first.next, Vec::new());
    while let Some(before) = next {
        let page = list(&db.store, &user("ada"), page(2, Start::Before(before))).await;
        seqs.extend(page.notifications.iter().map(|one| one.seq));
        assert_eq!((page.total, page.unread), (None, 8));
        next = page.next;
    }
    assert_eq!(seqs, [3, 2, 1]);
    let by_offset = list(&db.store, &user("ada"), page(3, Start::Offset(6))).await;
    assert_eq!(by_offset.notifications.iter().map(|one| one.seq).collect::<Vec<_>>(), [2, 1]);
    let asked = ListNotifications { category: Some("system".try_into().unwrap()), ..page(9, Start::Offset(0)) };
    assert_eq!(list(&db.store, &user("ada"), asked).await.total, Some(3));
    let types = vec!["COMMENT".try_into().unwrap(), "SYSTEM".try_into().unwrap()];
    let asked = ListNotifications { types, ..page(9, Start::Offset(0)) };
    assert_eq!(list(&db.store, &user("ada"), asked).await.total, Some(8));
}

#[derive(Clone, Debug)]
enum Act {
    Tell(bool),
    Mark { newest: bool, at: usize, mark: Mark },
    MarkAll(Option<bool>, Mark),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let bools = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<Option<bool>>());
    let mark = bools.prop_map(|(seen, read, archived, clicked, snoozed)| {
        let snoozed_until = snoozed.map(|later| match later {
            true => Utc::now() + TimeDelta::hours(1),
            false => DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        });
        Mark { seen, read, archived, clicked, snoozed_until }
    });
    let act = prop_oneof![
        2 => any::<bool>().prop_map(Act::Tell),
        3 => (any::<bool>(), 0..8_usize, mark.clone()).prop_map(|(newest, at, mark)| Act::Mark { newest, at, mark }),
        1 => (any::<Option<bool>>(), mark).prop_map(|(category, mark)| Act::MarkAll(category, mark)),
    ];
    proptest::collection::vec(act, 1..40)
}

fn category(chat: bool) -> &'static str {
    if chat { "chat" } else { "comment" }
}

async fn act(store: &Store, ids: &[NotificationId], act: Act) {
    match act {
        Act::Tell(chat) => drop(notify(store, vec![new("ada", "X", category(chat))]).await),
        Act::Mark { newest, at, mark: how } => {
            let at = if newest { ids.len() - 1 - at % ids.len() } else { at % ids.len() };
            mark(store, "ada", Which::One(ids[at]), how).await.unwrap();
        }
        Act::MarkAll(chat, how) => {
            let of: Option<Category> = chat.map(|chat| category(chat).try_into().unwrap());
            mark(store, "ada", Which::All(of), how).await.unwrap();
        }
    }
}

/// Whatever several connections do at once, every way to count gives what the rows say.
#[test]
fn the_unread_count_is_always_what_the_list_shows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let db = runtime.block_on(testkit::database());
    let made = runtime.block_on(notify(&db.store, (0..8).map(|n| new("ada", "X", category(n % 2 == 0))).collect()));
    let ids: Vec<_> = made.iter().map(|made| made.id).collect();
    let mut runner = TestRunner::new(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() });
    let checked = runner.run(&proptest::collection::vec(acts(), 4), |connections| {
        runtime.block_on(async {
            let mut busy = JoinSet::new();
            for acts in connections {
                let (store, ids) = (db.store.clone(), ids.clone());
                busy.spawn(async move {
                    for one in acts {
                        act(&store, &ids, one).await;
                    }
                });
            }
            busy.join_all().await;
            let ada = user("ada");
            let all = list(&db.store, &ada, page(100_000, Start::Offset(0))).await;
            let unread = ListNotifications { unread_only: true, ..page(1, Start::Offset(0)) };
            let shown = all.notifications.iter().filter(|one| one.read_at.is_none()).count() as i64;
            assert_eq!((all.unread, list(&db.store, &ada, unread).await.total), (shown, Some(shown)));
            let counts = db.store.run(|conn| notifications::unread_counts(conn, &app(), &[user("ada")])).await.unwrap();
            assert_eq!(counts.first().map_or(0, |(_, count)| *count), shown);
            let after = mark(&db.store, "ada", Which::All(None), Mark { seen: true, ..Mark::default() }).await.unwrap();
            assert_eq!(after.unread, shown);
            let now = Utc::now();
            assert!(all.notifications.iter().all(|one| one.archived_at.is_none()));
            assert!(all.notifications.iter().all(|one| one.snoozed_until.is_none_or(|until| until <= now)));
        });
        Ok(())
    });
    checked.unwrap();
    runtime.block_on(async move { drop(db) });
}
