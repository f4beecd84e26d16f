//! Two people and what they see of each other.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Socket;

use crate::kabar::{API_KEY, KEY, Kabar, SECRET, folder};

async fn direct_room(kabar: &Kabar, token: &str, other: &str) -> String {
    let started = kabar.post("/api/chat/start", token, json!({"participantId": other, "type": "DIRECT"})).await;
    started["room"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_users_chat_by_rest_and_sockets() {
    let (folder, database) = (folder(), testkit::database().await);
    let mut kabar = Kabar::on(&folder, &database.url).await;
    let (ada, budi) = (kabar.token("ada").await, kabar.token("budi").await);
    let room = direct_room(&kabar, &ada, "budi").await;

    // Budi signs in on the socket; Ada comes as a stock client does, by auth strings of our endpoint.
    let mut of_budi = Socket::connect(&kabar.public, KEY).await;
    of_budi.sign_in(&budi).await;
    of_budi.subscribe(&format!("chat-{room}")).await;
    let mut of_ada = Socket::connect(&kabar.public, KEY).await;
    let channel = format!("private-chat-{room}");
    let asked = json!({"socket_id": of_ada.id().to_string(), "channel_name": channel});
    let mut signed = kabar.post("/api/channels/auth", &ada, asked).await;
    signed["channel"] = json!(channel);
    of_ada.send_subscribe(signed).await;
    of_ada.expect_event("pusher_internal:subscription_succeeded").await;

    kabar.post("/api/chat/typing", &ada, json!({"roomId": room, "isTyping": true})).await;
    assert_eq!(of_budi.next_named("typing").await["userId"], "ada");
    let new = json!({"roomId": room, "content": "halo", "clientId": "c-1"});
    let sent = kabar.post("/api/chat/send", &ada, new.clone()).await;
    let arrived = of_budi.next_named("new-message").await;
    assert_eq!((&arrived["content"], &arrived["senderId"]), (&json!("halo"), &json!("ada")));
    assert_eq!(of_ada.next_named("new-message").await.channel, Some(channel));
    let (status, again) = kabar.call(Method::POST, "/api/chat/send", &ada, new).await;
    assert_eq!((status, &again["message"]["id"]), (StatusCode::OK, &sent["message"]["id"]));

    kabar.post("/api/chat/read", &budi, json!({"roomId": room})).await;
    assert_eq!(of_ada.next_named("message-read").await["userId"], "budi");
    let rooms = kabar.get("/api/chat/rooms", &budi).await;
    assert_eq!((&rooms["rooms"][0]["unread"], &rooms["rooms"][0]["lastSeq"]), (&json!(0), &json!(1)));

    kabar.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(kabar.ended().await.success());
    for secret in [ada.as_str(), budi.as_str(), SECRET, API_KEY] {
        assert!(!kabar.seen.iter().any(|line| line.contains(secret)), "a secret was logged");
    }
}

#[tokio::test]
async fn sixteen_senders_make_one_sequence_and_every_subscriber_sees_it() {
    const SENDERS: usize = 16;
    const EACH: usize = 12;
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = Kabar::on(&folder, &database.url).await;
    let mut tokens = Vec::new();
    for number in 0..SENDERS {
        tokens.push(kabar.token(&format!("sender-{number}")).await);
    }
    let others: Vec<_> = (1..SENDERS).map(|number| format!("sender-{number}")).collect();
    let group = json!({"participantIds": others, "type": "GROUP", "title": "All at once"});
    let room = kabar.post("/api/chat/start", &tokens[0], group).await["room"]["id"].as_str().unwrap().to_owned();
    let mut sockets = Vec::new();
    for token in &tokens[..4] {
        let mut socket = Socket::connect(&kabar.public, KEY).await;
        socket.sign_in(token).await;
        socket.subscribe(&format!("chat-{room}")).await;
        sockets.push(socket);
    }
    let send = async |token: &String| {
        for number in 0..EACH {
            kabar.post("/api/chat/send", token, json!({"roomId": room, "content": number.to_string()})).await;
        }
    };
    futures_util::future::join_all(tokens.iter().map(send)).await;
    for socket in &mut sockets {
        for seq in 1..=SENDERS * EACH {
            assert_eq!(socket.next_named("new-message").await["seq"], seq);
        }
    }
}

#[tokio::test]
async fn a_member_who_is_removed_hears_nothing_more() {
    let (folder, database) = (folder(), testkit::database().await);
    let kabar = Kabar::on(&folder, &database.url).await;
    let (ada, budi) = (kabar.token("ada").await, kabar.token("budi").await);
    let group = json!({"participantIds": ["budi"], "type": "GROUP", "title": "Kelas"});
    let started = kabar.post("/api/chat/start", &ada, group).await;
    let room = started["room"]["id"].as_str().unwrap();
    let mut of_budi = Socket::connect(&kabar.public, KEY).await;
    of_budi.sign_in(&budi).await;
    of_budi.subscribe("user-budi").await;
    of_budi.subscribe(&format!("chat-{room}")).await;

    let path = format!("/internal/rooms/{room}/members/budi");
    let (status, answer) = kabar.call(Method::DELETE, &path, API_KEY, Value::Null).await;
    assert!(status.is_success(), "{status} {answer}");
    assert_eq!(of_budi.next_named("room-removed").await["roomId"], room);

    kabar.post("/api/chat/send", &ada, json!({"roomId": room, "content": "between us"})).await;
    kabar.post("/api/chat/start", &ada, json!({"participantId": "budi", "type": "DIRECT"})).await;
    // The room that is announced last comes, the message before it does not.
    loop {
        let event = of_budi.next().await;
        assert_ne!(event.event, "new-message");
        if event.event == "room-added" {
            break;
        }
    }
    let (status, _) = kabar.call(Method::GET, &format!("/api/chat/messages?roomId={room}"), &budi, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
