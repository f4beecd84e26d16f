//! Apps that change while they are served: nothing here starts a kabar twice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use protocol::Signer;
use protocol::signature::sign_request;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Socket;
use tokio::time::timeout;

use crate::cli::{fails_with, text};
use crate::kabar::{JWT_SECRET, KEY, Kabar, command, folder, run, with_app};

/// How long a change that kabar was told of may take to show; far below the 10 s of the looks that need no telling.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Asks until it is so.
async fn becomes(what: &str, is: impl AsyncFn() -> bool) {
    let asked = async { while !is().await {} };
    assert!(timeout(AT_ONCE, asked).await.is_ok(), "{what}: not within {AT_ONCE:?}");
}

/// The status of a publish that is signed with this secret.
async fn publish(kabar: &Kabar, app: &str, key: &str, secret: &str) -> StatusCode {
    let body = json!({"name": "e", "channel": "news", "data": "x"});
    let (path, bytes) = (format!("/apps/{app}/events"), serde_json::to_vec(&body).unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let query = sign_request(key, &Signer::new(secret), "POST", &path, &bytes, now);
    kabar.call(Method::POST, &format!("{path}?{query}"), "", body).await.0
}

/// Whether a socket that comes now may send client events.
async fn may_send(kabar: &Kabar, key: &str, secret: &str) -> bool {
    let mut socket = Socket::connect(&kabar.public, key).await;
    socket.subscribe_private("private-x", key, secret).await;
    socket.send_event("private-x", "client-x", json!({})).await;
    // Frames of one socket are processed in order: an error would come before the pong.
    socket.send_json(json!({"event": "pusher:ping", "data": {}})).await;
    socket.next().await.event == "pusher:pong"
}

/// `kabar app …` beside a running one.
struct Beside<'a> {
    folder: &'a TempDir,
    url: &'a str,
}

impl Beside<'_> {
    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = with_app(command(self.folder.path()));
        command.env("KABAR__DATABASE__URL", self.url).arg("app");
        run(&mut command, arguments)
    }

    fn does(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What is printed after this word.
    fn prints(&self, word: &str, arguments: &[&str]) -> String {
        let said = self.does(arguments);
        said.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{said}")).trim().to_owned()
    }

    fn refuses(&self, arguments: &[&str], code: i32, word: &str) {
        fails_with(&self.output(arguments), code, word);
    }
}

#[tokio::test]
async fn an_app_is_made_changed_rotated_and_deleted_while_it_is_served() {
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = Kabar::on(&folder, &database.url).await;
    let beside = Beside { folder: &folder, url: &database.url };
    let first = beside.prints("secret", &["create", "--id", "2", "--key", "k2", "--policy", "connections_max=9"]);
    becomes("a new app is served", async || publish(&kabar, "2", "k2", &first).await == StatusCode::OK).await;

    assert!(!may_send(&kabar, "k2", &first).await);
    beside.does(&["set", "2", "client_events=true", "allowed_origins=[\"https://a.example\"]"]);
    becomes("client events are allowed", async || may_send(&kabar, "k2", &first).await).await;
    let shown: Value = serde_json::from_str(&beside.does(&["show", "2", "--json"])).unwrap();
    assert_eq!((&shown["policy"]["connections_max"], &shown["policy"]["client_events"]), (&json!(9), &json!(true)));
    assert_eq!(shown["policy"]["allowed_origins"], json!(["https://a.example"]));
    beside.does(&["set", "2", "connections_max=", "client_events="]);
    becomes("client events are refused", async || !may_send(&kabar, "k2", &first).await).await;
    let shown = beside.does(&["show", "2"]);
    assert!(shown.contains("policy.client_events = false") && !shown.contains("connections_max"), "{shown}");

    let second = beside.prints("secret", &["rotate", "2"]);
    becomes("a new secret is taken", async || publish(&kabar, "2", "k2", &second).await == StatusCode::OK).await;
    assert_eq!(publish(&kabar, "2", "k2", &first).await, StatusCode::OK, "the old secret overlaps");
    let third = beside.prints("secret", &["rotate", "2", "--overlap-seconds", "0"]);
    becomes("a new secret is taken", async || publish(&kabar, "2", "k2", &third).await == StatusCode::OK).await;
    for old in [&first, &second] {
        assert_eq!(publish(&kabar, "2", "k2", old).await, StatusCode::UNAUTHORIZED);
    }
    let shown = beside.does(&["show", "2"]) + &beside.does(&["list"]) + &beside.does(&["list", "--json"]);
    assert!([&first, &second, &third].iter().all(|secret| !shown.contains(secret.as_str())), "{shown}");

    beside.does(&["delete", "2", "--yes"]);
    becomes("a deleted app is refused", async || !publish(&kabar, "2", "k2", &third).await.is_success()).await;
}

#[tokio::test]
async fn api_keys_are_added_and_removed_while_their_app_is_served() {
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = Kabar::on(&folder, &database.url).await;
    let beside = Beside { folder: &folder, url: &database.url };
    beside.does(&["create", "--id", "2"]);
    let added = beside.does(&["key", "add", "2"]);
    let word = |word: &str| added.lines().find_map(|line| line.strip_prefix(word)).unwrap().trim().to_owned();
    let (api_key, fingerprint) = (word("api key"), word("fingerprint"));
    let status = async || kabar.call(Method::POST, "/internal/tokens", &api_key, json!({"userId": "ada"})).await.0;
    becomes("a new API key is taken", async || status().await.is_success()).await;
    assert!(beside.does(&["show", "2"]).contains(&fingerprint));
    beside.does(&["key", "remove", "2", &fingerprint]);
    becomes("a removed API key is refused", async || status().await == StatusCode::UNAUTHORIZED).await;
    beside.refuses(&["key", "remove", "2", &fingerprint], 1, "no such API key");
}

