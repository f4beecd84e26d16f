//! The sockets of one thread: one owner for each, no lock, no timer of its own.
//!
//! Three kinds of tasks run on the thread: one per socket, which only reads; one *turn*, which applies what other
//! threads put into the [`Inbox`] and flushes; one clock. They share the [`State`], which none of them holds while it
//! waits.

mod deadlines;
mod fan_out;
mod reading;

pub(crate) use reading::Flow;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Channel, CloseCode, SocketId, frame};
use slab::Slab;

use crate::arrival::{Arrival, Welcome};
use crate::channel::ChannelId;
use crate::hub::Shared;
use crate::inbox::{Command, Inbox};
use crate::queue::Queue;
use crate::socket::{Phase, Socket, Subscription};
use crate::subscribe::{Question, Reply};
use crate::websocket::{self, Decoder};
use crate::wheel::{Deadline, Wheel};
use crate::{Hub, Io};

/// How long a closed socket waits for the peer's own close.
const LINGER_SECONDS: u32 = 3;
const READ_BYTES: usize = 64 * 1024;

/// The handle of a shard, for the thread that owns it.
#[derive(Clone)]
pub struct Shard {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) state: RefCell<State>,
    pub(crate) shared: Arc<Shared>,
    inbox: Arc<Inbox>,
}

/// Where a socket is; `serial` tells apart those that had the slot one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// Everything that the shard owns.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) sockets: Slab<Socket>,
    channels: HashMap<ChannelId, Vec<Subscriber>>,
    pub(crate) wheel: Wheel,
    started: Instant,
    serial: u32,
    /// Sockets with something to write, in the order in which they got it.
    dirty: VecDeque<u32>,
    /// Swept out of the inbox and not yet applied.
    commands: VecDeque<Command>,
    read_buffer: Vec<u8>,
    write_buffer: Vec<u8>,
    draining: bool,
    echo: bool,
    /// The apps' generation that the sockets were last compared with.
    apps_seen: u64,
}

/// One local subscriber of a channel.
#[derive(Clone, Copy)]
struct Subscriber {
    slot: u32,
    positioned: bool,
    since: u64,
}

/// A subscription that the directory has granted.
pub(crate) struct Granted {
    pub(crate) id: ChannelId,
    /// Frames up to here are not for it.
    pub(crate) since: u64,
    pub(crate) channel: Channel,
    pub(crate) user: Option<Arc<str>>,
    /// Whether it is told the offset of what it gets.
    pub(crate) positioned: bool,
}

impl Shard {
    pub(crate) fn start(hub: Hub, index: u32) -> Self {
        let shared = hub.shared;
        let inbox = Arc::new(Inbox::new(index, shared.config().inbox_bytes_max));
        shared.directory.add_inbox(Arc::clone(&inbox));
        let state = State {
            shared: Arc::clone(&shared),
            inbox: Arc::clone(&inbox),
            sockets: Slab::new(),
            channels: HashMap::new(),
            wheel: Wheel::new(),
            started: Instant::now(),
            serial: 0,
            dirty: VecDeque::new(),
            commands: VecDeque::new(),
            read_buffer: vec![0; READ_BYTES],
            write_buffer: Vec::new(),
            draining: false,
            echo: false,
            apps_seen: shared.apps.generation(),
        };
        let inner = Rc::new(Inner { state: RefCell::new(state), shared, inbox });
        tokio::task::spawn_local(fan_out::turns(Rc::clone(&inner)));
        tokio::task::spawn_local(deadlines::clock(Rc::clone(&inner)));
        Self { inner }
    }

    /// Makes every socket of this shard answer each message with itself instead of speaking Pusher: what conformance
    /// suites for RFC 6455 talk to.
    #[doc(hidden)]
    pub fn echo(&self) {
        self.inner.state.borrow_mut().echo = true;
    }

