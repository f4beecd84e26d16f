//! Frames from bytes: header, mask, fragments, UTF-8, each checked as early as it can be.

use std::borrow::Cow;

use protocol::CloseCode;

use super::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};

const CONTROL_BYTES_MAX: u64 = 125;
/// Two bytes, eight of extended length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// What a peer may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) message_bytes_max: usize,
    pub(crate) fragments_max: u32,
}

/// A message, or a control frame, which may come amid a message's fragments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    Ping(Cow<'a, [u8]>),
    Pong,
    /// The code to answer with; 1005 when none was given.
    Close(u16),
}

/// Takes a peer's bytes as they come. Empty, and one pointer large, whenever nothing is half received.
#[derive(Default)]
pub(crate) struct Decoder {
    half: Option<Box<Half>>,
}

/// What is half received.
#[derive(Default)]
struct Half {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    frame: Option<Frame>,
    control: Vec<u8>,
    message: Option<Message>,
}

#[derive(Clone, Copy)]
struct Frame {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Payload bytes still to come.
    left: u64,
    /// Payload bytes already here, modulo 4: where in the mask the next one is.
    phase: usize,
}

struct Message {
    text: bool,
    bytes: Vec<u8>,
    /// So much of the text is known to be UTF-8.
    valid: usize,
    fragments: u32,
}

impl Decoder {
    /// Whether a frame has begun and not ended. A message between two of its fragments is not in the midst of one.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.half.as_ref().is_some_and(|half| half.frame.is_some() || half.header_len > 0)
    }

    /// Takes the next message off the front of `input`; `None` when it needs more bytes, all of `input` taken.
    ///
    /// # Errors
    /// The code to close with; nothing more can be read after it.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        limits: Limits,
    ) -> Result<Option<Incoming<'a>>, CloseCode> {
        while !input.is_empty() {
            if self.half.is_none()
                && let Some(whole) = take_whole(input, limits)?
            {
                return Ok(Some(whole));
            }
            let half = self.half.get_or_insert_default();
            let complete = half.take(input, limits)?;
            if half.is_nothing() {
                self.half = None;
            }
            if complete.is_some() {
                return Ok(complete);
            }
        }
        Ok(None)
    }
}

/// The quick way: a data or control frame that is all there and stands for itself.
fn take_whole<'a>(input: &mut &'a mut [u8], limits: Limits) -> Result<Option<Incoming<'a>>, CloseCode> {
    let Some((frame, header_len)) = parse_header(input)? else { return Ok(None) };
    check_frame(&frame, None, limits)?;
    let fits = usize::try_from(frame.left).ok().filter(|len| *len <= input.len() - header_len);
    let Some(len) = fits.filter(|_| frame.fin) else { return Ok(None) };
    let (bytes, rest) = std::mem::take(input).split_at_mut(header_len + len);
    *input = rest;
    let payload = &mut bytes[header_len..];
    unmask(payload, frame.mask, 0);
    let payload: &'a [u8] = payload;
    match frame.opcode {
        TEXT => match std::str::from_utf8(payload) {
            Ok(text) => Ok(Some(Incoming::Text(Cow::Borrowed(text)))),
            Err(_) => Err(CloseCode::INVALID_UTF8),
        },
        BINARY => Ok(Some(Incoming::Binary(Cow::Borrowed(payload)))),
        opcode => control(opcode, Cow::Borrowed(payload)).map(Some),
    }
}

impl Half {
    fn is_nothing(&self) -> bool {
        self.frame.is_none() && self.header_len == 0 && self.message.is_none()
    }

    /// Takes bytes until a message or control frame is complete or the input is used up.
    fn take<'a>(&mut self, input: &mut &'a mut [u8], limits: Limits) -> Result<Option<Incoming<'a>>, CloseCode> {
        let Some(mut frame) = self.frame.take() else {
            self.take_header(input, limits)?;
            // A frame without payload is complete with its header.
            return match self.frame {
                Some(frame) if frame.left == 0 => self.end_frame(frame),
                _ => Ok(None),
            };
        };
        let len = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len());
        let (chunk, rest) = std::mem::take(input).split_at_mut(len);
        *input = rest;
        unmask(chunk, frame.mask, frame.phase);
        frame.phase = (frame.phase + len) % 4;
        frame.left -= len as u64;
        match &mut self.message {
            Some(message) if frame.opcode < CLOSE => message.append(chunk)?,
            _ => self.control.extend_from_slice(chunk),
        }
        self.frame = Some(frame);
        match frame.left {
            0 => self.end_frame(frame),
            _ => Ok(None),
        }
    }

    fn take_header(&mut self, input: &mut &mut [u8], limits: Limits) -> Result<(), CloseCode> {
        // Byte by byte: this way is rare, and a header is short.
        while let Some((&mut byte, rest)) = std::mem::take(input).split_first_mut() {
            *input = rest;
            self.header[self.header_len] = byte;
            self.header_len += 1;
            let Some((frame, _)) = parse_header(&self.header[..self.header_len])? else { continue };
            self.header_len = 0;
            check_frame(&frame, self.message.as_ref(), limits)?;
            if frame.opcode == CONTINUATION {
                if let Some(message) = &mut self.message {
                    message.fragments += 1;
                }
            } else if frame.opcode < CLOSE {
                let text = frame.opcode == TEXT;
                self.message = Some(Message { text, bytes: Vec::new(), valid: 0, fragments: 1 });
            }
            self.frame = Some(frame);
            break;
        }
        Ok(())
    }

    fn end_frame<'a>(&mut self, frame: Frame) -> Result<Option<Incoming<'a>>, CloseCode> {
        self.frame = None;
        if frame.opcode >= CLOSE {
            return control(frame.opcode, Cow::Owned(std::mem::take(&mut self.control))).map(Some);
        }
        if !frame.fin {
            return Ok(None);
        }
        self.message.take().map(Message::finish).transpose()
    }
}

