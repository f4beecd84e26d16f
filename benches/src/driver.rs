//! One thread, one epoll: reads what thousands of sockets get, and publishes over a few HTTP connections.
//!
//! It only scans frame headers and looks for the stamp in each message, so that it costs much less than any server.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::histogram::Histogram;
use crate::wire::{self, Opened, one_frame};
use crate::{http, stamp};

/// How long messages may be outstanding after the last publish before they count as lost.
const DRAIN: Duration = Duration::from_secs(5);
const PUBLISHER: u64 = 1 << 32;

/// How much to publish.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// For how long.
    pub(crate) duration: Duration,
    /// Publishes a second, at set times; none: as many as the window lets through.
    pub(crate) rate: Option<f64>,
    /// The most publishes that are answered or delivered only in part.
    pub(crate) window: u64,
    /// Sockets that get each of them.
    pub(crate) fan_out: u64,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) published: u64,
    pub(crate) deliveries: u64,
    pub(crate) answered: u64,
    /// Answers other than 2xx.
    pub(crate) refused: u64,
    /// Sockets that the server closed.
    pub(crate) closed: u64,
    /// Stamp to socket.
    pub(crate) latency: Histogram,
    /// Stamp to HTTP answer.
    pub(crate) answer_latency: Histogram,
}

pub(crate) struct Driver {
    epoll: Epoll,
    sockets: Vec<Receiver>,
    publishers: Vec<Publisher>,
    // Taken in turn: a connection that is never used is closed by servers that wait for its first request.
    idle: VecDeque<usize>,
    buffer: Vec<u8>,
    outcome: Outcome,
    last_progress: Instant,
}

struct Receiver {
    stream: TcpStream,
    partial: Vec<u8>,
}

struct Publisher {
    stream: TcpStream,
    input: Vec<u8>,
    stamped: u64,
}

impl Driver {
    /// Takes over the sockets and opens so many connections to publish through.
    pub(crate) fn new(to: SocketAddr, opened: Vec<Opened>, publishers: usize) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // The clock of the stamps starts no later than this.
        stamp::nanos(Instant::now());
        let mut sockets = Vec::with_capacity(opened.len());
        for (index, Opened { stream, rest }) in opened.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            sockets.push(Receiver { stream, partial: rest });
        }
        let mut connections = Vec::with_capacity(publishers);
        for index in 0..publishers {
            let stream = wire::connect(to, 0)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, PUBLISHER | index as u64))?;
            connections.push(Publisher { stream, input: Vec::new(), stamped: 0 });
        }
        Ok(Self {
            epoll,
            sockets,
            idle: (0..publishers).collect(),
            publishers: connections,
            buffer: vec![0; 65_536],
            outcome: Outcome::default(),
            last_progress: Instant::now(),
        })
    }

    /// Publishes as planned and counts what comes, until everything came or nothing came for a while.
    /// `request` makes the n-th publish, bearing this stamp (nanoseconds).
    pub(crate) fn run(mut self, plan: Plan, request: &mut dyn FnMut(u64, u64) -> Vec<u8>) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let mut events = vec![EpollEvent::empty(); 1024];
        loop {
            let over = started.elapsed() >= plan.duration;
            let outstanding = self.outstanding(plan);
            if over && (outstanding == 0 || self.last_progress.elapsed() > DRAIN) {
                break;
            }
            let mut wait_ms = 20;
            if !over {
                wait_ms = self.publish_due(plan, started, request)?;
            }
            let count = match self.epoll.wait(&mut events, EpollTimeout::from(wait_ms)) {
                Err(Errno::EINTR) => 0,
                count => count?,
            };
            for event in &events[..count] {
                match event.data() {
                    data if data & PUBLISHER != 0 => self.answered((data & !PUBLISHER) as usize)?,
                    data => self.received(data as usize)?,
                }
            }
        }
        self.outcome.elapsed = self.last_progress.saturating_duration_since(started);
        Ok(self.outcome)
    }

    fn outstanding(&self, plan: Plan) -> u64 {
        let delivered = self.outcome.deliveries.checked_div(plan.fan_out).unwrap_or(self.outcome.answered);
        self.outcome.published.saturating_sub(delivered.min(self.outcome.answered))
    }

    /// Publishes all that is due; how many milliseconds until there is more to do.
    fn publish_due(
        &mut self,
        plan: Plan,
        started: Instant,
        request: &mut dyn FnMut(u64, u64) -> Vec<u8>,
    ) -> anyhow::Result<u16> {
        while self.outstanding(plan) < plan.window {
            let due = match plan.rate {
                Some(rate) => started + Duration::from_secs_f64(self.outcome.published as f64 / rate),
                None => Instant::now(),
            };
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return Ok((wait.as_micros().div_ceil(1_000)).min(20) as u16);
            }
            let Some(index) = self.idle.pop_front() else { break };
            // The time at which it was due, not when its turn came: a generator that is late must not hide it.
            let stamp = stamp::nanos(due);
            let bytes = request(self.outcome.published, stamp);
            let publisher = &mut self.publishers[index];
            publisher.stamped = stamp;
            let written = publisher.stream.write(&bytes).context("publishing")?;
            ensure!(written == bytes.len(), "a request did not fit into an empty socket");
            self.outcome.published += 1;
            self.last_progress = Instant::now();
        }
        Ok(20)
    }

    fn answered(&mut self, index: usize) -> anyhow::Result<()> {
        let publisher = &mut self.publishers[index];
        let read = match publisher.stream.read(&mut self.buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            read => read.context("the answer to a publish")?,
        };
        ensure!(read > 0, "the server ended a connection that publishes");
        publisher.input.extend_from_slice(&self.buffer[..read]);
        let Some((status, body, length)) = http::answer(&publisher.input)? else { return Ok(()) };
        if !(200..300).contains(&status) {
            if self.outcome.refused == 0 {
                eprintln!("a publish was refused with {status}: {}", String::from_utf8_lossy(body));
            }
            self.outcome.refused += 1;
        }
        publisher.input.drain(..length);
        let now = Instant::now();
        self.outcome.answer_latency.add(stamp::micros_since(publisher.stamped, now));
        self.outcome.answered += 1;
        self.last_progress = now;
        self.idle.push_back(index);
        Ok(())
    }

    fn received(&mut self, index: usize) -> anyhow::Result<()> {
        let receiver = &mut self.sockets[index];
        let read = match receiver.stream.read(&mut self.buffer) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            _ => {
                self.outcome.closed += 1;
                return Ok(self.epoll.delete(&receiver.stream)?);
            }
        };
        let now = Instant::now();
        let outcome = &mut self.outcome;
        let mut count = |opcode: u8, payload: &[u8]| {
            if let Some(stamp) = stamp::read(payload).filter(|_| opcode == 1) {
                outcome.deliveries += 1;
                outcome.latency.add(stamp::micros_since(stamp, now));
            }
        };
        // Nearly always whole frames come, which need not be copied.
        let whole = receiver.partial.is_empty();
        if !whole {
            receiver.partial.extend_from_slice(&self.buffer[..read]);
        }
        let bytes = if whole { &self.buffer[..read] } else { &receiver.partial[..] };
        let mut used = 0;
        loop {
            match one_frame(&bytes[used..], &mut count) {
                0 => break,
                taken => used += taken,
            }
        }
        match whole {
            true => receiver.partial.extend_from_slice(&self.buffer[used..read]),
            false => drop(receiver.partial.drain(..used)),
        }
        self.last_progress = now;
        Ok(())
    }
}
