//! A bare WebSocket that awaits frames.
//!
//! Every wait ends after [`PATIENCE`]; a panic then names what was awaited and every frame that came.

use std::fmt::{Debug, Display};
use std::ops::Index;
use std::time::Duration;

use client::bare::{Frame, WebSocket, WebSocketError};
use protocol::{Signer, SocketId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything awaited may take. Generous: it is only ever used up by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A socket of a Pusher-protocol server, one frame at a time.
pub struct Socket {
    ws: WebSocket,
    id: Option<SocketId>,
    // What came so far, for the panic of a wait that fails.
    seen: Vec<String>,
}

/// A frame that came. `event["key"]` looks into its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's name.
    pub event: String,
    /// The channel it was for.
    pub channel: Option<String>,
    /// The data; where the frame has a string that holds JSON, what it holds.
    pub data: Value,
    /// Who sent a client event on a presence channel.
    pub user_id: Option<String>,
    /// The frame as it came.
    pub frame: Value,
}

impl Index<&str> for Event {
    type Output = Value;
    fn index(&self, key: &str) -> &Value {
        &self.data[key]
    }
}

impl Event {
    fn read(text: &str) -> Self {
        let frame: Value =
            serde_json::from_str(text).unwrap_or_else(|e| panic!("a frame that is no JSON ({e}): {text}"));
        let string = |key: &str| frame[key].as_str().map(str::to_owned);
        let data = match &frame["data"] {
            Value::String(inner) => serde_json::from_str(inner).unwrap_or_else(|_| Value::String(inner.clone())),
            data => data.clone(),
        };
        let event = string("event").unwrap_or_else(|| panic!("a frame without an event: {text}"));
        Self { event, channel: string("channel"), data, user_id: string("user_id"), frame }
    }
}

impl Socket {
    /// Connects as any Pusher client does and awaits `pusher:connection_established`. `addr` is `host:port`.
    pub async fn connect(addr: impl Display, app_key: &str) -> Self {
        let path = format!("/app/{app_key}?protocol=7&client=testkit&version=1.0");
        let mut socket = Self::connect_with(addr, &path, &[]).await;
        socket.established().await;
        socket
    }

    /// Connects to any path and awaits nothing: see [`Socket::established`] and [`Socket::expect_close`].
    pub async fn connect_with(addr: impl Display, path_and_query: &str, subprotocols: &[&str]) -> Self {
        let opened = Self::try_connect_with(addr, path_and_query, subprotocols).await;
        opened.unwrap_or_else(|e| panic!("no socket at {path_and_query}: {e:?}"))
    }

    /// As [`Socket::connect_with`], where the server may well refuse.
    pub async fn try_connect_with(
        addr: impl Display,
        path_and_query: &str,
        subprotocols: &[&str],
    ) -> Result<Self, WebSocketError> {
        let url = format!("ws://{addr}{path_and_query}");
        let connected = timeout(PATIENCE, WebSocket::connect(&url, subprotocols)).await;
        let ws = connected.unwrap_or_else(|_| panic!("{url} did not open within {PATIENCE:?}"))?;
        Ok(Self { ws, id: None, seen: Vec::new() })
    }

    /// Awaits `pusher:connection_established` and keeps the socket id.
    pub async fn established(&mut self) -> Event {
        let event = self.expect_event("pusher:connection_established").await;
        let id = event["socket_id"].as_str().and_then(|text| text.parse().ok());
        self.id = Some(id.unwrap_or_else(|| panic!("no socket id in {event:?}")));
        event
    }