impl Message {
    fn append(&mut self, chunk: &[u8]) -> Result<(), CloseCode> {
        self.bytes.extend_from_slice(chunk);
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.valid..]) {
            Ok(_) => self.valid = self.bytes.len(),
            // A character that is cut off may still be completed.
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(CloseCode::INVALID_UTF8),
        }
        Ok(())
    }

    fn finish<'a>(self) -> Result<Incoming<'a>, CloseCode> {
        if !self.text {
            return Ok(Incoming::Binary(Cow::Owned(self.bytes)));
        }
        match String::from_utf8(self.bytes) {
            Ok(text) => Ok(Incoming::Text(Cow::Owned(text))),
            Err(_) => Err(CloseCode::INVALID_UTF8),
        }
    }
}

/// Reads a header, if all of it is there, and its length.
fn parse_header(bytes: &[u8]) -> Result<Option<(Frame, usize)>, CloseCode> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let opcode = first & 0x0f;
    // No extension was negotiated, so no reserved bit has a meaning; and every client frame is masked (5.1, 5.2).
    if first & 0x70 != 0 || second & 0x80 == 0 || !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
        return Err(CloseCode::PROTOCOL_ERROR);
    }
    let (left, rest, len_bytes) = match second & 0x7f {
        126 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest, 2),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest, 8),
            None => return Ok(None),
        },
        len => (u64::from(len), rest, 0),
    };
    let Some(&mask) = rest.first_chunk() else { return Ok(None) };
    Ok(Some((Frame { fin: first & 0x80 != 0, opcode, mask, left, phase: 0 }, 2 + len_bytes + 4)))
}

/// Refuses a frame by its header, before any of its payload is kept.
fn check_frame(frame: &Frame, message: Option<&Message>, limits: Limits) -> Result<(), CloseCode> {
    if frame.opcode >= CLOSE {
        let allowed = frame.fin && frame.left <= CONTROL_BYTES_MAX;
        return if allowed { Ok(()) } else { Err(CloseCode::PROTOCOL_ERROR) };
    }
    if (frame.opcode == CONTINUATION) != message.is_some() {
        return Err(CloseCode::PROTOCOL_ERROR);
    }
    let (bytes, fragments) = message.map_or((0, 0), |message| (message.bytes.len(), message.fragments));
    let over = frame.left > (limits.message_bytes_max.saturating_sub(bytes)) as u64;
    match over || fragments >= limits.fragments_max {
        true => Err(CloseCode::TOO_BIG),
        false => Ok(()),
    }
}

fn control(opcode: u8, payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, CloseCode> {
    match opcode {
        PING => Ok(Incoming::Ping(payload)),
        PONG => Ok(Incoming::Pong),
        _ => close_code(&payload).map(Incoming::Close),
    }
}

/// The code of a close frame's payload (7.4): only those that may stand on the wire.
fn close_code(payload: &[u8]) -> Result<u16, CloseCode> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(1005) } else { Err(CloseCode::PROTOCOL_ERROR) };
    };
    if std::str::from_utf8(reason).is_err() {
        return Err(CloseCode::INVALID_UTF8);
    }
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(code),
        _ => Err(CloseCode::PROTOCOL_ERROR),
    }
}

fn unmask(bytes: &mut [u8], mut mask: [u8; 4], phase: usize) {
    mask.rotate_left(phase);
    let wide = u64::from_ne_bytes([mask, mask].concat().try_into().expect("twice four is eight"));
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word = u64::from_ne_bytes(chunk.try_into().expect("a chunk has eight bytes")) ^ wide;
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    for (index, byte) in chunks.into_remainder().iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
}

/// For fuzzing: feeds the bytes in pieces of the given length; what came out, and the close code that ended it.
pub fn fuzz(bytes: &[u8], piece: usize) -> (Vec<String>, Option<u16>) {
    decode(bytes, piece, Limits { message_bytes_max: 4096, fragments_max: 16 })
}

fn decode(bytes: &[u8], piece: usize, limits: Limits) -> (Vec<String>, Option<u16>) {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for piece in bytes.to_vec().chunks_mut(piece.max(1)) {
        let mut input = piece;
        loop {
            match decoder.next(&mut input, limits) {
                Ok(Some(incoming)) => out.push(format!("{incoming:?}")),
                Ok(None) => break,
                Err(close) => return (out, Some(close.code)),
            }
        }
    }
    (out, None)
}

#[cfg(test)]
mod tests;
