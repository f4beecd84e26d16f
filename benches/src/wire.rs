//! The least of WebSocket and the Pusher protocol that a load needs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use socket2::{Domain, Socket, Type};

/// One source address has some 28,000 ports; a new one is taken in good time.
const SOCKETS_PER_ADDRESS: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket that is subscribed, and what came after the answer to that.
pub(crate) struct Opened {
    pub(crate) stream: TcpStream,
    pub(crate) rest: Vec<u8>,
}

/// Connects from a loopback address picked by `index`.
pub(crate) fn connect(to: SocketAddr, index: usize) -> anyhow::Result<TcpStream> {
    let socket =
        Socket::new(Domain::for_address(to), Type::STREAM, None).context("no more sockets (see `ulimit -Hn`)")?;
    if to.is_ipv4() && index >= SOCKETS_PER_ADDRESS {
        let last = u8::try_from(1 + index / SOCKETS_PER_ADDRESS).context("too many sockets")?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    }
    socket.connect_timeout(&to.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Connects, upgrades, signs in if there is a token, subscribes, and awaits that the subscription holds.
pub(crate) fn open(
    to: SocketAddr,
    key: &str,
    index: usize,
    channel: &str,
    token: Option<&str>,
) -> anyhow::Result<Opened> {
    let mut stream = connect(to, index)?;
    let request = format!(
        "GET /app/{key}?protocol=7&client=load&version=1 HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: \
         websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut rest = Vec::new();
    let head = loop {
        if let Some(end) = find(&rest, b"\r\n\r\n") {
            break rest.drain(..end + 4).collect::<Vec<_>>();
        }
        more(&mut stream, &mut rest)?;
    };
    ensure!(head.starts_with(b"HTTP/1.1 101"), "no upgrade: {}", String::from_utf8_lossy(&head));
    await_event(&mut stream, &mut rest, "pusher:connection_established")?;
    if let Some(token) = token {
        let frame = format!(r#"{{"event":"pusher:signin","data":{{"token":"{token}"}}}}"#);
        stream.write_all(&client_frame(frame.as_bytes()))?;
        await_event(&mut stream, &mut rest, "pusher:signin_success")?;
    }
    let frame = format!(r#"{{"event":"pusher:subscribe","data":{{"auth":"","channel":"{channel}"}}}}"#);
    stream.write_all(&client_frame(frame.as_bytes()))?;
    await_event(&mut stream, &mut rest, "pusher_internal:subscription_succeeded")?;
    Ok(Opened { stream, rest })
}

impl Opened {
    /// Subscribes to more channels, all at once, and awaits that each holds.
    pub(crate) fn subscribe(&mut self, channels: &[String]) -> anyhow::Result<()> {
        let frame = |channel: &String| {
            let text = format!(r#"{{"event":"pusher:subscribe","data":{{"auth":"","channel":"{channel}"}}}}"#);
            client_frame(text.as_bytes())
        };
        let frames: Vec<u8> = channels.iter().flat_map(frame).collect();
        self.stream.write_all(&frames)?;
        channels
            .iter()
            .try_for_each(|_| await_event(&mut self.stream, &mut self.rest, "pusher_internal:subscription_succeeded"))
    }
}

fn await_event(stream: &mut TcpStream, rest: &mut Vec<u8>, event: &str) -> anyhow::Result<()> {
    loop {
        let mut came = None;
        let used =
            one_frame(rest, |opcode, payload| came = Some((opcode, String::from_utf8_lossy(payload).into_owned())));
        rest.drain(..used);
        match came {
            Some((1, text)) if text.contains(event) => return Ok(()),
            Some((1, text)) if text.contains("error") => bail!("awaited {event}, but this came: {text}"),
            Some((8, _)) => bail!("awaited {event}, but the server closed"),
            Some(_) => {}
            None => more(stream, rest)?,
        }
    }
}

fn more(stream: &mut TcpStream, into: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer)?;
    ensure!(read > 0, "the server ended the connection");
    into.extend_from_slice(&buffer[..read]);
    Ok(())
}

/// Where `needle` begins.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Hands over the first frame of a server, if it is whole: opcode and payload. How many bytes it took.
pub(crate) fn one_frame(bytes: &[u8], mut on: impl FnMut(u8, &[u8])) -> usize {
    let Some(&[first, second]) = bytes.first_chunk::<2>() else { return 0 };
    let (start, length) = match second & 0x7F {
        126 => match bytes.get(2..4) {
            Some(size) => (4, usize::from(size[0]) << 8 | usize::from(size[1])),
            None => return 0,
        },
        127 => match bytes.get(2..10) {
            Some(size) => (10, size.iter().fold(0, |n, &byte| n << 8 | usize::from(byte))),
            None => return 0,
        },
        length => (2, usize::from(length)),
    };
    match bytes.get(start..start + length) {
        Some(payload) => {
            on(first & 0x0F, payload);
            start + length
        }
        None => 0,
    }
}

/// The header of an unmasked text frame.
pub(crate) fn text_header(length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![0x81, length as u8],
        126..=65_535 => vec![0x81, 126, (length >> 8) as u8, length as u8],
        _ => [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// A client's text frame. The mask is zero, which any server takes and which costs nothing here.
fn client_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = text_header(payload.len());
    frame[1] |= 0x80;
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
