//! Apps: made, changed, rotated, and how others hear of it.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use protocol::{AppId, HistoryRule, Policy};
use secrecy::ExposeSecret;
use store::apps::{self, ApiKeyHash, ChangeError, CreateError, NewApp};
use store::{Error, Listener, Store};

const PATIENCE: Duration = Duration::from_secs(10);

fn id(id: &str) -> AppId {
    id.try_into().unwrap()
}

fn app(name: &str) -> NewApp {
    NewApp {
        id: id(name),
        key: format!("key{name}").as_str().try_into().unwrap(),
        secret: "first-secret".into(),
        previous: None,
        policy: Policy { client_events: true, ..Policy::default() },
        api_keys: vec![ApiKeyHash::of(&format!("{name}a")), ApiKeyHash::of(&format!("{name}b"))],
    }
}

async fn make(store: &Store, name: &str) -> NewApp {
    let new = app(name);
    store.run(move |conn| apps::create(conn, &new)).await.unwrap()
}

async fn sql(store: &Store, sql: &'static str) {
    store.run(move |conn| diesel::sql_query(sql).execute(conn).map_err(Error::from)).await.unwrap();
}

/// Asserts that it hears something, and has nothing more to hear then.
async fn hears(listener: &mut Listener, of: &str) {
    assert!(listener.wait(PATIENCE).await, "nothing was heard of {of}");
    assert!(!listener.wait(Duration::from_millis(250)).await, "{of} was heard twice");
}

#[tokio::test]
async fn an_app_is_found_by_its_api_key_and_made_once() {
    let db = testkit::database().await;
    let new = app("7");
    let found = db.store.run(move |conn| {
        apps::create(conn, &new)?;
        assert!(matches!(apps::create(conn, &new), Err(CreateError::Taken)));
        let same_key = NewApp { id: id("8"), ..new };
        assert!(matches!(apps::create(conn, &same_key), Err(CreateError::Taken)));
        assert_eq!(apps::by_api_key(conn, &ApiKeyHash::of("k3"))?.map(|app| app.id), None);
        assert_eq!(apps::list(conn)?.apps.len(), 1);
        Ok::<_, CreateError>(apps::by_api_key(conn, &ApiKeyHash::of("7b"))?)
    });
    let found = found.await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.policy.client_events, found.api_keys.len()), ("7", true, 2));
}

#[tokio::test]
async fn a_policy_comes_back_as_it_was_put() {
    let db = testkit::database().await;
    make(&db.store, "7").await;
    let rule = HistoryRule { prefix: "private-".into(), messages_max: 9, seconds: 60, durable: true };
    let policy = Policy {
        enabled: false,
        allowed_origins: vec!["https://a.example".into()],
        connections_max: Some(u32::MAX),
        history: vec![rule],
        ..Policy::default()
    };
    let put = policy.clone();
    let changed = db.store.run(move |conn| {
        apps::update_policy(conn, &id("7"), |stored| {
            assert_eq!(stored["client_events"], true);
            Ok::<_, ChangeError>(put)
        })
    });
    assert_eq!(changed.await.unwrap(), policy);
    let listed = db.store.run(apps::list).await.unwrap();
    assert_eq!(listed.apps[0].policy, policy);
    let unknown = |conn: &mut _| apps::update_policy(conn, &id("8"), |_| Ok::<_, ChangeError>(Policy::default()));
    assert!(matches!(db.store.run(unknown).await, Err(ChangeError::UnknownApp(of)) if of == id("8")));
}

#[tokio::test]
async fn an_empty_policy_is_the_default_and_a_bad_one_takes_down_its_own_app_alone() {
    let db = testkit::database().await;
    for name in ["7", "8", "9"] {
        make(&db.store, name).await;
    }
    sql(&db.store, "UPDATE apps SET policy = '{}' WHERE id = '7'").await;
    sql(&db.store, r#"UPDATE apps SET policy = '{"connections_max": "many"}' WHERE id = '8'"#).await;
    let listed = db.store.run(apps::list).await.unwrap();
    assert_eq!(listed.apps.iter().map(|app| app.id.as_str()).collect::<Vec<_>>(), ["7", "9"]);
    assert_eq!(listed.apps[0].policy, Policy::default());
    let [bad] = listed.unreadable.as_slice() else { panic!("{:?}", listed.unreadable) };
    assert!(bad.id == id("8") && bad.to_string().contains("connections_max"), "{bad}");
    assert!(db.store.run(|conn| apps::by_api_key(conn, &ApiKeyHash::of("8a"))).await.unwrap().is_none());
    let mend = |conn: &mut _| apps::update_policy(conn, &id("8"), |_| Ok::<_, ChangeError>(Policy::default()));
    db.store.run(mend).await.unwrap();
    assert_eq!(db.store.run(apps::list).await.unwrap().apps.len(), 3);
}

#[tokio::test]
async fn a_rotation_overlaps_the_last_secret_and_a_second_one_ends_the_older_overlap() {
    let db = testkit::database().await;
    make(&db.store, "7").await;
    let rotate = |secret: &'static str, seconds| {
        let store = db.store.clone();
        async move {
            let overlap = Duration::from_secs(seconds);
            let rotate = move |conn: &mut _| apps::rotate_secret(conn, &id("7"), &secret.into(), overlap);
            let until = store.run(rotate).await.unwrap();
            let app = store.run(apps::list).await.unwrap().apps.remove(0);
            assert_eq!(app.secret.expose_secret(), secret);
            assert_eq!(app.previous.is_some(), until.is_some());
            let left = |until: chrono::DateTime<chrono::Utc>| (until - chrono::Utc::now()).num_seconds();
            app.previous.map(|(secret, until)| (secret.expose_secret().to_owned(), left(until)))
        }
    };
    let (previous, left) = rotate("second-secret", 3600).await.unwrap();
    assert!(previous == "first-secret" && (3500..=3600).contains(&left), "{previous} {left}");
    let (previous, left) = rotate("third-secret", 60).await.unwrap();
    assert!(previous == "second-secret" && (1..=60).contains(&left), "{previous} {left}");
    assert_eq!(rotate("fourth-secret", 0).await, None);
    assert!(rotate("fifth-secret", u64::MAX).await.is_some_and(|(_, left)| left > 1_000_000));
}

