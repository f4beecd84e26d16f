//! Users: who may be which, and what losing a right does.

use hub::Publication;
use protocol::{Protected, RoomId};
use serde_json::json;
use testkit::Socket;

use crate::support::{KEY, Node, SECRET, app_id, join, path};

#[tokio::test]
async fn a_socket_is_bound_by_subprotocol_ticket_frame_or_signature() {
    let node = Node::start();
    let user = "ada".try_into().unwrap();
    let mut by_protocol = node.connect_as("ada").await;
    assert!(node.hub.is_online(&app_id(), &user));
    let mut by_ticket = Socket::connect_with(node.addr, &path("&ticket=ada"), &[]).await;
    by_ticket.established().await;
    by_ticket.expect_event("pusher:signin_success").await;
    let mut by_frame = node.connect().await;
    by_frame.sign_in("ada").await;
    let mut by_signature = node.connect().await;
    let data = r#"{"id":"ada"}"#;
    let auth = protocol::Signer::new(SECRET).sign_user(by_signature.id(), data);
    by_signature
        .send_json(json!({"event": "pusher:signin", "data": {"auth": format!("{KEY}:{auth}"), "user_data": data}}))
        .await;
    assert_eq!(by_signature.expect_event("pusher:signin_success").await.frame["data"]["user_data"], data);
    for socket in [&mut by_protocol, &mut by_ticket, &mut by_frame, &mut by_signature] {
        socket.subscribe("user-ada").await;
        socket.subscribe("#server-to-user-ada").await;
        for forbidden in ["user-bob", "#server-to-user-bob", "user-", "chat-lobby"] {
            socket.send_subscribe(json!({"channel": forbidden})).await;
            socket.expect_event("pusher:error").await;
            socket.expect_event("pusher:subscription_error").await;
        }
    }
    node.hub
        .publish_protected(
            &app_id(),
            &Protected::User(user),
            &Publication { event: "hello", data: "{}", ..Publication::default() },
        )
        .unwrap();
    by_ticket.expect_event("hello").await;
}

#[tokio::test]
async fn a_token_in_the_query_is_nothing_unless_it_is_allowed() {
    let node = Node::start();
    let mut socket = Socket::connect_with(node.addr, &path("&token=ada"), &[]).await;
    socket.established().await;
    socket.send_subscribe(json!({"channel": "user-ada"})).await;
    assert_eq!(socket.expect_event("pusher:error").await["message"], "Sign in to subscribe to user-ada");
}

#[tokio::test]
async fn a_refused_token_closes_for_good_and_an_unavailable_gate_asks_to_come_back() {
    let node = Node::start();
    for (token, code) in [("nobody", 4009), ("unknown", 4102)] {
        let subprotocol = format!("kabar.jwt.{token}");
        let mut socket = Socket::connect_with(node.addr, &path(""), &[&subprotocol]).await;
        socket.expect_event("pusher:error").await;
        assert_eq!(socket.expect_close().await, code);
    }
}

#[tokio::test]
async fn nobody_is_two_users() {
    let node = Node::start();
    let mut socket = node.connect_as("ada").await;
    socket.send_json(json!({"event": "pusher:signin", "data": {"token": "bob"}})).await;
    assert!(socket.expect_event("pusher:error").await["message"].as_str().unwrap().contains("another user"));
    assert!(!node.hub.is_online(&app_id(), &"bob".try_into().unwrap()));
}

#[tokio::test]
async fn frames_behind_a_question_wait_for_its_answer() {
    let node = Node::start();
    let mut socket = node.connect().await;
    for frame in [
        json!({"event": "pusher:signin", "data": {"token": "ada"}}),
        json!({"event": "pusher:subscribe", "data": {"channel": "user-ada"}}),
        json!({"event": "pusher:unsubscribe", "data": {"channel": "user-ada"}}),
        json!({"event": "pusher:subscribe", "data": {"channel": "user-ada"}}),
        json!({"event": "pusher:ping", "data": {}}),
    ] {
        socket.send_json(frame).await;
    }
    for event in ["pusher:signin_success", "pusher_internal:subscription_succeeded"] {
        socket.expect_event(event).await;
    }
    socket.expect_event("pusher_internal:subscription_succeeded").await;
    socket.expect_event("pusher:pong").await;
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let node = Node::start_with(hub::Config { token_grace: std::time::Duration::ZERO, ..Default::default() });
    let mut socket = node.connect_as("ada:1").await;
    socket.expect_event("pusher:error").await;
    assert_eq!(socket.expect_close().await, 4009);
}

#[tokio::test]
async fn losing_a_room_ends_its_subscriptions_under_every_name_at_once() {
    let node = Node::start();
    let room = Protected::Room(RoomId::mint());
    node.members.add("ada", &room);
    let mut signed_in = node.connect_as("ada").await;
    let mut stock = node.connect().await;
    let names: Vec<String> = room.channels().iter().map(|channel| channel.name().to_owned()).collect();
    signed_in.subscribe(&names[0]).await;
    signed_in.send_subscribe(json!({"channel": names[1], "auth": ""})).await;
    signed_in.expect_event("pusher_internal:subscription_succeeded").await;
    let data = json!({"user_id": "ada", "gate": true});
    join(&mut stock, &names[2], &data).await;
    let stock_auth = json!({"user_id": "ada", "gate": true}).to_string();

    node.members.remove("ada", &room);
    node.hub.revoke(&app_id(), &"ada".try_into().unwrap(), &room);
    for (socket, name) in [(&mut signed_in, &names[0]), (&mut stock, &names[2])] {
        let error = socket.expect_event("pusher:subscription_error").await;
        assert_eq!((error.channel.as_ref(), &error["status"]), (Some(name), &json!(403)));
    }
    signed_in.expect_event("pusher:subscription_error").await;
    node.hub
        .publish_protected(&app_id(), &room, &Publication { event: "secret", data: "{}", ..Publication::default() })
        .unwrap();
    signed_in.expect_quiet().await;
    // An auth string of before is worth nothing now.
    let auth = protocol::Signer::new(SECRET).sign_channel(stock.id(), &names[2], Some(&stock_auth));
    let again = json!({"channel": names[2], "auth": format!("{KEY}:{auth}"), "channel_data": stock_auth});
    stock.send_subscribe(again).await;
    stock.expect_event("pusher:error").await;
    assert_eq!(stock.expect_event("pusher:subscription_error").await["status"], 403);
}

#[tokio::test]
async fn terminating_a_user_closes_their_signed_in_sockets_only() {
    let node = Node::start();
    let (mut ada, mut bob) = (node.connect_as("ada").await, node.connect_as("bob").await);
    node.hub.terminate(&app_id(), &"ada".try_into().unwrap());
    ada.expect_event("pusher:error").await;
    assert_eq!(ada.expect_close().await, 4009);
    bob.subscribe("still-here").await;
    assert!(!node.hub.is_online(&app_id(), &"ada".try_into().unwrap()));
}
