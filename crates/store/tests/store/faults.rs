//! Postgres stopped, killed, frozen; TLS.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use store::{Config, Error, Store};
use testkit::PrivatePostgres;

fn open(url: &str) -> Store {
    Store::open(&Config::new(url.to_owned())).unwrap()
}

async fn unavailable_within_two_seconds(store: &Store) {
    let asked = Instant::now();
    let answer = store.ping().await;
    let waited = asked.elapsed();
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

/// Asks until it works; a test that waits for ever is ended by its runner.
async fn heals(store: &Store) {
    let asked = Instant::now();
    while let Err(error) = store.ping().await {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert!(asked.elapsed() < Duration::from_secs(60), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_postgres_is_unavailable_within_two_seconds_and_heals_by_itself() {
    let mut postgres = PrivatePostgres::start().unwrap();
    let store = open(postgres.url());
    store.ping().await.unwrap();
    postgres.stop();
    unavailable_within_two_seconds(&store).await;
    unavailable_within_two_seconds(&store).await;
    postgres.start_again().unwrap();
    heals(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgres_is_unavailable_within_two_seconds_and_heals_by_itself() {
    let postgres = PrivatePostgres::start().unwrap();
    let store = open(postgres.url());
    store.ping().await.unwrap();
    postgres.freeze().unwrap();
    for _ in 0..3 {
        unavailable_within_two_seconds(&store).await;
    }
    postgres.thaw().unwrap();
    heals(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_query_on_a_healthy_postgres_is_waited_for_until_its_own_limit() {
    let db = testkit::database().await;
    let nap = |seconds: &'static str| {
        db.store.run(move |conn| {
            diesel::sql_query(["SELECT pg_sleep(", seconds, ")"].concat()).execute(conn).map_err(Error::from)
        })
    };
    nap("2.2").await.unwrap();
    assert!(matches!(nap("60").await, Err(Error::Unavailable(_))));
    db.store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_never_there_is_unavailable_and_opening_does_not_mind() {
    unavailable_within_two_seconds(&open("postgres://nobody@127.0.0.1:1/none")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_work_reaches_its_caller_and_harms_nobody_else() {
    let db = testkit::database().await;
    let store = db.store.clone();
    let work = tokio::spawn(async move { store.run::<(), Error>(|_| panic!("on purpose")).await });
    assert!(work.await.unwrap_err().is_panic());
    db.store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn tls_to_postgres_works_with_sslmode_require() {
    let mut postgres = PrivatePostgres::start().unwrap();
    postgres.stop();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = postgres.data_dir().join("cluster");
    let owner = std::fs::metadata(&dir).unwrap();
    let write = |name: &str, text: &str| {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        std::fs::write(dir.join(name), text).unwrap();
        chown(dir.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("server.crt", &key.cert.pem());
    write("server.key", &key.signing_key.serialize_pem());
    write("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.0/8 trust\n");
    // An address of the loopback network that nobody else uses, so that the usual port is free.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let address = format!("127.83.{high}.{low}");
    postgres.configure([("listen_addresses", address.as_str()), ("ssl", "on")]).unwrap();
    let store = open(&format!("postgres://kabar@{address}/kabar?sslmode=require"));
    let encrypted = store.run(|conn| {
        diesel::sql_query("SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
            .execute(conn)
            .map_err(Error::from)
    });
    assert_eq!(encrypted.await.unwrap(), 1);
    let plain = open(&format!("postgres://kabar@{address}/kabar?sslmode=disable"));
    assert!(plain.ping().await.is_err(), "the server insists on TLS, so the check above means something");
}