#[tokio::test]
async fn api_keys_come_and_go_and_an_app_goes_with_its_own() {
    let db = testkit::database().await;
    make(&db.store, "7").await;
    make(&db.store, "8").await;
    let done = db.store.run(|conn| {
        let (new, foreign) = (ApiKeyHash::of("new"), ApiKeyHash::of("8a"));
        apps::add_api_key(conn, &id("7"), &new)?;
        assert!(matches!(apps::add_api_key(conn, &id("7"), &foreign), Err(ChangeError::Taken)));
        assert!(matches!(apps::add_api_key(conn, &id("9"), &ApiKeyHash::of("x")), Err(ChangeError::UnknownApp(_))));
        assert!(matches!(apps::remove_api_key(conn, &id("7"), &foreign), Err(ChangeError::UnknownApiKey(_))));
        apps::remove_api_key(conn, &id("7"), &ApiKeyHash::of("7a"))?;
        assert_eq!(apps::list(conn)?.apps[0].api_keys, [ApiKeyHash::of("7b"), new]);
        apps::delete(conn, &id("7"))?;
        assert!(matches!(apps::delete(conn, &id("7")), Err(ChangeError::UnknownApp(_))));
        assert!(apps::by_api_key(conn, &new)?.is_none());
        assert!(apps::by_api_key(conn, &foreign)?.is_some());
        Ok::<_, ChangeError>(())
    });
    done.await.unwrap();
}

#[tokio::test]
async fn every_change_of_an_app_is_heard_once() {
    let db = testkit::database().await;
    let mut listener = db.store.listen(apps::CHANGED);
    hears(&mut listener, "what was missed before the first connection").await;
    make(&db.store, "7").await;
    hears(&mut listener, "an app and its keys").await;
    let rotate = |conn: &mut _| apps::rotate_secret(conn, &id("7"), &"new-secret".into(), Duration::ZERO);
    db.store.run(rotate).await.unwrap();
    hears(&mut listener, "a rotation").await;
    db.store.run(|conn| apps::add_api_key(conn, &id("7"), &ApiKeyHash::of("new"))).await.unwrap();
    hears(&mut listener, "an API key").await;
    db.store.run(|conn| apps::delete(conn, &id("7"))).await.unwrap();
    hears(&mut listener, "a deletion").await;
}

#[tokio::test]
async fn a_listener_whose_connection_is_lost_makes_another_and_says_so() {
    let db = testkit::database().await;
    let mut listener = db.store.listen(apps::CHANGED);
    hears(&mut listener, "the first connection").await;
    sql(
        &db.store,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND query = 'LISTEN kabar_apps'",
    )
    .await;
    hears(&mut listener, "the second connection").await;
    make(&db.store, "7").await;
    hears(&mut listener, "an app").await;
}

#[tokio::test]
async fn the_columns_that_became_a_policy_are_carried_over_both_ways() {
    #[derive(QueryableByName)]
    struct Flags {
        #[diesel(sql_type = Bool)]
        client_events: bool,
        #[diesel(sql_type = Bool)]
        protected_channels: bool,
    }
    let db = testkit::database().await;
    let (plain, events) = (NewApp { policy: Policy::default(), ..app("7") }, app("8"));
    let public = NewApp { policy: Policy { protected_channels: false, ..Policy::default() }, ..app("9") };
    let made = [plain, events, public];
    let before: Vec<_> = made.iter().map(|app| app.policy.clone()).collect();
    let make = move |conn: &mut PgConnection| made.iter().try_for_each(|app| apps::create(conn, app).map(drop));
    db.store.run(make).await.unwrap();
    let url = db.url.clone();
    let down_and_up = move || {
        let mut conn = PgConnection::establish(&url).unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let migrations = || FileBasedMigrations::from_path(folder).unwrap();
        // Down to, and with, the migration that made policies, whatever came after it.
        while !conn.revert_last_migration(migrations()).unwrap().to_string().starts_with("20261123000002") {}
        let sql = "SELECT client_events, protected_channels FROM apps ORDER BY id";
        let flags: Vec<Flags> = diesel::sql_query(sql).load(&mut conn).unwrap();
        let flags: Vec<_> = flags.iter().map(|flags| (flags.client_events, flags.protected_channels)).collect();
        assert_eq!(flags, [(false, true), (true, true), (false, false)]);
        conn.run_pending_migrations(migrations()).unwrap();
    };
    tokio::task::spawn_blocking(down_and_up).await.unwrap();
    let after: Vec<_> = db.store.run(apps::list).await.unwrap().apps.into_iter().map(|app| app.policy).collect();
    assert_eq!(after, before);
}
