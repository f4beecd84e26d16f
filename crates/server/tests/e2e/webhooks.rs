//! Webhooks of the real binary: endpoints and dead letters on the command line, requests over a socket.

use std::process::{Command, Output};

use chrono::Utc;
use nix::sys::signal::Signal;
use protocol::{AppId, Signer};
use serde_json::{Value, json};
use store::webhooks::{Claim, NewDelivery};
use tempfile::TempDir;
use testkit::{Socket, TestDatabase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::kabar::{KEY, Kabar, SECRET, command, folder, run, with_app};

fn configured(folder: &TempDir, database: &TestDatabase) -> Command {
    let mut command = with_app(command(folder.path()));
    command.env("KABAR__DATABASE__URL", &database.url).env("KABAR__WEBHOOKS__ALLOWED_HOSTS", r#"["127.0.0.1"]"#);
    command
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A delivery that was given up, as if its endpoint had been down.
async fn give_up(database: &TestDatabase, body: &'static str) {
    let work = move |conn: &mut store::PgConnection| {
        let app = AppId::try_from("1").unwrap();
        let endpoint = store::webhooks::list(conn, Some(&app))?.remove(0).id;
        let id = uuid::Uuid::now_v7();
        let delivery = NewDelivery { app, id, endpoint, order_key: "a".to_owned(), body: body.to_owned() };
        let now = Utc::now();
        store::webhooks::enqueue(conn, &[delivery], &[], &[], now)?;
        let claim = Claim { now, lease_until: now, limit: 1, per_endpoint: 1, busy: Vec::new() };
        let claimed = store::webhooks::claim_due(conn, &claim)?.remove(0);
        store::webhooks::failed(conn, &claimed, "answered 500", now, None)
    };
    assert!(database.store.run(work).await.unwrap());
}

/// One request, answered 200: its head and its body.
async fn receive(listener: &TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() == length.unwrap().parse::<usize>().unwrap() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                return (head.to_owned(), body.to_owned());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "cut short: {text}");
    }
}

#[tokio::test]
async fn endpoints_are_made_listed_and_removed_on_the_command_line() {
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = |arguments: &[&str]| run(&mut configured(&folder, &database), arguments);
    for (arguments, word) in [
        (&["webhook", "add", "--url", "http://127.0.0.2/"][..], "public internet"),
        (&["webhook", "add", "--url", "https://me@a.example/"], "user"),
        (&["webhook", "add", "--url", "https://a.example/", "--event", "occupied"], "channel_occupied"),
        (&["webhook", "add", "--url", "https://a.example/", "--header", "Host: b"], "Host"),
        (&["webhook", "add", "--url", "https://a.example/", "--app", "2"], "no app"),
        (&["webhook", "remove", "019ab000-0000-7000-8000-000000000000"], "no such endpoint"),
    ] {
        let output = kabar(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.trim_end().lines().count() == 1 && error.contains(word), "{error:?}");
    }
    let url = "https://a.example/hook";
    let made = said(kabar(&["webhook", "add", "--url", url, "--event", "cache_miss", "--header", "X-Key: hush"]));
    let id = made.lines().next().unwrap().split_whitespace().last().unwrap().to_owned();
    let listed = said(kabar(&["webhook", "list"]));
    assert!(listed.contains(&id) && listed.contains(url) && listed.contains("X-Key"), "{listed}");
    assert!(listed.contains("events=cache_miss") && !listed.contains("hush"), "{listed}");
    assert_eq!(said(kabar(&["webhook", "dead"])), "");
    assert!(said(kabar(&["webhook", "remove", &id])).contains("removed"));
    assert_eq!(said(kabar(&["webhook", "list"])), "");
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_replayed_by_a_running_kabar() {
    const BODY: &str = r#"{"time_ms":1,"events":[{"name":"cache_miss","channel":"a"}]}"#;
    let (folder, database) = (folder(), testkit::database().await);
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let mut serve = configured(&folder, &database);
    serve.env("KABAR__APPS__0__WEBHOOKS", format!(r#"[{{"url":"{url}"}}]"#));
    let mut kabar = Kabar::start(&folder, serve).await;
    kabar.ready().await;
    let beside = |arguments: &[&str]| said(run(&mut configured(&folder, &database), arguments));
    // The endpoint of the configuration gets its row after the schema is there.
    while beside(&["webhook", "list"]).is_empty() {}
    give_up(&database, BODY).await;
    give_up(&database, "{}").await;
    let dead = beside(&["webhook", "dead"]);
    let letters: Vec<Value> = dead.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((letters.len(), &letters[0]["body"], &letters[0]["error"]), (2, &BODY.into(), &"answered 500".into()));
    let (first, second) = (letters[0]["id"].as_str().unwrap(), letters[1]["id"].as_str().unwrap());
    assert!(beside(&["webhook", "discard", second]).starts_with("1 "));
    assert!(beside(&["webhook", "replay", "--all"]).starts_with("1 "));
    let (head, body) = receive(&receiver).await;
    assert_eq!(body, BODY);
    let head = head.to_ascii_lowercase();
    assert!(head.contains(&format!("x-pusher-key: {KEY}")) && head.contains(&format!("x-kabar-webhook-id: {first}")));
    let signature = head.lines().find_map(|line| line.strip_prefix("x-pusher-signature: ")).unwrap();
    assert!(Signer::new(SECRET).verify(&[BODY], signature));
    kabar.signal(Signal::SIGTERM);
    assert!(kabar.ended().await.success());
    assert_eq!(beside(&["webhook", "dead"]), "");
}

#[tokio::test]
async fn an_endpoint_that_the_configuration_gets_later_is_told_without_a_restart() {
    let (folder, database) = (folder(), testkit::database().await);
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = format!("[[apps]]\nid = \"1\"\nkey = \"{KEY}\"\nsecret = \"{SECRET}\"\n");
    let write = |text: &str| std::fs::write(folder.path().join("kabar.toml"), text).unwrap();
    write(&app);
    let mut start = command(folder.path());
    start.env("KABAR__DATABASE__URL", &database.url).env("KABAR__WEBHOOKS__ALLOWED_HOSTS", r#"["127.0.0.1"]"#);
    start.env("KABAR__AUTH__JWT_SECRET", crate::kabar::JWT_SECRET);
    let mut kabar = Kabar::start(&folder, start).await;
    kabar.ready().await;
    write(&format!("{app}[[apps.webhooks]]\nurl = \"http://{}/hook\"\n", receiver.local_addr().unwrap()));
    kabar.signal(Signal::SIGHUP);
    kabar.logged("the configuration was read again").await;
    // Until the endpoint is known, nothing of its app is noted: each round is a channel of its own.
    let told = async {
        for round in 0.. {
            let mut socket = Socket::connect(&kabar.public, KEY).await;
            socket.subscribe(&format!("round-{round}")).await;
            tokio::task::yield_now().await;
        }
    };
    let (_, body) = tokio::select! {
        received = receive(&receiver) => received,
        () = told => unreachable!(),
    };
    assert!(body.contains("channel_occupied"), "{body}");
}

#[tokio::test]
async fn what_happens_on_channels_is_told_and_a_restart_tells_nothing_of_who_comes_back() {
    let (folder, database) = (folder(), testkit::database().await);
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serve = || {
        let mut serve = configured(&folder, &database);
        let url = format!("http://{}/hook", receiver.local_addr().unwrap());
        serve.env("KABAR__APPS__0__WEBHOOKS", format!(r#"[{{"url":"{url}"}}]"#));
        serve.env("KABAR__WEBHOOKS__LEAVE_DELAY_MS", "0").env("KABAR__WEBHOOKS__RESTART_GRACE_SECONDS", "5");
        serve
    };
    let told = |(_, body): (String, String)| {
        let body: Value = serde_json::from_str(&body).unwrap();
        body["events"].as_array().unwrap()[0].clone()
    };
    let mut kabar = Kabar::start(&folder, serve()).await;
    kabar.ready().await;
    let mut stays = Socket::connect(&kabar.public, KEY).await;
    stays.subscribe_private("private-stays", KEY, SECRET).await;
    assert_eq!(told(receive(&receiver).await), json!({"name": "channel_occupied", "channel": "private-stays"}));
    let mut goes = Socket::connect(&kabar.public, KEY).await;
    goes.subscribe("goes").await;
    assert_eq!(told(receive(&receiver).await), json!({"name": "channel_occupied", "channel": "goes"}));
    stays.send_event("private-stays", "client-x", json!({"a": 1})).await;
    let event = told(receive(&receiver).await);
    assert_eq!((&event["name"], &event["data"]), (&"client_event".into(), &r#"{"a":1}"#.into()));
    kabar.signal(Signal::SIGTERM);
    assert!(kabar.ended().await.success());

    let mut kabar = Kabar::start(&folder, serve()).await;
    let mut stays = Socket::connect(&kabar.public, KEY).await;
    stays.subscribe_private("private-stays", KEY, SECRET).await;
    kabar.ready().await;
    assert_eq!(told(receive(&receiver).await), json!({"name": "channel_vacated", "channel": "goes"}));
    drop(stays);
    assert_eq!(told(receive(&receiver).await), json!({"name": "channel_vacated", "channel": "private-stays"}));
}
