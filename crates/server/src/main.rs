//! `kabar`: reads the command line, does what it says, exits with 0, 1 (it failed) or 2 (it was told something wrong).

use std::process::ExitCode;

use clap::Parser;
use server::cli::Cli;
use server::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    actix_web::rt::System::new().block_on(commands::run(cli))
}