    /// Takes over a stream after its handshake: writes `response`, if any is due, then serves it until it ends.
    pub(crate) fn adopt(&self, io: Io, response: Bytes, unread: Vec<u8>, arrival: Arrival) {
        let inner = Rc::clone(&self.inner);
        let mut state = inner.state.borrow_mut();
        let place = state.insert(io, response, unread);
        let question = state.arrive(place.slot, arrival);
        state.flush(place.slot);
        drop(state);
        tokio::task::spawn_local(serve(inner, place, question));
    }
}

/// A socket's task: reads, and where a frame raises a question, waits for its answer before it reads on.
async fn serve(inner: Rc<Inner>, place: Place, mut question: Option<Question>) {
    loop {
        while let Some(asked) = question.take() {
            // Boxed, so that the many tasks that ask nothing do not pay for the few that do.
            let reply: Reply = Box::pin(asked.ask(Arc::clone(&inner.shared))).await;
            let mut state = inner.state.borrow_mut();
            question = state.answered(place.slot, reply);
            state.flush(place.slot);
        }
        match poll_fn(|cx| inner.state.borrow_mut().poll_socket(place.slot, cx)).await {
            Some(asked) => question = Some(asked),
            None => break,
        }
    }
    inner.state.borrow_mut().remove(place.slot);
}

impl State {
    fn insert(&mut self, io: Io, response: Bytes, unread: Vec<u8>) -> Place {
        self.serial = self.serial.wrapping_add(1);
        let entry = self.sockets.vacant_entry();
        let place = Place { slot: entry.key() as u32, serial: self.serial };
        let mut queue = Queue::default();
        // A session over HTTP has answered already.
        if !response.is_empty() {
            queue.push(response);
        }
        entry.insert(Socket {
            id: socket_id(self.inbox.shard, place),
            serial: place.serial,
            io,
            decoder: Decoder::default(),
            unread,
            tenant: None,
            admitted: None,
            bound: None,
            subscriptions: smallvec::SmallVec::new(),
            phase: Phase::Open,
            waker: None,
            queue,
            last_seen: self.wheel.now(),
            frame_since: None,
            blocked_since: None,
            frames: crate::socket::Rate::default(),
            client_events: crate::socket::Rate::default(),
            pinged: false,
            watched: crate::socket::Watched::default(),
            dirty: false,
        });
        self.shared.directory.socket_added();
        self.watch(place.slot, Deadline::Idle, self.idle_seconds());
        place
    }

    fn arrive(&mut self, slot: u32, arrival: Arrival) -> Option<Question> {
        match arrival {
            Arrival::Refused(code) => self.refuse(slot, code),
            Arrival::Accepted(_) if self.draining => self.refuse(slot, CloseCode::GOING_AWAY),
            Arrival::Accepted(Welcome { tenant, admitted, question }) => {
                let authorized_only = tenant.app().policy.authorized_only;
                let socket = self.socket(slot);
                (socket.tenant, socket.admitted) = (Some(tenant), Some(admitted));
                if authorized_only {
                    let limit = seconds(self.shared.config().authorization_timeout);
                    self.watch(slot, Deadline::Authorization, limit);
                }
                if question.is_some() {
                    return question;
                }
                self.greet(slot);
            }
            Arrival::Echo => {}
        }
        None
    }

    /// Tells why in a frame too, which is all that a protocol before 6 understands, and closes.
    pub(crate) fn refuse(&mut self, slot: u32, code: CloseCode) {
        self.send(slot, &frame::error(Some(code.code), code.reason));
        self.close(slot, code);
    }

    pub(crate) fn greet(&mut self, slot: u32) {
        let seconds = self.shared.config().activity_timeout.as_secs();
        let id = self.socket(slot).id;
        self.send(slot, &frame::connection_established(id, seconds));
    }

    /// The socket in a slot that its task, which alone frees the slot, still holds.
    pub(crate) fn socket(&mut self, slot: u32) -> &mut Socket {
        &mut self.sockets[slot as usize]
    }

    pub(crate) fn place(&self, slot: u32) -> Place {
        Place { slot, serial: self.sockets[slot as usize].serial }
    }

