//! The demo page and its people.

use serde_json::json;
use testkit::Socket;

use crate::kabar::{KEY, Kabar, command, folder, with_app};

#[tokio::test]
async fn the_page_comes_under_a_strict_policy_and_signs_demo_people_in() {
    let (folder, database) = (folder(), testkit::database().await);
    let demo = || {
        let mut demo = command(folder.path());
        demo.env("KABAR__DEMO", "true").env("KABAR__DATABASE__URL", &database.url);
        demo
    };
    let mut kabar = Kabar::start(&folder, demo()).await;
    kabar.ready().await;
    let index = kabar.fetch("/", &[]).await;
    assert_eq!(index.headers()["cache-control"], "no-store");
    let policy = index.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for name in ["page.css", "page.js", "chat.js", "strings.js", "icon.svg"] {
        let asset = kabar.fetch(&format!("/assets/{name}"), &[]).await;
        assert_eq!(
            (asset.status().as_u16(), &asset.headers()["x-content-type-options"]),
            (200, &"nosniff".parse().unwrap())
        );
        let tag = asset.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(kabar.fetch(&format!("/assets/{name}"), &[("if-none-match", &tag)]).await.status(), 304);
    }
    let people = kabar.get("/demo/people", "").await;
    let pusher = if people["pusherJs"] == true { 200 } else { 404 };
    assert_eq!(kabar.fetch("/assets/pusher.min.js", &[]).await.status(), pusher);
    assert_eq!(kabar.fetch("/assets/../Cargo.toml", &[]).await.status(), 404);

    let ada = kabar.post("/demo/sign-in", "", json!({"user": "ada"})).await;
    let token = ada["token"].as_str().unwrap();
    assert_eq!(kabar.get("/api/chat/rooms", token).await["rooms"].as_array().unwrap().len(), 2);
    let mut socket = Socket::connect(&kabar.public, ada["appKey"].as_str().unwrap()).await;
    socket.sign_in(token).await;
    drop(kabar);

    // The secrets were kept and the people are not made twice.
    let mut kabar = Kabar::start(&folder, demo()).await;
    kabar.ready().await;
    assert_eq!(kabar.get("/api/chat/rooms", token).await["rooms"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn without_demo_there_is_no_page_and_no_sign_in() {
    let (folder, database) = (folder(), testkit::database().await);
    let mut start = with_app(command(folder.path()));
    start.env("KABAR__DATABASE__URL", &database.url);
    let mut kabar = Kabar::start(&folder, start).await;
    kabar.ready().await;
    for path in ["/", "/assets/page.js", "/nowhere"] {
        assert_eq!(kabar.fetch(path, &[]).await.status(), 404, "{path}");
    }
    let (status, answer) = kabar.call(reqwest::Method::POST, "/demo/sign-in", "", json!({"user": "ada"})).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (403, &json!("demo_off")));
    Socket::connect(&kabar.public, KEY).await.subscribe("news").await;
}
