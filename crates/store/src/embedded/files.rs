//! The data directory: whose it is, where the socket goes, how the cluster is made.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};
use sha2::{Digest, Sha256};

use super::programs::Programs;
use super::{EmbeddedError, Options};

/// A socket's path must fit `sockaddr_un` (108 bytes on Linux, 104 on macOS) with its NUL.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// Only names the socket; no port is opened.
pub(super) const PORT: &str = "5432";

/// Whom Postgres runs as when kabar is root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

/// Where everything of one cluster is.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    data_dir: PathBuf,
    pub(super) cluster: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) log: PathBuf,
    owner: Option<Owner>,
}

impl Layout {
    /// Makes the directories, for Postgres's user alone.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let failed = |source| EmbeddedError::File { path: data_dir.to_owned(), source };
        let owner = owner()?;
        fs::create_dir_all(data_dir).map_err(failed)?;
        let data_dir = data_dir.canonicalize().map_err(failed)?;
        private(&data_dir, owner)?;
        let mut socket_dir = data_dir.join("run");
        let socket_bytes = |dir: &Path| dir.join(".s.PGSQL.5432").as_os_str().len();
        if socket_bytes(&socket_dir) > SOCKET_PATH_BYTES_MAX {
            let hash = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
            let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            socket_dir = Path::new("/tmp").join(["kabar-", &name].concat());
        }
        private(&socket_dir, owner)?;
        Ok(Self { cluster: data_dir.join("cluster"), log: data_dir.join("postgres.log"), socket_dir, data_dir, owner })
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.data_dir.join("kabar.lock")
    }

    /// Postgres's own: its process id, then more lines.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.cluster.join("postmaster.pid")
    }

    /// How to connect to one of its databases.
    pub(super) fn url(&self, database: &str) -> String {
        let mut host = String::new();
        for &byte in self.socket_dir.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => host.push(char::from(byte)),
                byte => host.push_str(&format!("%{byte:02X}")),
            }
        }
        format!("postgres:///{database}?host={host}&port={PORT}&user=kabar")
    }

    /// Has the command run as Postgres's user, out of reach of the terminal's Ctrl-C: kabar stops Postgres last.
    pub(super) fn as_owner<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command.process_group(0).current_dir(&self.data_dir).stdin(Stdio::null())
    }

    /// Makes the cluster, unless it is there.
    pub(super) fn init(&self, programs: &Programs, options: &Options) -> Result<(), EmbeddedError> {
        if self.cluster.join("PG_VERSION").exists() {
            return Ok(());
        }
        // Made beside its place and moved there: what a killed initdb leaves is never taken for a cluster.
        let unfinished = self.data_dir.join("cluster.new");
        let failed = |source| EmbeddedError::File { path: unfinished.clone(), source };
        let mut why = String::new();
        // Names are compared without regard to case, which the plain C locale knows only for ASCII.
        for ctype in ["C.UTF-8", "en_US.UTF-8", "C"] {
            match fs::remove_dir_all(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
            let mut initdb = programs.command("initdb");
            initdb.arg("-D").arg(&unfinished).args(["-U", "kabar", "--auth-local=trust", "--auth-host=reject"]);
            initdb.args(["--encoding=UTF8", "--locale=C", "--lc-ctype", ctype]);
            if !options.durable {
                initdb.arg("--no-sync");
            }
            let output = self.as_owner(&mut initdb).output().map_err(failed)?;
            if output.status.success() {
                return fs::rename(&unfinished, &self.cluster).map_err(failed);
            }
            let said = String::from_utf8_lossy(&output.stderr);
            why = said.lines().find(|line| line.contains("error")).or(said.lines().last()).unwrap_or("").to_owned();
        }
        Err(EmbeddedError::Initdb(why))
    }
}

/// Nobody special for an ordinary user; root gives its rights up, as Postgres demands.
fn owner() -> Result<Option<Owner>, EmbeddedError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.ok_or(EmbeddedError::NoUser)?;
    Ok(Some(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

/// A directory that only Postgres's user, and root, may look into.
fn private(path: &Path, owner: Option<Owner>) -> Result<(), EmbeddedError> {
    let failed = |source| EmbeddedError::File { path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // Not followed: somebody else's link in a shared directory must not be given to Postgres's user.
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let uid = geteuid().as_raw();
    let ours = found.uid() == uid || owner.is_some_and(|owner| owner.uid == found.uid());
    if !found.is_dir() || !ours {
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else")));
    }
    if let Some(owner) = owner {
        std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)
}
