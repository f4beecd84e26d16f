//! What an app's policy allows, and that a change of it holds at once.

use std::time::Duration;

use hub::Config;
use protocol::Policy;
use serde_json::json;

use crate::support::{KEY, Node, SECRET, app, join};

/// Gives the first app another policy while it is served.
fn change(node: &Node, policy: Policy) {
    node.hub.apps().replace(vec![app("1", KEY, policy), app("2", "other-key", Policy::default())]);
}

#[tokio::test]
async fn a_change_of_policy_holds_for_sockets_that_are_there() {
    let node = Node::start_as(Config::default(), Policy::default());
    let (mut ada, mut bob) = (node.connect().await, node.connect().await);
    for socket in [&mut ada, &mut bob] {
        socket.subscribe_private("private-a", KEY, SECRET).await;
    }
    ada.send_event("private-a", "client-x", json!(1)).await;
    assert!(ada.expect_event("pusher:error").await["message"].as_str().unwrap().contains("enable this feature"));
    change(&node, Policy { client_events: true, event_bytes_max: Some(3), ..Policy::default() });
    ada.send_event("private-a", "client-x", json!(1)).await;
    bob.expect_event("client-x").await;
    ada.send_event("private-a", "client-x", json!(12345)).await;
    assert!(ada.expect_event("pusher:error").await["message"].as_str().unwrap().contains("at most 3 bytes"));
    change(&node, Policy { channels_per_socket_max: Some(1), ..Policy::default() });
    ada.send_subscribe(json!({"channel": "b"})).await;
    ada.expect_event("pusher:error").await;
    assert_eq!(ada.expect_event("pusher:subscription_error").await["type"], "LimitReached");
}

#[tokio::test]
async fn a_disabled_or_removed_app_loses_its_sockets_and_one_that_comes_back_gets_them() {
    let node = Node::start();
    let mut socket = node.connect().await;
    change(&node, Policy { enabled: false, ..Policy::default() });
    assert_eq!(socket.expect_close().await, 4003);
    change(&node, Policy::default());
    let mut socket = node.connect().await;
    node.hub.apps().replace(Vec::new());
    assert_eq!(socket.expect_close().await, 4003);
    change(&node, Policy::default());
    node.connect().await.subscribe("a").await;
}

#[tokio::test]
async fn a_user_has_at_most_so_many_sockets() {
    let policy = Policy { connections_per_user_max: Some(2), ..Policy::default() };
    let node = Node::start_as(Config::default(), policy);
    let first = node.connect_as("ada").await;
    let _second = node.connect_as("ada").await;
    let _other = node.connect_as("bob").await;
    let mut third = node.connect().await;
    third.send_json(json!({"event": "pusher:signin", "data": {"token": "ada"}})).await;
    assert_eq!(third.expect_close().await, 4104);
    first.close(1000).await;
    node.connect_as("ada").await.subscribe("a").await;
}

#[tokio::test]
async fn presence_members_are_as_many_as_the_app_may_have() {
    let policy = Policy { presence_members_max: Some(1), ..Policy::default() };
    let node = Node::start_as(Config::default(), policy);
    let (mut ada, mut bob) = (node.connect().await, node.connect().await);
    join(&mut ada, "presence-a", &json!({"user_id": "ada"})).await;
    let data = json!({"user_id": "bob"}).to_string();
    let signature = protocol::Signer::new(SECRET).sign_channel(bob.id(), "presence-a", Some(&data));
    let auth = format!("{KEY}:{signature}");
    bob.send_subscribe(json!({"channel": "presence-a", "auth": auth, "channel_data": data})).await;
    bob.expect_event("pusher:error").await;
    assert_eq!(bob.expect_event("pusher:subscription_error").await["status"], 4100);
}

#[tokio::test]
async fn where_only_the_authorised_may_stay_the_others_are_closed_in_time() {
    let config = Config { authorization_timeout: Duration::from_secs(1), ..Config::default() };
    let node = Node::start_as(config, Policy { authorized_only: true, ..Policy::default() });
    let mut nobody = node.connect().await;
    nobody.subscribe("public").await;
    let _signed_in = node.connect_as("ada").await;
    let mut private = node.connect().await;
    private.subscribe_private("private-a", KEY, SECRET).await;
    let mut signed_in = node.connect_as("bob").await;
    assert_eq!(nobody.expect_close().await, 4009);
    // Their time was up at the same tick or before.
    private.expect_quiet().await;
    signed_in.expect_quiet().await;
}

#[tokio::test]
async fn publishes_are_counted_within_the_second() {
    let node = Node::start_as(Config::default(), Policy { publishes_per_second_max: Some(5), ..Policy::default() });
    let allowed = |count| node.hub.allows_publishes(&crate::support::app_id(), count);
    // A second may end in between: then there are five more.
    let granted = (0..20).filter(|_| allowed(1)).count();
    assert!((5..=10).contains(&granted), "{granted}");
    assert!(!allowed(6));
}
