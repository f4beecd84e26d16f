//! The other end of the wire, played by the test frame by frame.

use std::time::Duration;

use client::{Backoff, Client, Event, Events, Options};
use futures_util::{SinkExt, StreamExt};
use protocol::frame;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use tokio_tungstenite::{WebSocketStream, accept_async};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    listener: TcpListener,
}

pub(crate) struct Peer {
    ws: WebSocketStream<TcpStream>,
}

/// Awaits it, for a while only.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.listener.local_addr().unwrap())
    }

    /// Options with waits that a test can await.
    pub(crate) fn options(&self) -> Options {
        let ms = Duration::from_millis;
        let backoff = Backoff { first: ms(2), max: ms(10), pause: ms(5), good_after: Duration::ZERO };
        Options { backoff, ..Options::new(self.address("ws"), "key") }
    }

    /// Accepts one socket and establishes it as `socket_id`.
    pub(crate) async fn accept(&self, socket_id: &str) -> Peer {
        let mut peer = self.accept_silent().await;
        peer.send(&frame::connection_established(socket_id.parse().unwrap(), 120)).await;
        peer
    }

    pub(crate) async fn accept_silent(&self) -> Peer {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        Peer { ws: soon(accept_async(tcp)).await.unwrap() }
    }

    /// Answers one HTTP request with status and body; the request's first line and body.
    pub(crate) async fn answer(&self, status: u16, body: &str) -> (String, String) {
        let (mut tcp, _) = soon(self.listener.accept()).await.unwrap();
        let (reader, mut writer) = tcp.split();
        let mut reader = BufReader::new(reader);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).await.unwrap();
        loop {
            let mut line = String::new();
            soon(reader.read_line(&mut line)).await.unwrap();
            match line.trim().to_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut content = vec![0; length];
        soon(reader.read_exact(&mut content)).await.unwrap();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        writer.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        (first.trim().to_owned(), String::from_utf8(content).unwrap())
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    /// The client's next frame.
    pub(crate) async fn receive(&mut self) -> Value {
        let message = soon(self.ws.next()).await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// Awaits a subscription and grants it.
    pub(crate) async fn grant(&mut self, channel: &str) -> Value {
        let frame = self.receive().await;
        assert_eq!((&frame["event"], &frame["data"]["channel"]), (&"pusher:subscribe".into(), &channel.into()));
        self.send(&frame::subscription_succeeded(channel, "{}")).await;
        frame["data"].clone()
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.ws.close(Some(frame)).await.unwrap();
        while soon(self.ws.next()).await.is_some_and(|frame| frame.is_ok()) {}
    }

    /// Awaits that the client ends the connection.
    pub(crate) async fn ended(mut self) {
        while soon(self.ws.next()).await.is_some_and(|frame| frame.is_ok()) {}
    }
}

pub(crate) async fn next(events: &mut Events) -> Event {
    soon(events.next()).await.expect("the client goes on")
}

pub(crate) fn connect(options: Options) -> (Client, Events) {
    Client::connect(options).unwrap()
}
