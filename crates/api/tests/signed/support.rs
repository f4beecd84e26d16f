//! An API with two apps and a server for sockets; it has no database, which nothing here needs.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_http::body::MessageBody;
use actix_http::{HttpService, Response};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use api::{Api, Auth, Config};
use protocol::{App, HistoryRule, Policy, Signer};
use serde_json::Value;
use testkit::Socket;

pub(crate) const KEY: &str = "key1";
pub(crate) const SECRET: &str = "app secret";

pub(crate) struct House {
    pub(crate) api: Api,
    pub(crate) apps: hub::Apps,
    addr: SocketAddr,
    server: actix_server::ServerHandle,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

fn app(id: &str, policy: Policy) -> App {
    let key = format!("key{id}");
    App { policy, ..App::new(id.try_into().unwrap(), key.as_str().try_into().unwrap(), SECRET).unwrap() }
}

pub(crate) fn history(prefix: &str, durable: bool) -> HistoryRule {
    HistoryRule { prefix: prefix.into(), messages_max: 2000, seconds: 60, durable }
}

/// App `1` with this policy, and app `2`.
pub(crate) async fn house(policy: Policy) -> House {
    house_with(policy, |_| {}).await
}

pub(crate) async fn house_with(policy: Policy, change: impl FnOnce(&mut Config)) -> House {
    let apps = hub::Apps::new(vec![app("1", policy), app("2", Policy::default())]);
    let mut config = Config::new(Auth::hs256("0123456789abcdef0123456789abcdef".to_owned()));
    change(&mut config);
    let store = store::Store::open(&store::Config::new("postgres://nobody@127.0.0.1:1/nothing".to_owned())).unwrap();
    let api = Api::new(config, store, apps.clone()).unwrap();
    let hub = hub::Hub::new(hub::Config::default(), apps.clone(), api.gate());
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
    House { api, apps, addr, server: handle }
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The query as an SDK makes it: sorted, signed unescaped, sent as it is.
pub(crate) fn sign(key: &str, method: &str, path: &str, extra: &[(&str, &str)], body: &str, at: i64) -> String {
    let mut pairs = vec![("auth_key", key.to_owned()), ("auth_timestamp", at.to_string())];
    pairs.push(("auth_version", "1.0".to_owned()));
    if !body.is_empty() {
        pairs.push(("body_md5", protocol::signature::body_md5(body.as_bytes())));
    }
    pairs.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
    pairs.sort();
    let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let signature = Signer::new(SECRET).sign(&[method, "\n", path, "\n", &query]);
    format!("{query}&auth_signature={signature}")
}

impl House {
    pub(crate) async fn socket(&self) -> Socket {
        Socket::connect(self.addr, KEY).await
    }

    /// Sends it as it is.
    pub(crate) async fn raw(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (Answer, HeaderMap) {
        let request = TestRequest::with_uri(uri).method(method.parse().unwrap()).set_payload(body.to_owned());
        let mut request = request.to_request();
        for (name, value) in headers {
            let (name, value): (HeaderName, HeaderValue) = (name.parse().unwrap(), value.parse().unwrap());
            request.headers_mut().insert(name, value);
        }
        let response = self.api.answer_signed(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().try_into_bytes().unwrap();
        (Answer { status, body: String::from_utf8(body.to_vec()).unwrap() }, headers)
    }

    pub(crate) async fn get(&self, path: &str, extra: &[(&str, &str)]) -> Answer {
        let query = sign(KEY, "GET", path, extra, "", now());
        self.raw("GET", &format!("{path}?{query}"), &[], "").await.0
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_with(path, &[], body).await.0
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> (Answer, HeaderMap) {
        let body = body.to_string();
        let query = sign(KEY, "POST", path, &[], &body, now());
        self.raw("POST", &format!("{path}?{query}"), headers, &body).await
    }

    /// Gives app `1` another policy.
    pub(crate) fn change(&self, policy: Policy) {
        self.apps.replace(vec![app("1", policy), app("2", Policy::default())]);
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}
