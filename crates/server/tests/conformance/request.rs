//! Requests of a backend, signed as Pusher's server SDKs sign them.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;

use crate::server::{App, Server};

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A request and how it is signed; the fields are changed before it is sent to make it a wrong one.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// As signed.
    pub(crate) path: String,
    pub(crate) body: String,
    /// What is signed, in any order; `body_md5` and `auth_signature` are added.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) app: App,
}

impl Request {
    /// `path` is below `/apps/{id}/` unless it is absolute; it may have a query.
    pub(crate) fn new(app: App, method: &'static str, path: &str, body: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let absolute = path.starts_with('/');
        let path = if absolute { path.to_owned() } else { format!("/apps/{}/{path}", app.id) };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut parameters: Vec<_> =
            query.split('&').filter_map(|text| text.split_once('=')).map(|(key, value)| pair(key, value)).collect();
        parameters.push(pair("auth_key", app.key));
        parameters.push(pair("auth_timestamp", &now().to_string()));
        parameters.push(pair("auth_version", "1.0"));
        Self { method, path, body: body.to_owned(), parameters, app }
    }

    /// Puts another value (or a first one) in a parameter.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.parameters.retain(|(there, _)| there != key);
        self.parameters.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.parameters.retain(|(there, _)| there != key);
        self
    }

    /// The parameters and their signature, not escaped.
    pub(crate) fn signed(&self) -> Vec<(String, String)> {
        let mut pairs = self.parameters.clone();
        if !self.body.is_empty() && !pairs.iter().any(|(key, _)| key == "body_md5") {
            pairs.push(("body_md5".into(), protocol::signature::body_md5(self.body.as_bytes())));
        }
        let text = self.string_to_sign(&pairs);
        pairs.push(("auth_signature".into(), self.app.signer().sign(&[&text])));
        pairs
    }

    fn string_to_sign(&self, pairs: &[(String, String)]) -> String {
        let mut sorted: Vec<_> = pairs.iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
        sorted.sort();
        let joined: Vec<_> = sorted.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}\n{}\n{}", self.method, self.path, joined.join("&"))
    }

    /// Sends it; status and body.
    pub(crate) async fn send(&self, server: &Server) -> (u16, String) {
        let query: Vec<_> = self.signed().iter().map(|(key, value)| format!("{}={}", key, escape(value))).collect();
        send(server, self.method, &format!("{}?{}", self.path, query.join("&")), &self.body).await
    }
}

/// Sends anything.
pub(crate) async fn send(server: &Server, method: &str, path_and_query: &str, body: &str) -> (u16, String) {
    let url = format!("http://{}{path_and_query}", server.address());
    let request = server.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    let request = match body {
        "" => request,
        body => request.header("content-type", "application/json").body(body.to_owned()),
    };
    let answer = tokio::time::timeout(testkit::PATIENCE, request.send()).await.unwrap().unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
