//! `kabar serve`: until a signal says stop; SIGHUP reads the configuration again.

use std::path::PathBuf;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::settings::Settings;
use crate::{Application, logging, page};

/// Serves until SIGTERM or SIGINT; a second one stops at once. SIGHUP reads `file` again for its apps. Prints both
/// addresses on standard output.
pub(super) async fn serve(settings: Settings, file: Option<PathBuf>) -> anyhow::Result<()> {
    logging::start(&settings.log);
    let mut signals = Signals::new().context("signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("signals")?;
    let demo = settings.demo;
    let application = Application::build(settings).await?;
    let (public, internal) = (application.public_addr()?, application.internal_addr()?);
    println!("listening on http://{public}");
    println!("internal on http://{internal}");
    if let Some(tls) = application.tls_addr()? {
        println!("tls on https://{tls}");
        tracing::info!(tls.listen = %tls, "listening on https://{tls}");
    }
    tracing::info!(server.public = %public, server.internal = %internal, "listening on http://{public}");
    if demo {
        if !public.ip().is_loopback() {
            tracing::warn!("demo mode lets everybody who reaches {public} sign in without a password");
        }
        match page::has_pusher_js() {
            true => println!("demo page at http://{public}/"),
            false => println!("demo page without pusher-js: run `npm ci` in crates/server/page and build again"),
        }
    }
    let reload = application.reload();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.run(file.clone());
        }
    });
    let (told, times) = watch::channel(0_u8);
    tokio::spawn(async move {
        loop {
            signals.next().await;
            told.send_modify(|times| *times = times.saturating_add(1));
        }
    });
    application.run_until(at_least(times.clone(), 1), at_least(times, 2)).await
}

async fn at_least(mut times: watch::Receiver<u8>, wanted: u8) {
    // The sender lives as long as the runtime.
    let _ = times.wait_for(|times| *times >= wanted).await;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
