//! Who comes, and whether they may come in: what is decided before a socket is greeted.

use std::net::IpAddr;

use actix_http::RequestHead;
use actix_http::header;
use protocol::CloseCode;
use protocol::signature::SignedQuery;

use crate::connections::Admitted;
use crate::shard::Shard;
use crate::socket::Tenant;
use crate::subscribe::Question;

/// What a new socket is.
pub(crate) enum Arrival {
    /// Refused: it is told why.
    Refused(CloseCode),
    /// Of this app.
    Accepted(Welcome),
    /// No app: an echo.
    Echo,
}

/// A socket that may come in.
pub(crate) struct Welcome {
    pub(crate) tenant: Tenant,
    pub(crate) admitted: Admitted,
    /// To be signed in by its answer before it is greeted.
    pub(crate) question: Option<Question>,
}

/// What is known of a peer before it is a socket.
pub(crate) struct Visitor<'a> {
    query: SignedQuery<'a>,
    /// A token that came in a header.
    token: Option<String>,
    address: Option<IpAddr>,
    origin: Option<&'a str>,
}

impl Shard {
    /// Reads a request's query and headers.
    pub(crate) fn visitor<'a>(&self, head: &'a RequestHead, token: Option<String>) -> Visitor<'a> {
        Visitor {
            query: SignedQuery::parse("GET", head.uri.path(), head.uri.query().unwrap_or_default()),
            token,
            address: self.inner.shared.config().trusted_proxies.client(head),
            // An origin that is no text is still one, and none that anybody allows.
            origin: head.headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()),
        }
    }

    /// Lets a visitor in to the app of this key, or says why not.
    pub(crate) fn arrival(&self, key: &str, visitor: Visitor<'_>) -> Arrival {
        match self.welcome(key, visitor) {
            Ok(welcome) => Arrival::Accepted(welcome),
            Err(code) => Arrival::Refused(code),
        }
    }

    fn welcome(&self, key: &str, visitor: Visitor<'_>) -> Result<Welcome, CloseCode> {
        let Visitor { query, token, address, origin } = visitor;
        let shared = &self.inner.shared;
        let live = shared.apps.live_by_key(key).ok_or(CloseCode::UNKNOWN_APP)?;
        let app = live.load_full();
        if !app.policy.enabled {
            return Err(CloseCode::DISABLED_APP);
        }
        match query.get("protocol").map(str::parse::<i64>) {
            None => return Err(CloseCode::NO_VERSION),
            Some(Err(_)) => return Err(CloseCode::INVALID_VERSION),
            Some(Ok(5..=7)) => {}
            Some(Ok(_)) => return Err(CloseCode::UNSUPPORTED_VERSION),
        }
        if !app.policy.allows_origin(origin) {
            return Err(CloseCode::UNAUTHORIZED);
        }
        let space = shared.directory.space(&live);
        let admitted = Admitted::count(&space, &app.policy, address)?;
        let in_query = || query.get("token").filter(|_| shared.config().token_in_query).map(str::to_owned);
        let question = match (token.or_else(in_query), query.get("ticket")) {
            (Some(token), _) => Some(Question::Token { app: app.clone(), token, at_connect: true }),
            (None, Some(ticket)) => Some(Question::Ticket { app: app.clone(), ticket: ticket.to_owned() }),
            (None, None) => None,
        };
        Ok(Welcome { tenant: Tenant { space }, admitted, question })
    }
}
