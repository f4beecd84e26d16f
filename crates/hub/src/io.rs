//! What a socket's bytes travel on: TCP, a Unix socket, TLS, a session over HTTP.
//!
//! Nearly every socket is plain TCP: that is stored in place, everything else behind a pointer, so that an idle socket
//! stays as small as its stream.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::fallback::Session;

/// A stream that a socket can be served on.
pub struct Io(Kind);

enum Kind {
    Tcp(TcpStream),
    Unix(Box<UnixStream>),
    Tls(Box<TlsStream<TcpStream>>),
    Session(Box<Session>),
}

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

impl From<UnixStream> for Io {
    fn from(stream: UnixStream) -> Self {
        Self(Kind::Unix(Box::new(stream)))
    }
}

impl From<TlsStream<TcpStream>> for Io {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(Box::new(stream)))
    }
}

impl From<Session> for Io {
    fn from(session: Session) -> Self {
        Self(Kind::Session(Box::new(session)))
    }
}

/// Sets up a TCP stream, as soon as it is accepted: no delay, and an end where the peer acknowledges nothing for so
/// long. A peer that is gone without a word would else be noticed only after many minutes.
pub fn prepare_tcp(stream: &TcpStream, stall_timeout: Duration) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(stall_timeout));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stall_timeout;
}

impl Io {
    /// Bounds what a peer that stalls costs of the kernel's memory.
    pub(crate) fn set_send_buffer(&self, bytes: usize) {
        let _ = match &self.0 {
            Kind::Tcp(stream) => SockRef::from(stream).set_send_buffer_size(bytes),
            Kind::Unix(stream) => SockRef::from(&**stream).set_send_buffer_size(bytes),
            Kind::Tls(stream) => SockRef::from(stream.get_ref().0).set_send_buffer_size(bytes),
            Kind::Session(_) => Ok(()),
        };
    }

    /// See [`prepare_tcp`].
    pub(crate) fn prepare(&self, stall_timeout: Duration) {
        match &self.0 {
            Kind::Tcp(stream) => prepare_tcp(stream, stall_timeout),
            Kind::Tls(stream) => prepare_tcp(stream.get_ref().0, stall_timeout),
            Kind::Unix(_) | Kind::Session(_) => {}
        }
    }

    /// Writes what is taken at once; [`io::ErrorKind::WouldBlock`] when that is nothing.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Tcp(stream) => stream.try_write(bytes),
            Kind::Unix(stream) => stream.try_write(bytes),
            Kind::Tls(stream) => at_once(|cx| Pin::new(&mut **stream).poll_write(cx, bytes)),
            Kind::Session(session) => session.try_write(bytes),
        }
    }

    /// Sends on what was written and still waits in a layer of ours; [`io::ErrorKind::WouldBlock`] when the peer takes
    /// no more for now.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Tcp(_) | Kind::Unix(_) | Kind::Session(_) => Ok(()),
            Kind::Tls(stream) => at_once(|cx| Pin::new(&mut **stream).poll_flush(cx)),
        }
    }

    /// Until [`Io::try_write`] may take something again.
    pub(crate) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => stream.poll_write_ready(cx),
            Kind::Unix(stream) => stream.poll_write_ready(cx),
            Kind::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Kind::Session(session) => session.poll_write_ready(cx),
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Kind::Unix(stream) => Pin::new(&mut **stream).poll_read(cx, into),
            Kind::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, into),
            Kind::Session(session) => session.poll_read(cx, into),
        }
    }

    /// Tells the peer that nothing more will be written.
    pub(crate) fn shut_down_writing(&mut self) {
        match &mut self.0 {
            Kind::Tcp(stream) => drop(SockRef::from(&*stream).shutdown(Shutdown::Write)),
            Kind::Unix(stream) => drop(SockRef::from(&**stream).shutdown(Shutdown::Write)),
            Kind::Tls(stream) => drop(at_once(|cx| Pin::new(&mut **stream).poll_shutdown(cx))),
            Kind::Session(session) => session.finish(),
        }
    }
}

/// What can be had without waiting. Whoever is told to wait calls [`Io::poll_write_ready`], which has it woken.
fn at_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn a_tcp_peer_that_acknowledges_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        prepare_tcp(&stream, Duration::from_secs(15));
        let timeout = SockRef::from(&stream).tcp_user_timeout().expect("Linux has it");
        assert_eq!(timeout, Some(Duration::from_secs(15)));
    }

    #[test]
    fn plain_tcp_pays_nothing_for_the_others() {
        assert_eq!(size_of::<Io>(), size_of::<TcpStream>());
    }
}
