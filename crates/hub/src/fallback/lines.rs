//! What a socket's frames become in the body of an HTTP response.

use bytes::Bytes;

/// How a session is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines as pusher-js reads them: a letter that says what it is, and JSON.
    Lines,
    /// Server-sent events (HTML, 9.2).
    Events,
}

/// A piece of body that is sent whole or not at all.
pub(crate) struct Line {
    pub(crate) bytes: Bytes,
    /// Its length as JavaScript counts: UTF-16 code units.
    pub(crate) units: usize,
}

impl Line {
    /// Where the reader of events is once it has the event that follows.
    pub(super) fn id(id: &str) -> Self {
        Self::new(format!("id: {id}\n"))
    }

    fn new(text: String) -> Self {
        let units = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
        Self { bytes: text.into(), units }
    }
}

impl Style {
    /// What a session begins with.
    pub(super) fn open(self) -> Option<Line> {
        match self {
            Self::Lines => Some(Line::new("o{}\n".into())),
            Self::Events => None,
        }
    }

    /// A Pusher frame.
    pub(super) fn frame(self, text: &str) -> Line {
        Line::new(match self {
            Self::Lines => format!("a[{}]\n", json(text)),
            Self::Events => text.lines().map(|line| format!("data: {line}\n")).chain(["\n".to_owned()]).collect(),
        })
    }

    /// The end of a session.
    pub(super) fn close(self, code: u16, reason: &str) -> Line {
        let reason = json(reason);
        Line::new(match self {
            Self::Lines => format!("c[{code},{reason}]\n"),
            Self::Events => format!("event: close\ndata: {{\"code\":{code},\"reason\":{reason}}}\n\n"),
        })
    }

    /// What keeps a silent connection from being taken for dead.
    pub(super) fn heartbeat(self) -> Line {
        Line::new(match self {
            Self::Lines => "h\n".into(),
            Self::Events => ":\n\n".into(),
        })
    }

    /// What one of a server's WebSocket frames becomes. Pongs become nothing.
    pub(super) fn of(self, opcode: u8, payload: &[u8]) -> Option<Line> {
        match (opcode, payload.split_first_chunk()) {
            (crate::websocket::TEXT, _) => Some(self.frame(&String::from_utf8_lossy(payload))),
            (crate::websocket::CLOSE, Some((code, reason))) => {
                Some(self.close(u16::from_be_bytes(*code), &String::from_utf8_lossy(reason)))
            }
            (crate::websocket::CLOSE, None) => Some(self.close(1000, "")),
            _ => None,
        }
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket;

    fn written(style: Style, frame: &Bytes) -> String {
        let mut frame = &frame[..];
        let (opcode, payload) = websocket::split_frame(&mut frame).expect("a frame");
        let line = style.of(opcode, payload).expect("a line");
        String::from_utf8(line.bytes.to_vec()).expect("text")
    }

    #[test]
    fn a_frame_is_one_line_whatever_is_in_it() {
        let frame = websocket::text_frame("{\"a\":\"b\\n\"}\n\u{2028}");
        assert_eq!(written(Style::Lines, &frame), "a[\"{\\\"a\\\":\\\"b\\\\n\\\"}\\n\u{2028}\"]\n");
        assert_eq!(written(Style::Events, &websocket::text_frame("{\n}")), "data: {\ndata: }\n\n");
    }

    #[test]
    fn a_close_has_its_code_and_reason() {
        let frame = websocket::close_frame(4200, "say \"bye\"");
        assert_eq!(written(Style::Lines, &frame), "c[4200,\"say \\\"bye\\\"\"]\n");
        let event = "event: close\ndata: {\"code\":4200,\"reason\":\"say \\\"bye\\\"\"}\n\n";
        assert_eq!(written(Style::Events, &frame), event);
        assert_eq!(written(Style::Lines, &websocket::close_frame(1005, "")), "c[1000,\"\"]\n");
    }

    #[test]
    fn a_line_is_as_long_as_javascript_says() {
        assert_eq!(Style::Lines.frame("a€😀").units, "a[\"a€😀\"]\n".encode_utf16().count());
        assert_eq!(Style::Lines.heartbeat().units, 2);
    }

    #[test]
    fn frames_of_every_length_are_split_where_they_end() {
        let mut bytes = Vec::new();
        let texts = ["".to_owned(), "x".repeat(125), "y".repeat(126), "z".repeat(70_000)];
        texts.iter().for_each(|text| bytes.extend_from_slice(&websocket::text_frame(text)));
        let mut rest = &bytes[..];
        for text in &texts {
            assert_eq!(websocket::split_frame(&mut rest), Some((websocket::TEXT, text.as_bytes())));
        }
        assert_eq!(websocket::split_frame(&mut rest), None);
    }
}
