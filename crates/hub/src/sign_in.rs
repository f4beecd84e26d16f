//! Who a socket is: signed in by a signature, a token or a ticket, once and for all.

use std::sync::Arc;

use protocol::frame::{self, SignIn};
use protocol::{App, CloseCode, SocketId, UserId};
use serde::Deserialize;

use crate::gate::{Refused, SignedIn};
use crate::shard::{Flow, State};
use crate::socket::Bound;
use crate::subscribe::{Question, signature_of};

impl State {
    pub(crate) fn signed_in(&mut self, slot: u32, answer: Result<SignedIn, Refused>, at_connect: bool) {
        match answer {
            Ok(signed_in) => {
                if at_connect {
                    self.greet(slot);
                }
                let SignedIn { user, user_data, expires_at } = signed_in;
                let watched = Box::default();
                self.bind(slot, Bound { user: user.as_str().into(), user_data, expires_at, watched }, false);
            }
            Err(refused) if at_connect => {
                self.send(slot, &frame::error(Some(CloseCode::UNAUTHORIZED.code), &refused.to_string()));
                let again = refused == Refused::Unavailable;
                self.close(slot, if again { CloseCode::UNAVAILABLE } else { CloseCode::UNAUTHORIZED });
            }
            Err(refused) => self.send(slot, &frame::error(None, &format!("Sign-in failed: {refused}"))),
        }
    }

    /// `pusher:signin`.
    pub(crate) fn sign_in(&mut self, slot: u32, sign_in: &SignIn<'_>) -> Flow {
        let socket = self.socket(slot);
        let (Some(tenant), id) = (&socket.tenant, socket.id) else { return Flow::Next };
        let app = tenant.app();
        if let Some(token) = &sign_in.token {
            return Flow::Ask(Question::Token { app, token: token.clone().into_owned(), at_connect: false });
        }
        let data = sign_in.user_data.as_deref().unwrap_or_default();
        match signed_user(&app, id, sign_in.auth.as_deref().unwrap_or_default(), data) {
            Ok(user) => {
                let (watched, cut) = watchlist(data, self.shared.config().watchlist_max);
                let user = user.id.as_str().into();
                self.bind(slot, Bound { user, user_data: data.into(), expires_at: None, watched }, cut);
            }
            Err(text) => self.send(slot, &frame::error(None, &format!("Sign-in failed: {text}"))),
        }
        Flow::Next
    }

    /// Signs the socket in, once and for all: a second sign-in may only renew the first.
    fn bind(&mut self, slot: u32, bound: Bound, watchlist_was_cut: bool) {
        let inbox = Arc::clone(&self.inbox);
        let socket = self.socket(slot);
        let (Some(tenant), id) = (socket.tenant.clone(), socket.id) else { return };
        let users = &tenant.space.users;
        match &socket.bound {
            Some(before) if before.user != bound.user => {
                let text = "Sign-in failed: the connection is signed in as another user";
                return self.send(slot, &frame::error(None, text));
            }
            Some(before) => users.unwatch(&before.watched, id),
            None => {
                let sockets_max = tenant.app().policy.connections_per_user_max.map_or(usize::MAX, |max| max as usize);
                if users.sign_in(&bound.user, id, &inbox, sockets_max).is_err() {
                    return self.refuse(slot, CloseCode::TOO_MANY_OF_USER);
                }
            }
        }
        let (success, expires_at, watched) =
            (frame::signin_success(&bound.user_data), bound.expires_at, bound.watched.clone());
        socket.bound = Some(Box::new(bound));
        self.send(slot, &success);
        if watchlist_was_cut {
            let text = format!("A watchlist may have at most {} ids; the first are watched", watched.len());
            self.send(slot, &frame::error(Some(4302), &text));
        }
        if !watched.is_empty() {
            let (online, offline) = users.watch(&watched, id, &inbox);
            self.send(slot, &frame::watchlist_events(&online, &offline));
        }
        if let Some(expires_at) = expires_at {
            self.watch_token(slot, expires_at);
        }
    }
}

/// Who signs in.
#[derive(Deserialize)]
struct SignedUser {
    id: UserId,
}

/// Whom the user wants to watch, each once, and whether there were more than may be.
fn watchlist(data: &str, ids_max: usize) -> (Box<[Arc<str>]>, bool) {
    #[derive(Deserialize)]
    struct Watching {
        #[serde(default)]
        watchlist: Vec<UserId>,
    }
    // What is no list of ids watches nobody: the sign-in itself is good.
    let ids = serde_json::from_str(data).map_or_else(|_| Vec::new(), |data: Watching| data.watchlist);
    let mut seen = std::collections::HashSet::new();
    let unique = ids.iter().map(UserId::as_str).filter(|id| seen.insert(*id));
    let mut watched: Vec<Arc<str>> = unique.map(Arc::from).collect();
    let cut = watched.len() > ids_max;
    watched.truncate(ids_max);
    (watched.into(), cut)
}

fn signed_user(app: &App, socket: SocketId, auth: &str, data: &str) -> Result<SignedUser, String> {
    let signature = signature_of(app, "a user", auth)?;
    if !app.secret.verify_user(socket, data, signature) {
        return Err(format!("Invalid signature: Expected HMAC SHA256 hex digest of {socket}::user::{data}"));
    }
    serde_json::from_str(data).map_err(|error| format!("user_data needs an id: {error}"))
}
