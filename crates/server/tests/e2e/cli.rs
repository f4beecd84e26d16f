//! The command line: what it prints and what it exits with.

use std::process::Output;

use nix::sys::signal::Signal;
use testkit::Socket;

use crate::kabar::{KEY, Kabar, command, folder, run, with_app};

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn fails_with(output: &Output, code: i32, word: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.trim_end().lines().count() == 1 && said.contains(word), "{said:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn it_says_its_version_and_its_defaults() {
    let folder = folder();
    let version = text(&run(&mut command(folder.path()), &["--version"]).stdout);
    assert_eq!(version, format!("kabar {}\n", env!("CARGO_PKG_VERSION")));
    let defaults = text(&run(&mut command(folder.path()), &["config", "show-defaults"]).stdout);
    assert_eq!(defaults, server::settings::DEFAULTS);
}

#[test]
fn a_bad_configuration_is_one_line_and_exit_code_2() {
    let folder = folder();
    let mut unknown = command(folder.path());
    fails_with(&run(unknown.env("KABAR__SERVER__COLOUR", "red"), &[]), 2, "server.colour");
    let mut range = command(folder.path());
    fails_with(&run(range.env("KABAR__DATABASE__POOL_SIZE", "0"), &["config", "check"]), 2, "database.pool_size");
    fails_with(&run(&mut command(folder.path()), &["--config", "gone.toml"]), 2, "gone.toml");
    let keys = "[[auth.public_keys]]\nalgorithm = \"ES256\"\npem = \"nonsense\"\n";
    std::fs::write(folder.path().join("kabar.toml"), keys).unwrap();
    fails_with(&run(&mut command(folder.path()), &["config", "check"]), 2, "auth.public_keys");
    std::fs::write(folder.path().join("kabar.toml"), "").unwrap();
    let good = run(&mut command(folder.path()), &["config", "check"]);
    assert!(good.status.success() && text(&good.stdout).contains("good"));
}

#[test]
fn an_address_that_is_taken_is_one_line_and_exit_code_1() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    fails_with(&run(command(folder.path()).env("KABAR__SERVER__PUBLIC", &addr), &[]), 1, &addr);
}

#[tokio::test]
async fn a_token_of_the_command_line_signs_in() {
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = Kabar::on(&folder, &database.url).await;
    let mut mint = with_app(command(folder.path()));
    let minted = run(&mut mint, &["token", "--user", "ada", "--name", "Ada", "--ttl", "5m"]);
    let token = text(&minted.stdout).trim().to_owned();
    let signed_in = Socket::connect(&kabar.public, KEY).await.sign_in(&token).await;
    assert!(signed_in["user_data"].as_str().unwrap().contains("Ada"));
    let mut nameless = command(folder.path());
    fails_with(&run(&mut nameless, &["token", "--user", "ada"]), 1, "--app");
}

#[tokio::test]
async fn an_app_made_beside_a_running_kabar_is_shown_once_listed_and_served() {
    let folder = folder();
    let mut kabar = Kabar::start(&folder, with_app(command(folder.path()))).await;
    kabar.ready().await;
    let beside = |arguments: &[&str]| {
        let output = run(&mut with_app(command(folder.path())), arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let made = beside(&["app", "create", "--id", "2", "--key", "second-key"]);
    let secret = made.lines().find_map(|line| line.strip_prefix("secret")).unwrap().trim().to_owned();
    let listed = beside(&["app", "list"]);
    assert!(listed.contains("second-key") && listed.contains(KEY) && !listed.contains(&secret), "{listed}");
    let again = run(&mut with_app(command(folder.path())), &["app", "create", "--id", "2"]);
    fails_with(&again, 1, "exists already");
    kabar.signal(Signal::SIGTERM);
    assert!(kabar.ended().await.success());

    let mut kabar = Kabar::start(&folder, with_app(command(folder.path()))).await;
    kabar.ready().await;
    Socket::connect(&kabar.public, "second-key").await.subscribe_private("private-x", "second-key", &secret).await;
    kabar.signal(Signal::SIGTERM);
    assert!(kabar.ended().await.success());
}
