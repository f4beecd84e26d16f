//! The other end of SMTP: speaks the protocol, keeps every message as it came, and stumbles where it is told.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Where it stumbles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Greeting,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// After the dot that ends the message.
    Content,
}

/// How.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// With this reply.
    Reply(&'static str),
    /// With this reply, and by saying nothing more.
    LastWords(&'static str),
    /// By closing the connection.
    Drop,
    /// By saying nothing more.
    Hang,
}

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    Start,
    Wrapped,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// Lines end as they were sent; dots are unstuffed.
    pub(crate) raw: String,
    pub(crate) encrypted: bool,
    pub(crate) user: Option<String>,
}

impl Mail {
    /// Headers unfolded, in their order.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let (head, _) = self.raw.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        assert!(!unfolded.replace("\r\n", "").contains(['\r', '\n', '\0']), "{unfolded:?}");
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        unfolded.split("\r\n").map(pair).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found: Vec<_> = self.headers().into_iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).collect();
        assert!(found.len() < 2, "{found:?}");
        found.into_iter().next().map(|(_, value)| value)
    }
}

#[derive(Default)]
struct Seen {
    mails: Vec<Mail>,
    connections: usize,
    stumbles: Vec<(At, How)>,
}

/// One that listens until it is dropped.
pub(crate) struct SmtpDouble {
    pub(crate) port: u16,
    pub(crate) certificate: String,
    seen: Arc<Mutex<Seen>>,
    _listening: JoinSet<()>,
}

impl SmtpDouble {
    /// Each stumble happens once, on the first occasion.
    pub(crate) async fn new(tls: Tls, stumbles: impl IntoIterator<Item = (At, How)>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen { stumbles: stumbles.into_iter().collect(), ..Seen::default() }));
        let shared = Arc::clone(&seen);
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.lock().unwrap().connections += 1;
                let (seen, acceptor) = (Arc::clone(&shared), acceptor.clone());
                connections.spawn(async move {
                    match tls {
                        Tls::Wrapped => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            Session::new(stream, &seen, true).run(true, false).await;
                        }
                        Tls::None => drop(Session::new(stream, &seen, false).run(true, false).await),
                        Tls::Start => {
                            let Some(stream) = Session::new(stream, &seen, false).run(true, true).await else { return };
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            Session::new(stream, &seen, true).run(false, false).await;
                        }
                    }
                });
            }
        });
        Self { port, certificate: cert.pem(), seen, _listening: listening }
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.seen.lock().unwrap().mails.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

struct Session<'a, S> {
    stream: BufReader<S>,
    seen: &'a Mutex<Seen>,
    encrypted: bool,
    user: Option<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(stream: S, seen: &'a Mutex<Seen>, encrypted: bool) -> Self {
        Self { stream: BufReader::new(stream), seen, encrypted, user: None }
    }

    /// Until the client is gone; the stream back where TLS is to start.
    async fn run(mut self, greet: bool, starttls: bool) -> Option<S> {
        let (mut from, mut to) = (String::new(), Vec::new());
        if greet {
            self.reply(At::Greeting, "220 mx.example ready").await?;
        }
        loop {
            let line = self.line().await?;
            let upper = line.to_uppercase();
            if upper.starts_with("EHLO ") {
                let starttls = if starttls { "250-STARTTLS\r\n" } else { "" };
                self.say(&format!("250-mx.example\r\n{starttls}250-8BITMIME\r\n250 AUTH PLAIN LOGIN")).await?;
            } else if starttls && upper == "STARTTLS" {
                self.say("220 go ahead").await?;
                return Some(self.stream.into_inner());
            } else if let Some(initial) = line.strip_prefix("AUTH PLAIN ") {
                let plain = String::from_utf8(STANDARD.decode(initial).unwrap()).unwrap();
                self.reply(At::Auth, "235 2.7.0 welcome").await?;
                self.user = Some(plain.replace('\0', " ").trim().to_owned());
            } else if let Some(path) = line.strip_prefix("MAIL FROM:") {
                from = path.to_owned();
                self.reply(At::Mail, "250 2.1.0 ok").await?;
            } else if let Some(path) = line.strip_prefix("RCPT TO:") {
                to.push(path.to_owned());
                self.reply(At::Rcpt, "250 2.1.5 ok").await?;
            } else if upper == "DATA" {
                self.reply(At::Data, "354 go ahead").await?;
                let raw = self.content().await?;
                let mail = Mail {
                    from: from.clone(),
                    to: std::mem::take(&mut to),
                    raw,
                    encrypted: self.encrypted,
                    user: self.user.clone(),
                };
                self.seen.lock().unwrap().mails.push(mail);
                self.reply(At::Content, "250 2.0.0 queued as 4AB").await?;
            } else if upper == "QUIT" {
                self.say("221 bye").await?;
                return None;
            } else if upper == "NOOP" || upper == "RSET" {
                self.say("250 ok").await?;
            } else {
                self.say("500 what").await?;
            }
        }
    }

    /// The reply that belongs here, or what was planned for it; after a refused DATA, the next command is read.
    async fn reply(&mut self, at: At, usual: &str) -> Option<()> {
        let planned = {
            let mut seen = self.seen.lock().unwrap();
            let place = seen.stumbles.iter().position(|(place, _)| *place == at);
            place.map(|place| seen.stumbles.remove(place).1)
        };
        match planned {
            None => self.say(usual).await,
            Some(How::Reply(reply)) => {
                self.say(reply).await?;
                // A client that was refused says something else next, which here means that it goes away.
                (at == At::Content).then_some(())
            }
            Some(How::LastWords(reply)) => {
                self.say(reply).await?;
                std::future::pending().await
            }
            Some(How::Drop) => None,
            Some(How::Hang) => std::future::pending().await,
        }
    }

    async fn say(&mut self, reply: &str) -> Option<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        self.stream.flush().await.ok()
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    }

    async fn content(&mut self) -> Option<String> {
        let mut raw = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            assert!(line.ends_with("\r\n"), "a bare line feed: {line:?}");
            match line.strip_prefix('.') {
                Some("\r\n") => return Some(raw),
                Some(stuffed) => raw.push_str(stuffed),
                None => raw.push_str(&line),
            }
        }
    }
}
