//! From a peer's bytes to what they ask for.

use std::sync::Arc;
use std::task::{Context, Poll};

use protocol::frame::{self, ClientEvent, ClientFrame};
use protocol::publish::EVENT_NAME_CHARS_MAX;
use protocol::{Channel, ChannelKind, CloseCode};
use tokio::io::ReadBuf;

use super::State;
use crate::Observed;
use crate::hub::Publication;
use crate::socket::Phase;
use crate::subscribe::Question;
use crate::websocket::{self, BINARY, Incoming, Limits, PONG, TEXT};

/// Reads of one socket before the thread's other tasks have their turn.
const READS_PER_POLL: usize = 4;

/// What to do after a message.
pub(crate) enum Flow {
    Next,
    /// Nothing more is read until this is answered.
    Ask(Question),
    Close(CloseCode),
}

impl State {
    /// Drives one socket: gives a question that has to be answered, or `None` when the socket has ended.
    pub(super) fn poll_socket(&mut self, slot: u32, cx: &mut Context<'_>) -> Poll<Option<Question>> {
        self.socket(slot).remember(cx);
        for _ in 0..READS_PER_POLL {
            self.poll_blocked(slot, cx);
            let socket = self.socket(slot);
            match socket.phase {
                Phase::Gone => return Poll::Ready(None),
                Phase::Closing { linger } if socket.queue.is_empty() && socket.blocked_since.is_none() => {
                    socket.io.shut_down_writing();
                    if !linger {
                        return Poll::Ready(None);
                    }
                }
                _ => {}
            }
            let question = match std::mem::take(&mut self.socket(slot).unread) {
                unread if unread.is_empty() => match self.poll_read(slot, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(question) => question,
                },
                mut unread => self.process(slot, &mut unread),
            };
            self.flush(slot);
            if question.is_some() {
                return Poll::Ready(question);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Goes on writing once a peer that was slow takes more.
    fn poll_blocked(&mut self, slot: u32, cx: &mut Context<'_>) {
        let socket = self.socket(slot);
        if socket.blocked_since.is_none() {
            return;
        }
        match socket.io.poll_write_ready(cx) {
            Poll::Pending => {}
            Poll::Ready(Err(_)) => socket.gone(),
            Poll::Ready(Ok(())) => {
                socket.blocked_since = None;
                self.flush(slot);
                // Blocked again: the next poll registers for it.
                if self.socket(slot).blocked_since.is_some() {
                    cx.waker().wake_by_ref();
                }
            }
        }
    }

    fn poll_read(&mut self, slot: u32, cx: &mut Context<'_>) -> Poll<Option<Question>> {
        // The buffer is the thread's: taken out for the time of use, since frames are handled in place.
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let mut read = ReadBuf::new(&mut buffer);
        let socket = self.socket(slot);
        let polled = socket.io.poll_read(cx, &mut read);
        let len = read.filled().len();
        let polled = match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if len > 0 => {
                Poll::Ready(if socket.phase == Phase::Open { self.process(slot, &mut buffer[..len]) } else { None })
            }
            Poll::Ready(_) => {
                socket.gone();
                Poll::Ready(None)
            }
        };
        self.read_buffer = buffer;
        polled
    }

    /// Handles every message in the bytes. After a question the rest is kept for later.
    fn process(&mut self, slot: u32, bytes: &mut [u8]) -> Option<Question> {
        let now = self.wheel.now();
        let config = self.shared.config();
        let limits = Limits { message_bytes_max: config.message_bytes_max, fragments_max: config.fragments_max };
        let frames_max = config.frames_per_second_max;
        let mut input = bytes;
        while self.socket(slot).phase == Phase::Open {
            let socket = self.socket(slot);
            (socket.last_seen, socket.pinged) = (now, false);
            let flow = match socket.decoder.next(&mut input, limits) {
                Ok(None) => break,
                Ok(Some(_)) if !socket.frames.allows(now, frames_max) => Flow::Close(CloseCode::TOO_MANY_FRAMES),
                Ok(Some(incoming)) => self.incoming(slot, incoming),
                Err(code) => Flow::Close(code),
            };
            match flow {
                Flow::Next => {}
                Flow::Close(code) => self.close(slot, code),
                Flow::Ask(question) => {
                    self.socket(slot).unread = input.to_vec();
                    return Some(question);
                }
            }
        }
        self.watch_frame(slot);
        None
    }

    fn incoming(&mut self, slot: u32, incoming: Incoming<'_>) -> Flow {
        match incoming {
            Incoming::Text(text) if self.echo => self.send_frame(slot, websocket::frame(TEXT, text.as_bytes())),
            Incoming::Binary(bytes) if self.echo => self.send_frame(slot, websocket::frame(BINARY, &bytes)),
            Incoming::Text(text) => return self.text(slot, &text),
            Incoming::Binary(_) => return Flow::Close(CloseCode::UNSUPPORTED_DATA),
            Incoming::Ping(payload) => self.send_frame(slot, websocket::frame(PONG, &payload)),
            Incoming::Pong => {}
            Incoming::Close(code) => self.close_with(slot, websocket::close_frame(code, ""), false),
        }
        Flow::Next
    }

    fn text(&mut self, slot: u32, text: &str) -> Flow {
        match ClientFrame::parse(text) {
            Ok(ClientFrame::Ping) => self.send(slot, frame::PONG),
            Ok(ClientFrame::Pong) => {}
            Ok(ClientFrame::Subscribe(subscribe)) => return self.subscribe(slot, &subscribe),
            Ok(ClientFrame::Unsubscribe { channel }) => self.unsubscribe(slot, &channel),
            Ok(ClientFrame::SignIn(sign_in)) => return self.sign_in(slot, &sign_in),
            Ok(ClientFrame::Event(event)) => self.client_event(slot, &event),
            Err(error) => self.send(slot, &frame::error(None, &error.to_string())),
        }
        Flow::Next
    }

    fn client_event(&mut self, slot: u32, event: &ClientEvent<'_>) {
        if let Err((code, message)) = self.relay(slot, event) {
            self.send(slot, &frame::error(code, &message));
        }
    }

    /// Publishes a client event to the channel's other subscribers, if all of Pusher's conditions hold.
    fn relay(&mut self, slot: u32, event: &ClientEvent<'_>) -> Result<(), (Option<u16>, String)> {
        let no = |message: String| (None, message);
        let (now, shared) = (self.wheel.now(), Arc::clone(&self.shared));
        let config = shared.config();
        let socket = self.socket(slot);
        let Some(tenant) = socket.tenant.clone() else { return Ok(()) };
        let app = tenant.app();
        let policy = &app.policy;
        if !policy.client_events {
            return Err(no("To send client events, you must enable this feature for the app".into()));
        }
        if event.event.chars().count() > EVENT_NAME_CHARS_MAX {
            return Err(no(format!("An event name may have at most {EVENT_NAME_CHARS_MAX} characters")));
        }
        // Receivers get a string whatever was sent, since some SDKs can read nothing else.
        let data = serde_json::from_str::<String>(event.data).unwrap_or_else(|_| event.data.to_owned());
        let bytes_max = policy.event_bytes_max.map_or(config.client_event_bytes_max, |max| max as usize);
        if data.len() > bytes_max {
            return Err(no(format!("The data of a client event may have at most {bytes_max} bytes")));
        }
        let channel = Channel::parse(&event.channel).map_err(|error| no(error.to_string()))?;
        let protected = policy.protected_channels && channel.is_protected();
        let user_id = match (channel.kind(), socket.subscription(channel.name())) {
            (_, None) => return Err(no(format!("Client event rejected - not subscribed to channel {channel}"))),
            (ChannelKind::Presence, Some(subscription)) => subscription.user.clone(),
            (ChannelKind::Private | ChannelKind::Encrypted, Some(_)) => None,
            (ChannelKind::Public, Some(_)) if protected => None,
            _ => return Err(no("Client event rejected - only supported on private and presence channels".into())),
        };
        let per_second_max = policy.client_events_per_second_max.unwrap_or(config.client_events_per_second_max);
        if !socket.client_events.allows(now, per_second_max) {
            return Err((Some(4301), format!("Client event rejected - at most {per_second_max} a second")));
        }
        let (event, id, user) = (&*event.event, socket.id, user_id.as_deref());
        // Live only: a busy cursor must not push what matters out of a history.
        let publication = Publication { event, data: &data, user_id: user, except: Some(id), ephemeral: true };
        tenant.space.publish(&channel, &publication).map_err(|busy| (Some(4301), busy.to_string()))?;
        let channel = channel.name();
        tenant.space.observe(|| Observed::ClientEvent { channel, event, data: &data, socket: id, user });
        Ok(())
    }
}
