//! The yardstick: what the least server possible costs.
//!
//! One thread, epoll, one `write(2)` of a ready frame per socket per message, `TCP_NODELAY`, a search for strings where
//! others parse JSON. No signatures, no limits, no manners: never to be used for anything but comparing.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use sha1::{Digest, Sha1};

use crate::wire::{find, text_header};

const LISTENER: u64 = u64::MAX;

struct Peer {
    stream: TcpStream,
    // Bytes of a request or frame that is not whole yet.
    input: Vec<u8>,
    // What the kernel did not take.
    output: Vec<u8>,
    upgraded: bool,
    channel: Option<String>,
}

struct Naive {
    epoll: Epoll,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    channels: HashMap<String, Vec<usize>>,
    sockets: u64,
}

/// Listens on 127.0.0.1 and serves until it is killed. Says its address in a line of its own.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    // The standard library listens with a backlog of 128, which a storm of connects would overrun.
    socket2::SockRef::from(&listener).listen(65_535)?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut naive = Naive { epoll, peers: Vec::new(), free: Vec::new(), channels: HashMap::new(), sockets: 0 };
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut buffer = vec![0; 65_536];
    loop {
        let count = match naive.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            count => count?,
        };
        for event in &events[..count] {
            if event.data() == LISTENER {
                naive.accept(&listener)?;
                continue;
            }
            let index = event.data() as usize;
            let went = match event.events().contains(EpollFlags::EPOLLOUT) {
                true => naive.flush(index),
                false => naive.read(index, &mut buffer),
            };
            if went.is_err() {
                naive.drop_peer(index);
            }
        }
    }
}

impl Naive {
    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            let (input, output) = (Vec::new(), Vec::new());
            self.peers[index] = Some(Peer { stream, input, output, upgraded: false, channel: None });
        }
        Ok(())
    }

    fn drop_peer(&mut self, index: usize) {
        let Some(peer) = self.peers[index].take() else { return };
        if let Some(subscribers) = peer.channel.and_then(|channel| self.channels.get_mut(&channel)) {
            subscribers.retain(|&other| other != index);
        }
        self.free.push(index);
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let Some(peer) = &mut self.peers[index] else { return Ok(()) };
        match peer.stream.read(buffer) {
            Ok(0) => anyhow::bail!("end"),
            Ok(read) => peer.input.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        loop {
            let Some(peer) = &mut self.peers[index] else { return Ok(()) };
            let used = match peer.upgraded {
                true => self.frame(index)?,
                false => self.request(index)?,
            };
            let Some(peer) = self.peers[index].as_mut().filter(|_| used > 0) else { return Ok(()) };
            peer.input.drain(..used);
        }
    }

    fn request(&mut self, index: usize) -> anyhow::Result<usize> {
        let input = &self.peers[index].as_ref().context("a peer")?.input;
        let Some(end) = find(input, b"\r\n\r\n").map(|end| end + 4) else { return Ok(0) };
        let head = std::str::from_utf8(&input[..end])?;
        if let Some(key) = header(head, "sec-websocket-key") {
            let hash = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
            let accept = BASE64_STANDARD.encode(hash);
            self.sockets += 1;
            let first = protocol::frame::connection_established(protocol::SocketId::new(1, self.sockets), 120);
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            self.peers[index].as_mut().context("a peer")?.upgraded = true;
            self.write(index, &[answer.as_bytes(), &text_header(first.len()), first.as_bytes()].concat())?;
            return Ok(end);
        }
        let length: usize = header(head, "content-length").map_or(Ok(0), str::parse)?;
        let Some(body) = input.get(end..end + length) else { return Ok(0) };
        if let (Some(channel), Some(data)) = (after(body, b"\"channels\":[\""), after(body, b"\"data\":\"")) {
            let (channel, data) = (channel.to_owned(), data.to_owned());
            self.fan_out(&channel, &data);
        }
        self.write(index, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")?;
        Ok(end + length)
    }

    fn fan_out(&mut self, channel: &str, data: &str) {
        let text = format!(r#"{{"event":"load","channel":"{channel}","data":"{data}"}}"#);
        let frame = [&text_header(text.len()), text.as_bytes()].concat();
        let Some(subscribers) = self.channels.get(channel).cloned() else { return };
        for subscriber in subscribers {
            if self.write(subscriber, &frame).is_err() {
                self.drop_peer(subscriber);
            }
        }
    }

    fn frame(&mut self, index: usize) -> anyhow::Result<usize> {
        let peer = self.peers[index].as_mut().context("a peer")?;
        let Some(&[first, second]) = peer.input.first_chunk::<2>() else { return Ok(0) };
        let (mask_at, length) = match second & 0x7F {
            126 if peer.input.len() >= 4 => (4, usize::from(peer.input[2]) << 8 | usize::from(peer.input[3])),
            126 => return Ok(0),
            127 => anyhow::bail!("nobody sends this much"),
            length => (2, usize::from(length)),
        };
        let (start, end) = (mask_at + 4, mask_at + 4 + length);
        if peer.input.len() < end {
            return Ok(0);
        }
        for at in start..end {
            peer.input[at] ^= peer.input[mask_at + (at - start) % 4];
        }
        anyhow::ensure!(first & 0x0F == 1, "a close, or nothing that is understood");
        let payload = &peer.input[start..end];
        if find(payload, b"pusher:subscribe").is_some() {
            let channel = after(payload, b"\"channel\":\"").context("a channel")?.to_owned();
            peer.channel = Some(channel.clone());
            let text = protocol::frame::subscription_succeeded(&channel, "{}");
            self.channels.entry(channel).or_default().push(index);
            self.write(index, &[&text_header(text.len()), text.as_bytes()].concat())?;
        }
        Ok(end)
    }

    fn write(&mut self, index: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(peer) = &mut self.peers[index] else { return Ok(()) };
        if !peer.output.is_empty() {
            peer.output.extend_from_slice(bytes);
            return Ok(());
        }
        let written = match peer.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        if written < bytes.len() {
            peer.output.extend_from_slice(&bytes[written..]);
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
            self.epoll.modify(&peer.stream, &mut EpollEvent::new(flags, index as u64))?;
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(peer) = &mut self.peers[index] else { return Ok(()) };
        match peer.stream.write(&peer.output) {
            Ok(written) => drop(peer.output.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if peer.output.is_empty() {
            self.epoll.modify(&peer.stream, &mut EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        }
        Ok(())
    }
}

/// The value of a header; `name` in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What stands between `marker` and the next quote.
fn after<'a>(bytes: &'a [u8], marker: &[u8]) -> Option<&'a str> {
    let rest = &bytes[find(bytes, marker)? + marker.len()..];
    std::str::from_utf8(&rest[..find(rest, b"\"")?]).ok()
}
