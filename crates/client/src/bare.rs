//! A bare WebSocket: frames in, frames out, no protocol on top.
//!
//! [`Client`](crate::Client) stands on it, and so do tests that send what a client never would.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// An open WebSocket. Pings of the peer are answered while [`WebSocket::next`] is awaited.
pub struct WebSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    subprotocol: Option<String>,
}

/// What the peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The answer to a WebSocket ping of ours.
    Pong(Vec<u8>),
    /// The peer closes: code (none where the frame had none) and reason. Nothing comes after it.
    Close(Option<u16>, String),
    /// The connection ended without a close frame. Nothing comes after it.
    End,
}

/// Why a WebSocket did not open or broke.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The server answered, but not with an upgrade.
    #[error("the server answered the upgrade with status {0}")]
    Refused(u16),
    /// The URL or a subprotocol cannot stand in a request.
    #[error("not a WebSocket URL or subprotocol: {0}")]
    Request(String),
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] io::Error),
    /// Anything else that WebSocket or TLS hold against the peer.
    #[error("the peer breaks the WebSocket protocol")]
    Protocol(#[source] Box<tungstenite::Error>),
}

impl From<tungstenite::Error> for WebSocketError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => Self::Refused(response.status().as_u16()),
            tungstenite::Error::Io(error) => Self::Connection(error),
            tungstenite::Error::Url(error) => Self::Request(error.to_string()),
            tungstenite::Error::HttpFormat(error) => Self::Request(error.to_string()),
            error => Self::Protocol(Box::new(error)),
        }
    }
}

impl WebSocket {
    /// Connects to a `ws://` or `wss://` URL, offering the subprotocols in this order. `TCP_NODELAY` is set.
    ///
    /// # Errors
    /// See [`WebSocketError`]. A server that is offered subprotocols and takes none counts as a protocol error.
    pub async fn connect(url: &str, subprotocols: &[&str]) -> Result<Self, WebSocketError> {
        crate::tls::prepare();
        let mut request = url.into_client_request()?;
        if !subprotocols.is_empty() {
            let offer = HeaderValue::from_str(&subprotocols.join(", "));
            let offer = offer.map_err(|e| WebSocketError::Request(e.to_string()))?;
            request.headers_mut().insert("sec-websocket-protocol", offer);
        }
        let (stream, response) = connect_async_with_config(request, None, true).await?;
        let chosen = response.headers().get("sec-websocket-protocol");
        let subprotocol = chosen.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { stream, subprotocol })
    }

    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// The connection broke or is closed.
    pub async fn send_text(&mut self, text: &str) -> Result<(), WebSocketError> {
        Ok(self.stream.send(Message::text(text)).await?)
    }

    /// Sends a binary frame.
    ///
    /// # Errors
    /// The connection broke or is closed.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> Result<(), WebSocketError> {
        Ok(self.stream.send(Message::binary(bytes.to_vec())).await?)
    }

    /// Sends a WebSocket ping.
    ///
    /// # Errors
    /// The connection broke or is closed.
    pub async fn send_ping(&mut self, payload: &[u8]) -> Result<(), WebSocketError> {
        Ok(self.stream.send(Message::Ping(payload.to_vec().into())).await?)
    }

    /// Writes bytes beneath the framing, as they are: a frame made by hand, or half of one. Plain `ws://` only.
    ///
    /// # Errors
    /// The connection broke, or it is TLS.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), WebSocketError> {
        match self.stream.get_mut() {
            MaybeTlsStream::Plain(tcp) => tcp.write_all(bytes).await.map_err(WebSocketError::Connection),
            _ => Err(WebSocketError::Request("raw bytes need ws://".into())),
        }
    }

    /// Starts the closing handshake; [`WebSocket::next`] gives the peer's answer.
    ///
    /// # Errors
    /// The connection broke or is closed already.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        Ok(self.stream.close(Some(frame)).await?)
    }

    /// The next frame. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection broke in another way than by its end.
    pub async fn next(&mut self) -> Result<Frame, WebSocketError> {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Ok(Frame::Text(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => Ok(Frame::Binary(bytes.to_vec())),
                Some(Ok(Message::Pong(bytes))) => Ok(Frame::Pong(bytes.to_vec())),
                Some(Ok(Message::Close(frame))) => {
                    // Without a flush the answer to the peer's close would stay here and the peer would wait for it.
                    let _ = self.stream.flush().await;
                    Ok(frame.map_or(Frame::Close(None, String::new()), |frame| {
                        Frame::Close(Some(frame.code.into()), frame.reason.as_str().to_owned())
                    }))
                }
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                Some(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)) | None => {
                    Ok(Frame::End)
                }
                Some(Err(tungstenite::Error::Protocol(
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                ))) => Ok(Frame::End),
                Some(Err(tungstenite::Error::Io(error))) if is_end(&error) => Ok(Frame::End),
                Some(Err(error)) => Err(error.into()),
            };
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
