//! The server process: starting, taking over, stopping.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::files::{Layout, PORT};
use super::programs::Programs;
use super::{EmbeddedError, Options};
use crate::PgConnection;

/// Recovery after a crash may take its time.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Each of the ways to stop it, gentle first, and how long it may take.
const STOP: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(10)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(1)),
];
const POLL_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Postmaster {
    programs: Programs,
    layout: Layout,
    options: Options,
    /// `None` when it was taken over from a kabar that was killed.
    child: Option<Child>,
}

impl Postmaster {
    pub(super) fn new(programs: Programs, layout: Layout, options: Options) -> Self {
        Self { programs, layout, options, child: None }
    }

    /// Takes over the one that runs, or starts one; returns when it answers.
    pub(super) fn start(&mut self) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut starts_left = 20;
        self.forget_foreign_pid();
        loop {
            if self.answers() {
                return Ok(());
            }
            if !self.runs() {
                // Processes of one that was killed may hold its memory for a moment yet: then it fails at first.
                if starts_left == 0 {
                    return Err(self.failed());
                }
                starts_left -= 1;
                self.spawn()?;
            }
            if Instant::now() > deadline {
                self.stop();
                return Err(self.failed());
            }
            std::thread::sleep(POLL_EVERY * 5);
        }
    }

    /// Makes kabar's database, unless it is there.
    pub(super) fn create_database(&self) -> Result<(), EmbeddedError> {
        let mut conn = PgConnection::establish(&self.layout.url("postgres")).map_err(|_| self.failed())?;
        match diesel::sql_query("CREATE DATABASE kabar").execute(&mut conn) {
            Err(diesel::result::Error::DatabaseError(_, info)) if info.message().contains("already exists") => Ok(()),
            result => result.map(drop).map_err(|_| self.failed()),
        }
    }

    /// Whether the process is there; it may still be starting.
    pub(super) fn runs(&mut self) -> bool {
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(None) => true,
                _ => {
                    self.child = None;
                    false
                }
            },
            None => pid_in(&self.layout.pid_file()).is_some_and(is_alive),
        }
    }

    /// Stops it, the gentle way if that works.
    pub(super) fn stop(&mut self) {
        let child = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        let Some(pid) = child.or_else(|| pid_in(&self.layout.pid_file())) else { return };
        for (signal, patience) in STOP {
            if !self.runs() {
                return;
            }
            if let Err(error) = kill(Pid::from_raw(pid), signal) {
                tracing::warn!(%error, pid, "cannot signal the private Postgres");
            }
            let deadline = Instant::now() + patience;
            while self.runs() && Instant::now() < deadline {
                std::thread::sleep(POLL_EVERY);
            }
        }
    }

    fn spawn(&mut self) -> Result<(), EmbeddedError> {
        let failed = |source| EmbeddedError::File { path: self.layout.log.clone(), source };
        // From the start each time: the log of a healthy cluster is short, and nobody has to rotate it.
        let log = OpenOptions::new().create(true).write(true).truncate(true).open(&self.layout.log).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(&self.layout.cluster);
        let mut set = |key: &str, value: &str| {
            command.arg("-c").arg([key, "=", value].concat());
        };
        set("listen_addresses", "");
        set("unix_socket_directories", &quoted(&self.layout.socket_dir));
        set("unix_socket_permissions", "0700");
        set("port", PORT);
        set("logging_collector", "off");
        if !self.options.durable {
            set("fsync", "off");
            set("synchronous_commit", "off");
            set("full_page_writes", "off");
        }
        for (key, value) in &self.options.settings {
            set(key, value);
        }
        let child = self.layout.as_owner(&mut command).stdout(log).stderr(errors).spawn().map_err(failed)?;
        self.child = Some(child);
        Ok(())
    }

    fn answers(&self) -> bool {
        self.layout.pid_file().exists() && PgConnection::establish(&self.layout.url("postgres")).is_ok()
    }

    /// After a power cut, the process id that Postgres left may be another program's by now. Postgres would take that
    /// for itself and refuse to start.
    fn forget_foreign_pid(&self) {
        let path = self.layout.pid_file();
        let Some(pid) = pid_in(&path).filter(|pid| is_alive(*pid)) else { return };
        let output = Command::new("ps").args(["-o", "args=", "-p"]).arg(pid.to_string()).stdin(Stdio::null()).output();
        let Ok(output) = output else { return };
        let args = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && !args.contains("postgres") && !args.contains("postmaster") {
            tracing::warn!(pid, "removing the process id that an earlier Postgres left behind");
            // Should it stay, Postgres says so in its log, which the error shows.
            let _ = fs::remove_file(&path);
        }
    }

    fn failed(&self) -> EmbeddedError {
        let log = fs::read_to_string(&self.layout.log).unwrap_or_default();
        let telling = log.lines().rev().find(|line| line.contains("FATAL") || line.contains("ERROR"));
        let last_line = telling.or(log.lines().last()).unwrap_or("nothing").to_owned();
        EmbeddedError::Start { log: self.layout.log.clone(), last_line }
    }
}

/// The process id in `postmaster.pid`.
pub(super) fn pid_in(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)
}

/// Whether there is such a process. One of another user counts.
fn is_alive(pid: i32) -> bool {
    !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

/// A list setting's only element: a comma in the path would part it otherwise.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}
