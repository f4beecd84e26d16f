//! A private Postgres that kabar starts and stops with itself: `database.url = "embedded"`.
//!
//! ```text
//! data_dir/kabar.lock     held by the kabar that owns the directory
//! data_dir/cluster/       the cluster
//! data_dir/run/           its Unix socket; somewhere short where this path is too long for one
//! data_dir/postgres.log   what Postgres says
//! ```
//! Nobody reaches it over the network, and only its own user and root reach the socket, so nobody needs a password.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

mod databases;
mod files;
mod postmaster;
mod programs;

pub use databases::{create_database, drop_database};
use files::Layout;
use postmaster::Postmaster;
use programs::Programs;

/// How often a running Postgres is looked at, and started again should it have died.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The oldest Postgres that will do.
const MAJOR_MIN: u32 = 14;

/// What a private cluster may do differently.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a commit waits for the disk. Only a test may say no.
    pub durable: bool,
    /// More of Postgres's settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { durable: true, settings: Vec::new() }
    }
}

/// Why there is no private Postgres. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No programs, or only old ones.
    #[error(
        "PostgreSQL {MAJOR_MIN} or newer is not installed here: `apt-get install postgresql`, \
         `brew install postgresql@17`, or set database.url to a server that runs elsewhere"
    )]
    NotFound,
    /// Two kabars, one directory.
    #[error("another kabar uses the data directory {}: stop it, or choose another directory", .0.display())]
    InUse(PathBuf),
    /// Root, and nobody to run Postgres as.
    #[error("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as")]
    NoUser,
    /// A file or directory that cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Making the cluster failed.
    #[error("initdb could not make a cluster: {0}")]
    Initdb(String),
    /// Postgres does not come up.
    #[error("PostgreSQL does not start; its log {} ends with: {last_line}", log.display())]
    Start {
        /// Where it says more.
        log: PathBuf,
        /// Its last word.
        last_line: String,
    },
}

/// A running private cluster; stopped when dropped. Should it die before, it is started again.
#[derive(Debug)]
pub struct Embedded {
    url: String,
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    pid_file: PathBuf,
    _lock: Flock<File>,
}

impl Embedded {
    /// Starts the cluster in `data_dir`, made if it is not there. Blocks for a second or two.
    ///
    /// One that a killed kabar left running is taken over.
    ///
    /// # Errors
    /// See [`EmbeddedError`].
    pub fn start(data_dir: &Path) -> Result<Self, EmbeddedError> {
        Self::start_with(data_dir, Options::default())
    }

    /// As [`Embedded::start`], with a say in how it runs.
    ///
    /// # Errors
    /// See [`EmbeddedError`].
    pub fn start_with(data_dir: &Path, options: Options) -> Result<Self, EmbeddedError> {
        let programs = Programs::find().ok_or(EmbeddedError::NotFound)?;
        let layout = Layout::prepare(data_dir)?;
        let lock = lock(data_dir, &layout)?;
        layout.init(&programs, &options)?;
        let url = layout.url("kabar");
        let pid_file = layout.pid_file();
        let mut postmaster = Postmaster::new(programs, layout, options);
        postmaster.start()?;
        postmaster.create_database()?;
        let (stop, stopped) = channel();
        let keeper = std::thread::Builder::new()
            .name("embedded-postgres".to_owned())
            .spawn(move || keep(postmaster, &stopped))
            .map_err(|source| EmbeddedError::File { path: data_dir.to_owned(), source })?;
        Ok(Self { url, stop: Some(stop), keeper: Some(keeper), pid_file, _lock: lock })
    }

    /// For [`crate::Config::url`].
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The process id of its postmaster, if it runs.
    pub fn pid(&self) -> Option<i32> {
        postmaster::pid_in(&self.pid_file)
    }

    /// Stops it: open transactions are rolled back. Blocks, for some seconds at worst.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the thread that keeps the private Postgres panicked");
        }
    }
}

/// Looks after Postgres until it is told to stop, which is that the channel closes.
fn keep(mut postmaster: Postmaster, stopped: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
        if postmaster.runs() {
            continue;
        }
        tracing::warn!("the private Postgres died; starting it again");
        if let Err(error) = postmaster.start() {
            tracing::error!(%error, "the private Postgres does not start");
        }
    }
    postmaster.stop();
}

fn lock(data_dir: &Path, layout: &Layout) -> Result<Flock<File>, EmbeddedError> {
    let path = layout.lock_file();
    let failed = |source| EmbeddedError::File { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => EmbeddedError::InUse(data_dir.to_owned()),
        errno => EmbeddedError::File { path: path.clone(), source: errno.into() },
    })
}
