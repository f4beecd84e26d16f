//! What the public listeners serve: the same on TCP, on a Unix socket and over TLS.

use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::{App, web};
use hub::{Hub, Io, Shard};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::demo::{self, Demo};
use crate::front::Front;
use crate::health::Health;
use crate::page;
use crate::settings::Http;

/// Sockets, REST and the Pusher HTTP API, for each worker thread to make its own services of.
#[derive(Clone)]
pub(crate) struct Public {
    pub(crate) hub: Hub,
    pub(crate) api: api::Api,
    pub(crate) health: Health,
    pub(crate) demo: Option<Demo>,
    pub(crate) http: Http,
    /// How long a peer may acknowledge nothing.
    pub(crate) stall_timeout: Duration,
}

/// A stream with what is known of it.
type Accepted<T> = (T, Protocol, Option<SocketAddr>);

impl Public {
    /// Serves TCP.
    pub(crate) fn tcp(
        &self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<> {
        let stall_timeout = self.stall_timeout;
        fn_service(move |stream: TcpStream| async move {
            hub::prepare_tcp(&stream, stall_timeout);
            let peer = stream.peer_addr()?;
            Ok((stream, Protocol::Http1, Some(peer)))
        })
        .and_then(self.streams())
    }

    /// Serves a Unix socket, whose peers have no address.
    pub(crate) fn unix(
        &self,
    ) -> impl ServiceFactory<UnixStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
    {
        fn_service(|stream: UnixStream| async { Ok((stream, Protocol::Http1, None)) }).and_then(self.streams())
    }

    /// Serves TLS. Its handshake may take so long.
    pub(crate) fn tls(
        &self,
        config: Arc<ServerConfig>,
        handshake_timeout: Duration,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<> {
        let (acceptor, stall_timeout) = (TlsAcceptor::from(config), self.stall_timeout);
        fn_service(move |stream: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                hub::prepare_tcp(&stream, stall_timeout);
                let peer = stream.peer_addr()?;
                let shaken = tokio::time::timeout(handshake_timeout, acceptor.accept(stream)).await;
                let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                Ok((stream, Protocol::Http1, Some(peer)))
            }
        })
        .and_then(self.streams())
    }

    fn streams<T>(
        &self,
    ) -> impl ServiceFactory<Accepted<T>, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<T>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        Io: From<T>,
    {
        let Self { hub, api, health, demo, http, .. } = self.clone();
        let shard = shard(&hub);
        let upgrade = shard.upgrade();
        let app = App::new()
            .app_data(web::Data::new(api.clone()))
            .app_data(shard)
            .configure(move |config| match demo {
                Some(demo) => {
                    config.app_data(web::Data::new(demo)).configure(page::routes).configure(demo::routes);
                }
                None => {
                    config.route("/demo/{rest}", web::to(demo::refused));
                }
            })
            .configure(api::routes);
        let front = Front { api, health, rest: map_config(app, |()| AppConfig::default()) };
        HttpService::build()
            .keep_alive(Duration::from_secs(http.keep_alive_seconds))
            .client_request_timeout(Duration::from_secs(http.header_timeout_seconds))
            // A peer that is gone has to be noticed while a response still lasts.
            .h1_allow_half_closed(false)
            .upgrade(upgrade)
            .finish(front)
    }
}

/// The calling worker thread's shard: one, however many listeners the thread serves.
fn shard(hub: &Hub) -> Shard {
    thread_local! {
        static SHARD: OnceCell<Shard> = const { OnceCell::new() };
    }
    SHARD.with(|shard| shard.get_or_init(|| hub.shard()).clone())
}
