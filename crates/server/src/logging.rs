//! Log lines: to standard error, so that what kabar prints on standard output stays readable by programs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// Starts logging for the whole process; a second call does nothing.
pub fn start(log: &Log) {
    // It tells of every worker that it starts; later filters win, so whoever wants that says `actix_server=info`.
    let filter =
        EnvFilter::try_new(format!("actix_server=warn,{}", log.level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Only ever refused because somebody has started logging before.
    let _ = match log.format {
        LogFormat::Pretty => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