    /// The socket's id. Panics before [`Socket::established`].
    pub fn id(&self) -> SocketId {
        self.id.expect("connection_established was awaited")
    }

    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.ws.subprotocol()
    }

    /// Sends a frame.
    pub async fn send_json(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends text, a frame or not.
    pub async fn send_text(&mut self, text: &str) {
        self.ws.send_text(text).await.unwrap_or_else(|e| panic!("could not send {text:.200}: {e:?}"));
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.ws.send_binary(bytes).await.expect("the socket is open");
    }

    /// Sends a ping of the WebSocket protocol (RFC 6455, 5.5.2), not of Pusher's.
    pub async fn send_ws_ping(&mut self, payload: &[u8]) {
        self.ws.send_ping(payload).await.expect("the socket is open");
    }

    /// Writes bytes beneath the framing, as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.ws.send_raw(bytes).await.expect("the socket is open");
    }

    /// Sends a client event.
    pub async fn send_event(&mut self, channel: &str, event: &str, data: Value) {
        self.send_json(json!({"event": event, "channel": channel, "data": data})).await;
    }

    /// Sends a `pusher:signin` with a user's JWT and awaits the server's word that it holds.
    pub async fn sign_in(&mut self, token: &str) -> Event {
        self.send_json(json!({"event": "pusher:signin", "data": {"token": token}})).await;
        self.expect_event("pusher:signin_success").await
    }

    /// Subscribes without an auth string and awaits success: public channels, and protected ones once signed in.
    pub async fn subscribe(&mut self, channel: &str) -> Event {
        self.send_subscribe(json!({"channel": channel})).await;
        self.subscribed(channel).await
    }

    /// Subscribes to a private channel as an app server would sign it, and awaits success.
    pub async fn subscribe_private(&mut self, channel: &str, key: &str, secret: &str) -> Event {
        let signature = Signer::new(secret).sign_channel(self.id(), channel, None);
        self.send_subscribe(json!({"channel": channel, "auth": format!("{key}:{signature}")})).await;
        self.subscribed(channel).await
    }

    /// Subscribes to a presence channel as the user, and awaits success; the members are in its data.
    pub async fn subscribe_presence(
        &mut self,
        channel: &str,
        key: &str,
        secret: &str,
        user_id: &str,
        user_info: Value,
    ) -> Event {
        let data = json!({"user_id": user_id, "user_info": user_info}).to_string();
        let signature = Signer::new(secret).sign_channel(self.id(), channel, Some(&data));
        let auth = format!("{key}:{signature}");
        self.send_subscribe(json!({"channel": channel, "auth": auth, "channel_data": data})).await;
        self.subscribed(channel).await
    }

    /// Sends `pusher:subscribe` with this data and awaits nothing.
    pub async fn send_subscribe(&mut self, data: Value) {
        self.send_json(json!({"event": "pusher:subscribe", "data": data})).await;
    }

    /// Unsubscribes and awaits that the server has done it.
    pub async fn unsubscribe(&mut self, channel: &str) {
        self.send_json(json!({"event": "pusher:unsubscribe", "data": {"channel": channel}})).await;
        // The protocol has no answer to it, but frames of one socket are processed in order.
        self.send_json(json!({"event": "pusher:ping", "data": {}})).await;
        self.next_named("pusher:pong").await;
    }

    async fn subscribed(&mut self, channel: &str) -> Event {
        let event = self.expect_event("pusher_internal:subscription_succeeded").await;
        assert_eq!(event.channel.as_deref(), Some(channel), "another subscription succeeded");
        event
    }

    /// The next event, whatever it is.
    pub async fn next(&mut self) -> Event {
        self.event("any event").await
    }

    /// The next event as it stands in its frame, byte for byte.
    pub async fn next_text(&mut self) -> String {
        match self.frame("any event").await {
            Frame::Text(text) => text,
            other => self.failed("any event", &other),
        }
    }

    /// The next event, which must have this name.
    pub async fn expect_event(&mut self, name: &str) -> Event {
        let event = self.event(name).await;
        assert!(event.event == name, "awaited {name}, but {} came; so far: {:#?}", event.frame, self.seen);
        event
    }

    /// The next event of this name; others before it are skipped.
    pub async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.event(name).await;
            if event.event == name {
                return event;
            }
        }
    }

    /// Proves that nothing is on its way: a ping is sent, and its pong must be the next thing that comes.
    pub async fn expect_quiet(&mut self) {
        self.send_json(json!({"event": "pusher:ping", "data": {}})).await;
        self.expect_event("pusher:pong").await;
    }

    /// Awaits a pong of the WebSocket protocol; anything else fails.
    pub async fn expect_ws_pong(&mut self) -> Vec<u8> {
        match self.frame("a WebSocket pong").await {
            Frame::Pong(payload) => payload,
            other => self.failed("a WebSocket pong", &other),
        }
    }

    /// Awaits that the server closes, skipping events before it; the close code, 1005 where the frame had none.
    pub async fn expect_close(&mut self) -> u16 {
        self.expect_close_with().await.0
    }

    /// As [`Socket::expect_close`], with the reason that the server gives.
    pub async fn expect_close_with(&mut self) -> (u16, String) {
        loop {
            match self.frame("a close frame").await {
                Frame::Close(code, reason) => return (code.unwrap_or(1005), reason),
                Frame::End => self.failed("a close frame", &"the end of the connection"),
                _ => {}
            }
        }
    }

    /// Awaits that the connection ends, with a close frame or without.
    pub async fn expect_end(&mut self) {
        while !matches!(self.frame("the end").await, Frame::Close(..) | Frame::End) {}
    }

    /// Closes as a client does and awaits the server's answer; its code.
    pub async fn close(mut self, code: u16) -> u16 {
        self.ws.close(code, "").await.expect("the socket is open");
        self.expect_close().await
    }

    async fn event(&mut self, awaited: &str) -> Event {
        match self.frame(awaited).await {
            Frame::Text(text) => Event::read(&text),
            other => self.failed(awaited, &other),
        }
    }

    async fn frame(&mut self, awaited: &str) -> Frame {
        let frame = match timeout(PATIENCE, self.ws.next()).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => self.failed(awaited, &error),
            Err(_) => self.failed(awaited, &format_args!("nothing for {PATIENCE:?}")),
        };
        match &frame {
            Frame::Text(text) => self.seen.push(text.chars().take(300).collect()),
            other => self.seen.push(format!("{other:?}").chars().take(300).collect()),
        }
        frame
    }

    fn failed(&self, awaited: &str, came: &dyn Debug) -> ! {
        panic!("awaited {awaited}, but {came:?} came; so far: {:#?}", self.seen)
    }
}

