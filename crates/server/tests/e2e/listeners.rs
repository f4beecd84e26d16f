//! The other ways in: a Unix socket and TLS, over which the same is served.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::{PATIENCE, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::kabar::{KEY, Kabar, command, folder, with_app};

/// Upgrades on any stream and reads until `wanted` has come.
async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), wanted: &str) -> String {
    let request = format!(
        "GET /app/{KEY}?protocol=7 HTTP/1.1\r\nHost: kabar\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(stream, wanted).await
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), wanted: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "the end came first");
        }
    };
    let done = timeout(PATIENCE, reading).await;
    assert!(done.is_ok(), "{wanted} did not come: {}", String::from_utf8_lossy(&seen));
    String::from_utf8_lossy(&seen).into_owned()
}

/// The answer to [`ping`], two bytes of WebSocket header and this.
const PONG_BYTES: usize = 2 + protocol::frame::PONG.len();

/// A masked `pusher:ping`.
fn ping() -> Vec<u8> {
    testkit::masked_frame(0x81, br#"{"event":"pusher:ping","data":{}}"#)
}

#[tokio::test]
async fn a_unix_socket_serves_what_the_public_address_serves_and_its_file_comes_and_goes() {
    let (folder, database) = (folder(), testkit::database().await);
    let path = folder.path().join("kabar.sock");
    // What a server that died has left.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut start = with_app(command(folder.path()));
    start.env("KABAR__DATABASE__URL", &database.url).env("KABAR__SERVER__UNIX_SOCKET", &path);
    start.env("KABAR__SERVER__UNIX_SOCKET_MODE", "0600");
    let mut kabar = Kabar::start(&folder, start).await;
    kabar.ready().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let mut socket = UnixStream::connect(&path).await.unwrap();
    upgrade(&mut socket, "pusher:connection_established").await;
    let mut http = UnixStream::connect(&path).await.unwrap();
    http.write_all(b"GET /api/chat/rooms HTTP/1.1\r\nHost: kabar\r\n\r\n").await.unwrap();
    assert!(read_until(&mut http, "\r\n\r\n").await.starts_with("HTTP/1.1 401"));

    let mut second = with_app(command(folder.path()));
    second.env("KABAR__DATABASE__URL", &database.url).env("KABAR__SERVER__UNIX_SOCKET", &path);
    let refused = second.output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another process listens on"), "{refused:?}");

    kabar.signal(nix::sys::signal::Signal::SIGTERM);
    read_until(&mut socket, "The server is restarting, reconnect").await;
    assert_eq!(kabar.ended().await.code(), Some(0));
    assert!(!path.exists());
}

/// A self-signed certificate for `localhost`, written where kabar reads it.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(folder, &cert.pem(), &signing_key);
    cert.der().clone()
}

fn write(folder: &Path, cert: &str, key: &KeyPair) {
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert).unwrap();
}

async fn tls(addr: &str, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn tls_serves_sockets_and_takes_a_new_certificate_without_dropping_them() {
    let (folder, database) = (folder(), testkit::database().await);
    let first = certify(folder.path());
    let mut start = with_app(command(folder.path()));
    start.env("KABAR__DATABASE__URL", &database.url).env("KABAR__TLS__LISTEN", "127.0.0.1:0");
    start.env("KABAR__TLS__CERT_FILE", folder.path().join("cert.pem"));
    start.env("KABAR__TLS__KEY_FILE", folder.path().join("key.pem"));
    start.env("KABAR__SOCKET__FRAMES_PER_SECOND_MAX", "1000000");
    start.env("KABAR__TLS__RELOAD_SECONDS", "1").env("KABAR__TLS__HANDSHAKE_TIMEOUT_SECONDS", "1");
    let mut kabar = Kabar::start(&folder, start).await;
    let addr = kabar.line_with("tls on https://").await;
    kabar.ready().await;

    let mut mute = TcpStream::connect(&addr).await.unwrap();
    let mut old = tls(&addr, &first).await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "HTTP/2 is not spoken");
    upgrade(&mut old, "pusher:connection_established").await;

    std::fs::write(folder.path().join("cert.pem"), "half a certificate").unwrap();
    kabar.logged("the certificate's files cannot be used, the old one stays").await;
    tls(&addr, &first).await.expect("the old certificate still serves");

    let second = certify(folder.path());
    kabar.logged("the certificate was read anew").await;
    tls(&addr, &first).await.expect_err("new handshakes get the new certificate");
    upgrade(&mut tls(&addr, &second).await.unwrap(), "pusher:connection_established").await;
    old.write_all(&ping()).await.unwrap();
    read_until(&mut old, "pusher:pong").await;
    // More than every buffer on the way holds, before the first of it is read.
    let (mut reader, mut writer) = tokio::io::split(tls(&addr, &second).await.unwrap());
    let mut both = tokio::io::join(&mut reader, &mut writer);
    upgrade(&mut both, r#":120}"}"#).await;
    let many = 20_000;
    writer.write_all(&ping().repeat(many)).await.unwrap();
    writer.flush().await.unwrap();
    let mut seen = vec![0; many * PONG_BYTES];
    timeout(PATIENCE, reader.read_exact(&mut seen)).await.expect("every pong comes").unwrap();
    assert!(seen.chunks(PONG_BYTES).all(|pong| pong.ends_with(protocol::frame::PONG.as_bytes())));
    // Whoever never begins its handshake is let go.
    assert_eq!(timeout(PATIENCE, mute.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    Socket::connect(&kabar.public, KEY).await;
}
