//! Sockets over plain HTTP, for where no WebSocket gets through: XHR as pusher-js falls back to it, and server-sent
//! events for those who only listen.
//!
//! A session is a socket of a shard like any other. Its stream is the socket's end of a [`Pipe`]: frames that the
//! socket writes become lines for whatever request receives, and what requests send is heard as frames of a client.
//!
//! ```text
//! POST [/pusher]/app/KEY/SERVER/SESSION/xhr_streaming   lines for as long as the response lasts
//! POST [/pusher]/app/KEY/SERVER/SESSION/xhr             the lines that wait, or come soon
//! POST [/pusher]/app/KEY/SERVER/SESSION/xhr_send        a JSON array of frames
//! GET  [/pusher]/app/KEY/sse?channels=a,b               events of these channels
//! ```

mod lines;
mod pipe;
mod positions;
mod receive;
mod session;

use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::{Method, RequestHead, Response, ResponseBuilder, StatusCode, header};
use bytes::Bytes;
use protocol::CloseCode;
use protocol::signature::SignedQuery;
use serde_json::json;

pub(crate) use session::{Session, Sessions};

use crate::arrival::Arrival;
use crate::shard::Shard;
use crate::websocket;
use pipe::Pipe;
use positions::Positions;
use receive::Receive;

/// How long sent frames wait for a socket that has enough to read.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// Characters of an app's key, and of each of the two parts of a session's name.
const NAME_CHARS_MAX: usize = 64;

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Streaming(&'a str, (&'a str, &'a str)),
    Polling(&'a str, (&'a str, &'a str)),
    Send(&'a str, (&'a str, &'a str)),
    Events(&'a str),
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/pusher").unwrap_or(path).strip_prefix("/app/")?;
        let mut parts = path.split('/');
        let (key, next) = (parts.next()?, parts.next()?);
        if next == "sse" && parts.next().is_none() {
            return Some(Self::Events(key));
        }
        let name = (next, parts.next()?);
        let fits = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=NAME_CHARS_MAX).contains(&part.len()) && part.bytes().all(plain)
        };
        match (fits(key) && fits(name.0) && fits(name.1), parts.next()?, parts.next()) {
            (true, "xhr_streaming", None) => Some(Self::Streaming(key, name)),
            (true, "xhr", None) => Some(Self::Polling(key, name)),
            (true, "xhr_send", None) => Some(Self::Send(key, name)),
            _ => None,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Events(_) => Method::GET,
            _ => Method::POST,
        }
    }
}

impl Shard {
    /// The longest body that [`Shard::fallback`] takes: a message of the longest kind, its JSON escaped once more.
    pub fn fallback_body_bytes_max(&self) -> usize {
        2 * self.inner.shared.config().message_bytes_max + 1024
    }

