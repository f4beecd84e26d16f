//! What a restart, a crash and a Postgres that is away make of what was told.

use chrono::TimeDelta;
use store::{Config as StoreConfig, Store};

use crate::bench::{Bench, ManualClock, add, added, app, config, endpoint, occupied, removed, vacated};
use crate::receiver::Receiver;

fn events(receiver: &mut Receiver) -> Vec<String> {
    receiver.arrived().iter().flat_map(|request| request.events()).collect()
}

#[tokio::test]
async fn after_a_crash_who_comes_back_is_not_told_and_who_does_not_is_told_gone() {
    let mut receiver = Receiver::start().await;
    let (db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", [occupied("presence-a"), added("presence-a", "u"), added("presence-a", "v"), occupied("b")]);
    node.settle().await;
    assert_eq!((events(&mut receiver).len(), node.told().await), (4, 4));
    let clock = node.clock.clone();
    drop(node);

    let mut node = Bench::start(&db.store, &config(), &clock, Vec::new()).await;
    node.observe("1", [occupied("presence-a"), added("presence-a", "u")]);
    node.after(TimeDelta::milliseconds(29_999)).await;
    assert_eq!(events(&mut receiver), Vec::<String>::new());
    node.after(TimeDelta::milliseconds(1)).await;
    let mut gone = events(&mut receiver);
    gone.sort();
    assert_eq!(gone, ["channel_vacated b", "member_removed presence-a"]);
    assert_eq!(node.told().await, 2);
}

#[tokio::test]
async fn a_stop_in_order_tells_nobody_gone_and_loses_nothing() {
    let mut receiver = Receiver::start().await;
    let (db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", [occupied("presence-a"), added("presence-a", "u")]);
    node.settle().await;
    node.tracker.hold();
    node.observe("1", [occupied("last"), removed("presence-a", "u"), vacated("presence-a"), vacated("last")]);
    node.record().await;
    let clock = node.clock.clone();
    drop(node);

    clock.pass(TimeDelta::seconds(20));
    let mut node = Bench::start(&db.store, &config(), &clock, Vec::new()).await;
    node.observe("1", [occupied("presence-a"), added("presence-a", "u")]);
    node.after(TimeDelta::seconds(20)).await;
    assert_eq!(
        events(&mut receiver),
        ["channel_occupied presence-a", "member_added presence-a", "channel_occupied last"]
    );
    node.after(TimeDelta::seconds(10)).await;
    assert_eq!(events(&mut receiver), ["channel_vacated last"]);
}

#[tokio::test]
async fn while_postgres_is_away_everything_is_kept_and_told_afterwards_once() {
    let mut receiver = Receiver::start().await;
    let mut postgres = tokio::task::spawn_blocking(|| testkit::PrivatePostgres::start().unwrap()).await.unwrap();
    let store = Store::open(&StoreConfig::new(postgres.url().to_owned())).unwrap();
    store.migrate().await.unwrap();
    add(&store, vec![endpoint("1", &receiver.url())]).await;
    let mut node = Bench::start(&store, &config(), &ManualClock::new(), Vec::new()).await;
    node.observe("1", [occupied("a")]);
    node.settle().await;

    let mut postgres = tokio::task::spawn_blocking(move || {
        postgres.stop();
        postgres
    })
    .await
    .unwrap();
    node.observe("1", [occupied("b"), crate::bench::client_event("b", "x")]);
    for _ in 0..3 {
        node.recorder.step().await.unwrap_err();
    }
    node.observe("1", [vacated("a"), occupied("c"), vacated("c")]);
    node.clock.pass(TimeDelta::seconds(60));
    node.recorder.step().await.unwrap_err();
    let _postgres = tokio::task::spawn_blocking(move || {
        postgres.start_again().unwrap();
        postgres
    })
    .await
    .unwrap();
    // The store notices by itself that its connections are lost.
    while node.recorder.step().await.is_err() {}
    node.settle().await;
    let mut told = events(&mut receiver);
    told.sort();
    let expected = ["channel_occupied a", "channel_occupied b", "channel_vacated a", "client_event b"];
    assert_eq!(told, expected, "c came and went unseen");
}

#[tokio::test]
async fn an_event_that_postgres_refuses_takes_no_other_with_it() {
    let mut receiver = Receiver::start().await;
    let mut of = endpoint("1", &receiver.url());
    of.batching = true;
    let (_db, mut node) = Bench::with(vec![of], config()).await;
    let bad = added("presence-a", "nul\0");
    node.observe("1", [occupied("presence-a"), bad, added("presence-a", "u")]);
    node.settle().await;
    assert_eq!(events(&mut receiver), ["channel_occupied presence-a", "member_added presence-a"]);
    assert_eq!(node.told().await, 2);
    node.observe("1", [removed("presence-a", "u"), vacated("presence-a")]);
    node.after(TimeDelta::seconds(3)).await;
    assert_eq!(events(&mut receiver), ["member_removed presence-a", "channel_vacated presence-a"]);
}

#[tokio::test]
async fn an_app_without_endpoints_is_forgotten() {
    let receiver = Receiver::start().await;
    let of = endpoint("1", &receiver.url());
    let (_db, mut node) = Bench::with(vec![of.clone()], config()).await;
    node.observe("1", [occupied("a")]);
    node.settle().await;
    assert_eq!(node.told().await, 1);
    node.store.run(move |conn| store::webhooks::delete(conn, &app("1"), of.id)).await.unwrap();
    node.recorder.refresh().await.unwrap();
    assert_eq!(node.told().await, 0);
    node.observe("1", [vacated("a")]);
    assert_eq!(node.after(TimeDelta::seconds(10)).await, 0);
}

#[tokio::test]
async fn endpoints_of_the_configuration_are_there_as_long_as_it_names_them() {
    let mut receiver = Receiver::start().await;
    let db = testkit::database().await;
    let clock = ManualClock::new();
    let mut configured = endpoint("1", &receiver.url());
    configured.id = webhooks::configured_id(&configured.app, &configured.url);
    assert_ne!(configured.id, webhooks::configured_id(&app("2"), &configured.url));
    add(&db.store, vec![endpoint("2", "http://127.0.0.1:1/")]).await;
    for events in [vec!["cache_miss".to_owned()], Vec::new()] {
        let configured = webhooks::Endpoint { events, ..configured.clone() };
        let mut node = Bench::start(&db.store, &config(), &clock, vec![configured]).await;
        node.observe("1", [occupied("a")]);
        node.settle().await;
        node.observe("1", [vacated("a")]);
        node.after(TimeDelta::seconds(3)).await;
    }
    assert_eq!(events(&mut receiver), ["channel_occupied a", "channel_vacated a"], "changed by the second start");
    let mut node = Bench::start(&db.store, &config(), &clock, Vec::new()).await;
    node.observe("1", [occupied("b")]);
    assert_eq!(node.settle().await, 0);
    let all = db.store.run(|conn| store::webhooks::list(conn, None)).await.unwrap();
    assert_eq!(all.iter().map(|one| (one.configured, one.enabled)).collect::<Vec<_>>(), [(true, false), (false, true)]);
}
