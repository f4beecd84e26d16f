//! The running program: composed in [`Application::build`], served and stopped in [`Application::run_until`].
//!
//! There is a server for each listener, because a stop treats them differently: the public one accepts nobody any
//! more while the internal one goes on to say that it is draining.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::{Server, ServerHandle};
use actix_service::map_config;
use actix_web::dev::AppConfig;
use actix_web::{App, web};
use anyhow::Context;
use hub::{Apps, Hub};

use crate::certificates::Certificates;
use crate::database::Database;
use crate::demo::Demo;
use crate::health::{self, Health};
use crate::listeners::Listeners;
use crate::public::Public;
use crate::secrets::{self, Kept};
use crate::settings::{BadSetting, Settings};
use crate::tenants::{self, Tenants};
use crate::upkeep::Upkeep;
use crate::webhooks::Webhooks;
use crate::{Reload, limits};

/// How long requests that are under way at a stop may still take.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(10);

/// How long webhooks may take to be stored when told again to stop.
const HURRIED_PATIENCE: Duration = Duration::from_secs(1);

/// How long the accepting thread may take to notice that it shall accept no more.
const PAUSE_TAKES: Duration = Duration::from_millis(20);

/// How long answers may take to leave once every request is done; idle connections are cut after it.
const STOP_SECONDS: u64 = 1;

/// Everything of one node, its listeners bound.
pub struct Application {
    listeners: Arc<Listeners>,
    certificates: Option<Arc<Certificates>>,
    settings: Settings,
    database: Database,
    hub: Hub,
    api: api::Api,
    health: Health,
    demo: Option<Demo>,
    upkeep: Upkeep,
    webhooks: Webhooks,
    kept: Kept,
}

