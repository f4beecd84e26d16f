//! The running program: composed in [`Application::build`], served and stopped in [`Application::run_until`].
//!
//! There is a server for each listener, because a stop treats them differently: the public one accepts nobody any
//! more while the internal one goes on to say that it is draining.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::{Server, ServerHandle};
use actix_service::map_config;
use actix_web::dev::AppConfig;
use actix_web::{App, web};
use anyhow::Context;
use hub::{Apps, Hub};
use socket2::{Domain, Protocol, Socket, Type};

use crate::database::Database;
use crate::demo::{self, Demo};
use crate::front::Front;
use crate::health::{self, Health};
use crate::secrets;
use crate::settings::{BadSetting, Settings};
use crate::tenants::Tenants;
use crate::upkeep::Upkeep;
use crate::{limits, page};

/// How long requests that are under way at a stop may still take.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(10);

/// How long answers may take to leave once every request is done; idle connections are cut after it.
const STOP_SECONDS: u64 = 1;

/// Everything of one node, its listeners bound.
pub struct Application {
    public: TcpListener,
    internal: TcpListener,
    settings: Settings,
    database: Database,
    hub: Hub,
    api: api::Api,
    health: Health,
    demo: Option<Demo>,
    upkeep: Upkeep,
}

impl Application {
    /// Composes the node: raises limits, starts the private Postgres where it is wanted, binds both listeners. Needs a
    /// Tokio runtime; nothing is served yet. A Postgres elsewhere may be away.
    ///
    /// # Errors
    /// An address that is taken, a Postgres that does not start, a directory that cannot be written.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        // Bound first: an address that is taken is the likeliest trouble, and the quickest to find.
        let public = listen(settings.server.public, settings.server.backlog).context("server.public")?;
        let internal = listen(settings.server.internal, settings.server.backlog).context("server.internal")?;
        limits::raise();
        // The provider is process-wide; somebody else's choice is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        check(&settings)?;
        let kept = secrets::of(&settings)?;
        let tenants = Tenants::new(&settings, &kept)?;
        let database = Database::open(&settings).await?;
        let config = settings.api(&kept.jwt_secret);
        let demo = tenants.first().filter(|_| settings.demo).map(|app| Demo {
            app: app.id.clone(),
            key: app.key.clone(),
            auth: config.auth.clone(),
        });
        let apps = Apps::default();
        let api = api::Api::new(config, database.store.clone(), apps.clone())?;
        let hub = Hub::new(settings.hub(), apps.clone(), api.gate());
        api.attach(hub.clone());
        tenants.serve(Vec::new(), &apps, &api);
        let health = Health::new(database.store.clone());
        let store = database.store.clone();
        let upkeep = Upkeep { store, tenants, apps, api: api.clone(), health: health.clone(), demo: settings.demo };
        Ok(Self { public, internal, settings, database, hub, api, health, demo, upkeep })
    }

    /// Where sockets, REST and the Pusher HTTP API are; a port 0 is resolved.
    ///
    /// # Errors
    /// The operating system's.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where health and the backend's API are; a port 0 is resolved.
    ///
    /// # Errors
    /// The operating system's.
    pub fn internal_addr(&self) -> std::io::Result<SocketAddr> {
        self.internal.local_addr()
    }

    /// Serves until `stop`, then closes in order: not ready, nobody accepted, sockets closed with 4200 over
    /// `server.drain_seconds`, requests finished, Postgres stopped. `hurry` cuts the waiting short.
    ///
    /// # Errors
    /// A server that ended by itself.
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let public_listener = self.public.try_clone()?;
        let (public, public_handle) = self.serve_public()?;
        let (internal, internal_handle) = self.serve_internal()?;
        let Self { settings, database, hub, health, upkeep, .. } = self;
        let upkeep = tokio::spawn(upkeep.run());
        let mut public = tokio::spawn(public);
        let mut internal = tokio::spawn(internal);
        let ended = tokio::select! {
            () = stop => None,
            ended = &mut public => Some(ended),
            ended = &mut internal => Some(ended),
        };
        tracing::info!(sockets = hub.socket_count(), "stopping");
        health.drain();
        upkeep.abort();
        if ended.is_none() {
            let hurry = pin!(hurry);
            tokio::select! {
                () = drain(&settings, &hub, &health, &public_handle, public_listener) => {}
                () = hurry => tracing::warn!("told again to stop: not waiting for sockets and requests"),
            }
        }
        tokio::join!(public_handle.stop(false), internal_handle.stop(false));
        database.close().await;
        tracing::info!("stopped");
        match ended {
            None => Ok(()),
            Some(ended) => Ok(ended.context("a server's task panicked")?.context("a server ended by itself")?),
        }
    }

    fn serve_public(&self) -> anyhow::Result<(Server, ServerHandle)> {
        let (hub, api, health, demo) = (self.hub.clone(), self.api.clone(), self.health.clone(), self.demo.clone());
        let http = self.settings.http.clone();
        let builder = self.builder(workers(&self.settings)).max_concurrent_connections(http.connections_per_worker_max);
        let server = builder.listen("public", self.public.try_clone()?, move || {
            let demo = demo.clone();
            let app = App::new()
                .app_data(web::Data::new(api.clone()))
                .configure(move |config| match demo {
                    Some(demo) => {
                        config.app_data(web::Data::new(demo)).configure(page::routes).configure(demo::routes);
                    }
                    None => {
                        config.route("/demo/{rest}", web::to(demo::refused));
                    }
                })
                .configure(api::routes);
            let rest = map_config(app, |()| AppConfig::default());
            let front = Front { api: api.clone(), health: health.clone(), rest };
            // On the worker's own thread: the shard is that thread's.
            let upgrade = hub.shard().upgrade();
            HttpService::build()
                .keep_alive(Duration::from_secs(http.keep_alive_seconds))
                .client_request_timeout(Duration::from_secs(http.header_timeout_seconds))
                .tcp_nodelay(true)
                .upgrade(upgrade)
                .finish(front)
                .tcp()
        })?;
        let server = server.run();
        let handle = server.handle();
        Ok((server, handle))
    }

    fn serve_internal(&self) -> anyhow::Result<(Server, ServerHandle)> {
        let (api, health, http) = (self.api.clone(), self.health.clone(), self.settings.http.clone());
        let server = self.builder(1).listen("internal", self.internal.try_clone()?, move || {
            let app = App::new()
                .app_data(web::Data::new(api.clone()))
                .app_data(web::Data::new(health.clone()))
                .configure(health::routes)
                .configure(api::internal_routes);
            HttpService::build()
                .keep_alive(Duration::from_secs(http.keep_alive_seconds))
                .client_request_timeout(Duration::from_secs(http.header_timeout_seconds))
                .finish(map_config(app, |()| AppConfig::default()))
                .tcp()
        })?;
        let server = server.run();
        let handle = server.handle();
        Ok((server, handle))
    }

    fn builder(&self, workers: usize) -> actix_server::ServerBuilder {
        Server::build()
            .workers(workers)
            .backlog(self.settings.server.backlog)
            .shutdown_timeout(STOP_SECONDS)
            .disable_signals()
    }
}

