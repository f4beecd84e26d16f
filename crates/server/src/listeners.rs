//! Where connections come in: bound at the start, shut at a stop.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::Settings;

/// Every listener of a node.
pub(crate) struct Listeners {
    pub(crate) public: TcpListener,
    pub(crate) internal: TcpListener,
    /// Serves what the public one serves.
    pub(crate) unix: Option<UnixSocket>,
    /// Serves what the public one serves.
    pub(crate) tls: Option<TcpListener>,
}

/// A Unix socket that listens; its file goes when it is dropped.
pub(crate) struct UnixSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

impl Listeners {
    pub(crate) fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let server = &settings.server;
        let tls = settings.tls.listen.map(|addr| listen(addr, server.backlog).context("tls.listen")).transpose()?;
        let public = listen(server.public, server.backlog).context("server.public")?;
        let internal = listen(server.internal, server.backlog).context("server.internal")?;
        let mode = server.unix_socket_mode();
        let unix = server.unix_socket.as_ref().map(|path| UnixSocket::bind(path, mode, server.backlog)).transpose();
        Ok(Self { public, internal, unix: unix.context("server.unix_socket")?, tls })
    }

    /// Refuses whoever comes now to what the public can reach. A paused listener still queues connections that nobody
    /// will ever serve; a shut one refuses them.
    pub(crate) fn shut_public(&self) {
        for listener in [Some(&self.public), self.tls.as_ref()].into_iter().flatten() {
            let _ = socket2::SockRef::from(listener).shutdown(std::net::Shutdown::Both);
        }
        if let Some(unix) = &self.unix {
            let _ = socket2::SockRef::from(&unix.listener).shutdown(std::net::Shutdown::Both);
        }
    }
}

impl UnixSocket {
    fn bind(path: &Path, mode: u32, backlog: u32) -> anyhow::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => bail!("{} is there and no socket", path.display()),
            Ok(_) => match UnixStream::connect(path) {
                // Whoever listened there has died without taking it away.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
                _ => bail!("another process listens on {}", path.display()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        let cannot = || format!("cannot listen on {}", path.display());
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&socket2::SockAddr::unix(path)?).with_context(cannot)?;
        let socket = Self { listener: socket.into(), path: path.to_owned() };
        // Before it listens, so that nobody whom the mode keeps out has come in already.
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).with_context(cannot)?;
        socket2::SockRef::from(&socket.listener).listen(i32::try_from(backlog)?).with_context(cannot)?;
        Ok(socket)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(addr: SocketAddr, backlog: u32) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into()).with_context(|| format!("cannot listen on {addr}"))?;
    socket.listen(i32::try_from(backlog)?).with_context(|| format!("cannot listen on {addr}"))?;
    Ok(socket.into())
}
