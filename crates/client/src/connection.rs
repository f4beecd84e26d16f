//! One client's connection from its first connect to its end: a task of its own.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use protocol::{Position, SocketId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::bare::{Frame, WebSocket};
use crate::event::ServerFrame;
use crate::{Auth, AuthError, ChannelEvent, Event, Next, Options};

/// What the handle asks for.
pub(crate) enum Command {
    Subscribe(String),
    Unsubscribe(String),
    Trigger { frame: String },
    Token(SecretString),
}

pub(crate) struct Connection {
    options: Options,
    url: String,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    // What shall be subscribed to, connected or not, and how far each was heard.
    wanted: BTreeMap<String, Option<Position>>,
    // The last connection's: what it published with its own exclusion is not to come back.
    socket: Option<SocketId>,
    failures: u32,
}

/// What lives as long as one socket.
struct Session {
    ws: WebSocket,
    socket: SocketId,
    // Subscriptions wait until the sign-in is answered: protected channels hang on it.
    ready: bool,
    signing: JoinSet<(String, Result<Auth, AuthError>)>,
    activity_timeout: Duration,
    heard: Instant,
    pinged: bool,
}

/// Why a session ended: the handle is gone, or the close code.
type Ended = ControlFlow<(), Option<u16>>;

impl Connection {
    pub(crate) fn new(
        options: Options,
        url: String,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { options, url, commands, events, wanted: BTreeMap::new(), socket: None, failures: 0 }
    }

    /// Connects, serves, reconnects, until the server forbids it or nobody holds the handle or the events any more.
    pub(crate) async fn run(mut self) {
        loop {
            let since = Instant::now();
            let ControlFlow::Continue(code) = self.session().await else { return };
            if since.elapsed() >= self.options.backoff.good_after {
                self.failures = 0;
            }
            let next = self.options.backoff.next(code, self.failures, rand::random());
            self.failures = self.failures.saturating_add(1);
            let retry_in = match next {
                Next::Stop => None,
                Next::After(wait) => Some(wait),
            };
            tracing::debug!(code, ?retry_in, "the connection ended");
            let told = self.events.send(Event::Closed { code, retry_in }).await;
            let (Ok(()), Some(wait)) = (told, retry_in) else { return };
            if self.pause(wait).await.is_break() {
                return;
            }
        }
    }

    /// Waits, but goes on taking what the handle asks for.
    async fn pause(&mut self, wait: Duration) -> ControlFlow<()> {
        let wait = sleep(wait);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => return ControlFlow::Continue(()),
                () = self.events.closed() => return ControlFlow::Break(()),
                command = self.commands.recv() => match command {
                    Some(command) => { self.note(command); }
                    None => return ControlFlow::Break(()),
                },
            }
        }
    }

    /// Keeps what outlives a socket; gives back what only a socket can do.
    fn note(&mut self, command: Command) -> Option<Command> {
        match &command {
            Command::Subscribe(channel) if self.wanted.contains_key(channel) => None,
            Command::Subscribe(channel) => {
                self.wanted.insert(channel.clone(), None);
                Some(command)
            }
            Command::Unsubscribe(channel) => self.wanted.remove(channel).map(|_| command),
            Command::Token(token) => {
                self.options.token = Some(token.clone());
                Some(command)
            }
            Command::Trigger { .. } => Some(command),
        }
    }

    async fn session(&mut self) -> Ended {
        let limit = self.options.connect_timeout;
        // The handle may well be dropped while a dead address is tried; commands wait in their queue meanwhile.
        let opened = tokio::select! {
            opened = timeout(limit, open(&self.url)) => opened,
            () = self.events.closed() => return Ended::Break(()),
        };
        let mut session = match opened {
            Ok(Ok(session)) => session,
            Ok(Err(code)) => return Ended::Continue(code),
            Err(_) => return Ended::Continue(None),
        };
        session.activity_timeout = session.activity_timeout.min(self.options.activity_timeout);
        if self.events.send(Event::Connected(session.socket)).await.is_err() {
            return Ended::Break(());
        }
        let begun = match &self.options.token {
            Some(token) => session.sign_in(token).await,
            None => self.begin(&mut session).await,
        };
        let ended = match begun {
            Some(()) => self.serve(&mut session).await,
            None => Ended::Continue(None),
        };
        self.socket = Some(session.socket);
        ended
    }

    /// What to ask of a channel's past: all since it was last heard.
    fn recover(&self, channel: &str) -> Value {
        match self.wanted.get(channel).copied().flatten() {
            Some(Position { epoch, offset }) => json!({"epoch": epoch, "offset": offset, "socket_id": self.socket}),
            None => json!(true),
        }
    }

    async fn begin(&self, session: &mut Session) -> Option<()> {
        session.ready = true;
        for channel in self.wanted.keys() {
            session.subscribe(channel, self.recover(channel), &self.options).await?;
        }
        Some(())
    }

    async fn serve(&mut self, session: &mut Session) -> Ended {
        loop {
            let silence = if session.pinged { self.options.pong_timeout } else { session.activity_timeout };
            let events = self.events.clone();
            let went = tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(session, command).await,
                    None => {
                        let _ = session.ws.close(1000, "").await;
                        return Ended::Break(());
                    }
                },
                Some(Ok((channel, signed))) = session.signing.join_next() => self.signed(session, channel, signed).await,
                // Room for its event first: with a full queue nothing is read, see `Options::queue_events_max`.
                frame = async { (events.reserve().await, session.ws.next().await) } => match frame {
                    (Err(_), _) => {
                        let _ = session.ws.close(1000, "").await;
                        return Ended::Break(());
                    }
                    (Ok(room), Ok(Frame::Text(text))) => self.hear(session, room, &text).await,
                    (Ok(_), Ok(Frame::Close(code, _))) => return Ended::Continue(code),
                    (Ok(_), Ok(Frame::End) | Err(_)) => return Ended::Continue(None),
                    (Ok(_), Ok(Frame::Binary(_) | Frame::Pong(_))) => {
                        session.heard = Instant::now();
                        Some(())
                    }
                },
                () = sleep_until(session.heard + silence), if events.capacity() > 0 => match session.pinged {
                    true => None,
                    false => session.ping().await,
                },
            };
            if went.is_none() {
                return Ended::Continue(None);
            }
        }
    }

    async fn obey(&mut self, session: &mut Session, command: Command) -> Option<()> {
        match self.note(command) {
            Some(Command::Subscribe(channel)) if session.ready => {
                session.subscribe(&channel, self.recover(&channel), &self.options).await
            }
            Some(Command::Unsubscribe(channel)) if session.ready => session.unsubscribe(&channel).await,
            Some(Command::Trigger { frame }) => session.send(&frame).await,
            Some(Command::Token(token)) => session.sign_in(&token).await,
            _ => Some(()),
        }
    }

    async fn signed(&self, session: &mut Session, channel: String, signed: Result<Auth, AuthError>) -> Option<()> {
        if !self.wanted.contains_key(&channel) {
            return Some(());
        }
        match signed {
            Ok(auth) => session.send_subscribe(&channel, self.recover(&channel), Some(&auth)).await,
            Err(error) => {
                let message = error.to_string();
                self.events.send(Event::SubscriptionFailed { channel, message }).await.ok()
            }
        }
    }

    async fn hear(&mut self, session: &mut Session, room: mpsc::Permit<'_, Event>, text: &str) -> Option<()> {
        session.heard = Instant::now();
        session.pinged = false;
        match ServerFrame::read(text) {
            ServerFrame::Ping => session.send(protocol::frame::PONG).await,
            ServerFrame::Position { channel, position, recovered } => {
                if let Some(known) = self.wanted.get_mut(&channel)
                    && recovered != Some(true)
                {
                    *known = position;
                }
                // Where all that was missed follows, the client is where it was until it has come.
                if recovered == Some(false) {
                    room.send(Event::Missed { channel });
                }
                Some(())
            }
            ServerFrame::Event(event) => {
                if let Event::Message(ChannelEvent { channel, offset: Some(offset), .. }) = &event
                    && let Some(Some(known)) = self.wanted.get_mut(channel)
                {
                    known.offset = *offset;
                }
                let answered = matches!(event, Event::SignedIn(_) | Event::Error { .. });
                room.send(event);
                match answered && !session.ready {
                    true => self.begin(session).await,
                    false => Some(()),
                }
            }
            ServerFrame::Pong | ServerFrame::Established { .. } | ServerFrame::Other => Some(()),
        }
    }
}

