//! A client of kabar and of any other server of the Pusher protocol.
//!
//! [`Client::connect`] gives a handle and the stream of [`Event`]s. [`RoomStream`] makes of them every message of chat
//! rooms once and in order, over reconnects too; [`Publisher`] is the backend's side.

mod authorizer;
mod backoff;
pub mod bare;
mod client;
mod connection;
mod event;
mod http;
mod options;
mod rooms;
mod tls;

pub use authorizer::{Auth, AuthError, Authorizer, Authorizing, EndpointAuthorizer, SecretAuthorizer};
pub use backoff::{Backoff, Next};
pub use client::{COMMANDS_MAX, Client, Events, InvalidUrl, Refused};
pub use event::{ChannelEvent, Event, Member};
pub use http::{ChatApi, HttpError, MessagePage, Publisher};
pub use options::Options;
pub use rooms::{RoomEvent, RoomStream, Start};
