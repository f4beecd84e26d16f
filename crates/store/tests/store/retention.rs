//! What is kept of durable channels, and for how long.

use protocol::Position;
use store::Store;
use store::publications::{Appended, Cursor, Keep, trim, trim_ids};

use crate::publications::{Entry, after, append_to, entry, newest, offsets, position, sql};

/// Whole rounds, until one deletes nothing. How many publications went.
async fn trim_all(store: &Store, keep: impl Fn(&str) -> Keep + Clone + Send + 'static) -> usize {
    let (mut cursor, mut deleted): (Option<Cursor>, usize) = (None, 0);
    loop {
        let (keep, from) = (keep.clone(), cursor.take());
        let trimmed = store.run(move |conn| trim(conn, from.as_ref(), |_, channel| keep(channel))).await.unwrap();
        deleted += trimmed.publications;
        cursor = trimmed.next;
        if cursor.is_none() {
            return deleted;
        }
    }
}

async fn retry(store: &Store, id: &str) -> Appended {
    append_to(store, vec![("a".to_owned(), "retry".to_owned(), Some(id.to_owned()))]).await.unwrap()[0]
}

#[tokio::test]
async fn a_channel_keeps_its_newest_and_what_is_gone_is_never_passed_off_as_whole() {
    let db = testkit::database().await;
    let many: Vec<Entry> = (1..=1_200).map(|n| entry("long", n)).collect();
    append_to(&db.store, many).await.unwrap();
    append_to(&db.store, (0..250).map(|n| entry(&format!("c{n}"), n)).collect()).await.unwrap();
    let start = Position { offset: 0, ..position(&db.store, "long").await };
    let keep = |channel: &str| Keep { messages_max: if channel == "long" { 10 } else { 1 }, seconds: 60 };
    assert_eq!(trim_all(&db.store, keep).await, 1_190);
    let page = newest(&db.store, "long", 100, None).await;
    assert_eq!((page.whole, offsets(&page)), (false, (1_191..=1_200).collect()));
    assert!(!after(&db.store, "long", Position { offset: 1_189, ..start }, 100).await.whole);
    assert!(after(&db.store, "long", Position { offset: 1_190, ..start }, 100).await.whole);
    assert_eq!(append_to(&db.store, vec![entry("long", "next")]).await.unwrap()[0].position.offset, 1_201);
    assert_eq!(position(&db.store, "long").await.epoch, start.epoch);
    assert_eq!(offsets(&newest(&db.store, "c249", 9, None).await), [1]);
}

#[tokio::test]
async fn what_is_too_old_goes_and_what_is_younger_stays() {
    let db = testkit::database().await;
    append_to(&db.store, (1..=4).map(|n| entry("a", n)).collect()).await.unwrap();
    sql(&db.url, "UPDATE publications SET created_at = created_at - interval '2 minutes' WHERE \"offset\" < 3").await;
    let keep = |_: &str| Keep { messages_max: 100, seconds: 60 };
    assert_eq!(trim_all(&db.store, keep).await, 2);
    assert_eq!(offsets(&newest(&db.store, "a", 9, None).await), [3, 4]);
    assert_eq!(trim_all(&db.store, keep).await, 0);
}

#[tokio::test]
async fn an_id_is_known_for_a_day_even_if_its_publication_is_gone() {
    let db = testkit::database().await;
    let ids = |store: &Store| {
        let store = store.clone();
        async move { store.run(trim_ids).await.unwrap() }
    };
    let first = retry(&db.store, "x").await;
    append_to(&db.store, vec![entry("a", 2)]).await.unwrap();
    sql(&db.url, "UPDATE publication_ids SET created_at = now() - interval '23 hours'").await;
    assert_eq!(trim_all(&db.store, |_| Keep { messages_max: 1, seconds: 60 }).await, 1);
    ids(&db.store).await;
    let known = retry(&db.store, "x").await;
    assert_eq!((known.position, known.duplicate), (first.position, true));
    sql(&db.url, "UPDATE publication_ids SET created_at = now() - interval '25 hours'").await;
    assert!(!ids(&db.store).await, "there are no more");
    let new = retry(&db.store, "x").await;
    assert_eq!((new.position.offset, new.duplicate), (3, false));
}

#[tokio::test]
async fn a_channel_that_nothing_is_left_of_is_forgotten_in_time_and_begins_a_new_life() {
    let db = testkit::database().await;
    append_to(&db.store, vec![entry("a", 1), entry("kept", 1)]).await.unwrap();
    let (old, kept, unused) =
        (position(&db.store, "a").await, position(&db.store, "kept").await, position(&db.store, "unused").await);
    let keep = |channel: &str| Keep { messages_max: u32::from(channel == "kept"), seconds: 60 };
    trim_all(&db.store, keep).await;
    sql(&db.url, "UPDATE streams SET updated_at = now() - interval '29 days'").await;
    trim_all(&db.store, keep).await;
    assert_eq!(position(&db.store, "a").await, old);
    assert_ne!(position(&db.store, "unused").await, unused, "never published to: forgotten after a day");
    sql(&db.url, "UPDATE streams SET updated_at = now() - interval '31 days'").await;
    trim_all(&db.store, keep).await;
    assert_eq!(position(&db.store, "kept").await, kept);
    let new = append_to(&db.store, vec![entry("a", "new")]).await.unwrap()[0];
    assert_eq!(new.position.offset, 1);
    assert_ne!(new.position.epoch, old.epoch);
    assert!(!after(&db.store, "a", old, 9).await.whole);
}

#[tokio::test]
async fn publishing_goes_on_while_it_is_trimmed() {
    let db = testkit::database().await;
    let store = db.store.clone();
    let publishing = tokio::spawn(async move {
        for n in 0..60 {
            append_to(&store, (0..20).map(|m| entry("a", n * 20 + m)).collect()).await.unwrap();
        }
    });
    while !publishing.is_finished() {
        trim_all(&db.store, |_| Keep { messages_max: 5, seconds: 60 }).await;
        let page = newest(&db.store, "a", 5, None).await;
        let top = page.position.offset;
        assert_eq!(offsets(&page), (top.saturating_sub(5) + 1..=top).collect::<Vec<_>>());
    }
    publishing.await.unwrap();
    assert_eq!(position(&db.store, "a").await.offset, 1_200);
    let nothing = db.store.run(|conn| trim(conn, None, |_, _| Keep { messages_max: 5, seconds: 60 })).await;
    assert!(nothing.is_ok_and(|trimmed| trimmed.next.is_none()));
}
