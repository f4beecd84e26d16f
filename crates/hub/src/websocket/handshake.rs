//! The opening handshake (RFC 6455, 4.2), from a request that the HTTP side has parsed.

use actix_http::RequestHead;
use actix_http::header::{self, HeaderMap, HeaderName};
use base64::Engine;
use bytes::Bytes;
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol that stands for itself; beside it a token may be offered.
const SUBPROTOCOL: &str = "kabar";
const TOKEN_PREFIX: &str = "kabar.jwt.";

/// A handshake that was accepted.
pub(crate) struct Handshake {
    /// The `101` answer, whole.
    pub(crate) response: Bytes,
    /// The token of a subprotocol `kabar.jwt.<token>`.
    pub(crate) token: Option<String>,
}

/// Checks the request.
///
/// # Errors
/// The status and the text of the HTTP answer that refuses it.
pub(crate) fn accept(head: &RequestHead) -> Result<Handshake, (u16, &'static str)> {
    let headers = &head.headers;
    if head.method != actix_http::Method::GET {
        return Err((405, "a WebSocket handshake is a GET"));
    }
    if !has_token(headers, &header::UPGRADE, "websocket") || !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err((426, "this path speaks WebSocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        return Err((426, "WebSocket version 13 is needed"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(header::HeaderValue::as_bytes).unwrap_or_default();
    if base64::engine::general_purpose::STANDARD.decode(key).map(|nonce| nonce.len()) != Ok(16) {
        return Err((400, "Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let accept = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = base64::engine::general_purpose::STANDARD.encode(accept);
    let (chosen, token) = subprotocol(headers);
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n"
    );
    if let Some(chosen) = chosen {
        response.push_str("sec-websocket-protocol: ");
        response.push_str(&chosen);
        response.push_str("\r\n");
    }
    response.push_str("\r\n");
    Ok(Handshake { response: response.into(), token })
}

/// Browsers fail a connection whose offer of subprotocols is not answered with one of them. `kabar` is preferred, so
/// that the token is not repeated; other names are nothing that the protocol knows, and none is chosen.
fn subprotocol(headers: &HeaderMap) -> (Option<String>, Option<String>) {
    let offered: Vec<&str> = list(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
    let with_token = offered.iter().find(|name| name.starts_with(TOKEN_PREFIX));
    let chosen = offered.iter().find(|name| **name == SUBPROTOCOL).or(with_token);
    (chosen.map(ToString::to_string), with_token.map(|name| name[TOKEN_PREFIX.len()..].to_owned()))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',').map(str::trim))
}
