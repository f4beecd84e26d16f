//! The other end of HTTP: keeps every request as it came, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What becomes of one request.
#[derive(Clone)]
pub(crate) enum Script {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Read, and never answered.
    Hang,
    /// Read, and the connection closed.
    Cut,
    /// The status, then a body that says how long it is and ends before.
    Half(u16),
    /// The status, then a body of which a byte comes now and then, for ever.
    Drip(u16),
}

/// JSON with a status.
pub(crate) fn json(status: u16, body: &str) -> Script {
    Script::Answer(status, vec![("Content-Type", "application/json".into())], body.into())
}

/// HTML with a status.
pub(crate) fn html(status: u16) -> Script {
    let page = "<html><head><title>Just a moment…</title></head></html>";
    Script::Answer(status, vec![("Content-Type", "text/html".into())], page.into())
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        first
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Seen {
    scripts: VecDeque<Script>,
    requests: Vec<Request>,
}

/// One that listens until it is dropped.
pub(crate) struct HttpDouble {
    pub(crate) url: String,
    /// What is to be trusted to reach it by TLS.
    pub(crate) certificate: Option<String>,
    seen: Arc<Mutex<Seen>>,
    _listening: JoinSet<()>,
}

impl HttpDouble {
    pub(crate) async fn plain(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::listen(scripts, None).await
    }

    pub(crate) async fn tls(scripts: impl IntoIterator<Item = Script>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        Self::listen(scripts, Some((TlsAcceptor::from(Arc::new(config)), cert.pem()))).await
    }

    async fn listen(scripts: impl IntoIterator<Item = Script>, tls: Option<(TlsAcceptor, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen { scripts: scripts.into_iter().collect(), requests: vec![] }));
        let (acceptor, certificate) = tls.unzip();
        let mut listening = JoinSet::new();
        let shared = Arc::clone(&seen);
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, acceptor) = (Arc::clone(&shared), acceptor.clone());
                connections.spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &seen).await;
                            }
                        }
                        None => serve(stream, &seen).await,
                    }
                });
            }
        });
        Self { url, certificate, seen, _listening: listening }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// The only request there was.
    pub(crate) fn request(&self) -> Request {
        let [request] = self.requests().try_into().unwrap();
        request
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Mutex<Seen>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let script = {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(request);
            seen.scripts.pop_front().expect("a request that nobody expected")
        };
        let (status, headers, body, length) = match script {
            Script::Answer(status, headers, body) => (status, headers, body.clone(), body.len()),
            Script::Half(status) => (status, vec![], b"{\"success\":true".to_vec(), 100),
            Script::Drip(status) => (status, vec![], b"{".to_vec(), 1_000_000),
            Script::Hang => std::future::pending().await,
            Script::Cut => return,
        };
        let mut head = format!("HTTP/1.1 {status} Something\r\nContent-Length: {length}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let head = if status == 204 { "HTTP/1.1 204 No Content\r\n\r\n".to_owned() } else { head + "\r\n" };
        // Whoever asked may have hung up.
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
            return;
        }
        let _ = stream.flush().await;
        match length {
            1_000_000 => {
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                    ticks.tick().await;
                }
                return;
            }
            length if length != body.len() => return,
            _ => {}
        }
    }
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut request = Request { method, path, headers, body: vec![] };
    let length = request.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}
