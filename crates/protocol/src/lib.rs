//! What crosses a process boundary, as types: ids, channel names, frames, signatures, bodies.
//!
//! Everything here is pure: no I/O, no async; the clock is asked only whether a rotated secret is still good. A value that exists has been checked, so nobody
//! behind the edge checks it again. The wire is specified in `docs/protocol.md`.

mod app;
mod channel;
pub mod chat;
mod close;
pub mod domain_event;
mod error;
pub mod frame;
mod ids;
pub mod notification;
mod policy;
mod position;
pub mod publish;
pub mod signature;
mod socket_id;

pub use app::{App, AppId, AppKey, InvalidApp};
pub use channel::{CHANNEL_NAME_BYTES_MAX, Channel, ChannelKind, InvalidChannel, Protected};
pub use close::CloseCode;
pub use error::{ErrorBody, ErrorDetail};
pub use ids::{ClientId, InvalidId, MessageId, RoomId, UserId};
pub use policy::{HistoryRule, Policy};
pub use position::{Epoch, InvalidEpoch, Position};
pub use signature::Signer;
pub use socket_id::{InvalidSocketId, SocketId};