/// Connects and awaits `connection_established`; the close code if the server closes instead.
async fn open(url: &str) -> Result<Session, Option<u16>> {
    let mut ws = WebSocket::connect(url, &[]).await.map_err(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "no connection");
        None
    })?;
    loop {
        match ws.next().await {
            Ok(Frame::Text(text)) => {
                if let ServerFrame::Established { socket, activity_timeout } = ServerFrame::read(&text) {
                    let (signing, heard) = (JoinSet::new(), Instant::now());
                    return Ok(Session { ws, socket, ready: false, signing, activity_timeout, heard, pinged: false });
                }
            }
            Ok(Frame::Close(code, _)) => return Err(code),
            Ok(Frame::End) | Err(_) => return Err(None),
            Ok(Frame::Binary(_) | Frame::Pong(_)) => {}
        }
    }
}

// `None` is a connection that broke.
impl Session {
    async fn send(&mut self, frame: &str) -> Option<()> {
        self.ws.send_text(frame).await.ok()
    }

    async fn ping(&mut self) -> Option<()> {
        self.pinged = true;
        self.heard = Instant::now();
        self.send(protocol::frame::PING).await
    }

    async fn sign_in(&mut self, token: &SecretString) -> Option<()> {
        let frame = json!({"event": "pusher:signin", "data": {"token": token.expose_secret()}});
        self.send(&frame.to_string()).await
    }

    /// Subscribes, once it is signed where that is needed. Other channels need not wait for it.
    async fn subscribe(&mut self, channel: &str, recover: Value, options: &Options) -> Option<()> {
        let signed = channel.starts_with("private-") || channel.starts_with("presence-");
        match options.authorizer.clone().filter(|_| signed) {
            None => self.send_subscribe(channel, recover, None).await,
            Some(authorizer) => {
                let (socket, channel) = (self.socket, channel.to_owned());
                self.signing.spawn(async move {
                    let signed = authorizer.authorize(socket, &channel).await;
                    (channel, signed)
                });
                Some(())
            }
        }
    }

    async fn send_subscribe(&mut self, channel: &str, recover: Value, auth: Option<&Auth>) -> Option<()> {
        let mut data = json!({"channel": channel, "recover": recover});
        if let Some(auth) = auth {
            data["auth"] = auth.auth.as_str().into();
            if let Some(channel_data) = &auth.channel_data {
                data["channel_data"] = channel_data.as_str().into();
            }
        }
        self.send(&json!({"event": "pusher:subscribe", "data": data}).to_string()).await
    }

    async fn unsubscribe(&mut self, channel: &str) -> Option<()> {
        self.send(&json!({"event": "pusher:unsubscribe", "data": {"channel": channel}}).to_string()).await
    }
}
