//! The real binary on ports of its own; whatever happens to the test, nothing of it is left running.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

pub(crate) const KEY: &str = "e2e-key";
pub(crate) const SECRET: &str = "e2e-secret-0123456789";
pub(crate) const API_KEY: &str = "e2e-api-key-0123456789";
pub(crate) const JWT_SECRET: &str = "e2e-jwt-secret-0123456789-0123456789";
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that the private Postgres, which is another user where tests run as root, may walk through.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
    folder
}

/// `kabar` with nothing of this shell's settings.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.env_clear().current_dir(folder).env("KABAR__SERVER__PUBLIC", "127.0.0.1:0");
    command.env("KABAR__SERVER__INTERNAL", "127.0.0.1:0").env("KABAR__SERVER__WORKERS", "2");
    command.env("KABAR__SERVER__DRAIN_SECONDS", "1").env("KABAR__LOG__FORMAT", "json");
    for name in ["PATH", "HOME"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Adds the app `1` and the secret of tokens.
pub(crate) fn with_app(mut command: Command) -> Command {
    let policy = json!({"client_events": true});
    let app = json!([{"id": "1", "key": KEY, "secret": SECRET, "api_keys": [API_KEY], "policy": policy}]);
    command.env("KABAR__APPS", app.to_string()).env("KABAR__AUTH__JWT_SECRET", JWT_SECRET);
    command
}

/// Runs a command that ends by itself.
pub(crate) fn run(command: &mut Command, arguments: &[&str]) -> Output {
    command.args(arguments).output().unwrap()
}

pub(crate) struct Kabar {
    child: Child,
    lines: UnboundedReceiver<String>,
    /// Everything that was printed or logged and looked at.
    pub(crate) seen: Vec<String>,
    /// `host:port`
    pub(crate) public: String,
    pub(crate) internal: String,
    folder: PathBuf,
    client: Client,
}

impl Kabar {
    /// With an app, on this database; ready.
    pub(crate) async fn on(folder: &TempDir, url: &str) -> Self {
        let mut command = with_app(command(folder.path()));
        command.env("KABAR__DATABASE__URL", url);
        let mut kabar = Self::start(folder, command).await;
        kabar.ready().await;
        kabar
    }

    /// As the command says; listening, perhaps not ready.
    pub(crate) async fn start(folder: &TempDir, command: Command) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut command = tokio::process::Command::from(command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = unbounded_channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        let folder = folder.path().to_owned();
        let client = Client::builder().no_proxy().build().unwrap();
        let (public, internal, seen) = (String::new(), String::new(), Vec::new());
        let mut kabar = Self { child, lines, seen, public, internal, folder, client };
        kabar.public = kabar.line_with("listening on http://").await;
        kabar.internal = kabar.line_with("internal on http://").await;
        kabar
    }

    /// Awaits a line that begins so; the rest of it.
    pub(crate) async fn line_with(&mut self, start: &str) -> String {
        self.line(|line| line.strip_prefix(start).map(str::to_owned)).await
    }

    async fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let line = timeout(PATIENCE, self.lines.recv()).await;
            let Ok(Some(line)) = line else { panic!("the line did not come; so far: {:#?}", self.seen) };
            let found = wanted(&line);
            self.seen.push(line);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Awaits that the log says so.
    pub(crate) async fn logged(&mut self, message: &str) {
        let wanted = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"] == message);
        self.line(|line| wanted(line).then_some(())).await;
    }

    pub(crate) async fn ready(&mut self) {
        self.logged("ready").await;
    }

    pub(crate) async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let base = if path.starts_with("/internal") { &self.internal } else { &self.public };
        let request = self.client.request(method, format!("http://{base}{path}")).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Value {
        let (status, answer) = self.call(Method::POST, path, token, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, token, Value::Null).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// A plain GET; `path` of the public listener, or of the internal one for `/health`.
    pub(crate) async fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let base = if path.starts_with("/health") { &self.internal } else { &self.public };
        let mut request = self.client.get(format!("http://{base}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        timeout(PATIENCE, request.send()).await.unwrap().unwrap()
    }

    /// Asks for readiness until it is this, for so long at most.
    pub(crate) async fn ready_becomes(&self, status: u16, within: Duration) {
        let asked = async { while self.fetch("/health/ready", &[]).await.status() != status {} };
        assert!(timeout(within, asked).await.is_ok(), "/health/ready was not {status} within {within:?}");
    }

    /// A user's token from the backend's API.
    pub(crate) async fn token(&self, user: &str) -> String {
        let minted = self.post("/internal/tokens", API_KEY, json!({"userId": user})).await;
        minted["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it runs");
        kill(Pid::from_raw(pid as i32), signal).unwrap();
    }

    /// Awaits the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("kabar ends in time").unwrap();
        // What is in the pipes is read, but their end is not awaited: a Postgres that was left may hold them.
        while let Ok(Some(line)) = timeout(Duration::from_millis(200), self.lines.recv()).await {
            self.seen.push(line);
        }
        status
    }

    /// The private Postgres, if it runs.
    pub(crate) fn postmaster(&self) -> Option<Pid> {
        postmaster(&self.folder)
    }
}

pub(crate) fn postmaster(folder: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(folder.join("data/cluster/postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?);
    kill(pid, None).is_ok().then_some(pid)
}

impl Drop for Kabar {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        // Killed like that, kabar cannot stop its Postgres.
        if let Some(pid) = self.postmaster() {
            let _ = kill(pid, Signal::SIGQUIT);
        }
    }
}

fn forward(pipe: impl AsyncRead + Unpin + Send + 'static, to: UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = to.send(line);
        }
    });
}
