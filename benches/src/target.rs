//! Who is loaded, and for how long.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use clap::Args;
use protocol::Signer;

use crate::http;
use crate::wire::{self, Opened};

/// Threads that connect. Each waits for the server most of the time.
const CONNECTING: usize = 8;

#[derive(Args, Clone)]
pub(crate) struct Target {
    /// Where the server listens; a loopback address.
    #[arg(long, value_parser = loopback)]
    pub(crate) addr: SocketAddr,
    #[arg(long, default_value = "1")]
    pub(crate) app_id: String,
    #[arg(long, default_value = "key")]
    pub(crate) app_key: String,
    #[arg(long, default_value = "secret")]
    pub(crate) app_secret: String,
    /// The server's process: its CPU time and memory are reported.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// How long to publish, 120 at most.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(crate) seconds: u64,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(20..=8_192))]
    pub(crate) bytes: u32,
    /// Goes into the report.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr = text.parse().map_err(|_| "not an address and port".to_owned())?;
    match addr.ip().is_loopback() {
        true => Ok(addr),
        false => Err("only loopback addresses are ever loaded".to_owned()),
    }
}

/// What a socket subscribes to, and as whom.
pub(crate) struct Join {
    pub(crate) channel: String,
    pub(crate) token: Option<String>,
}

impl Join {
    pub(crate) fn public(channel: String) -> Self {
        Self { channel, token: None }
    }
}

impl Target {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer::new(&self.app_secret)
    }

    /// A signed publish to the channel.
    pub(crate) fn publish(&self, signer: &Signer, channel: &str, data: &str) -> Vec<u8> {
        http::publish(&self.app_id, &self.app_key, signer, channel, data)
    }

    /// Opens a socket for each, several at a time. The first failure fails all.
    pub(crate) fn open(&self, joins: &[Join]) -> anyhow::Result<Vec<Opened>> {
        let share = joins.len().div_ceil(CONNECTING).max(1);
        let open_share = |(part, joins): (usize, &[Join])| -> anyhow::Result<Vec<Opened>> {
            let sockets = joins.iter().enumerate().map(|(index, join)| {
                wire::open(self.addr, &self.app_key, part * share + index, &join.channel, join.token.as_deref())
            });
            sockets.collect()
        };
        let opened: anyhow::Result<Vec<_>> = thread::scope(|scope| {
            let threads: Vec<_> =
                joins.chunks(share).enumerate().map(|share| scope.spawn(move || open_share(share))).collect();
            threads.into_iter().map(|thread| thread.join().expect("connecting does not panic")).collect()
        });
        Ok(opened?.into_iter().flatten().collect())
    }
}
