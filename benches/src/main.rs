//! `load`: drives any server of the Pusher protocol, on loopback, and prints one line of JSON per run.
//!
//! `load naive` is the server that others are measured against. See `docs/performance.md`.

mod chat;
mod driver;
mod histogram;
mod http;
mod naive;
mod process;
mod report;
mod stamp;
mod table;
mod target;
mod wire;
mod works;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::target::Target;
use crate::works::Rooms;

#[derive(Parser)]
#[command(about = "Loads for servers of the Pusher protocol, on loopback only")]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Prints the table of the bars from a file of the lines that runs printed.
    Table {
        /// Lines of JSON, labelled `server/run`.
        file: PathBuf,
    },
    /// Serves as the yardstick, until it is killed.
    Naive {
        /// 0 picks one; it is printed.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// One channel with many sockets; saturated, or at a rate.
    Fanout {
        #[command(flatten)]
        target: Target,
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        sockets: u32,
        /// Publishes in flight, when no rate is given.
        #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
        window: u32,
        /// Publishes a second.
        #[arg(long)]
        rate: Option<f64>,
        /// Further sockets of the channel that read nothing at all.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000))]
        stalled: u32,
    },
    /// Many channels with a few sockets each; publishes over HTTP, signed, connections kept alive.
    Rooms {
        #[command(flatten)]
        target: Target,
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=30_000))]
        rooms: u32,
        /// Sockets in each room.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        of: u32,
        /// HTTP connections, one publish in flight on each.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
        window: u32,
        /// Publishes a second.
        #[arg(long)]
        rate: Option<f64>,
        /// Further channels that are subscribed to and quiet.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
        others: u32,
    },
    /// Sockets with one subscription each that do nothing: what one costs in memory. Needs `--pid`.
    Idle {
        #[command(flatten)]
        target: Target,
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        sockets: u32,
    },
    /// Sockets that all drop and reconnect while publishes to ten others are measured.
    Storm {
        #[command(flatten)]
        target: Target,
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=30_000))]
        sockets: u32,
        /// Publishes a second.
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
    },
    /// Chat messages over REST, in rooms of two whose other member listens. kabar only.
    Chat {
        #[command(flatten)]
        target: Target,
        /// The secret that signs the users' tokens (HS256).
        #[arg(long)]
        jwt_secret: String,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
        rooms: u32,
        /// Messages in flight.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=256))]
        window: u32,
        /// Messages a second.
        #[arg(long)]
        rate: Option<f64>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    process::raise_open_files()?;
    let report = match Arguments::parse().work {
        Work::Naive { port } => return naive::serve(port),
        Work::Table { file } => return table::print(&file),
        Work::Fanout { target, sockets: of, window, rate, stalled } => {
            works::rooms("fanout", &target, &Rooms { rooms: 1, of, window, rate, others: 0, stalled })?
        }
        Work::Rooms { target, rooms, of, window, rate, others } => {
            works::rooms("rooms", &target, &Rooms { rooms, of, window, rate, others, stalled: 0 })?
        }
        Work::Idle { target, sockets } => works::idle(&target, sockets)?,
        Work::Storm { target, sockets, rate } => works::storm(&target, sockets, rate)?,
        Work::Chat { target, jwt_secret, rooms, window, rate } => chat::run(&target, &jwt_secret, rooms, window, rate)?,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
