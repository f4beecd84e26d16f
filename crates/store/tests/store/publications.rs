//! What durable channels say, on a real Postgres.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use protocol::{Epoch, Position};
use store::publications::{
    self, Appended, NewPublication, NotDurable, Page, append, check_durability, read_after, read_newest,
};
use store::{Config, Error, Store};
use testkit::PrivatePostgres;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::app;

/// Channel, data and id of each.
pub(crate) type Entry = (String, String, Option<String>);

pub(crate) fn entry(channel: &str, data: impl ToString) -> Entry {
    (channel.to_owned(), data.to_string(), None)
}

fn with_id(channel: &str, data: &str, id: &str) -> Entry {
    (channel.to_owned(), data.to_owned(), Some(id.to_owned()))
}

pub(crate) async fn append_to(store: &Store, entries: Vec<Entry>) -> Result<Vec<Appended>, Error> {
    store.run(move |conn| append(conn, &news(&entries))).await
}

fn news(entries: &[Entry]) -> Vec<NewPublication<'_>> {
    static APP: std::sync::LazyLock<protocol::AppId> = std::sync::LazyLock::new(app);
    let new = entries.iter().map(|(channel, data, id)| NewPublication {
        app: &APP,
        channel,
        event: "e",
        data,
        except: None,
        id: id.as_deref(),
    });
    new.collect()
}

pub(crate) async fn after(store: &Store, channel: &str, position: Position, limit: u32) -> Page {
    let channel = channel.to_owned();
    store.run(move |conn| read_after(conn, &app(), &channel, position, limit)).await.unwrap()
}

pub(crate) async fn newest(store: &Store, channel: &str, limit: u32, seconds: Option<u32>) -> Page {
    let channel = channel.to_owned();
    store.run(move |conn| read_newest(conn, &app(), &channel, limit, seconds)).await.unwrap()
}

pub(crate) async fn position(store: &Store, channel: &str) -> Position {
    let channel = channel.to_owned();
    store.run(move |conn| publications::position(conn, &app(), &channel)).await.unwrap()
}

/// The whole channel.
async fn all(store: &Store, channel: &str) -> Vec<(u64, String)> {
    let start = Position { offset: 0, ..position(store, channel).await };
    let page = after(store, channel, start, 100_000).await;
    assert!(page.whole, "{page:?}");
    page.publications.into_iter().map(|stored| (stored.offset, stored.data)).collect()
}

pub(crate) fn offsets(page: &Page) -> Vec<u64> {
    page.publications.iter().map(|stored| stored.offset).collect()
}

