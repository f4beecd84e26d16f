//! The private Postgres.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use store::embedded::{Embedded, EmbeddedError, Options};
use store::{Config, Error, Store, users};
use testkit::PrivatePostgres;

use crate::support::{app, user};

fn start(dir: &Path) -> Result<Embedded, EmbeddedError> {
    Embedded::start_with(dir, Options { durable: false, settings: Vec::new() })
}

async fn names_ada(url: String) -> Result<String, Error> {
    let store = Store::open(&Config::new(url))?;
    store.migrate().await?;
    Ok(store.run(|conn| users::ensure(conn, &app(), &user("ada"), None, None)).await?.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_outlives_a_stop_and_nothing_runs_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = start(dir.path()).unwrap();
    let store = Store::open(&Config::new(embedded.url())).unwrap();
    store.migrate().await.unwrap();
    store.run(|conn| users::ensure(conn, &app(), &user("ada"), Some("Ada"), None)).await.unwrap();
    let pid = Pid::from_raw(embedded.pid().unwrap());
    embedded.stop();
    assert!(kill(pid, None).is_err());
    let again = start(dir.path()).unwrap();
    assert_eq!(names_ada(again.url()).await.unwrap(), "Ada");
}

#[test]
fn two_on_one_directory_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let _first = start(dir.path()).unwrap();
    let second = start(dir.path()).unwrap_err();
    assert!(matches!(second, EmbeddedError::InUse(_)), "{second}");
    assert!(!second.to_string().contains('\n'));
}

#[test]
fn a_path_too_long_for_a_socket_gets_one_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    // Postgres's user must get through to it.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let long = dir.path().join("long".repeat(25));
    let embedded = start(&long).unwrap();
    assert!(embedded.url().contains("host=/tmp/kabar-"), "{}", embedded.url());
    let socket_dir = embedded.url().split("host=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    embedded.stop();
    std::fs::remove_dir_all(socket_dir).unwrap();
}

/// What the test below starts and kills: an owner of a private Postgres. Does nothing in an ordinary run.
#[test]
fn an_owner_that_waits_to_be_killed() {
    let Some(dir) = std::env::var_os("KABAR_TEST_OWNED_DIR") else { return };
    let _embedded = start(Path::new(&dir)).unwrap();
    println!("ready");
    std::io::stdin().lines().for_each(drop);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_whose_owner_was_killed_is_taken_over() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::an_owner_that_waits_to_be_killed", "--nocapture"])
        .env("KABAR_TEST_OWNED_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap());
    assert!(output.lines().map_while(Result::ok).any(|line| line.contains("ready")));
    owner.kill().unwrap();
    owner.wait().unwrap();
    let pid_file = dir.path().join("cluster/postmaster.pid");
    let orphan: i32 = std::fs::read_to_string(pid_file).unwrap().lines().next().unwrap().parse().unwrap();
    let taken_over = start(dir.path()).unwrap();
    assert_eq!(taken_over.pid(), Some(orphan), "the same Postgres goes on");
    assert_eq!(names_ada(taken_over.url()).await.unwrap(), "ada");
    taken_over.stop();
    assert!(!dir.path().join("cluster/postmaster.pid").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postmaster_that_was_killed_is_started_again() {
    let postgres = PrivatePostgres::start().unwrap();
    let killed = postgres.pid().unwrap();
    names_ada(postgres.url().to_owned()).await.unwrap();
    postgres.crash().unwrap();
    let store = Store::open(&Config::new(postgres.url().to_owned())).unwrap();
    // Each try waits for a connection itself.
    for _ in 0..30 {
        if store.ping().await.is_ok() && postgres.pid() != Some(killed) {
            break;
        }
    }
    store.ping().await.unwrap();
    assert_ne!(postgres.pid(), Some(killed));
}
