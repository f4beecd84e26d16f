//! Notifications on a real Postgres: told once, to whom they are for, when and how they want it.

use Transport::{Email, InApp, Push, Whatsapp};
use chrono::{TimeDelta, Utc};
use protocol::notification::{Category, Transport};
use protocol::{AppId, UserId};
use store::devices::{self, DeviceKind, NewDevice};
use store::idempotency::{self, Answer, Fingerprint, Once};
use store::notifications::{self, Digest, Mark, NewNotification, Outcome, PutPreferences, Rules, Start, Target, Which};
use store::users::NewUser;
use store::{Error, PgConnection, Store, users};
use tokio::task::JoinSet;

use crate::inbox::{list, mark, new, notify, page, told};
use crate::support::{app, user};

async fn run<T: Send + 'static>(
    store: &Store,
    f: impl FnOnce(&mut PgConnection) -> Result<T, Error> + Send + 'static,
) -> T {
    store.run(f).await.unwrap()
}

/// Somebody with every kind of address.
async fn reachable(store: &Store, id: &str) {
    let (user, address) = (user(id), format!("token-{id}"));
    run(store, move |conn| {
        let new = NewUser {
            id: user.clone(),
            name: "A name".into(),
            avatar_url: None,
            role: None,
            email: Some("a@example.com".into()),
            phone: Some("628123".into()),
            locale: Some("id".into()),
            time_zone: Some("Asia/Jakarta".into()),
        };
        users::upsert(conn, &app(), &new)?;
        let device = NewDevice { kind: DeviceKind::Fcm, address, keys: None };
        devices::put(conn, &app(), &user, &device, 10)
    })
    .await;
}

fn outside(made: &notifications::Made) -> &[Transport] {
    match &made.outcome {
        Outcome::Told { outside, .. } => outside,
        other => panic!("not told: {other:?}"),
    }
}

