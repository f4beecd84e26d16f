//! Notifications over the routes and what users' sockets are told of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::{HttpService, Response};
use actix_server::ServerHandle;
use actix_web::http::header::HeaderMap;
use actix_web::{App, test, web};
use api::{Api, Auth, Config, MintFor};
use protocol::{AppId, UserId};
use serde_json::{Value, json};
use store::apps::ApiKeyHash;
use testkit::{Socket, TestDatabase};

struct House {
    auth: Auth,
    api: Api,
    addr: SocketAddr,
    handle: ServerHandle,
    _database: TestDatabase,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    json: Value,
}

impl Answer {
    fn code(&self) -> (u16, &str) {
        (self.status, self.json["error"]["code"].as_str().unwrap_or_default())
    }

    fn field(&self) -> (u16, &str) {
        (self.status, self.json["error"]["field"].as_str().unwrap_or_default())
    }
}

/// Two apps, `1` and `2`, each with an API key `backend-{id}`; sockets of the first on a real port.
async fn house(change: impl FnOnce(&mut Config)) -> House {
    let database = testkit::database().await;
    let app = |id: &str| {
        let key = format!("key{id}");
        protocol::App::new(id.try_into().unwrap(), key.as_str().try_into().unwrap(), "app secret").unwrap()
    };
    let apps = hub::Apps::new(vec![app("1"), app("2")]);
    let auth = Auth::hs256("0123456789abcdef0123456789abcdef".to_owned());
    let mut config = Config::new(auth.clone());
    config.notifications.link_base = Some("https://example.com".into());
    config.notifications.release_interval = Duration::from_millis(20);
    config.unread_interval = Duration::from_millis(20);
    change(&mut config);
    let api = Api::new(config, database.store.clone(), apps.clone()).unwrap();
    let key = |id: &str| (AppId::try_from(id).unwrap(), ApiKeyHash::of(&format!("backend-{id}")));
    api.replace_api_keys(vec![key("1"), key("2")]);
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
    House { auth, api, addr, handle, _database: database }
}

impl House {
    fn token(&self, app: &str, user: &str) -> String {
        let (app, user) = (app.try_into().unwrap(), UserId::try_from(user).unwrap());
        let to = MintFor { app: &app, user: &user, name: None, role: None };
        api::mint(&self.auth, &to, Duration::from_secs(60)).unwrap().token
    }

