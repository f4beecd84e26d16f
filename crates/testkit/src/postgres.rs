//! Postgres for tests: one private cluster per test process, one database per test.
//!
//! `TEST_DATABASE_URL` names a server to use instead of a private cluster; its user must be allowed to create
//! databases. Whatever way the test process ends, a watchdog stops the cluster and removes its files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use store::embedded::{Embedded, Options};
use store::{Config, Store};

/// A cluster of a test's own, which the test may stop, freeze or kill. Stopped and removed when dropped.
pub struct PrivatePostgres {
    cluster: Option<Embedded>,
    options: Options,
    dir: PathBuf,
    url: String,
    watchdog: Watchdog,
}

impl PrivatePostgres {
    /// A fresh cluster that does not wait for the disk.
    ///
    /// # Errors
    /// Postgres is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(Vec::new())
    }

    /// As [`PrivatePostgres::start`], with settings of `postgresql.conf`.
    ///
    /// # Errors
    /// Postgres is not installed, or does not start.
    pub fn start_with(settings: Vec<(String, String)>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("kabar-pg-").tempdir()?.keep();
        // Before the cluster: nothing may be left should this process be killed in between.
        let watchdog = Watchdog::start(&dir)?;
        let options = Options { durable: false, settings };
        let cluster = Embedded::start_with(&dir, options.clone())?;
        let url = cluster.url();
        Ok(Self { cluster: Some(cluster), options, dir, url, watchdog })
    }

    /// Its database `kabar`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it lives: see [`store::embedded`].
    pub fn data_dir(&self) -> &Path {
        &self.dir
    }

    /// Stops Postgres; [`PrivatePostgres::start_again`] brings it back with its data.
    pub fn stop(&mut self) {
        drop(self.cluster.take());
    }

    /// Starts Postgres after [`PrivatePostgres::stop`].
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        if self.cluster.is_none() {
            self.cluster = Some(Embedded::start_with(&self.dir, self.options.clone())?);
        }
        Ok(())
    }

    /// Restarts it with more settings.
    ///
    /// # Errors
    /// It does not start with them.
    pub fn configure<'a>(&mut self, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
        self.stop();
        let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.options.settings.extend(settings);
        self.start_again()
    }

    /// The process id of the postmaster, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.cluster.as_ref().and_then(Embedded::pid)
    }

    /// Kills the postmaster as a crash would; it is started again by itself.
    ///
    /// # Errors
    /// It does not run.
    pub fn crash(&self) -> Result<()> {
        let pid = self.pid().context("Postgres does not run")?;
        Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
    }

    /// Stops all of its processes where they are: connections stay open and nothing answers. Linux only.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal_all(Signal::SIGSTOP)
    }

    /// Lets it go on after [`PrivatePostgres::freeze`].
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal_all(Signal::SIGCONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("Postgres does not run")?;
        // The postmaster first: frozen, it makes no more children.
        kill(Pid::from_raw(pid), signal)?;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        for child in children.split_whitespace() {
            // One that ended meanwhile needs no signal.
            let _ = kill(Pid::from_raw(child.parse()?), signal);
        }
        Ok(())
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if self.cluster.is_some() {
            // A frozen one could not stop.
            let _ = self.thaw();
        }
        self.stop();
        self.watchdog.finish();
    }
}