    /// The socket at a place, if it is still the same.
    fn find(&mut self, place: Place) -> Option<&mut Socket> {
        self.sockets.get_mut(place.slot as usize).filter(|socket| socket.serial == place.serial)
    }

    fn find_id(&self, id: SocketId) -> Option<u32> {
        let slot = (id.place() >> 21) as u32 & SLOT_MASK;
        self.sockets.get(slot as usize).filter(|socket| socket.id == id).map(|_| slot)
    }

    /// Queues a text frame for one socket.
    pub(crate) fn send(&mut self, slot: u32, text: &str) {
        self.send_frame(slot, websocket::text_frame(text));
    }

    /// Begins to close: leaves every channel at once, so that nobody waits for the peer to notice.
    pub(crate) fn close(&mut self, slot: u32, code: CloseCode) {
        if self.socket(slot).phase != Phase::Open {
            return;
        }
        if code == CloseCode::SLOW {
            self.socket(slot).queue.abandon();
        }
        self.close_with(slot, websocket::close_frame(code.code, code.reason), true);
    }

    fn close_with(&mut self, slot: u32, close_frame: Bytes, linger: bool) {
        self.depart(slot);
        self.watch(slot, Deadline::Linger, LINGER_SECONDS);
        let socket = self.socket(slot);
        socket.phase = Phase::Closing { linger };
        socket.queue.push(close_frame);
        socket.wake();
        self.flush(slot);
    }

    /// Leaves every channel and signs out.
    fn depart(&mut self, slot: u32) {
        while let Some(subscription) = self.socket(slot).subscriptions.pop() {
            self.forget(slot, &subscription);
        }
        let socket = self.socket(slot);
        socket.admitted = None;
        if let (Some(bound), Some(tenant)) = (socket.bound.take(), &socket.tenant) {
            tenant.space.users.unwatch(&bound.watched, socket.id);
            tenant.space.users.sign_out(&bound.user, socket.id);
        }
    }

    /// Takes an ended subscription out of the channel's lists, here and in the directory.
    pub(crate) fn forget(&mut self, slot: u32, subscription: &Subscription) {
        if let Some(subscribers) = self.channels.get_mut(&subscription.id) {
            let position = subscription.position as usize;
            subscribers.swap_remove(position);
            if let Some(moved) = subscribers.get(position).copied() {
                let moved = &mut self.sockets[moved.slot as usize].subscriptions;
                let moved = moved.iter_mut().find(|other| other.id == subscription.id);
                moved.expect("a subscriber has its subscription").position = subscription.position;
            } else if subscribers.is_empty() {
                self.channels.remove(&subscription.id);
            }
        }
        let inbox = Arc::clone(&self.inbox);
        if let Some(tenant) = &self.socket(slot).tenant {
            tenant.space.leave(subscription, &inbox);
        }
    }

    /// Adds a subscription that the directory has granted.
    pub(crate) fn remember(&mut self, slot: u32, granted: Granted) {
        let Granted { id, since, channel, user, positioned } = granted;
        let subscribers = self.channels.entry(id).or_default();
        let position = subscribers.len() as u32;
        subscribers.push(Subscriber { slot, positioned, since });
        self.socket(slot).subscriptions.push(Subscription { id, channel, positioned, position, user });
    }

    fn remove(&mut self, slot: u32) {
        self.depart(slot);
        self.sockets.remove(slot as usize);
        self.shared.directory.socket_removed();
    }

    pub(crate) fn is_echo(&self) -> bool {
        self.echo
    }

    fn idle_seconds(&self) -> u32 {
        seconds(self.shared.config().activity_timeout + self.shared.config().pong_timeout)
    }
}

const SLOT_MASK: u32 = (1 << 22) - 1;

/// Ten bits of shard, 22 of slot, 21 of serial.
fn socket_id(shard: u32, place: Place) -> SocketId {
    let nonce = getrandom::u64().expect("the system has randomness");
    let place = u64::from(shard) << 43 | u64::from(place.slot & SLOT_MASK) << 21 | u64::from(place.serial & 0x1f_ffff);
    SocketId::new(nonce, place)
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