#[tokio::test]
async fn a_change_that_cannot_be_is_one_line_and_changes_nothing() {
    let (folder, database) = (folder(), testkit::database().await);
    let beside = Beside { folder: &folder, url: &database.url };
    beside.does(&["create", "--id", "2", "--policy", "client_events=true"]);
    let before = beside.does(&["show", "2"]);
    beside.refuses(&["set", "2", "colour=red"], 2, "publishes_per_second_max");
    beside.refuses(&["set", "2", "colour="], 2, "publishes_per_second_max");
    beside.refuses(&["set", "2", "client_events=false", "connections_max=0"], 2, "connections_max: must be 1");
    beside.refuses(&["set", "2", "client_events=perhaps"], 2, "client_events");
    beside.refuses(&["set", "2", "allowed_origins=[\"example.com\"]"], 2, "allowed_origins.0");
    beside.refuses(&["set", "2", "client_events"], 2, "client_events");
    beside.refuses(&["create", "--id", "3", "--policy", "connections_max=many"], 2, "connections_max");
    beside.refuses(&["delete", "2"], 1, "--yes");
    assert_eq!(beside.does(&["show", "2"]), before);
    for arguments in [
        &["set", "9", "client_events=true"][..],
        &["show", "9"],
        &["rotate", "9"],
        &["key", "add", "9"],
        &["key", "remove", "9", "0123"],
        &["delete", "9", "--yes"],
    ] {
        beside.refuses(arguments, 1, "there is no app 9");
    }
    for arguments in [&["set", "1", "client_events=true"][..], &["rotate", "1"], &["delete", "1", "--yes"]] {
        beside.refuses(arguments, 1, "is in the configuration: change it there");
    }
    assert!(beside.does(&["show", "1"]).contains(KEY));
}

#[tokio::test]
async fn sighup_reads_the_apps_of_the_configuration_again_and_a_bad_file_changes_nothing() {
    const FIRST: &str = "the-first-secret";
    const SECOND: &str = "the-second-secret";
    let (folder, database) = (folder(), testkit::database().await);
    let write = |text: &str| std::fs::write(folder.path().join("kabar.toml"), text).unwrap();
    let app = |secret: &str| format!("[[apps]]\nid = \"1\"\nkey = \"k1\"\nsecret = \"{secret}\"\n");
    write(&app(FIRST));
    let mut start = command(folder.path());
    start.env("KABAR__DATABASE__URL", &database.url).env("KABAR__AUTH__JWT_SECRET", JWT_SECRET);
    let mut kabar = Kabar::start(&folder, start).await;
    kabar.ready().await;
    assert_eq!(publish(&kabar, "1", "k1", FIRST).await, StatusCode::OK);

    let overlap = "previous_secret_until = 2100-01-01T00:00:00Z\n[apps.policy]\nclient_events = true\n";
    write(&format!("[chat]\ntyping_seconds = 5\n{}previous_secret = \"{FIRST}\"\n{overlap}", app(SECOND)));
    kabar.signal(Signal::SIGHUP);
    kabar.logged("chat.typing_seconds changed, which needs a restart").await;
    kabar.logged("the configuration was read again").await;
    becomes("the new secret is taken", async || publish(&kabar, "1", "k1", SECOND).await == StatusCode::OK).await;
    assert_eq!(publish(&kabar, "1", "k1", FIRST).await, StatusCode::OK, "the old secret overlaps");
    assert!(may_send(&kabar, "k1", SECOND).await);

    write(&app("short"));
    kabar.signal(Signal::SIGHUP);
    let why = "apps.0.secret: must have 16 to 256 characters";
    kabar.logged(&format!("the configuration is bad, the apps stay as they were: {why}")).await;
    assert_eq!(publish(&kabar, "1", "k1", SECOND).await, StatusCode::OK);

    write(&app(SECOND));
    kabar.signal(Signal::SIGHUP);
    kabar.logged("the configuration was read again").await;
    becomes("the old secret is refused", async || publish(&kabar, "1", "k1", FIRST).await == StatusCode::UNAUTHORIZED)
        .await;
}

#[tokio::test]
async fn the_app_of_the_demo_stays_when_the_configuration_is_read_again() {
    let (folder, database) = (folder(), testkit::database().await);
    let mut start = command(folder.path());
    start.env("KABAR__DEMO", "true").env("KABAR__DATABASE__URL", &database.url);
    let mut kabar = Kabar::start(&folder, start).await;
    kabar.ready().await;
    let app = "[[apps]]\nid = \"2\"\nkey = \"k2\"\nsecret = \"the-first-secret\"\n";
    std::fs::write(folder.path().join("kabar.toml"), app).unwrap();
    kabar.signal(Signal::SIGHUP);
    kabar.logged("the configuration was read again").await;
    assert_eq!(publish(&kabar, "2", "k2", "the-first-secret").await, StatusCode::OK);
    let ada = kabar.post("/demo/sign-in", "", json!({"user": "ada"})).await;
    let mut socket = Socket::connect(&kabar.public, ada["appKey"].as_str().unwrap()).await;
    socket.sign_in(ada["token"].as_str().unwrap()).await;
}
