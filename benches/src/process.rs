//! What a process costs, read from `/proc`.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::histogram::round;

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_bytes: u64,
}

/// Reads both, threads included.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("no such process")?;
    // The name stands in parentheses and may hold spaces; utime and stime are the 12th and 13th field after it.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let ticks =
        ticks(11).zip(ticks(12)).map(|(user, system)| user + system).context("unknown form of /proc/PID/stat")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| rest.split_whitespace().next());
    let rss_kb: u64 = rss.and_then(|kb| kb.parse().ok()).context("no VmRSS")?;
    // USER_HZ is 100 on every Linux that this runs on.
    Ok(Usage { cpu_seconds: round(ticks as f64 / 100.0), rss_bytes: rss_kb * 1024 })
}

/// Raises the limit of open files of this process to what it may be.
pub(crate) fn raise_open_files() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
