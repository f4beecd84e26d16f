//! A WebSocket echo on the hub's own socket loop, for conformance suites: `echo --port 0 --limits production|autobahn`.

use std::net::{Ipv4Addr, TcpListener};

use actix_http::{HttpService, Response};
use hub::{Answer, Apps, Config, Gate, Hub, SignedIn};

struct NoGate;

impl Gate for NoGate {
    fn user_of_token(&self, _: std::sync::Arc<protocol::App>, _: String) -> Answer<SignedIn> {
        Box::pin(async { Err(hub::Refused::Unavailable) })
    }
    fn user_of_ticket(&self, _: std::sync::Arc<protocol::App>, _: String) -> Answer<SignedIn> {
        Box::pin(async { Err(hub::Refused::Unavailable) })
    }
    fn may_subscribe(
        &self,
        _: std::sync::Arc<protocol::App>,
        _: protocol::UserId,
        _: protocol::Protected,
    ) -> Answer<()> {
        Box::pin(async { Err(hub::Refused::Unavailable) })
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
    let mut config = Config::default();
    if value("--limits").is_some_and(|limits| limits == "autobahn") {
        // The suite's performance cases send 16 MiB, and 4 MiB in fragments of 64 bytes.
        config.message_bytes_max = 17 << 20;
        config.queue_bytes_max = 64 << 20;
        config.fragments_max = u32::MAX;
        config.frames_per_second_max = u32::MAX;
    }
    let port = value("--port").map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on {}", listener.local_addr()?);
    actix_rt::System::new().block_on(async move {
        let hub = Hub::new(config, Apps::default(), std::sync::Arc::new(NoGate));
        let server = actix_server::Server::build().workers(1).listen("echo", listener, move || {
            let shard = hub.shard();
            shard.echo();
            HttpService::build()
                .upgrade(shard.upgrade())
                .finish(|_| async { Ok::<_, std::convert::Infallible>(Response::not_found()) })
                .tcp()
        })?;
        Ok(server.run().await?)
    })
}
