//! What users' sockets are told while they and their backend use the routes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use actix_http::{HttpService, Response};
use actix_web::{App, test, web};
use api::{Api, Auth, Config, MintFor};
use protocol::{AppId, UserId};
use serde_json::{Value, json};
use store::apps::ApiKeyHash;
use testkit::Socket;

#[actix_web::test]
async fn members_hear_what_happens_until_they_are_taken_out() {
    let database = testkit::database().await;
    let app_id = AppId::try_from("1").unwrap();
    let app = protocol::App::new(app_id.clone(), "key1".try_into().unwrap(), "app secret").unwrap();
    let apps = hub::Apps::new(vec![app]);
    let auth = Auth::hs256("0123456789abcdef0123456789abcdef".to_owned());
    let mut config = Config::new(auth.clone());
    config.typing_timeout = Duration::from_millis(200);
    let api = Api::new(config, database.store.clone(), apps.clone()).unwrap();
    api.replace_api_keys(vec![(app_id.clone(), ApiKeyHash::of("backend"))]);
    let hub = hub::Hub::new(hub::Config::default(), apps, api.gate());
    api.attach(hub.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = actix_server::Server::build().workers(1).disable_signals().listen("public", listener, move || {
        let not_found = |_| async { Ok::<_, Infallible>(Response::not_found()) };
        HttpService::build().upgrade(hub.shard().upgrade()).finish(not_found).tcp()
    });
    let server = server.unwrap().run();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    let routes = App::new().app_data(web::Data::new(api)).configure(api::routes).configure(api::internal_routes);
    let routes = test::init_service(routes).await;
    let token = |user: &str| {
        let user = UserId::try_from(user).unwrap();
        let to = MintFor { app: &app_id, user: &user, name: Some("Ada"), role: None };
        api::mint(&auth, &to, Duration::from_secs(60)).unwrap().token
    };
    let ask = async |method: &str, bearer: &str, path: &str, body: Value| -> Value {
        let request = test::TestRequest::with_uri(path).method(method.parse().unwrap()).set_json(body);
        let request = request.insert_header(("authorization", format!("Bearer {bearer}"))).to_request();
        let answer = test::call_and_read_body(&routes, request).await;
        serde_json::from_slice(&answer).unwrap_or(Value::Null)
    };

    let mut bob = Socket::connect(addr, "key1").await;
    bob.sign_in(&token("bob")).await;
    bob.subscribe("user-bob").await;
    let ada = token("ada");
    let started = json!({ "participantId": "bob", "type": "DIRECT" });
    let room = ask("POST", &ada, "/api/chat/start", started).await["room"]["id"].as_str().unwrap().to_owned();
    assert_eq!(bob.next_named("room-added").await["id"], *room);
    bob.subscribe(&format!("chat-{room}")).await;
    ask("POST", &ada, "/api/chat/typing", json!({ "roomId": room, "isTyping": true })).await;
    assert_eq!(bob.expect_event("typing").await.data, json!({ "userId": "ada", "userName": "Ada", "isTyping": true }));
    assert_eq!(bob.expect_event("typing").await["isTyping"], false);
    ask("POST", &ada, "/api/chat/send", json!({ "roomId": room, "content": "hello" })).await;
    assert_eq!(bob.expect_event("new-message").await["content"], "hello");
    assert_eq!(bob.expect_event("unread-count").await.data, json!({ "notifications": 0, "chat": 1 }));
    ask("POST", &token("bob"), "/api/chat/read", json!({ "roomId": room })).await;
    assert_eq!(bob.expect_event("message-read").await["lastReadSeq"], 1);
    assert_eq!(bob.expect_event("unread-count").await.data, json!({ "notifications": 0, "chat": 0 }));
    ask("DELETE", "backend", &format!("/internal/rooms/{room}/members/bob"), json!(null)).await;
    assert_eq!(bob.next_named("room-removed").await["roomId"], *room);
    ask("POST", &ada, "/api/chat/send", json!({ "roomId": room, "content": "alone" })).await;
    bob.expect_quiet().await;
    handle.stop(false).await;
}