    async fn ask(&self, bearer: &str, method: &str, path: &str, key: Option<&str>, body: &Value) -> Answer {
        let data = web::Data::new(self.api.clone());
        let app = App::new().app_data(data).configure(api::routes).configure(api::internal_routes);
        let app = test::init_service(app).await;
        let request = test::TestRequest::with_uri(path).method(method.parse().unwrap()).set_json(body);
        let mut request = request.insert_header(("authorization", format!("Bearer {bearer}")));
        if let Some(key) = key {
            request = request.insert_header(("idempotency-key", key));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let json = serde_json::from_slice(&test::read_body(response).await).unwrap_or(Value::Null);
        Answer { status, headers, json }
    }

    async fn user(&self, user: &str, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/api/notifications{path}");
        self.ask(&self.token("1", user), method, &path, None, &body).await
    }

    async fn get(&self, user: &str, path: &str) -> Value {
        self.user(user, "GET", path, Value::Null).await.json
    }

    async fn tell(&self, body: Value) -> Answer {
        self.ask("backend-1", "POST", "/internal/notifications", None, &body).await
    }

    /// One that was told; its id.
    async fn told(&self, user: &str, r#type: &str) -> String {
        let answer = self.tell(json!({ "userId": user, "type": r#type, "title": "Hi", "body": "there" })).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["notifications"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn socket(&self, user: &str) -> Socket {
        let mut socket = Socket::connect(self.addr, "key1").await;
        socket.sign_in(&self.token("1", user)).await;
        socket.subscribe(&format!("user-{user}")).await;
        socket
    }
}

#[actix_web::test]
async fn a_user_hears_of_everything_that_happens_in_their_list() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let body = json!({ "userId": "ada", "type": "COMMENT_REPLY", "title": " Balasan Baru ", "body": "Budi membalas",
        "link": "/posts/7#comment-3", "actor": { "id": "budi", "name": "Budi" }, "data": { "postId": 7 },
        "transports": ["pusher", "onesignal"] });
    let told = house.tell(body).await;
    let one = &told.json["notifications"][0];
    assert_eq!((told.status, &one["status"], &one["transports"]), (201, &json!("told"), &json!(["in_app"])));
    let id = one["id"].as_str().unwrap();

    let new = ada.next_named("notification-new").await;
    let listed = house.get("ada", "").await;
    let mut whole = listed["notifications"][0].clone();
    assert_eq!(
        (&whole["seq"], &whole["category"], &whole["title"]),
        (&json!(1), &json!("comment"), &json!("Balasan Baru"))
    );
    assert_eq!(
        (&whole["link"], &whole["data"]),
        (&json!("https://example.com/posts/7#comment-3"), &json!({ "postId": 7 }))
    );
    whole["unreadCount"] = json!(1);
    assert_eq!(new.data, whole, "the event is the whole notification and the count");
    assert_eq!(ada.next_named("unread-count").await.data, json!({ "notifications": 1, "chat": 0 }));

    let marked = house.user("ada", "PATCH", "", json!({ "id": id })).await;
    assert_eq!((marked.status, marked.json), (200, json!({ "success": true, "unreadCount": 0 })));
    let updated = ada.next_named("notification-updated").await;
    assert_eq!((&updated["id"], &updated["unreadCount"]), (&json!(id), &json!(0)));
    assert!(updated["readAt"].is_string());
    assert_eq!(ada.next_named("unread-count").await.data, json!({ "notifications": 0, "chat": 0 }));
    assert_eq!(house.user("ada", "PATCH", "", json!({ "id": id })).await.status, 200);

    house.told("ada", "SYSTEM").await;
    ada.next_named("notification-new").await;
    let all = house.user("ada", "PATCH", "", json!({ "markAll": true, "category": "system", "archived": true })).await;
    assert_eq!(all.json["unreadCount"], 0);
    let updated = ada.next_named("notification-updated").await;
    assert_eq!(
        (&updated["all"], &updated["upToSeq"], &updated["category"]),
        (&json!(true), &json!(2), &json!("system"))
    );
    assert_eq!(house.get("ada", "").await["pagination"]["total"], 1, "archived is out of the list");
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn notifications_are_announced_in_the_order_of_the_list() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let tell = || house.tell(json!({ "userIds": ["ada", "bob"], "type": "SYSTEM", "title": "Hi" }));
    let answers = futures_util::future::join_all((0..20).map(|_| tell())).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    for seq in 1..=20 {
        assert_eq!(ada.next_named("notification-new").await["seq"], seq);
    }
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn a_list_is_read_page_by_page_and_filtered() {
    let house = house(|config| config.notifications.page_max = 50).await;
    for r#type in ["COMMENT", "TRANSACTION_SUCCESS", "TRANSACTION_FAILED", "MENTION"] {
        house.told("ada", r#type).await;
    }
    let seqs = |page: &Value| -> Vec<i64> {
        page["notifications"].as_array().unwrap().iter().map(|one| one["seq"].as_i64().unwrap()).collect()
    };
    let page = house.get("ada", "?limit=3").await;
    assert_eq!((seqs(&page), &page["unreadCount"]), (vec![4, 3, 2], &json!(4)));
    let expected = json!({ "limit": 3, "offset": 0, "total": 4, "hasMore": true, "nextCursor": "n2" });
    assert_eq!(page["pagination"], expected);
    let page = house.get("ada", "?limit=3&cursor=n2").await;
    let expected = json!({ "limit": 3, "offset": null, "total": null, "hasMore": false, "nextCursor": null });
    assert_eq!((seqs(&page), &page["pagination"]), (vec![1], &expected));
    assert_eq!(seqs(&house.get("ada", "?limit=2&offset=1").await), [3, 2]);
    assert_eq!(seqs(&house.get("ada", "?type=TRANSACTION_SUCCESS,TRANSACTION_FAILED").await), [3, 2]);
    assert_eq!(seqs(&house.get("ada", "?type=COMMENT&type=MENTION").await), [4, 1]);
    assert_eq!(seqs(&house.get("ada", "?category=transaction").await), [3, 2]);
    house.user("ada", "PATCH", "", json!({ "markAll": true, "category": "comment" })).await;
    let unread = house.get("ada", "?unreadOnly=true").await;
    assert_eq!((seqs(&unread), &unread["unreadCount"]), (vec![3, 2], &json!(2)));
    for bad in ["limit=0", "limit=51", "offset=-1", "cursor=2", "cursor=nx", "unreadOnly=yes"] {
        let field = bad.split('=').next().unwrap();
        assert_eq!(house.user("ada", "GET", &format!("?{bad}"), Value::Null).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn nobody_reaches_what_is_anothers() {
    let house = house(|_| {}).await;
    let id = house.told("ada", "SYSTEM").await;
    assert_eq!(house.user("eve", "PATCH", "", json!({ "id": id })).await.code(), (404, "notification_not_found"));
    assert_eq!(house.get("eve", "").await["pagination"]["total"], 0);
    let path = format!("/internal/notifications/{id}");
    for method in ["GET", "DELETE"] {
        let foreign = house.ask("backend-2", method, &path, None, &Value::Null).await;
        assert_eq!(foreign.code(), (404, "notification_not_found"));
    }
    let foreign = house.ask(&house.token("2", "ada"), "PATCH", "/api/notifications", None, &json!({ "id": id })).await;
    assert_eq!(foreign.status, 404);
    assert_eq!(house.ask("backend-1", "GET", &path, None, &Value::Null).await.json["status"], "told");
    let mine = house.ask("nobody", "GET", "/api/notifications", None, &Value::Null).await;
    assert_eq!(mine.code(), (401, "unauthorized"));
    let device = json!({ "kind": "fcm", "address": "token" });
    let device = house.user("ada", "POST", "/devices", device).await.json["device"]["id"].clone();
    let stolen = house.user("eve", "DELETE", "/devices", json!({ "id": device })).await;
    assert_eq!(stolen.code(), (404, "device_not_found"));
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn a_request_with_a_key_tells_once() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let ask = |title: &str| {
        let body = json!({ "userId": "ada", "type": "SYSTEM", "title": title });
        let house = &house;
        async move { house.ask("backend-1", "POST", "/internal/notifications", Some("k1"), &body).await }
    };
    let first = ask("Hi").await;
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (201, None));
    let again = ask("Hi").await;
    assert_eq!((again.status, &again.json), (201, &first.json));
    assert_eq!(again.headers.get("idempotent-replayed").unwrap(), "true");
    assert_eq!(ask("Ho").await.code(), (422, "idempotency_key_reused"));
    let body = json!({ "userId": "ada", "type": "SYSTEM", "title": "Hi" });
    let other = house.ask("backend-2", "POST", "/internal/notifications", Some("k1"), &body).await;
    assert_eq!((other.status, other.headers.get("idempotent-replayed")), (201, None), "another app's key");
    let bad = house.ask("backend-1", "POST", "/internal/notifications", Some("a b"), &body).await;
    assert_eq!(bad.field(), (400, "Idempotency-Key"));

    let body = json!({ "userId": "ada", "type": "SYSTEM", "title": "Paid", "sourceEvent": "invoice-1" });
    let paid = house.tell(body.clone()).await;
    let again = house.tell(body).await;
    let (one, other) = (&paid.json["notifications"][0], &again.json["notifications"][0]);
    assert_eq!((again.status, &other["status"], &other["id"]), (200, &json!("known"), &one["id"]));
    for seq in [1, 2] {
        assert_eq!(ada.next_named("notification-new").await["seq"], seq);
    }
    assert_eq!(house.get("ada", "").await["pagination"]["total"], 2);
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn subscribers_are_told_by_what_they_chose_but_not_who_did_it() {
    let house = house(|config| config.notifications.subscriptions_max = 1).await;
    let course = json!({ "targetType": "COURSE", "targetId": "c1" });
    for user in ["ada", "bob"] {
        let put = house.user(user, "PUT", "/subscriptions", course.clone()).await;
        assert_eq!((put.status, &put.json["subscription"]["transports"]), (200, &Value::Null));
    }
    house.user("eve", "POST", "/devices", json!({ "kind": "onesignal", "playerId": "p1" })).await;
    let push = json!({ "targetType": "COURSE", "targetId": "c1", "transports": ["push"] });
    let put = house.user("eve", "PUT", "/subscriptions", push).await;
    assert_eq!(put.json["subscription"]["transports"], json!(["push"]));
    let second = house.user("ada", "PUT", "/subscriptions", json!({ "targetType": "COURSE", "targetId": "c2" })).await;
    assert_eq!(second.field(), (400, "targetId"));
    let tell = json!({ "targetType": "COURSE", "targetId": "c1", "exclude": ["bob"], "type": "COURSE_DISCUSSION",
        "title": "Diskusi Baru" });
    let told = house.tell(tell.clone()).await.json["notifications"].clone();
    let told: Vec<_> = told.as_array().unwrap().iter().map(|one| (&one["userId"], &one["transports"])).collect();
    assert_eq!(told, [(&json!("ada"), &json!(["in_app"])), (&json!("eve"), &json!(["push"]))]);
    assert_eq!(house.get("eve", "").await["unreadCount"], 0, "push alone is in no list");
    let gone = house.user("ada", "DELETE", "/subscriptions?targetType=COURSE&targetId=c1", Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(house.get("ada", "/subscriptions").await, json!({ "subscriptions": [] }));
    assert_eq!(house.tell(tell).await.json["notifications"].as_array().unwrap().len(), 1);
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn what_is_scheduled_is_told_at_its_time_unless_it_is_taken_back() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let at = |millis| chrono::Utc::now() + chrono::TimeDelta::milliseconds(millis);
    let body = |at| json!({ "userId": "ada", "type": "EVENT_REMINDER", "title": "Soon", "sendAt": at });
    let later = house.tell(body(at(3_600_000))).await;
    assert_eq!((later.status, &later.json["notifications"][0]["status"]), (201, &json!("scheduled")));
    let path = format!("/internal/notifications/{}", later.json["notifications"][0]["id"].as_str().unwrap());
    let trace = house.ask("backend-1", "GET", &path, None, &Value::Null).await.json;
    assert_eq!((&trace["status"], &trace["inApp"]), (&json!("scheduled"), &json!(false)));
    let taken_back = house.ask("backend-1", "DELETE", &path, None, &Value::Null).await;
    assert_eq!(taken_back.json, json!({ "success": true, "cancelledDeliveries": 0 }));
    assert_eq!(house.ask("backend-1", "GET", &path, None, &Value::Null).await.status, 404);
    let soon = house.tell(body(at(100))).await.json["notifications"][0].clone();
    assert_eq!(soon["status"], "scheduled");
    let new = ada.next_named("notification-new").await;
    assert_eq!((&new["id"], &new["seq"], &new["unreadCount"]), (&soon["id"], &json!(1), &json!(1)));
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn preferences_are_a_table_that_users_change() {
    let house = house(|_| {}).await;
    let table = house.get("ada", "/preferences").await;
    let on = json!({ "in_app": true, "push": true, "email": true, "whatsapp": false });
    assert_eq!((&table["categories"]["comment"], &table["categories"]["chat"]["email"]), (&on, &json!(false)));
    assert_eq!(table["categories"].as_object().unwrap().len(), 8);
    let put = json!({ "categories": { "comment": { "in_app": false, "starsender": true }, "*": { "email": false } },
        "quietHours": { "from": "22:00", "until": "07:00" }, "timeZone": "Asia/Jakarta", "locale": "id", "digest": "daily" });
    let put = house.user("ada", "PUT", "/preferences", put).await;
    let changed = json!({ "in_app": false, "push": true, "email": false, "whatsapp": true });
    assert_eq!((put.status, &put.json["categories"]["comment"]), (200, &changed));
    assert_eq!(put.json["quietHours"], json!({ "from": "22:00", "until": "07:00" }));
    let body = json!({ "categories": { "comment": { "in_app": null } }, "quietHours": null });
    let put = house.user("ada", "PUT", "/preferences", body).await.json;
    assert_eq!((&put["categories"]["comment"]["in_app"], &put["quietHours"]), (&json!(true), &Value::Null));
    assert_eq!((&put["timeZone"], &put["digest"]), (&json!("Asia/Jakarta"), &json!("daily")), "what is left out stays");
    assert_eq!(house.get("ada", "/preferences").await, put);
    for (bad, field) in [
        (json!({ "categories": { "nope": { "push": true } } }), "categories.nope"),
        (json!({ "timeZone": "Mars/Base" }), "timeZone"),
        (json!({ "locale": "i d" }), "locale"),
        (json!({ "digest": "never" }), "digest"),
        (json!({ "quietHours": { "from": "25:00", "until": "07:00" } }), "quietHours.from"),
        (json!({ "quietHours": { "from": "07:00", "until": "07:00" } }), "quietHours.until"),
    ] {
        assert_eq!(house.user("ada", "PUT", "/preferences", bad).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn devices_sign_in_and_move_with_whoever_uses_them() {
    let house = house(|_| {}).await;
    let key = |bytes: usize| base64_url(&vec![4; bytes]);
    let endpoint = "https://push.example.com/send/abc";
    let push = json!({ "endpoint": endpoint, "expirationTime": null, "keys": { "p256dh": key(65), "auth": key(16) } });
    let first = house.user("ada", "POST", "/devices", push.clone()).await;
    assert_eq!((first.status, &first.json["device"]["kind"]), (201, &json!("web_push")));
    assert!(first.json["device"].get("keys").is_none(), "keys stay inside");
    assert_eq!(house.user("ada", "POST", "/devices", push.clone()).await.status, 200);
    assert_eq!(house.user("bob", "POST", "/devices", push.clone()).await.status, 201);
    let gone = house.user("ada", "DELETE", "/devices", json!({ "endpoint": endpoint })).await;
    assert_eq!(gone.code(), (404, "device_not_found"));
    assert_eq!(house.user("bob", "DELETE", "/devices", json!({ "endpoint": endpoint })).await.status, 204);
    for (bad, field) in [
        (json!({ "endpoint": endpoint }), "keys"),
        (json!({ "endpoint": endpoint, "keys": { "p256dh": key(64), "auth": key(16) } }), "keys.p256dh"),
        (json!({ "endpoint": "http://x.org/a", "keys": { "p256dh": key(65), "auth": key(16) } }), "address"),
        (json!({ "kind": "pager", "address": "1" }), "kind"),
        (json!({ "kind": "fcm", "address": "a b" }), "address"),
    ] {
        assert_eq!(house.user("ada", "POST", "/devices", bad).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[actix_web::test]
async fn what_cannot_be_told_is_refused_by_its_field() {
    let house = house(|config| config.notifications.recipients_max = 2).await;
    let with = |more: Value| {
        let mut body = json!({ "userId": "ada", "type": "SYSTEM", "title": "Hi" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        body
    };
    for (bad, field) in [
        (json!({ "title": " " }), "title"),
        (json!({ "title": null }), "title"),
        (json!({ "body": "x".repeat(4001) }), "body"),
        (json!({ "userId": null }), "userId"),
        (json!({ "userIds": ["bob"] }), "userId"),
        (json!({ "userId": null, "userIds": ["a", "b", "c"] }), "userIds"),
        (json!({ "userId": null, "userIds": [] }), "userIds"),
        (json!({ "userId": null, "targetType": "COURSE" }), "userId"),
        (json!({ "type": "UNHEARD_OF" }), "category"),
        (json!({ "category": "nope" }), "category"),
        (json!({ "link": "javascript:alert(1)" }), "link"),
        (json!({ "imageUrl": "/a.png" }), "imageUrl"),
        (json!({ "actor": { "id": "b", "name": "" } }), "actor.name"),
        (json!({ "data": { "a": "\u{0}" } }), "data"),
        (json!({ "data": { "a": "x".repeat(9000) } }), "data"),
        (json!({ "transports": ["sms"] }), "transports[0]"),
        (json!({ "sendAt": "2999-01-01T00:00:00Z" }), "sendAt"),
        (json!({ "ttlSeconds": 0 }), "ttlSeconds"),
        (json!({ "sourceEvent": "" }), "sourceEvent"),
        (json!({ "priority": "high" }), "priority"),
        (json!({ "collapseKey": "a b" }), "collapseKey"),
    ] {
        let answer = house.tell(with(bad.clone())).await;
        assert_eq!(answer.field(), (400, field), "{bad} {}", answer.json);
    }
    let own = json!({ "type": "UNHEARD_OF", "category": "system" });
    assert_eq!(house.tell(with(own)).await.status, 201);
    for (bad, field) in [
        (json!({}), "id"),
        (json!({ "id": uuid::Uuid::now_v7(), "markAll": true }), "id"),
        (json!({ "markAll": true, "snoozedUntil": "2020-01-01T00:00:00Z" }), "snoozedUntil"),
    ] {
        assert_eq!(house.user("ada", "PATCH", "", bad).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}
