//! Bodies of signed requests: read within their limit, and what they may hold.

use std::borrow::Cow;
use std::pin::Pin;

use actix_http::Payload;
use actix_http::header::{CONTENT_LENGTH, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use protocol::SocketId;
use serde::Deserialize;

use super::answer::Refused;

/// The longest body of a refused request that is read to its end.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// The whole body. One that came in a single piece is not copied; one that says it is too long is not read.
pub(super) async fn read(headers: &HeaderMap, payload: &mut Payload, bytes_max: usize) -> Result<Bytes, Refused> {
    let too_large = || {
        let text = format!(
            "The body of this request exceeds the allowed maximum ({bytes_max} bytes). \
             See http.publish_body_bytes_max in docs/configuration.md"
        );
        Refused::TooLarge(text)
    };
    let said = length(headers);
    if said.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(piece) = Pin::new(&mut *payload).next().await {
        let piece = piece.map_err(|error| Refused::bad(format!("The body could not be read: {error}")))?;
        if first.len().max(joined.len()) + piece.len() > bytes_max {
            return Err(too_large());
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(said.unwrap_or(0).max(first.len() + piece.len()));
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// Whether the body says that it is so short that a refusal need not end the connection.
pub(super) fn is_short(headers: &HeaderMap) -> bool {
    length(headers).is_some_and(|bytes| bytes <= DISCARDED_BYTES_MAX)
}

/// Reads what is left of a body and keeps nothing of it.
pub(super) async fn discard(payload: &mut Payload) {
    while let Some(Ok(_)) = Pin::new(&mut *payload).next().await {}
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a JSON body.
pub(super) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::bad(format!("The body is not valid: {error}")))
}

/// Text that is borrowed from the body where nothing in it is escaped. serde borrows a `Cow` only as a field of its own.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'b>(#[serde(borrow)] pub(super) Cow<'b, str>);

/// `channels`, or `channel` as an older form.
#[derive(Deserialize)]
pub(super) struct Event<'b> {
    #[serde(borrow)]
    pub(super) name: Cow<'b, str>,
    #[serde(borrow)]
    pub(super) data: Cow<'b, str>,
    #[serde(borrow, default)]
    pub(super) channels: Option<Vec<Text<'b>>>,
    #[serde(borrow, default)]
    pub(super) channel: Option<Text<'b>>,
    #[serde(default)]
    pub(super) socket_id: Option<SocketId>,
    #[serde(borrow, default)]
    pub(super) info: Option<Text<'b>>,
}

/// Several events, one channel each.
#[derive(Deserialize)]
pub(super) struct Batch<'b> {
    #[serde(borrow)]
    pub(super) batch: Vec<Event<'b>>,
}
