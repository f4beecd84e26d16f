//! The routes on a real database and a real hub.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{App, Error, test, web};
use api::{Api, Auth, Config, MintFor};
use protocol::{AppId, UserId};
use serde_json::{Value, json};
use store::apps::ApiKeyHash;
use testkit::TestDatabase;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct House {
    api: Api,
    auth: Auth,
    apps: hub::Apps,
    _database: TestDatabase,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap().to_owned())
    }
}

/// Two apps, `1` and `2`, each with an API key `backend-{id}`.
async fn house() -> House {
    let database = testkit::database().await;
    let app = |id: &str| {
        let (id, key) = (id.try_into().unwrap(), format!("key{id}").as_str().try_into().unwrap());
        protocol::App::new(id, key, "app secret").unwrap()
    };
    let apps = hub::Apps::new(vec![app("1"), app("2")]);
    let auth = Auth::hs256(SECRET.to_owned());
    let api = Api::new(Config::new(auth.clone()), database.store.clone(), apps.clone()).unwrap();
    let key = |id: &str| (AppId::try_from(id).unwrap(), ApiKeyHash::of(&format!("backend-{id}")));
    api.replace_api_keys(vec![key("1"), key("2")]);
    api.attach(hub::Hub::new(hub::Config::default(), apps.clone(), api.gate()));
    House { api, auth, apps, _database: database }
}

impl House {
    fn token(&self, app: &str, user: &str) -> String {
        let (app, user) = (app.try_into().unwrap(), UserId::try_from(user).unwrap());
        let to = MintFor { app: &app, user: &user, name: None, role: None };
        api::mint(&self.auth, &to, Duration::from_secs(60)).unwrap().token
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        if Api::is_signed(path) {
            return self.signed(method, path, body.into()).await;
        }
        let data = web::Data::new(self.api.clone());
        let app = App::new().app_data(data).configure(api::routes).configure(api::internal_routes);
        send(&test::init_service(app).await, method, path, headers, body.into()).await
    }