/// Finds what shows only when the parts are made: a PEM that is none, for one. Starts and binds nothing.
///
/// # Errors
/// [`BadSetting`].
pub fn check(settings: &Settings) -> Result<(), BadSetting> {
    let config = settings.api(&"only-to-see-whether-it-would-work".to_owned().into());
    let store = store::Store::open(&settings.store(settings.database.url.clone()))
        .map_err(|_| BadSetting::new("database.url", "cannot be used"))?;
    let bad = |error: api::InvalidAuth| {
        // Its texts begin with their key.
        let text = error.to_string();
        let (key, why) = text.split_once(' ').unwrap_or((text.as_str(), ""));
        BadSetting::new(key.trim_end_matches(':'), why)
    };
    api::Api::new(config, store, Apps::default()).map(drop).map_err(bad)
}

/// Signals are ours; so is the order in which things stop.
async fn drain(settings: &Settings, hub: &Hub, health: &Health, public: &ServerHandle, listener: TcpListener) {
    public.pause().await;
    // A paused listener still queues connections that nobody will ever serve; a shut one refuses them.
    let _ = Socket::from(listener).shutdown(std::net::Shutdown::Both);
    let over = Duration::from_secs(settings.server.drain_seconds);
    tokio::join!(hub.drain(over), health.requests_done(REQUESTS_PATIENCE));
    public.stop(true).await;
}

fn workers(settings: &Settings) -> usize {
    match settings.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

fn listen(addr: SocketAddr, backlog: u32) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into()).with_context(|| format!("cannot listen on {addr}"))?;
    socket.listen(i32::try_from(backlog)?).with_context(|| format!("cannot listen on {addr}"))?;
    Ok(socket.into())
}