/// A shell that waits for this process to end, however it does, and then clears up after it.
struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// `read` returns when the pipe closes, which the kernel does for a process that was killed. `QUIT` stops Postgres at
    /// once: nobody needs its data any more.
    const SCRIPT: &str = r#"
        read -r _
        pid=$(head -n 1 "$1/cluster/postmaster.pid" 2>/dev/null)
        if [ -n "$pid" ]; then
            kill -CONT "$pid" 2>/dev/null
            kill -QUIT "$pid" 2>/dev/null
            tries=100
            while [ -e "$1/cluster/postmaster.pid" ] && [ $tries -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
        fi
        rm -rf "$1"
    "#;

    fn start(dir: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("sh");
        command.args(["-c", Self::SCRIPT, "kabar-test-watchdog"]).arg(dir);
        // A group of its own: Ctrl-C ends the tests, not the one who clears up after them. No output of the tests' either:
        // whoever reads that to its end would wait for the shell.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { shell: command.spawn().context("no shell")? })
    }

    fn finish(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

struct Server {
    /// Of its maintenance database, where others are made from.
    url: String,
    /// A migrated database to copy; `None` where each database is migrated by itself.
    template: Option<String>,
    /// Kept for as long as the process runs; the watchdog ends it.
    _cluster: Option<PrivatePostgres>,
}

/// The server that this process's tests share, and the URL of its maintenance database.
///
/// # Errors
/// Postgres is not installed, does not start, or `TEST_DATABASE_URL` leads nowhere.
pub fn postgres() -> Result<&'static str> {
    Ok(&server()?.url)
}

fn server() -> Result<&'static Server> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    // A thread of its own: the first test to come may hold a runtime, in which nothing may block on another.
    let start = || std::thread::spawn(start_server).join().unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")));
    SERVER
        .get_or_init(|| start().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))
}

fn start_server() -> Result<Server> {
    let (url, cluster) = match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let cluster = PrivatePostgres::start_with(vec![("max_connections".to_owned(), "300".to_owned())])?;
            (with_database(cluster.url(), "postgres"), Some(cluster))
        }
    };
    // Only a cluster that is removed in the end gets a template: on a server of others it would stay for ever.
    let template = match &cluster {
        Some(_) => {
            let template = "kabar_template".to_owned();
            store::embedded::create_database(&url, &template, None)?;
            migrate(&with_database(&url, &template))?;
            Some(template)
        }
        None => None,
    };
    Ok(Server { url, template, _cluster: cluster })
}

fn migrate(url: &str) -> Result<()> {
    let store = Store::open(&Config::new(url.to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(store.migrate())?)
}

/// A database of a test's own, migrated. Dropped with this value, connections or not.
pub struct TestDatabase {
    /// Of this database.
    pub url: String,
    /// Connected to it.
    pub store: Store,
    name: String,
}

/// A fresh database.
///
/// # Panics
/// There is no Postgres: a test that needs one cannot pass without.
#[expect(clippy::expect_used, reason = "the panic is what the test's author wants to see")]
pub async fn database() -> TestDatabase {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("kabar_test_{}_{}", uuid::Uuid::now_v7().simple(), MADE.fetch_add(1, Ordering::Relaxed));
    let make = tokio::task::spawn_blocking({
        let name = name.clone();
        move || -> Result<String> {
            let server = server()?;
            store::embedded::create_database(&server.url, &name, server.template.as_deref())?;
            let url = with_database(&server.url, &name);
            if server.template.is_none() {
                // Not on this thread, which may belong to a runtime already.
                let url = url.clone();
                std::thread::spawn(move || migrate(&url)).join().unwrap_or_else(|_| anyhow::bail!("it panicked"))?;
            }
            Ok(url)
        }
    });
    let url = make.await.expect("making a database does not panic").expect("Postgres for tests");
    let store = Store::open(&Config::new(url.clone())).expect("a store of the new database");
    TestDatabase { url, store, name }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Ok(server) = server()
            && let Err(error) = store::embedded::drop_database(&server.url, &self.name)
        {
            eprintln!("cannot drop {}: {error}", self.name);
        }
    }
}

/// `url` with another database. Both `postgres://host/name?…` and `postgres:///name?…` have it after the last `/`
/// before the `?`.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let server = base[after_scheme..].find('/').map_or(base, |at| &base[..after_scheme + at]);
    match query {
        "" => format!("{server}/{name}"),
        query => format!("{server}/{name}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_replaces_the_one_in_the_url() {
        assert_eq!(with_database("postgres:///kabar?host=/tmp", "x"), "postgres:///x?host=/tmp");
        assert_eq!(with_database("postgres://ada:pw@db:5432/kabar", "x"), "postgres://ada:pw@db:5432/x");
        assert_eq!(with_database("postgres://db", "x"), "postgres://db/x");
    }
}