    async fn signed(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let request = test::TestRequest::with_uri(path).method(method.parse().unwrap()).set_payload(body);
        let response = self.api.answer_signed(request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().try_into_bytes().unwrap();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn user(&self, user: &str, method: &str, path: &str, body: Value) -> Answer {
        self.user_of("1", user, method, path, body).await
    }

    async fn user_of(&self, app: &str, user: &str, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.token(app, user));
        self.with(&bearer, method, path, body).await
    }

    async fn backend(&self, app: &str, method: &str, path: &str, body: Value) -> Answer {
        self.with(&format!("Bearer backend-{app}"), method, path, body).await
    }

    async fn with(&self, bearer: &str, method: &str, path: &str, body: Value) -> Answer {
        let headers = [("authorization", bearer), ("content-type", "application/json")];
        self.ask(method, path, &headers, body.to_string()).await
    }

    async fn room(&self) -> String {
        let answer =
            self.user("ada", "POST", "/api/chat/start", json!({ "participantId": "bob", "type": "DIRECT" })).await;
        answer.json()["room"]["id"].as_str().unwrap().to_owned()
    }
}

async fn send<S, B>(service: &S, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let method: Method = method.parse().unwrap();
    let mut request = test::TestRequest::with_uri(path).method(method).set_payload(body);
    for (name, value) in headers {
        let (name, value): (HeaderName, HeaderValue) = (name.parse().unwrap(), value.parse().unwrap());
        request = request.insert_header((name, value));
    }
    let response = test::call_service(service, request.to_request()).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
    Answer { status, headers, body }
}

#[actix_web::test]
async fn a_conversation_runs_through_every_chat_route() {
    let house = house().await;
    let room = house.room().await;
    let again = house.user("bob", "POST", "/api/chat/start", json!({ "participantId": "ada", "type": "DIRECT" })).await;
    assert_eq!((again.status, again.json()["room"]["id"].as_str()), (200, Some(room.as_str())));
    let hello = json!({ "roomId": room, "content": " hello ", "clientId": "c1" });
    let sent = house.user("ada", "POST", "/api/chat/send", hello.clone()).await;
    assert_eq!((sent.status, &sent.json()["message"]["content"]), (201, &json!("hello")));
    let retried = house.user("ada", "POST", "/api/chat/send", hello).await;
    assert_eq!((retried.status, retried.json()), (200, sent.json()));
    let other = json!({ "roomId": room, "content": "other", "clientId": "c1" });
    let reused = house.user("ada", "POST", "/api/chat/send", other).await;
    assert_eq!(reused.code(), (409, "client_id_reused".into()));
    house.user("ada", "POST", "/api/chat/send", json!({ "roomId": room, "content": "two" })).await;
    let rooms = house.user("bob", "GET", "/api/chat/rooms", json!(null)).await.json();
    assert_eq!((&rooms["rooms"][0]["unread"], &rooms["nextCursor"]), (&json!(2), &json!(null)));
    let path = format!("/api/chat/messages?roomId={room}&limit=1");
    let page = house.user("bob", "GET", &path, json!(null)).await.json();
    assert_eq!(page["messages"][0]["seq"], 2);
    let next = format!("{path}&cursor={}", page["nextCursor"].as_str().unwrap());
    let page = house.user("bob", "GET", &next, json!(null)).await.json();
    assert_eq!((&page["messages"][0]["seq"], &page["nextCursor"]), (&json!(1), &json!(null)));
    let caught = house.user("bob", "GET", &format!("/api/chat/messages?roomId={room}&after=0"), json!(null)).await;
    assert_eq!(caught.json()["messages"][0]["seq"], 1);
    let read = house.user("bob", "POST", "/api/chat/read", json!({ "roomId": room, "upTo": 1 })).await;
    assert_eq!((read.status, read.json()), (200, json!({ "unread": 1 })));
    let delivered = house.user("bob", "POST", "/api/chat/delivered", json!({ "roomId": room })).await;
    assert_eq!((delivered.status, delivered.json()), (200, json!({ "lastDeliveredSeq": 2 })));
    let typing = house.user("bob", "POST", "/api/chat/typing", json!({ "roomId": room, "isTyping": true })).await;
    assert_eq!((typing.status, typing.body.as_str()), (204, ""));
    assert_eq!(typing.headers.get("access-control-allow-origin").unwrap(), "*");
}

#[actix_web::test]
async fn two_who_start_with_each_other_at_once_find_one_room() {
    let house = house().await;
    let start =
        |user, other| house.user(user, "POST", "/api/chat/start", json!({ "participantId": other, "type": "DIRECT" }));
    let (a, b) = tokio::join!(start("ada", "bob"), start("bob", "ada"));
    assert_eq!(a.json()["room"]["id"], b.json()["room"]["id"]);
    let mut statuses = [a.status, b.status];
    statuses.sort();
    assert_eq!(statuses, [200, 201]);
}

#[actix_web::test]
async fn somebody_elses_room_looks_like_one_that_does_not_exist() {
    let house = house().await;
    let room = house.room().await;
    let nowhere = protocol::RoomId::mint().to_string();
    let expected = json!({ "error": { "code": "room_not_found", "message": "there is no such room" } });
    for (app, user, room) in [("1", "eve", &room), ("2", "ada", &room), ("1", "ada", &nowhere)] {
        for (method, path, body) in [
            ("GET", format!("/api/chat/messages?roomId={room}"), json!(null)),
            ("POST", "/api/chat/send".into(), json!({ "roomId": room, "content": "x" })),
            ("POST", "/api/chat/typing".into(), json!({ "roomId": room, "isTyping": true })),
            ("POST", "/api/chat/read".into(), json!({ "roomId": room })),
            ("POST", "/api/chat/delivered".into(), json!({ "roomId": room })),
        ] {
            let answer = house.user_of(app, user, method, &path, body).await;
            assert_eq!((answer.status, answer.json()), (404, expected.clone()), "{app} {user} {path}");
        }
    }
    let other = house.backend("2", "GET", &format!("/internal/rooms/{room}"), json!(null)).await;
    assert_eq!((other.status, other.json()), (404, expected));
}

#[actix_web::test]
async fn every_error_is_json_with_its_code() {
    let house = house().await;
    let bearer = format!("Bearer {}", house.token("1", "ada"));
    let (json_type, auth) = (("content-type", "application/json"), ("authorization", bearer.as_str()));
    let post = |headers: Vec<(&'static str, &str)>, body: &str| {
        let (headers, body) = (headers.iter().map(|(k, v)| (*k, v.to_string())).collect::<Vec<_>>(), body.to_owned());
        let house = &house;
        async move {
            let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
            house.ask("POST", "/api/chat/send", &headers, body).await.code()
        }
    };
    assert_eq!(post(vec![json_type], "{}").await, (401, "unauthorized".into()));
    assert_eq!(post(vec![json_type, auth], "{").await, (400, "malformed_body".into()));
    assert_eq!(post(vec![json_type, auth], "{}").await, (400, "invalid_field".into()));
    assert_eq!(post(vec![("content-type", "text/plain"), auth], "{}").await, (415, "unsupported_media_type".into()));
    assert_eq!(post(vec![json_type, auth], &"x".repeat(70_000)).await, (413, "body_too_large".into()));
    assert_eq!(house.user("ada", "GET", "/api/nothing", json!(null)).await.code(), (404, "not_found".into()));
    let wrong = house.user("ada", "GET", "/api/chat/send", json!(null)).await;
    assert_eq!(wrong.code(), (405, "method_not_allowed".into()));
    assert_eq!(wrong.headers.get("allow").unwrap(), "POST");
    assert_eq!(wrong.headers.get("x-content-type-options").unwrap(), "nosniff");
    for limit in ["0", "101", "-1", "x"] {
        let answer = house.user("ada", "GET", &format!("/api/chat/rooms?limit={limit}"), json!(null)).await;
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!("limit")), "{limit}");
    }
}