#[tokio::test]
async fn the_same_event_told_many_times_at_once_is_told_once_to_each() {
    let db = testkit::database().await;
    let event = |whom: &str| NewNotification { source_event: Some("invoice-1".into()), ..new(whom, "PAID", "system") };
    let mut tellers = JoinSet::new();
    for _ in 0..8 {
        let store = db.store.clone();
        // Twice in one batch is once too.
        let batch = vec![event("ada"), event("bob"), event("ada")];
        tellers.spawn(async move { notify(&store, batch).await });
    }
    let made: Vec<_> = tellers.join_all().await.into_iter().flatten().collect();
    for whom in ["ada", "bob"] {
        let mine: Vec<_> = made.iter().filter(|made| made.user == user(whom)).collect();
        assert!(mine.iter().all(|made| made.id == mine[0].id), "all are answered with the first");
        assert_eq!(mine.iter().filter(|made| made.outcome != Outcome::Known).count(), 1);
        assert_eq!(list(&db.store, &user(whom), page(9, Start::Offset(0))).await.total, Some(1));
    }
    let other = NewNotification { r#type: "REFUNDED".try_into().unwrap(), ..event("ada") };
    assert_eq!(told(&notify(&db.store, vec![other]).await[0]).0.seq, 2, "another type tells of the same event");
}

#[tokio::test]
async fn another_users_notification_and_another_apps_are_not_there() {
    let db = testkit::database().await;
    let id = notify(&db.store, vec![new("ada", "COMMENT", "comment")]).await[0].id;
    assert_eq!(mark(&db.store, "eve", Which::One(id), Mark::READ).await, None);
    assert_eq!(mark(&db.store, "eve", Which::All(None), Mark::READ).await.unwrap().changed, 0);
    let foreign = run(&db.store, move |conn| {
        let other: AppId = "2".try_into().unwrap();
        assert_eq!(notifications::mark(conn, &other, &user("ada"), &Which::One(id), Mark::READ)?, None);
        assert_eq!(notifications::trace(conn, &other, id)?, None);
        assert_eq!(notifications::cancel(conn, &other, id)?, None);
        assert_eq!(notifications::unread_count(conn, &other, &user("ada"))?, 0);
        let asked = page(9, Start::Offset(0));
        notifications::list(conn, &other, &user("ada"), &asked)
    });
    assert_eq!(foreign.await.total, Some(0));
    assert_eq!(list(&db.store, &user("ada"), page(9, Start::Offset(0))).await.unread, 1);
}

#[tokio::test]
async fn marks_go_only_forward() {
    let db = testkit::database().await;
    let id = notify(&db.store, vec![new("ada", "COMMENT", "comment")]).await[0].id;
    let clicked = mark(&db.store, "ada", Which::One(id), Mark { clicked: true, ..Mark::default() }).await.unwrap();
    let first = clicked.notification.unwrap();
    assert_eq!((clicked.changed, clicked.unread), (1, 0));
    assert!(first.read_at.is_some() && first.seen_at == first.read_at && first.clicked_at == first.read_at);
    let again = mark(&db.store, "ada", Which::One(id), Mark::READ).await.unwrap();
    assert_eq!((again.changed, again.notification.unwrap()), (0, first));
}

#[tokio::test]
async fn what_leaves_the_house_is_what_was_asked_for_and_wanted() {
    let db = testkit::database().await;
    reachable(&db.store, "ada").await;
    let all = |whom: &str| NewNotification { transports: Transport::ALL.to_vec(), ..new(whom, "ENROLLED", "course") };
    let made = notify(&db.store, vec![all("ada"), all("nobody")]).await;
    assert_eq!((outside(&made[0]), outside(&made[1])), ([Push, Email].as_slice(), [].as_slice()));
    let id = made[0].id;
    let trace = run(&db.store, move |conn| notifications::trace(conn, &app(), id)).await.unwrap();
    assert_eq!(trace.deliveries.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(), ["ready", "ready"]);
    assert_eq!(trace.deliveries.iter().map(|one| one.transport).collect::<Vec<_>>(), [Push, Email]);

    let course: Category = "course".try_into().unwrap();
    let every: Category = notifications::ALL_CATEGORIES.try_into().unwrap();
    let said = vec![
        (every.clone(), Email, Some(false)),
        (course.clone(), InApp, Some(false)),
        (course.clone(), Whatsapp, Some(true)),
    ];
    let put = PutPreferences { said, digest: Some(Digest::Daily), ..PutPreferences::default() };
    let categories = [course.clone(), "chat".try_into().unwrap()];
    let preferences = run(&db.store, move |conn| {
        notifications::put_preferences(conn, &app(), &user("ada"), &Rules::default(), &categories, &put)
    });
    let preferences = preferences.await;
    let row = |off: &[Transport]| Transport::ALL.map(|transport| (transport, !off.contains(&transport))).to_vec();
    assert_eq!(preferences.categories[0], (course, row(&[InApp, Email])));
    assert_eq!(preferences.categories[1].1, row(&[Email, Whatsapp]));
    assert_eq!((preferences.time_zone.as_deref(), preferences.digest), (Some("Asia/Jakarta"), Digest::Daily));

    let made = notify(&db.store, vec![all("ada"), new("ada", "SYSTEM", "system")]).await;
    assert_eq!(outside(&made[0]), [Push, Whatsapp]);
    assert!(matches!(&made[0].outcome, Outcome::Told { notification: None, unread: 2, .. }), "{made:?}");
    assert_eq!(told(&made[1]).0.seq, 2, "what is in no list takes no place of it");
}

#[tokio::test]
async fn cancelled_deliveries_do_not_go_out() {
    let db = testkit::database().await;
    reachable(&db.store, "ada").await;
    let id = notify(&db.store, vec![new("ada", "SYSTEM", "system")]).await[0].id;
    let cancel = move |conn: &mut PgConnection| notifications::cancel(conn, &app(), id);
    assert_eq!(run(&db.store, cancel).await, Some(1));
    assert_eq!(run(&db.store, cancel).await, Some(0));
    let trace = run(&db.store, move |conn| notifications::trace(conn, &app(), id)).await.unwrap();
    assert_eq!((trace.in_list, trace.deliveries[0].state.as_str()), (true, "cancelled"));
}

#[tokio::test]
async fn what_is_for_later_is_told_once_when_its_time_has_come() {
    let db = testkit::database().await;
    reachable(&db.store, "ada").await;
    let at = |seconds| Some(Utc::now() + TimeDelta::seconds(seconds));
    let later = |event: &str| NewNotification {
        send_at: at(3600),
        source_event: Some(event.into()),
        ..new("ada", "EVENT_REMINDER", "event")
    };
    let made = notify(&db.store, vec![later("e1"), later("e2"), new("ada", "SYSTEM", "system")]).await;
    assert!(matches!(made[0].outcome, Outcome::Scheduled(_)));
    assert_eq!(told(&made[2]), (told(&made[2]).0, 1));
    assert_eq!(notify(&db.store, vec![later("e1")]).await[0].id, made[0].id, "planned already");
    let cancelled = made[1].id;
    assert_eq!(run(&db.store, move |conn| notifications::cancel(conn, &app(), cancelled)).await, Some(0));
    assert_eq!(run(&db.store, move |conn| notifications::trace(conn, &app(), cancelled)).await, None);
    let release = |conn: &mut PgConnection| notifications::release_due(conn, &Rules::default(), 100);
    assert_eq!(run(&db.store, release).await, []);
    assert!(matches!(notify(&db.store, vec![later("e2")]).await[0].outcome, Outcome::Scheduled(_)), "planned anew");

    due(&db.url);
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let store = db.store.clone();
        nodes.spawn(async move { run(&store, release).await });
    }
    let released: Vec<_> = nodes.join_all().await.into_iter().flatten().map(|(_, made)| made).collect();
    assert_eq!(released.len(), 2);
    let first = released.iter().find(|one| one.id == made[0].id).unwrap();
    assert_eq!(outside(first), [Push]);
    let listed = list(&db.store, &user("ada"), page(9, Start::Offset(0))).await;
    assert_eq!(listed.notifications.iter().map(|one| one.seq).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(listed.unread, 3);
}

/// Brings the time of everything that is for later.
fn due(url: &str) {
    use diesel::prelude::*;
    let url = url.to_owned();
    let update = move || {
        let mut conn = diesel::PgConnection::establish(&url).unwrap();
        diesel::sql_query("UPDATE notifications SET send_at = now() WHERE send_at IS NOT NULL")
            .execute(&mut conn)
            .unwrap();
    };
    std::thread::spawn(update).join().unwrap();
}

#[tokio::test]
async fn what_has_outlived_its_use_is_neither_listed_nor_counted() {
    let db = testkit::database().await;
    let short = NewNotification { lifetime: Some(TimeDelta::microseconds(1)), ..new("ada", "SYSTEM", "system") };
    notify(&db.store, vec![short, new("ada", "SYSTEM", "system")]).await;
    let listed = list(&db.store, &user("ada"), page(9, Start::Offset(0))).await;
    assert_eq!((listed.total, listed.unread, listed.notifications[0].seq), (Some(1), 1, 2));
}

#[tokio::test]
async fn subscribers_are_found_without_those_left_out_and_with_their_transports() {
    let db = testkit::database().await;
    let course = Target { r#type: "COURSE".into(), id: "c1".into() };
    let target = course.clone();
    run(&db.store, move |conn| {
        for (whom, transports) in [("ada", None), ("bob", Some([Push].as_slice())), ("eve", None)] {
            assert!(notifications::put_subscription(conn, &app(), &user(whom), &course, transports, 1)?.is_some());
        }
        let second = Target { r#type: "COURSE".into(), id: "c2".into() };
        let refused = notifications::put_subscription(conn, &app(), &user("ada"), &second, None, 1)?;
        assert_eq!(refused, None, "one is the most");
        assert!(notifications::put_subscription(conn, &app(), &user("ada"), &course, None, 1)?.is_some(), "again");
        let mine = notifications::subscriptions(conn, &app(), &user("bob"), Some("COURSE"), None)?;
        assert_eq!(mine[0].transports.as_deref(), Some([Push].as_slice()));
        let find = |conn: &mut PgConnection, exclude: &[UserId], after: Option<&UserId>, limit| {
            notifications::subscribers(conn, &app(), &target, exclude, after, limit)
        };
        assert_eq!(find(conn, &[user("eve")], None, 9)?, [(user("ada"), None), (user("bob"), Some(vec![Push]))]);
        assert_eq!(find(conn, &[], Some(&user("bob")), 9)?, [(user("eve"), None)]);
        assert!(notifications::remove_subscription(conn, &app(), &user("ada"), &target)?);
        assert!(!notifications::remove_subscription(conn, &app(), &user("ada"), &target)?);
        assert_eq!(find(conn, &[], None, 1)?, [(user("bob"), Some(vec![Push]))]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_device_that_signs_in_as_another_moves_and_too_many_make_room() {
    let db = testkit::database().await;
    run(&db.store, |conn| {
        let device = |address: &str| NewDevice { kind: DeviceKind::OneSignal, address: address.into(), keys: None };
        let put = |conn: &mut PgConnection, whom, address| devices::put(conn, &app(), &user(whom), &device(address), 2);
        let (first, new) = put(conn, "ada", "p1")?;
        assert!(new);
        assert!(!put(conn, "ada", "p1")?.1, "the same again");
        let (moved, new) = put(conn, "bob", "p1")?;
        assert_eq!((moved.id, new), (first.id, true));
        assert_eq!(devices::list(conn, &app(), &user("ada"))?, []);
        assert!(!devices::remove(conn, &app(), &user("ada"), first.id)?, "no longer hers");
        put(conn, "bob", "p2")?;
        put(conn, "bob", "p3")?;
        let left = devices::list(conn, &app(), &user("bob"))?;
        assert_eq!(left.iter().map(|one| one.address.as_str()).collect::<Vec<_>>(), ["p3", "p2"]);
        assert!(devices::remove_address(conn, &app(), &user("bob"), "p2")?);
        assert!(devices::remove(conn, &app(), &user("bob"), left[0].id)?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_under_way_is_not_waited_for() {
    let db = testkit::database().await;
    let url = db.url.clone();
    let of = Fingerprint::of(b"x");
    let done = db.store.run(move |conn| {
        idempotency::once::<_, Error>(conn, &app(), "k1", &of, |_| {
            let mut other = <PgConnection as diesel::Connection>::establish(&url).unwrap();
            let nothing = |_: &mut PgConnection| panic!("done twice");
            let second = idempotency::once::<(), Error>(&mut other, &app(), "k1", &of, nothing)?;
            assert_eq!(second, Once::UnderWay);
            Ok((Answer { status: 201, body: "x".into() }, ()))
        })
    });
    assert!(matches!(done.await.unwrap(), Once::Done(..)));
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once() {
    let db = testkit::database().await;
    let ask = |body: &'static str| {
        let store = db.store.clone();
        async move {
            let work = move |conn: &mut PgConnection| {
                notifications::notify(conn, &app(), &Rules::default(), &[new("ada", "SYSTEM", "system")])?;
                Ok((Answer { status: 201, body: body.into() }, ()))
            };
            let of = Fingerprint::of(body.as_bytes());
            store.run::<_, Error>(move |conn| idempotency::once(conn, &app(), "k1", &of, work)).await.unwrap()
        }
    };
    let mut tries = JoinSet::new();
    for _ in 0..8 {
        tries.spawn(ask("a"));
    }
    let outcomes = tries.join_all().await;
    let answer = Answer { status: 201, body: "a".into() };
    assert_eq!(outcomes.iter().filter(|one| **one == Once::Done(answer.clone(), ())).count(), 1);
    assert!(outcomes.iter().all(|one| !matches!(one, Once::KeyReused)));
    assert_eq!(ask("a").await, Once::Before(answer));
    assert_eq!(ask("b").await, Once::KeyReused);
    assert_eq!(list(&db.store, &user("ada"), page(9, Start::Offset(0))).await.total, Some(1));

    let of = Fingerprint::of(b"x");
    let failed = db.store.run(move |conn| {
        idempotency::once::<(), Error>(conn, &app(), "k2", &of, |conn| {
            notifications::notify(conn, &app(), &Rules::default(), &[new("ada", "SYSTEM", "system")])?;
            Err(Error::Query("refused".into()))
        })
    });
    assert!(failed.await.is_err());
    assert_eq!(list(&db.store, &user("ada"), page(9, Start::Offset(0))).await.total, Some(1), "nothing was done");
    let more = run(&db.store, |conn| idempotency::forget(conn, Utc::now() + TimeDelta::hours(1))).await;
    assert!(!more);
    assert!(matches!(ask("b").await, Once::Done(..)), "the key is free again");
}
