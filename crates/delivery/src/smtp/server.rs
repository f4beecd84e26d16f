//! Which mail server, and how to get through to it.

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::session::{Phase, Refused};

/// A URL that names no mail server. It is not repeated: there is a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServer {
    /// No such URL.
    #[error("a mail server is smtps://user:password@host, smtp://… (STARTTLS) or smtp://…?tls=none")]
    Url,
    /// User or password.
    #[error("user and password of a mail server come together, percent-encoded UTF-8")]
    Credentials,
    /// The certificates.
    #[error("what is to be trusted beside the system's certificates is no certificate")]
    Certificate,
}

/// When TLS begins.
enum Tls {
    Never,
    /// By STARTTLS, before anything else is said.
    Asked(TlsParameters),
    AtOnce(TlsParameters),
}

pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    hello: ClientId,
    user: String,
    password: SecretString,
}

impl Server {
    pub(super) fn new(url: &SecretString, trusted: &[String], domain: &str) -> Result<Self, InvalidServer> {
        let url = Url::parse(url.expose_secret()).map_err(|_| InvalidServer::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidServer::Url)?.to_owned();
        let options: Vec<_> = url.query_pairs().collect();
        let options: Vec<_> = options.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        let (tls, port) = match (url.scheme(), options.as_slice()) {
            ("smtps", []) => (Tls::AtOnce(parameters(&host, trusted)?), 465),
            ("smtp", [] | [("tls", "required")]) => (Tls::Asked(parameters(&host, trusted)?), 587),
            ("smtp", [("tls", "none")]) => (Tls::Never, 25),
            _ => return Err(InvalidServer::Url),
        };
        let decode = |text: &str| {
            percent_decode(text).filter(|text| !text.contains(['\0', '\r', '\n'])).ok_or(InvalidServer::Credentials)
        };
        let user = decode(url.username())?;
        let password = decode(url.password().unwrap_or_default())?;
        if user.is_empty() != password.is_empty() {
            return Err(InvalidServer::Credentials);
        }
        let hello = match url.path().trim_matches('/') {
            "" => domain,
            name => name,
        };
        let hello = ClientId::Domain(hello.to_owned());
        // Between brackets an IPv6 address is no name.
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port().unwrap_or(port), tls, hello, user, password: password.into() })
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose_secret()
    }

    pub(super) async fn connect(&self, phase: &mut Phase) -> Result<AsyncSmtpConnection, Refused> {
        let address = (self.host.as_str(), self.port);
        let wrapped = match &self.tls {
            Tls::AtOnce(parameters) => Some(parameters.clone()),
            _ => None,
        };
        // The deadline of the whole bounds this too.
        let mut connection = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, wrapped, None).await?;
        if let Tls::Asked(parameters) = &self.tls {
            if !connection.can_starttls() {
                return Err(Refused::NoTls);
            }
            connection.starttls(parameters.clone(), &self.hello).await?;
        }
        if !self.user.is_empty() {
            *phase = Phase::Auth;
            let credentials = Credentials::new(self.user.clone(), self.password.expose_secret().to_owned());
            if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
                return Err(Refused::NoAuth);
            }
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }
}

fn parameters(host: &str, trusted: &[String]) -> Result<TlsParameters, InvalidServer> {
    let mut builder = TlsParameters::builder(host.trim_matches(['[', ']']).to_owned());
    for pem in trusted {
        let certificate = Certificate::from_pem(pem.as_bytes()).map_err(|_| InvalidServer::Certificate)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|_| InvalidServer::Certificate)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        bytes.push(match first {
            b'%' => {
                let code = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(code, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_how_to_get_through() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = |url: &str| Server::new(&url.into(), &[], "a.example");
        for (url, host, port, user, password) in [
            ("smtps://u%40a:p%2Fw@mail.example", "mail.example", 465, "u@a", "p/w"),
            ("smtp://u:p@mail.example", "mail.example", 587, "u", "p"),
            ("smtp://mail.example:2525?tls=required", "mail.example", 2525, "", ""),
            ("smtp://127.0.0.1?tls=none", "127.0.0.1", 25, "", ""),
            ("smtp://[::1]:26?tls=none", "::1", 26, "", ""),
        ] {
            let server = server(url).unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port));
            assert_eq!((server.user(), server.password()), (user, password));
        }
        assert!(matches!(server("smtps://a.example").unwrap().tls, Tls::AtOnce(_)));
        assert!(matches!(server("smtp://a.example").unwrap().tls, Tls::Asked(_)));
        for bad in [
            "",
            "mail.example",
            "http://a.example",
            "smtp://",
            "smtp://a.example?tls=opportunistic",
            "smtps://a.example?tls=none",
        ] {
            assert_eq!(server(bad).err(), Some(InvalidServer::Url), "{bad}");
        }
        for bad in ["smtp://u@a.example", "smtp://:p@a.example", "smtp://u:p%0d@a.example", "smtp://u:p%ff@a.example"] {
            assert_eq!(server(bad).err(), Some(InvalidServer::Credentials), "{bad}");
        }
    }
}