pub(crate) async fn sql(url: &str, text: &'static str) {
    let url = url.to_owned();
    let run = move || PgConnection::establish(&url).unwrap().batch_execute(text).unwrap();
    tokio::task::spawn_blocking(run).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_appenders_to_the_same_and_other_channels_leave_no_gap_and_no_repeat() {
    let db = testkit::database().await;
    let mut appenders = JoinSet::new();
    for appender in 0..16 {
        let store = db.store.clone();
        appenders.spawn(async move {
            let mut answers = Vec::new();
            for batch in 0..8 {
                // In another order of channels each, which would deadlock if it were the order of the locks.
                let channels = if appender % 2 == 0 { ["a", "b", "c"] } else { ["c", "b", "a"] };
                let own = format!("own-{appender}");
                let names = channels.iter().copied().cycle().take(9).chain([own.as_str()]);
                let entries: Vec<_> =
                    names.enumerate().map(|(n, name)| entry(name, format!("{appender} {batch} {n}"))).collect();
                let appended = append_to(&store, entries.clone()).await.unwrap();
                assert!(appended.iter().all(|appended| !appended.duplicate));
                answers
                    .extend(entries.into_iter().zip(appended).map(|((name, data, _), at)| (name, (at.position, data))));
            }
            answers
        });
    }
    let mut answers: HashMap<String, Vec<(Position, String)>> = HashMap::new();
    for (name, answer) in appenders.join_all().await.into_iter().flatten() {
        answers.entry(name).or_default().push(answer);
    }
    assert_eq!(answers.len(), 3 + 16);
    for (name, mut answers) in answers {
        answers.sort_by_key(|(position, _)| position.offset);
        let count = if name.starts_with("own") { 8 } else { 16 * 8 * 3 };
        assert_eq!(answers.iter().map(|(at, _)| at.offset).collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
        assert!(answers.iter().all(|(at, _)| at.epoch == answers[0].0.epoch));
        let answered: Vec<_> = answers.into_iter().map(|(at, data)| (at.offset, data)).collect();
        assert_eq!(all(&db.store, &name).await, answered, "what is stored is what was answered");
        let mut of_one: HashMap<&str, Vec<&str>> = HashMap::new();
        for (_, data) in &answered {
            let (appender, rest) = data.split_once(' ').unwrap();
            of_one.entry(appender).or_default().push(rest);
        }
        assert!(of_one.values().all(|rest| rest.is_sorted()), "each appender's own order is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_held_open_makes_no_reader_skip_anything() {
    let db = testkit::database().await;
    append_to(&db.store, vec![entry("a", 1)]).await.unwrap();
    let start = Position { offset: 0, ..position(&db.store, "a").await };
    let (url, (held, is_held), (go_on, may_go_on)) =
        (db.url.clone(), std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let holder = std::thread::spawn(move || {
        let mut conn = PgConnection::establish(&url).unwrap();
        let open = |conn: &mut PgConnection| {
            append(conn, &news(&[entry("a", 2), with_id("a", "3", "x")])).unwrap();
            held.send(()).unwrap();
            may_go_on.recv().unwrap();
            QueryResult::Ok(())
        };
        conn.transaction(open).unwrap();
    });
    is_held.recv().unwrap();
    let store = db.store.clone();
    let later = tokio::spawn(async move { append_to(&store, vec![entry("a", 4)]).await.unwrap() });
    // Another channel does not wait, and this one's reader sees none of what is not committed.
    assert_eq!(append_to(&db.store, vec![entry("b", 1)]).await.unwrap()[0].position.offset, 1);
    assert_eq!(offsets(&after(&db.store, "a", start, 10).await), [1]);
    assert!(!later.is_finished());
    go_on.send(()).unwrap();
    assert_eq!(later.await.unwrap()[0].position.offset, 4);
    holder.join().unwrap();
    let data: Vec<_> = all(&db.store, "a").await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(data, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn an_id_is_accepted_once_per_channel_in_a_batch_and_between_batches() {
    let db = testkit::database().await;
    let batch = vec![
        with_id("a", "first", "x"),
        entry("a", "plain"),
        with_id("a", "again", "x"),
        with_id("b", "elsewhere", "x"),
        with_id("a", "other", "y"),
    ];
    let seen = |appended: &[Appended]| -> Vec<(u64, bool)> {
        appended.iter().map(|appended| (appended.position.offset, appended.duplicate)).collect()
    };
    let first = append_to(&db.store, batch).await.unwrap();
    assert_eq!(seen(&first), [(1, false), (2, false), (1, true), (1, false), (3, false)]);
    let retry = vec![with_id("a", "once more", "y"), with_id("a", "new", "z"), with_id("b", "late", "x")];
    let second = append_to(&db.store, retry).await.unwrap();
    assert_eq!(seen(&second), [(3, true), (4, false), (1, true)]);
    assert_eq!(second[0].position.epoch, first[0].position.epoch);
    assert_eq!(second[2].position.epoch, first[3].position.epoch);
    assert_eq!(all(&db.store, "a").await[3], (4, "new".to_owned()), "a duplicate takes no offset");
    assert_eq!(all(&db.store, "b").await, [(1, "elsewhere".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_with_one_id_are_one_publication() {
    let db = testkit::database().await;
    let barrier = std::sync::Arc::new(Barrier::new(100));
    let mut tries = JoinSet::new();
    for n in 0..100 {
        let (url, barrier) = (db.url.clone(), barrier.clone());
        tries.spawn(async move {
            let store = Store::open(&Config::new(url)).unwrap();
            store.ping().await.unwrap();
            barrier.wait().await;
            append_to(&store, vec![entry("a", format!("by {n}")), with_id("a", "once", "x")]).await.unwrap()[1]
        });
    }
    let appended = tries.join_all().await;
    assert_eq!(appended.iter().filter(|appended| !appended.duplicate).count(), 1);
    assert!(appended.iter().all(|other| other.position == appended[0].position));
    let stored = all(&db.store, "a").await;
    assert_eq!(stored.len(), 101);
    assert_eq!(stored.iter().filter(|(_, data)| data == "once").count(), 1);
    assert!(stored.contains(&(appended[0].position.offset, "once".to_owned())));
}

#[tokio::test]
async fn texts_of_any_kind_come_back_as_they_were() {
    let db = testkit::database().await;
    let data = "\0 \u{1F600} \u{1} \\ \" '";
    let socket = "12.34".parse().ok();
    let long = "x".repeat(10_000);
    let stored = db.store.run(move |conn| {
        let app = app();
        let new = NewPublication { app: &app, channel: "a", event: "e\0", data, except: socket, id: Some(&long) };
        append(conn, &[new, new])
    });
    assert!(stored.await.unwrap()[1].duplicate, "an id may be long");
    let page = newest(&db.store, "a", 10, None).await;
    let stored = &page.publications[0];
    assert_eq!((&*stored.event, &*stored.data, stored.except), ("e\0", data, socket));
}

#[tokio::test]
async fn a_page_says_whether_it_is_whole() {
    let db = testkit::database().await;
    let start = position(&db.store, "a").await;
    assert_eq!(start.offset, 0);
    assert!(after(&db.store, "a", start, 10).await.whole && newest(&db.store, "a", 10, None).await.whole);
    append_to(&db.store, (1..=5).map(|n| entry("a", n)).collect()).await.unwrap();
    let at = |offset| Position { offset, ..start };
    let page = after(&db.store, "a", at(2), 10).await;
    assert_eq!((page.whole, page.position, offsets(&page)), (true, at(5), vec![3, 4, 5]));
    let page = after(&db.store, "a", at(2), 2).await;
    assert_eq!((page.whole, offsets(&page)), (false, vec![3, 4]), "more than the limit");
    let page = after(&db.store, "a", at(5), 2).await;
    assert_eq!((page.whole, offsets(&page)), (true, vec![]));
    for bad in [at(6), at(u64::MAX), Position { epoch: Epoch(start.epoch.0 ^ 1), offset: 0 }] {
        let page = after(&db.store, "a", bad, 10).await;
        assert_eq!((page.whole, page.position, offsets(&page)), (false, at(5), vec![]), "{bad:?}");
    }
    let page = newest(&db.store, "a", 2, None).await;
    assert_eq!((page.whole, page.position, offsets(&page)), (true, at(5), vec![4, 5]));
    assert!(newest(&db.store, "a", 100, Some(3600)).await.whole);

    sql(&db.url, "UPDATE publications SET created_at = created_at - interval '1 hour' WHERE \"offset\" < 4").await;
    let page = newest(&db.store, "a", 100, Some(60)).await;
    assert_eq!((page.whole, offsets(&page)), (true, vec![4, 5]));
    sql(&db.url, "DELETE FROM publications WHERE \"offset\" < 4").await;
    let page = after(&db.store, "a", at(2), 10).await;
    assert_eq!((page.whole, offsets(&page)), (false, vec![4, 5]));
    assert!(after(&db.store, "a", at(3), 10).await.whole);
    assert!(newest(&db.store, "a", 2, None).await.whole && !newest(&db.store, "a", 3, None).await.whole);
    assert!(position(&db.store, "b").await.epoch != start.epoch, "each channel has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_channel_that_begins_at_this_moment_agrees_with_itself() {
    let db = testkit::database().await;
    for n in 0..100 {
        let channel = format!("new-{n}");
        let (_, page) = tokio::join!(
            append_to(&db.store, vec![entry(&channel, 1), entry(&channel, 2)]),
            newest(&db.store, &channel, 9, None)
        );
        assert_eq!(offsets(&page), (1..=page.position.offset).collect::<Vec<_>>());
        assert!(page.whole);
    }
}

#[tokio::test]
async fn another_app_has_channels_of_its_own() {
    let db = testkit::database().await;
    append_to(&db.store, vec![with_id("a", "1", "x")]).await.unwrap();
    let other = db.store.run(|conn| {
        let app = "2".try_into().unwrap();
        let before = read_newest(conn, &app, "a", 9, None)?;
        let new = NewPublication { app: &app, channel: "a", event: "e", data: "2", except: None, id: Some("x") };
        Ok::<_, Error>((before, append(conn, &[new])?[0]))
    });
    let (before, appended) = other.await.unwrap();
    assert!(before.publications.is_empty() && !appended.duplicate && appended.position.offset == 1);
    assert_eq!(all(&db.store, "a").await, [(1, "1".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_may_lose_a_commit_is_named() {
    let mut postgres = PrivatePostgres::start().unwrap();
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let store = Store::open(&Config::new(postgres.url().to_owned())).unwrap();
        match store.run(check_durability).await {
            Err(NotDurable::Setting { setting: named }) => assert_eq!(named, setting),
            other => panic!("{other:?}"),
        }
        postgres.configure([(setting, "on")]).unwrap();
    }
    let store = Store::open(&Config::new(postgres.url().to_owned())).unwrap();
    store.run(check_durability).await.unwrap();
}

/// `cargo test -p store --test store -- --ignored --nocapture appending_is_measured`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn appending_is_measured() {
    let on = ["fsync", "full_page_writes", "synchronous_commit"].map(|name| (name.to_owned(), "on".to_owned()));
    let postgres = PrivatePostgres::start_with(on.to_vec()).unwrap();
    let store = Store::open(&Config::new(postgres.url().to_owned())).unwrap();
    store.migrate().await.unwrap();
    for (size, channels, ids) in [(1, 1, false), (16, 16, false), (256, 1, false), (256, 256, false), (256, 256, true)]
    {
        let mut spent = Vec::new();
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(5) {
            let entry = |n| {
                let channel = format!("private-room-{}", n % channels);
                (channel, "x".repeat(200), ids.then(|| format!("{:?} {n}", since.elapsed())))
            };
            let batch: Vec<Entry> = (0..size).map(entry).collect();
            let begun = Instant::now();
            append_to(&store, batch).await.unwrap();
            spent.push(begun.elapsed());
        }
        spent.sort();
        let per_second = (spent.len() * size) as f64 / spent.iter().sum::<Duration>().as_secs_f64();
        let at = |part: f64| spent[(spent.len() as f64 * part) as usize];
        println!(
            "{size:4} in {channels:3} channels, ids {ids:5}: {per_second:7.0}/s, p50 {:?}, p99 {:?}",
            at(0.5),
            at(0.99)
        );
    }
}