    /// Answers a request under `/app/` or `/pusher/app/` that is no upgrade; `body` is all of its body. A session is
    /// made by its first receive request and belongs to this shard then; later requests may come to any.
    pub async fn fallback(&self, head: &RequestHead, body: Bytes) -> Response<BoxBody> {
        let Some(target) = Target::of(head.uri.path()) else {
            return refused(StatusCode::NOT_FOUND, "nothing is here");
        };
        if head.method == Method::OPTIONS {
            return preflight(&target);
        }
        if head.method != target.method() {
            let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "another method is needed");
            let allow = header::HeaderValue::from_str(target.method().as_str());
            allow.into_iter().for_each(|allow| drop(response.headers_mut().insert(header::ALLOW, allow)));
            return response;
        }
        match target {
            Target::Streaming(key, name) => self.receive(head, key, name, false),
            Target::Polling(key, name) => self.receive(head, key, name, true),
            Target::Send(key, name) => self.send_all(key, name, &body).await,
            Target::Events(key) => self.events(head, key),
        }
    }

    fn receive(&self, head: &RequestHead, key: &str, name: (&str, &str), once: bool) -> Response<BoxBody> {
        let shared = &self.inner.shared;
        let (pipe, made) = shared.sessions.find_or_make(shared, session_name(key, name));
        let receive = Receive::new(Arc::clone(&pipe), once, self.heartbeat());
        match made {
            Some(session) => {
                let arrival = self.arrival(key, self.visitor(head, None));
                self.adopt(session.into(), Bytes::new(), Vec::new(), arrival);
            }
            None => pipe.heard(),
        }
        answer(StatusCode::OK).content_type("application/javascript; charset=utf-8").body(receive).map_into_boxed_body()
    }

    async fn send_all(&self, key: &str, name: (&str, &str), body: &[u8]) -> Response<BoxBody> {
        let Some(pipe) = self.inner.shared.sessions.find(&session_name(key, name)) else {
            return refused(StatusCode::NOT_FOUND, "there is no such session");
        };
        let Ok(texts) = serde_json::from_slice::<Vec<String>>(body) else {
            return refused(StatusCode::BAD_REQUEST, "the body must be a JSON array of strings");
        };
        // An empty array is how pusher-js says that it is there.
        if texts.is_empty() {
            pipe.heard();
        } else if !pipe.send(&texts, SEND_PATIENCE).await {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "the session takes nothing");
        }
        answer(StatusCode::NO_CONTENT).finish().map_into_boxed_body()
    }

    fn events(&self, head: &RequestHead, key: &str) -> Response<BoxBody> {
        let arrival = self.arrival(key, self.visitor(head, None));
        // A browser that reads events comes back for ever, unless the status tells it not to.
        if let Arrival::Refused(code) = arrival {
            return refused(status_of(code), code.reason);
        }
        let query = SignedQuery::parse("GET", head.uri.path(), head.uri.query().unwrap_or_default());
        let last_id = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let last_id = last_id.or_else(|| query.get("last_event_id")).unwrap_or_default();
        let channels = query.get("channels").unwrap_or_default().split(',').filter(|channel| !channel.is_empty());
        let positions = Positions::new(channels.clone(), last_id);
        let mut subscribes = Vec::new();
        for channel in channels {
            let data = json!({ "channel": channel, "recover": positions.recover(channel) });
            let frame = json!({"event": "pusher:subscribe", "data": data}).to_string();
            websocket::client_frame(websocket::TEXT, frame.as_bytes(), &mut subscribes);
        }
        let pipe = Pipe::for_events(positions);
        let receive = Receive::new(Arc::clone(&pipe), false, self.heartbeat());
        self.adopt(Session::unlisted(pipe).into(), Bytes::new(), subscribes, arrival);
        answer(StatusCode::OK).content_type("text/event-stream").body(receive).map_into_boxed_body()
    }

    /// Peers of sessions are heard of as often as they get heartbeats: that must be before they count as silent.
    fn heartbeat(&self) -> Duration {
        let config = self.inner.shared.config();
        config.session_heartbeat.min(config.activity_timeout)
    }
}

fn session_name(key: &str, (server, session): (&str, &str)) -> session::Name {
    (key.to_owned(), format!("{server}/{session}"))
}

fn status_of(code: CloseCode) -> StatusCode {
    match code {
        CloseCode::UNKNOWN_APP => StatusCode::NOT_FOUND,
        CloseCode::DISABLED_APP | CloseCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        CloseCode::OVER_QUOTA | CloseCode::TOO_MANY_OF_ADDRESS => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Any origin may ask: what a page may do is a matter of keys and signatures, never of cookies.
fn answer(status: StatusCode) -> ResponseBuilder {
    let mut response = Response::build(status);
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // nginx would keep lines back until its buffer is full.
        .insert_header(("x-accel-buffering", "no"));
    response
}

fn refused(status: StatusCode, text: &'static str) -> Response<BoxBody> {
    answer(status).content_type("text/plain; charset=utf-8").body(text).map_into_boxed_body()
}

fn preflight(target: &Target<'_>) -> Response<BoxBody> {
    let mut response = answer(StatusCode::NO_CONTENT);
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, target.method().as_str()))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, cache-control, last-event-id"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"));
    response.finish().map_into_boxed_body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_with_pusher_before_it_and_without() {
        assert_eq!(Target::of("/pusher/app/k/7/abc/xhr_streaming"), Some(Target::Streaming("k", ("7", "abc"))));
        assert_eq!(Target::of("/app/k/7/abc/xhr"), Some(Target::Polling("k", ("7", "abc"))));
        assert_eq!(Target::of("/app/k/7/abc/xhr_send"), Some(Target::Send("k", ("7", "abc"))));
        assert_eq!(Target::of("/app/k/sse"), Some(Target::Events("k")));
        let long = format!("/app/k/7/{}/xhr", "x".repeat(65));
        for bad in ["/app/k", "/app/k/7/abc", "/app/k/7//xhr", "/app/k/7/a.b/xhr", "/app/k/7/abc/xhr/", "/x/app/k/sse"]
        {
            assert_eq!(Target::of(bad), None, "{bad}");
        }
        assert_eq!(Target::of(&long), None);
    }
}