impl Application {
    /// Composes the node: raises limits, starts the private Postgres where it is wanted, binds both listeners. Needs a
    /// Tokio runtime; nothing is served yet. A Postgres elsewhere may be away.
    ///
    /// # Errors
    /// An address that is taken, a Postgres that does not start, a directory that cannot be written.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        // Bound first: an address that is taken is the likeliest trouble, and the quickest to find.
        let listeners = Arc::new(Listeners::bind(&settings)?);
        limits::raise();
        // The provider is process-wide; somebody else's choice is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        check(&settings)?;
        let certificates = settings.tls.certificates()?;
        let kept = secrets::of(&settings)?;
        let configured = tenants::configured(&settings, &kept)?;
        let database = Database::open(&settings).await?;
        let config = settings.api(&kept.jwt_secret);
        let demo = configured.first().filter(|_| settings.demo).map(|app| Demo {
            app: app.id.clone(),
            key: app.key.clone(),
            auth: config.auth.clone(),
        });
        let apps = Apps::default();
        let api = api::Api::new(config, database.store.clone(), apps.clone())?;
        let webhooks = Webhooks::new(&settings, database.store.clone(), apps.clone())?;
        let hub = Hub::new(settings.hub(), apps.clone(), api.gate());
        hub.observe_with(webhooks.observer());
        hub.keep_with(Arc::new(api::PgJournal::new(database.store.clone())));
        api.attach(hub.clone());
        let tenants = Tenants::new(configured, apps, api.clone());
        let health = Health::new(database.store.clone());
        let store = database.store.clone();
        let upkeep = Upkeep { store, tenants, health: health.clone(), demo: settings.demo };
        Ok(Self { listeners, certificates, settings, database, hub, api, health, demo, upkeep, webhooks, kept })
    }

    /// Reads the configuration again while the node is served.
    pub fn reload(&self) -> Reload {
        Reload::new(self.settings.clone(), self.kept.clone(), self.upkeep.tenants.clone(), self.webhooks.configured())
    }

    /// Where sockets, REST and the Pusher HTTP API are; a port 0 is resolved.
    ///
    /// # Errors
    /// The operating system's.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.listeners.public.local_addr()
    }

    /// Where health and the backend's API are; a port 0 is resolved.
    ///
    /// # Errors
    /// The operating system's.
    pub fn internal_addr(&self) -> std::io::Result<SocketAddr> {
        self.listeners.internal.local_addr()
    }

    /// Where the same as at [`Application::public_addr`] is over TLS, if anywhere; a port 0 is resolved.
    ///
    /// # Errors
    /// The operating system's.
    pub fn tls_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.listeners.tls.as_ref().map(TcpListener::local_addr).transpose()
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
        let (public, public_handle) = self.serve_public()?;
        let (internal, internal_handle) = self.serve_internal()?;
        let Self { settings, database, hub, health, upkeep, webhooks, listeners, certificates, .. } = self;
        let webhooks = webhooks.start();
        let upkeep = tokio::spawn(upkeep.run());
        let reload = Duration::from_secs(settings.tls.reload_seconds);
        let fresh = certificates.map(|certificates| tokio::spawn(certificates.keep_fresh(reload)));
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
        webhooks.hold();
        fresh.inspect(tokio::task::JoinHandle::abort);
        let mut hurry = pin!(hurry);
        let mut hurried = false;
        if ended.is_none() {
            tokio::select! {
                () = drain(&settings, &hub, &health, &public_handle, &listeners) => {}
                () = &mut hurry => {
                    tracing::warn!("told again to stop: not waiting for sockets and requests");
                    hurried = true;
                }
            }
        }
        tokio::join!(public_handle.stop(false), internal_handle.stop(false));
        match hurried {
            false => tokio::select! { () = webhooks.stop() => {}, () = hurry => {} },
            true => drop(tokio::time::timeout(HURRIED_PATIENCE, webhooks.stop()).await),
        }
        database.close().await;
        tracing::info!("stopped");
        match ended {
            None => Ok(()),
            Some(ended) => Ok(ended.context("a server's task panicked")?.context("a server ended by itself")?),
        }
    }

    fn serve_public(&self) -> anyhow::Result<(Server, ServerHandle)> {
        let Settings { http, tls, .. } = &self.settings;
        let public = Public {
            hub: self.hub.clone(),
            api: self.api.clone(),
            health: self.health.clone(),
            demo: self.demo.clone(),
            http: http.clone(),
            stall_timeout: Duration::from_secs(self.settings.socket.stall_timeout_seconds),
        };
        let Listeners { public: tcp, unix, tls: tls_tcp, .. } = &*self.listeners;
        let mut builder =
            self.builder(workers(&self.settings)).max_concurrent_connections(http.connections_per_worker_max);
        let services = public.clone();
        builder = builder.listen("public", tcp.try_clone()?, move || services.tcp())?;
        if let Some(unix) = unix {
            let services = public.clone();
            builder = builder.listen_uds("unix", unix.listener.try_clone()?, move || services.unix())?;
        }
        if let (Some(listener), Some(certificates)) = (tls_tcp, &self.certificates) {
            let (config, timeout) = (certificates.config()?, Duration::from_secs(tls.handshake_timeout_seconds));
            let tls = move || public.tls(Arc::clone(&config), timeout);
            builder = builder.listen("tls", listener.try_clone()?, tls)?;
        }
        let server = builder.run();
        let handle = server.handle();
        Ok((server, handle))
    }

    fn serve_internal(&self) -> anyhow::Result<(Server, ServerHandle)> {
        let (api, health, http) = (self.api.clone(), self.health.clone(), self.settings.http.clone());
        let server = self.builder(1).listen("internal", self.listeners.internal.try_clone()?, move || {
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
    settings.tls.certificates()?;
    api::Api::new(config, store, Apps::default()).map(drop).map_err(bad)
}

/// Signals are ours; so is the order in which things stop.
async fn drain(settings: &Settings, hub: &Hub, health: &Health, public: &ServerHandle, listeners: &Listeners) {
    public.pause().await;
    // That is answered before the thread that accepts has seen it; shut too early, it would log errors.
    tokio::time::sleep(PAUSE_TAKES).await;
    listeners.shut_public();
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