/// A TCP connection on which the test writes everything by hand: handshakes and frames that no library would send.
pub struct RawSocket {
    tcp: TcpStream,
}

impl RawSocket {
    /// Connects and writes nothing.
    pub async fn connect(addr: impl Display) -> Self {
        let connected = timeout(PATIENCE, TcpStream::connect(addr.to_string())).await;
        Self { tcp: connected.expect("connecting ends in time").expect("the server listens") }
    }

    /// Connects and does a proper upgrade. What the server sends after it is left to be read.
    pub async fn upgraded(addr: impl Display, path_and_query: &str) -> Self {
        let mut socket = Self::connect(&addr).await;
        let request = format!(
            "GET {path_and_query} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write(request.as_bytes()).await;
        let head = socket.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "no upgrade: {head}");
        socket
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).await.expect("the peer takes bytes");
    }

    /// Reads the head of an HTTP answer, its blank line included and not a byte more.
    pub async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read_exact(1).await[0]);
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Reads so many bytes.
    pub async fn read_exact(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        let read = timeout(PATIENCE, self.tcp.read_exact(&mut buffer)).await;
        read.unwrap_or_else(|_| panic!("{bytes} bytes did not come within {PATIENCE:?}")).expect("the peer is there");
        buffer
    }

    /// Reads one frame of the server: opcode and payload.
    pub async fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exact(2).await;
        assert_eq!(head[1] & 0x80, 0, "a server's frame is never masked");
        let bytes = match head[1] & 0x7F {
            126 => self.read_exact(2).await.into_iter().fold(0, |n, b| n << 8 | usize::from(b)),
            127 => self.read_exact(8).await.into_iter().fold(0, |n, b| n << 8 | usize::from(b)),
            bytes => usize::from(bytes),
        };
        (head[0] & 0x0F, self.read_exact(bytes).await)
    }

    /// Reads frames until the server closes; the close code, 1005 where the frame had none.
    pub async fn read_close(&mut self) -> u16 {
        loop {
            if let (8, payload) = self.read_frame().await {
                return payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            }
        }
    }

    /// Reads until the peer ends the connection; what came before.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.tcp.read_to_end(&mut bytes)).await;
        // A reset is an end as well.
        let _ = read.unwrap_or_else(|_| panic!("the connection did not end within {PATIENCE:?}"));
        bytes
    }
}

/// A client's frame made by hand: first byte as given (FIN, reserved bits, opcode), masked with zeros, so that the
/// payload stands in it readably.
pub fn masked_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        bytes @ 0..=125 => frame.push(0x80 | bytes as u8),
        bytes @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(bytes as u16).to_be_bytes());
        }
        bytes => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
