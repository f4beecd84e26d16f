//! A node to test against.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use actix_http::body::{BodyStream, to_bytes};
use actix_http::{HttpService, Request};
use hub::{Answer, Apps, Config, Gate, Hub, Observed, Observer, Publication, Refused, SignedIn};
use protocol::{App, AppId, Channel, Policy, Protected, UserId};
use testkit::Socket;

pub(crate) const KEY: &str = "278d425bdf160c739803";
pub(crate) const SECRET: &str = "7ad3773142a6692b25b8";

/// A running node; its threads end with it.
pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) addr: SocketAddr,
    pub(crate) members: Members,
    server: actix_server::ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// Who may enter which room: the part of the outside that the hub asks. A token is `user` or `user:seconds`.
#[derive(Clone, Default)]
pub(crate) struct Members(Arc<Mutex<HashSet<(UserId, Protected)>>>);

impl Members {
    pub(crate) fn add(&self, user: &str, to: &Protected) {
        self.0.lock().unwrap().insert((user.try_into().unwrap(), to.clone()));
    }

    pub(crate) fn remove(&self, user: &str, from: &Protected) {
        self.0.lock().unwrap().remove(&(user.try_into().unwrap(), from.clone()));
    }
}

impl Gate for Members {
    fn user_of_token(&self, _: Arc<App>, token: String) -> Answer<SignedIn> {
        Box::pin(async move {
            let (user, seconds) = token.split_once(':').unwrap_or((&token, ""));
            let expires_at = seconds.parse().ok().map(|left| SystemTime::now() + Duration::from_secs(left));
            match user {
                "nobody" => Err(Refused::No("the token is bad".into())),
                "unknown" => Err(Refused::Unavailable),
                user => {
                    let user_data = format!(r#"{{"id":"{user}","user_info":{{"name":"{user}"}}}}"#);
                    Ok(SignedIn { user: user.try_into().unwrap(), user_data, expires_at })
                }
            }
        })
    }

    fn user_of_ticket(&self, app: Arc<App>, ticket: String) -> Answer<SignedIn> {
        self.user_of_token(app, ticket)
    }

    fn may_subscribe(&self, _: Arc<App>, user: UserId, to: Protected) -> Answer<()> {
        let own = to == Protected::User(user.clone());
        let allowed = own || self.0.lock().unwrap().contains(&(user, to));
        Box::pin(async move {
            // The answer comes later, as a database's would.
            tokio::task::yield_now().await;
            if allowed { Ok(()) } else { Err(Refused::No("not a member".into())) }
        })
    }
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_with(Config::default())
    }

    pub(crate) fn start_with(config: Config) -> Self {
        Self::start_as(config, Policy { client_events: true, ..Policy::default() })
    }

    /// A node whose first app has this policy.
    pub(crate) fn start_as(config: Config, policy: Policy) -> Self {
        let first = app("1", KEY, policy);
        let members = Members::default();
        let apps = Apps::new(vec![first, app("2", "other-key", Policy::default())]);
        let hub = Hub::new(config, apps, Arc::new(members.clone()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (handles, handle) = std::sync::mpsc::channel();
        let shared = hub.clone();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let server = actix_server::Server::build()
                    .workers(2)
                    .disable_signals()
                    .listen("public", listener, move || {
                        let shard = shared.shard();
                        let upgrade = shard.upgrade();
                        let fallback = move |mut request: Request| {
                            let shard = shard.clone();
                            async move {
                                let body = to_bytes(BodyStream::new(request.take_payload())).await.unwrap();
                                Ok::<_, std::convert::Infallible>(shard.fallback(request.head(), body).await)
                            }
                        };
                        let http = HttpService::build().h1_allow_half_closed(false).upgrade(upgrade);
                        http.finish(fallback).tcp()
                    })
                    .unwrap()
                    .run();
                handles.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self { hub, addr, members, server: handle.recv().unwrap(), thread: Some(thread) }
    }

    /// A node whose only app has this policy.
    pub(crate) fn with_policy(config: Config, policy: Policy) -> Self {
        let node = Self::start_with(config);
        let mut app = App::new("1".try_into().unwrap(), KEY.try_into().unwrap(), SECRET).unwrap();
        app.policy = policy;
        node.hub.apps().replace(vec![app]);
        node
    }

    pub(crate) async fn connect(&self) -> Socket {
        Socket::connect(self.addr, KEY).await
    }

    /// A socket signed in as the user.
    pub(crate) async fn connect_as(&self, token: &str) -> Socket {
        let mut socket = Socket::connect_with(self.addr, &path(""), &[&format!("kabar.jwt.{token}")]).await;
        socket.established().await;
        socket.expect_event("pusher:signin_success").await;
        socket
    }

    pub(crate) fn publish(&self, channel: &str, event: &str, data: &str) {
        let publication = Publication { event, data, ..Publication::default() };
        self.hub.publish(&app_id(), &channel_named(channel), &publication).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.server.stop(false));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An app with the tests' secret.
pub(crate) fn app(id: &str, key: &str, policy: Policy) -> App {
    let app = App::new(id.try_into().unwrap(), key.try_into().unwrap(), SECRET).unwrap();
    App { policy, ..app }
}

/// Writes down what the hub tells.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// What was told since the last call, in order.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Recorder {
    fn wants(&self, app: &AppId) -> bool {
        *app == app_id()
    }

    fn observe(&self, _: &AppId, event: Observed<'_>) {
        let told = match event {
            Observed::Occupied { channel } => format!("occupied {channel}"),
            Observed::Vacated { channel } => format!("vacated {channel}"),
            Observed::MemberAdded { channel, user } => format!("added {channel} {user}"),
            Observed::MemberRemoved { channel, user } => format!("removed {channel} {user}"),
            Observed::ClientEvent { channel, event, data, user, .. } => format!("{event} {channel} {data} {user:?}"),
            Observed::CacheMiss { channel } => format!("miss {channel}"),
            Observed::SubscriptionCount { channel, count } => format!("count {channel} {count}"),
        };
        self.0.lock().unwrap().push(told);
    }
}

pub(crate) fn app_id() -> AppId {
    "1".try_into().unwrap()
}

pub(crate) fn channel_named(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

/// The path that a Pusher client connects to, with more of a query.
pub(crate) fn path(more: &str) -> String {
    format!("/app/{KEY}?protocol=7&client=test&version=1{more}")
}

/// Subscribes with this `channel_data`, signed as an app's backend signs it.
pub(crate) async fn join(socket: &mut Socket, channel: &str, data: &serde_json::Value) -> testkit::Event {
    let data = data.to_string();
    let signature = protocol::Signer::new(SECRET).sign_channel(socket.id(), channel, Some(&data));
    let auth = format!("{KEY}:{signature}");
    socket.send_subscribe(serde_json::json!({"channel": channel, "auth": auth, "channel_data": data})).await;
    socket.expect_event("pusher_internal:subscription_succeeded").await
}
