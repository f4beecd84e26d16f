//! SMTP: email by any mail server, without a vendor between.
//!
//! lettre speaks the protocol and writes the message. The connections are kept here: lettre's own pool takes back one
//! that was abandoned half way, whose late answers would then be taken for those of the next message.

mod message;
mod server;
mod session;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::transport::smtp::client::AsyncSmtpConnection;
use protocol::notification::{FailureClass, Transport};
use secrecy::SecretString;

pub use self::message::{Dkim, DkimAlgorithm};
pub use self::server::InvalidServer;
use self::server::Server;
use self::session::Phase;
use crate::address::{Address, EmailAddress};
use crate::outgoing::Outgoing;
use crate::provider::{Dedup, Outcome, Provider, Sending};

/// How long a connection is kept for the next message; mail servers wait for five minutes (RFC 5321, 4.5.3.2.7).
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a kept connection's `NOOP` and a refused one's `QUIT` may take.
const COURTESY_MAX: Duration = Duration::from_secs(1);

/// How to reach a mail server.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// `smtps://user:password@host` (TLS, port 465), `smtp://…` (STARTTLS or nothing, port 587), or
    /// `smtp://…?tls=none` (never encrypted, port 25). User and password are percent-encoded. A path is the name that
    /// is said at `EHLO`, instead of the sender's domain.
    pub url: SecretString,
    /// Certificates (PEM) that are trusted beside the system's.
    pub trusted: Vec<String>,
    /// Who sends.
    pub from: EmailAddress,
    /// For one message, from connecting to the last answer.
    pub deadline: Duration,
    /// How many connections are kept while nothing is sent.
    pub idle_connections_max: usize,
    /// What messages are signed with, where the mail server does not sign them itself.
    pub dkim: Option<Dkim>,
}

/// Why there can be no such provider.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSmtp {
    /// The URL.
    #[error(transparent)]
    Server(#[from] InvalidServer),
    /// The DKIM key.
    #[error("the DKIM key is none: PKCS #1 PEM for RSA, base64 of 32 bytes for Ed25519")]
    Dkim,
}

/// Email by SMTP.
pub struct Smtp {
    name: String,
    server: Server,
    writer: message::Writer,
    deadline: Duration,
    idle_max: usize,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidSmtp`].
    pub fn new(config: Config) -> Result<Self, InvalidSmtp> {
        // Another part of the program may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            server: Server::new(&config.url, &config.trusted, config.from.address().domain())?,
            writer: message::Writer::new(config.from, config.dkim)?,
            name: config.name,
            deadline: config.deadline,
            idle_max: config.idle_connections_max,
            idle: Mutex::new(Vec::new()),
        })
    }

    async fn mail(&self, outgoing: &Outgoing) -> Outcome {
        let Address::Email(to) = &outgoing.to else { return Outcome::wrong_address("email addresses") };
        let Some(written) = self.writer.write(outgoing, to) else {
            return Outcome::failed(FailureClass::PermanentMessage, "it cannot be written as an email");
        };
        let (mut phase, mut connection) = (Phase::Connect, None);
        let exchange = self.exchange(&written, &mut phase, &mut connection);
        let exchange = tokio::time::timeout(self.deadline, exchange).await;
        let hidden = [to.as_str(), self.server.user(), self.server.password()];
        match (exchange, connection) {
            (Ok(Ok(said)), connection) => {
                connection.into_iter().for_each(|connection| self.keep(connection));
                let note = (!said.is_empty()).then(|| crate::redact::redact(&said, &hidden));
                Outcome::Sent { message_id: Some(written.message_id), note }
            }
            (Ok(Err(refused)), connection) => {
                // What was said is known already: a farewell that is not answered changes nothing.
                if let Some(mut connection) = connection {
                    let _ = tokio::time::timeout(COURTESY_MAX, connection.abort()).await;
                }
                session::failure(phase, &refused, &hidden)
            }
            // The connection goes without a word: half an exchange is on it.
            (Err(_), _) => session::late(phase),
        }
    }

    /// Leaves the connection in its place whatever happens, so that whoever calls decides what becomes of it.
    async fn exchange(
        &self,
        mail: &message::Written,
        phase: &mut Phase,
        place: &mut Option<AsyncSmtpConnection>,
    ) -> Result<String, session::Refused> {
        let connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.server.connect(phase).await?,
        };
        session::send(place.insert(connection), mail, phase).await
    }

    /// A connection that is still there, if one was kept.
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut connection, since) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let answers = tokio::time::timeout(COURTESY_MAX, connection.test_connected());
            if since.elapsed() < IDLE_MAX && answers.await == Ok(true) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.has_broken() && idle.len() < self.idle_max {
            idle.push((connection, Instant::now()));
        }
    }
}

impl Provider for Smtp {
    fn name(&self) -> &str {
        &self.name
    }

    fn transport(&self) -> Transport {
        Transport::Email
    }

    /// The `Message-ID` is the delivery's: what comes twice can be recognised, and many mailboxes do.
    fn dedup(&self) -> Dedup {
        Dedup::Soft
    }

    fn send<'a>(&'a self, outgoing: &'a Outgoing) -> Sending<'a> {
        Box::pin(self.mail(outgoing))
    }
}
