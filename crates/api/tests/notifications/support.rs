//! An API with two apps and a server for sockets, on a real database.

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

pub(crate) struct House {
    pub(crate) auth: Auth,
    pub(crate) api: Api,
    pub(crate) addr: SocketAddr,
    pub(crate) handle: ServerHandle,
    _database: TestDatabase,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.json["error"]["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn field(&self) -> (u16, &str) {
        (self.status, self.json["error"]["field"].as_str().unwrap_or_default())
    }
}

/// Two apps, `1` and `2`, each with an API key `backend-{id}`; sockets of the first on a real port.
pub(crate) async fn house(change: impl FnOnce(&mut Config)) -> House {
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
    pub(crate) fn token(&self, app: &str, user: &str) -> String {
        let (app, user) = (app.try_into().unwrap(), UserId::try_from(user).unwrap());
        let to = MintFor { app: &app, user: &user, name: None, role: None };
        api::mint(&self.auth, &to, Duration::from_secs(60)).unwrap().token
    }

    pub(crate) async fn ask(&self, bearer: &str, method: &str, path: &str, key: Option<&str>, body: &Value) -> Answer {
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

    pub(crate) async fn user(&self, user: &str, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/api/notifications{path}");
        self.ask(&self.token("1", user), method, &path, None, &body).await
    }

    pub(crate) async fn get(&self, user: &str, path: &str) -> Value {
        self.user(user, "GET", path, Value::Null).await.json
    }

    pub(crate) async fn tell(&self, body: Value) -> Answer {
        self.ask("backend-1", "POST", "/internal/notifications", None, &body).await
    }

    /// One that was told; its id.
    pub(crate) async fn told(&self, user: &str, r#type: &str) -> String {
        let answer = self.tell(json!({ "userId": user, "type": r#type, "title": "Hi", "body": "there" })).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["notifications"][0]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn socket(&self, user: &str) -> Socket {
        let mut socket = Socket::connect(self.addr, "key1").await;
        socket.sign_in(&self.token("1", user)).await;
        socket.subscribe(&format!("user-{user}")).await;
        socket
    }
}
