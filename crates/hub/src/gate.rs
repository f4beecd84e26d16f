//! What the hub cannot know by itself, and whom it asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use protocol::{App, Protected, UserId};

/// An answer on its way. The asking socket processes nothing until it is there; other sockets do not notice.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Refused>> + Send>>;

/// Decides about users and protected channels. Its answers must take bounded time.
pub trait Gate: Send + Sync + 'static {
    /// Whose token it is.
    fn user_of_token(&self, app: Arc<App>, token: String) -> Answer<SignedIn>;
    /// Whose ticket it is; a ticket works once.
    fn user_of_ticket(&self, app: Arc<App>, ticket: String) -> Answer<SignedIn>;
    /// Whether the user may subscribe now.
    fn may_subscribe(&self, app: Arc<App>, user: UserId, to: Protected) -> Answer<()>;
}

/// A user whom a socket can be bound to.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The backend's id of the user.
    pub user: UserId,
    /// JSON `{"id", "user_info"?}`, as `pusher:signin_success` repeats it.
    pub user_data: String,
    /// When the socket has to be closed, less [`crate::Config::token_grace`].
    pub expires_at: Option<SystemTime>,
}

/// Why the gate stays shut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Says why; may be shown to the client.
    #[error("{0}")]
    No(String),
    /// Nobody knows now; the client may try again.
    #[error("the service is unavailable, try again")]
    Unavailable,
}
