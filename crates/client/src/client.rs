//! The handle of a connection, and the stream of its events.

use secrecy::SecretString;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use url::Url;

use crate::connection::{Command, Connection};
use crate::{Event, Options};

/// Commands that wait to be carried out: the most.
pub const COMMANDS_MAX: usize = 10_000;

/// A connection's handle. It reconnects by itself; when the last clone is dropped, it closes.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
}

/// The events of a connection, in their order. When it is dropped, the connection closes.
pub struct Events {
    events: mpsc::Receiver<Event>,
}

/// An [`Options::url`] that is none.
#[derive(Debug, thiserror::Error)]
#[error("not a URL of a realtime server: {url}")]
pub struct InvalidUrl {
    url: String,
}

/// A command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// [`COMMANDS_MAX`] are waiting.
    #[error("too many commands are waiting")]
    Busy,
    /// The connection has stopped for good.
    #[error("the connection has stopped")]
    Stopped,
}

impl Client {
    /// Starts to connect, in a task of the current tokio runtime. Whether it worked is told by the events: a server
    /// that is down is tried again, see [`crate::Backoff`].
    ///
    /// # Errors
    /// The URL is none, or neither `ws` nor `wss`.
    pub fn connect(options: Options) -> Result<(Self, Events), InvalidUrl> {
        let url = socket_url(&options).ok_or_else(|| InvalidUrl { url: options.url.clone() })?;
        let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
        let (events_out, events) = mpsc::channel(options.queue_events_max.max(1));
        tokio::spawn(Connection::new(options, url, commands_in, events_out).run());
        Ok((Self { commands }, Events { events }))
    }

    /// Subscribes, now and after each reconnect, until [`Client::unsubscribe`]. [`Event::Subscribed`] tells of it.
    ///
    /// # Errors
    /// See [`Refused`]; it never waits.
    pub fn subscribe(&self, channel: impl Into<String>) -> Result<(), Refused> {
        self.command(Command::Subscribe(channel.into()))
    }

    /// Ends a subscription. The protocol has no answer to it: events that were on their way may still come.
    ///
    /// # Errors
    /// See [`Refused`]; it never waits.
    pub fn unsubscribe(&self, channel: impl Into<String>) -> Result<(), Refused> {
        self.command(Command::Unsubscribe(channel.into()))
    }

    /// Sends a client event; `event` starts with `client-`, `data` is JSON. While there is no connection it is lost.
    ///
    /// # Errors
    /// See [`Refused`]; it never waits.
    pub fn trigger(&self, channel: &str, event: &str, data: &RawValue) -> Result<(), Refused> {
        let frame = format!(r#"{{"event":{},"channel":{},"data":{data}}}"#, json!(event), json!(channel));
        self.command(Command::Trigger { frame })
    }

    /// Signs in with a new token, before the old one expires; it is used at reconnects too.
    ///
    /// # Errors
    /// See [`Refused`]; it never waits.
    pub fn sign_in(&self, token: impl Into<String>) -> Result<(), Refused> {
        self.command(Command::Token(SecretString::from(token.into())))
    }

    fn command(&self, command: Command) -> Result<(), Refused> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Busy,
            mpsc::error::TrySendError::Closed(_) => Refused::Stopped,
        })
    }
}

impl Events {
    /// The next event; none after the connection has stopped for good. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

fn socket_url(options: &Options) -> Option<String> {
    let mut url = Url::parse(&options.url).ok().filter(|url| matches!(url.scheme(), "ws" | "wss"))?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["app", options.app_key.as_str()]);
    url.set_query(Some(concat!("protocol=7&client=kabar-rust&version=", env!("CARGO_PKG_VERSION"))));
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_may_have_a_path_and_must_be_one_of_a_websocket() {
        let url = |url: &str| socket_url(&Options::new(url, "key"));
        let query = concat!("?protocol=7&client=kabar-rust&version=", env!("CARGO_PKG_VERSION"));
        assert_eq!(url("ws://h:1").unwrap(), format!("ws://h:1/app/key{query}"));
        assert_eq!(url("wss://h/rt/").unwrap(), format!("wss://h/rt/app/key{query}"));
        assert_eq!((url("http://h"), url("h:1"), url("")), (None, None, None));
    }
}