#[actix_web::test]
async fn only_what_the_user_may_see_is_signed() {
    let house = house().await;
    let room = house.room().await;
    let signed = async |user: &str, channel: &str| {
        let bearer = format!("Bearer {}", house.token("1", user));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let body = format!("socket_id=1.2&channel_name={channel}");
        house.ask("POST", "/api/channels/auth", &headers, body).await
    };
    let socket = "1.2".parse().unwrap();
    for channel in ["private-user-ada", &format!("private-chat-{room}"), &format!("presence-chat-{room}")] {
        let answer = signed("ada", channel).await;
        let body = answer.json();
        let data = body["channel_data"].as_str();
        let (key, signature) = body["auth"].as_str().unwrap().split_once(':').unwrap();
        assert_eq!((answer.status, key), (200, "key1"), "{channel}");
        assert!(house.apps.by_id("1").unwrap().secret.verify_channel(socket, channel, data, signature));
        assert!(protocol::frame::ChannelData::parse(data.unwrap()).unwrap().gated);
        assert_eq!(signed("eve", channel).await.status, 403, "{channel}");
    }
    for channel in ["private-orders", "presence-lobby", "user-ada", "public", "private-encrypted-x"] {
        assert_eq!(signed("ada", channel).await.code(), (403, "forbidden".into()), "{channel}");
    }
    assert_eq!(signed("ada", "presence-x:y").await.status, 400);
    let answer = house.user("ada", "POST", "/api/channels/user-auth", json!({ "socket_id": "1.2" })).await;
    let (body, secret) = (answer.json(), &house.apps.by_id("1").unwrap().secret);
    let signature = body["auth"].as_str().unwrap().strip_prefix("key1:").unwrap();
    assert!(secret.verify_user(socket, body["user_data"].as_str().unwrap(), signature));
}

#[actix_web::test]
async fn a_ticket_works_once_and_only_in_its_app() {
    let house = house().await;
    let answer = house.user("ada", "POST", "/api/socket-tickets", json!(null)).await;
    let ticket = answer.json()["ticket"].as_str().unwrap().to_owned();
    assert_eq!(answer.status, 201);
    let redeem = |app: &str| house.api.gate().user_of_ticket(house.apps.by_id(app).unwrap(), ticket.clone());
    assert!(redeem("2").await.is_err());
    assert_eq!(redeem("1").await.unwrap().user.as_str(), "ada");
    assert!(redeem("1").await.is_err());
}

#[actix_web::test]
async fn a_backend_keeps_users_rooms_and_tokens() {
    let house = house().await;
    let put = house.backend("1", "PUT", "/internal/users/ada", json!({ "name": "Ada" })).await;
    assert_eq!((put.status, &put.json()["name"]), (200, &json!("Ada")));
    let minted = house.backend("1", "POST", "/internal/tokens", json!({ "userId": "ada", "ttlSeconds": 60 })).await;
    let bearer = format!("Bearer {}", minted.json()["token"].as_str().unwrap());
    assert_eq!(house.with(&bearer, "GET", "/api/chat/rooms", json!(null)).await.status, 200);
    let room = json!({ "type": "GROUP", "title": "Team", "memberIds": ["ada", "bob"] });
    let made = house.backend("1", "POST", "/internal/rooms", room).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/internal/rooms/{}", made.json()["room"]["id"].as_str().unwrap());
    let members = format!("{path}/members");
    let added = house.backend("1", "PUT", &members, json!({ "userIds": ["bob", "cy"] })).await;
    assert_eq!(added.json(), json!({ "added": ["cy"] }));
    assert_eq!(house.backend("1", "DELETE", &format!("{members}/bob"), json!(null)).await.status, 204);
    assert_eq!(house.backend("1", "DELETE", &format!("{members}/bob"), json!(null)).await.status, 404);
    let patched = house.backend("1", "PATCH", &path, json!({ "title": "Crew" })).await.json();
    assert_eq!((&patched["room"]["title"], &patched["room"]["memberIds"]), (&json!("Crew"), &json!(["ada", "cy"])));
    assert_eq!(house.backend("1", "DELETE", &path, json!(null)).await.status, 204);
    assert_eq!(house.backend("1", "GET", &path, json!(null)).await.status, 404);
    assert_eq!(house.backend("3", "GET", &path, json!(null)).await.status, 401);
}

#[actix_web::test]
async fn every_described_route_is_there() {
    let house = house().await;
    for document in [api::openapi(), api::internal_openapi()] {
        let document: Value = serde_json::from_str(&document).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        for (path, item) in document["paths"].as_object().unwrap() {
            let path = path.replace("{id}", "1").replace("{channel}", "a").replace("{userId}", "a");
            for method in item.as_object().unwrap().keys() {
                let answer = house.ask(&method.to_uppercase(), &path, &[], "").await;
                assert!(![404, 405, 500].contains(&answer.status), "{method} {path}: {}", answer.status);
            }
        }
    }
}
