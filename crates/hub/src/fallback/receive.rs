//! The body of a response that carries a session's lines.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use super::lines::Style;
use super::pipe::{Pipe, Taken};

/// One receive request.
pub(super) struct Receive {
    pipe: Arc<Pipe>,
    number: u64,
    /// Whether the response ends after the first lines.
    once: bool,
    units: usize,
    heartbeat_every: Duration,
    heartbeat: Pin<Box<Sleep>>,
    /// When the socket was last told that the peer is there.
    heard: Instant,
    over: bool,
}

impl Receive {
    /// Takes the session over.
    pub(super) fn new(pipe: Arc<Pipe>, once: bool, heartbeat_every: Duration) -> Self {
        let number = pipe.attach();
        let heartbeat = Box::pin(tokio::time::sleep(heartbeat_every));
        Self { pipe, number, once, units: 0, heartbeat_every, heartbeat, heard: Instant::now(), over: false }
    }

    fn give(&mut self, lines: Bytes) -> Poll<Option<Result<Bytes, Infallible>>> {
        let now = Instant::now();
        self.heartbeat.as_mut().reset(now + self.heartbeat_every);
        // Readers of events cannot say that they are there. Their connection takes what is written: that has to do.
        if self.pipe.style == Style::Events && now - self.heard >= self.heartbeat_every {
            self.heard = now;
            self.pipe.heard();
        }
        if self.once {
            self.over = true;
            self.pipe.detach(self.number);
        }
        Poll::Ready(Some(Ok(lines)))
    }
}

impl MessageBody for Receive {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        match this.pipe.take(this.number, &mut this.units, cx) {
            Taken::Lines(lines) => this.give(lines),
            Taken::Nothing => match this.heartbeat.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    let heartbeat = this.pipe.style.heartbeat();
                    this.units += heartbeat.units;
                    this.give(heartbeat.bytes)
                }
                Poll::Pending => Poll::Pending,
            },
            Taken::Spent => Poll::Pending,
            Taken::End => {
                this.over = true;
                Poll::Ready(None)
            }
        }
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        self.pipe.detach(self.number);
    }
}
