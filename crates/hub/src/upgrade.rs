//! Where HTTP ends: takes the raw stream of an upgrade request and gives it to the thread's shard.
//!
//! actix-http hands every request with `Connection: upgrade` to one service, whatever its path, so paths that are not
//! ours are answered here as well.

use std::future::{Ready, ready};

use actix_codec::Framed;
use actix_http::{Request, h1};
use actix_service::{Service, ServiceFactory};
use bytes::Bytes;
use protocol::CloseCode;

use crate::Io;
use crate::arrival::Arrival;
use crate::shard::Shard;
use crate::websocket;

const PATH: &str = "/app/";

/// The upgrade service of one worker thread; see [`Shard::upgrade`].
#[derive(Clone)]
pub struct Upgrade {
    shard: Shard,
}

impl Shard {
    /// What `actix_http::HttpService::build().upgrade(…)` takes.
    pub fn upgrade(&self) -> Upgrade {
        Upgrade { shard: self.clone() }
    }

    fn take_over<T>(&self, request: &Request, framed: Framed<T, h1::Codec>)
    where
        Io: From<T>,
    {
        let parts = framed.into_parts();
        let mut io = Io::from(parts.io);
        let config = self.inner.shared.config();
        let path = request.path();
        let is_echo = self.inner.state.borrow().is_echo();
        let is_ours = path.starts_with(PATH) || is_echo;
        let accepted = if is_ours { websocket::accept(request.head()) } else { Err((404, "nothing is upgraded here")) };
        match accepted {
            Ok(handshake) => {
                io.set_send_buffer(config.send_buffer_bytes);
                io.prepare(config.stall_timeout);
                let key = path.strip_prefix(PATH).unwrap_or_default();
                let arrival = match (is_echo, key.contains('/')) {
                    (true, _) => Arrival::Echo,
                    (_, true) => Arrival::Refused(CloseCode::UNKNOWN_PATH),
                    _ => self.arrival(key, self.visitor(request.head(), handshake.token)),
                };
                self.adopt(io, handshake.response, parts.read_buf.to_vec(), arrival);
            }
            // The answer is small and the stream's buffer empty: it takes it whole.
            Err((status, text)) => drop(io.try_write(&refusal(status, text)).and_then(|_| io.try_flush())),
        }
    }
}

fn refusal(status: u16, text: &str) -> Bytes {
    let reason = actix_http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or_default();
    let more = if status == 426 { "upgrade: websocket\r\nsec-websocket-version: 13\r\n" } else { "" };
    let len = text.len() + 1;
    format!(
        "HTTP/1.1 {status} {reason}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {len}\r\n{more}\r\n{text}\n"
    )
    .into()
}

impl<T> Service<(Request, Framed<T, h1::Codec>)> for Upgrade
where
    Io: From<T>,
{
    type Response = ();
    type Error = actix_http::Error;
    type Future = Ready<Result<(), Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, (request, framed): (Request, Framed<T, h1::Codec>)) -> Self::Future {
        self.shard.take_over(&request, framed);
        ready(Ok(()))
    }
}

impl<T> ServiceFactory<(Request, Framed<T, h1::Codec>)> for Upgrade
where
    Io: From<T>,
{
    type Response = ();
    type Error = actix_http::Error;
    type Config = ();
    type Service = Self;
    type InitError = ();
    type Future = Ready<Result<Self, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        ready(Ok(self.clone()))
    }
}
