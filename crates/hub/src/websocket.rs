//! RFC 6455 as a server speaks it, without extensions: bytes in, messages out; messages in, frames out.
//!
//! A message that arrives whole is given as a slice of the caller's own buffer, unmasked in place: no copy, no
//! allocation. Only one that arrives in pieces is put together on the heap, and never over the limits.

mod decoder;
mod handshake;

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) use decoder::{Decoder, Incoming, Limits};
pub(crate) use handshake::accept;

#[doc(hidden)]
pub use decoder::fuzz;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
pub(crate) const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// One unmasked, unfragmented frame with its header: ready to be written to any number of sockets.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    frame_of(opcode, &[payload])
}

fn frame_of(opcode: u8, parts: &[&[u8]]) -> Bytes {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(len + 10);
    frame.put_u8(0x80 | opcode);
    match len {
        short @ 0..=125 => frame.put_u8(short as u8),
        medium @ 126..=65_535 => {
            frame.put_u8(126);
            frame.put_u16(medium as u16);
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    parts.iter().for_each(|part| frame.put_slice(part));
    frame.freeze()
}

/// The opcode and payload of the frame at the start, one of ours; `frames` begins behind it then. None of what is no
/// whole frame.
pub(crate) fn split_frame<'a>(frames: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[first, len], rest) = frames.split_first_chunk()?;
    let (len, rest) = match len {
        126 => rest.split_first_chunk().map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?,
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
        len => (len.into(), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *frames = rest;
    Some((first & 0xf, payload))
}

/// A frame as a client sends it, masked with zeros: what a peer that speaks no WebSocket is heard as.
pub(crate) fn client_frame(opcode: u8, payload: &[u8], into: &mut Vec<u8>) {
    let frame = frame(opcode, payload);
    let header = frame.len() - payload.len();
    into.extend_from_slice(&frame[..header]);
    let len_at = into.len() - header + 1;
    into[len_at] |= 0x80;
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(payload);
}

pub(crate) fn text_frame(text: &str) -> Bytes {
    frame(TEXT, text.as_bytes())
}

/// A close frame; a code of 1005 stands for "none given" and is answered in kind.
pub(crate) fn close_frame(code: u16, reason: &str) -> Bytes {
    if code == 1005 {
        return frame(CLOSE, &[]);
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    frame(CLOSE, &payload)
}

/// What a frame that [`text_frame`] made carries.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// The same event with its place in the channel's history, for those who asked to know.
pub(crate) fn numbered(frame: &[u8], offset: u64) -> Bytes {
    let object = payload(frame);
    let open = object.strip_suffix(b"}").unwrap_or(object);
    frame_of(TEXT, &[open, b",\"offset\":", offset.to_string().as_bytes(), b"}"])
}

/// Name and data of a channel's event, out of its frame.
pub(crate) fn event_of(frame: &[u8]) -> Option<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Event {
        event: String,
        data: String,
    }
    serde_json::from_slice(payload(frame)).ok().map(|Event { event, data }| (event, data))
}
