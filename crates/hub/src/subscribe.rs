//! Who may: sign-in, subscribe, unsubscribe.
//!
//! A signature is checked on the spot. What only the outside knows becomes a [`Question`]; the socket reads nothing
//! more until its [`Reply`] is there, which keeps its frames in order.

use std::sync::Arc;

use protocol::frame::{self, ChannelData, SignIn, Subscribe};
use protocol::{App, Channel, ChannelKind, CloseCode, Protected, SocketId, UserId};
use serde::Deserialize;

use crate::gate::{Gate, Refused, SignedIn};
use crate::shard::{Flow, State};
use crate::socket::{Bound, Tenant};

/// What a socket waits to hear.
pub(crate) enum Question {
    /// Whose token it is; asked at connect or by `pusher:signin`.
    Token { app: Arc<App>, token: String, at_connect: bool },
    /// Whose ticket it is; asked at connect.
    Ticket { app: Arc<App>, ticket: String },
    /// Whether the user may subscribe.
    Join(Box<Join>),
}

/// A subscription that needs a yes.
pub(crate) struct Join {
    app: Arc<App>,
    channel: Channel,
    protected: Protected,
    user: UserId,
    /// For presence channels, and to know whose subscription it is.
    member: ChannelData,
    /// The space's count of revocations when it was asked.
    revocations: u64,
}

/// The answer to a [`Question`].
pub(crate) enum Reply {
    SignedIn { answer: Result<SignedIn, Refused>, at_connect: bool },
    Join(Box<Join>, Result<(), Refused>),
}

impl Question {
    pub(crate) async fn ask(self, gate: Arc<dyn Gate>) -> Reply {
        match self {
            Self::Token { app, token, at_connect } => {
                Reply::SignedIn { answer: gate.user_of_token(app, token).await, at_connect }
            }
            Self::Ticket { app, ticket } => {
                Reply::SignedIn { answer: gate.user_of_ticket(app, ticket).await, at_connect: true }
            }
            Self::Join(join) => {
                let (app, user, to) = (Arc::clone(&join.app), join.user.clone(), join.protected.clone());
                let answer = gate.may_subscribe(app, user, to).await;
                Reply::Join(join, answer)
            }
        }
    }
}

/// Why a subscription is refused: the text, and its kind and status as `pusher:subscription_error` gives them.
struct Denied(String, &'static str, u16);

fn unauthorized(text: impl Into<String>) -> Denied {
    Denied(text.into(), "AuthError", 401)
}

impl State {
    pub(crate) fn answered(&mut self, slot: u32, reply: Reply) -> Option<Question> {
        match reply {
            Reply::SignedIn { answer, at_connect } => self.signed_in(slot, answer, at_connect),
            Reply::Join(join, answer) => return self.decided(slot, join, answer),
        }
        None
    }

    fn signed_in(&mut self, slot: u32, answer: Result<SignedIn, Refused>, at_connect: bool) {
        match answer {
            Ok(signed_in) => {
                if at_connect {
                    self.greet(slot);
                }
                let SignedIn { user, user_data, expires_at } = signed_in;
                self.bind(slot, Bound { user: user.as_str().into(), user_data, expires_at });
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
        let app = Arc::clone(&tenant.app);
        if let Some(token) = &sign_in.token {
            return Flow::Ask(Question::Token { app, token: token.clone().into_owned(), at_connect: false });
        }
        let data = sign_in.user_data.as_deref().unwrap_or_default();
        match signed_user(&app, id, sign_in.auth.as_deref().unwrap_or_default(), data) {
            Ok(user) => self.bind(slot, Bound { user: user.as_str().into(), user_data: data.into(), expires_at: None }),
            Err(text) => self.send(slot, &frame::error(None, &format!("Sign-in failed: {text}"))),
        }
        Flow::Next
    }

    /// Signs the socket in, once and for all: a second sign-in may only renew the first.
    fn bind(&mut self, slot: u32, bound: Bound) {
        let inbox = Arc::clone(&self.inbox);
        let socket = self.socket(slot);
        let Some(tenant) = socket.tenant.clone() else { return };
        match &socket.bound {
            Some(before) if before.user != bound.user => {
                let text = "Sign-in failed: the connection is signed in as another user";
                return self.send(slot, &frame::error(None, text));
            }
            Some(_) => {}
            None => tenant.space.sign_in(&bound.user, socket.id, &inbox),
        }
        let (success, expires_at) = (frame::signin_success(&bound.user_data), bound.expires_at);
        socket.bound = Some(Box::new(bound));
        self.send(slot, &success);
        if let Some(expires_at) = expires_at {
            self.watch_token(slot, expires_at);
        }
    }

    /// `pusher:unsubscribe`: never answered, as Pusher does; an unknown channel is an error frame.
    pub(crate) fn unsubscribe(&mut self, slot: u32, name: &str) {
        let subscriptions = &mut self.socket(slot).subscriptions;
        let Some(index) = subscriptions.iter().position(|subscription| &*subscription.name == name) else {
            let text = format!("No current subscription to channel {name}, or subscription in progress");
            return self.send(slot, &frame::error(None, &text));
        };
        let ended = subscriptions.swap_remove(index);
        self.forget(slot, &ended);
    }

    /// `pusher:subscribe`.
    pub(crate) fn subscribe(&mut self, slot: u32, subscribe: &Subscribe<'_>) -> Flow {
        let Some(tenant) = self.socket(slot).tenant.clone() else { return Flow::Next };
        let channel = match Channel::parse(&subscribe.channel) {
            Ok(channel) => channel,
            Err(error) => {
                let name: String = subscribe.channel.chars().take(200).collect();
                self.deny(slot, &name, &Denied(format!("Invalid channel name: {error}"), "InvalidChannel", 400));
                return Flow::Next;
            }
        };
        if self.socket(slot).subscription(channel.name()).is_some() {
            // Not a refusal: the subscription stays, so only the error frame says so.
            self.send(slot, &frame::error(None, &format!("Existing subscription to channel {channel}")));
            return Flow::Next;
        }
        match self.admit(slot, &tenant, &channel, subscribe) {
            Ok(Admission::Granted(member)) => self.join(slot, &tenant, &channel, member.as_ref()),
            Ok(Admission::Ask(join)) => return Flow::Ask(Question::Join(join)),
            Err(denied) => self.deny(slot, channel.name(), &denied),
        }
        Flow::Next
    }

    fn admit(
        &mut self,
        slot: u32,
        tenant: &Tenant,
        channel: &Channel,
        subscribe: &Subscribe<'_>,
    ) -> Result<Admission, Denied> {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let socket = self.socket(slot);
        if socket.subscriptions.len() >= config.channels_per_socket_max {
            let text = format!("A connection may have at most {} subscriptions", config.channels_per_socket_max);
            return Err(Denied(text, "LimitReached", 4100));
        }
        let auth = subscribe.auth.as_deref().unwrap_or_default();
        let bound = socket.bound.as_deref();
        let app = &tenant.app;
        let about = channel.protected().filter(|_| app.policy.protected_channels);
        let is_own = app.policy.protected_channels && channel.is_protected();
        // Those who are signed in need no signature for what the gate can answer.
        if is_own || (auth.is_empty() && bound.is_some() && about.is_some()) {
            let bound = bound.ok_or_else(|| unauthorized(format!("Sign in to subscribe to {channel}")))?;
            let about = about.ok_or_else(|| unauthorized(format!("There is no channel {channel} to subscribe to")))?;
            let member = member_of(bound);
            return question(tenant, channel, about, member).map(Admission::Ask);
        }
        match channel.kind() {
            ChannelKind::Public => return Ok(Admission::Granted(None)),
            ChannelKind::ServerToUser => {
                let own = bound.is_some_and(|bound| channel.server_to_user() == Some(&*bound.user));
                let text = || unauthorized("Only the signed-in user may subscribe to this channel");
                return if own { Ok(Admission::Granted(None)) } else { Err(text()) };
            }
            ChannelKind::Private | ChannelKind::Encrypted | ChannelKind::Presence => {}
        }
        let data = subscribe.channel_data.as_deref();
        verify_channel(app, socket.id, channel, data, auth)?;
        let presence = channel.kind() == ChannelKind::Presence;
        let member = match (data, bound) {
            (Some(data), _) if presence => Some(ChannelData::parse(data).map_err(unauthorized)?),
            // Whatever else a backend signs on private channels is its own affair.
            (Some(data), _) => ChannelData::parse(data).ok(),
            (None, Some(bound)) if presence => Some(member_of(bound)),
            (None, None) if presence => return Err(unauthorized("Presence channels need channel_data or a sign-in")),
            _ => None,
        };
        if let Some(member) = member.as_ref().filter(|_| presence) {
            check_member(member, config.presence_info_bytes_max)?;
        }
        match (about, member) {
            // Signed by kabar's own endpoint, which asked the gate then; it may have changed its mind since.
            (Some(about), Some(member)) if member.gated => question(tenant, channel, about, member).map(Admission::Ask),
            (_, member) => Ok(Admission::Granted(member)),
        }
    }

    fn decided(&mut self, slot: u32, mut join: Box<Join>, answer: Result<(), Refused>) -> Option<Question> {
        let tenant = self.socket(slot).tenant.clone()?;
        let revocations = tenant.space.revocations();
        match answer {
            Ok(()) if revocations != join.revocations => {
                join.revocations = revocations;
                return Some(Question::Join(join));
            }
            Ok(()) => self.join(slot, &tenant, &join.channel, Some(&join.member)),
            Err(Refused::No(why)) => self.deny(slot, join.channel.name(), &Denied(why, "AuthError", 403)),
            Err(refused) => self.deny(slot, join.channel.name(), &Denied(refused.to_string(), "Unavailable", 503)),
        }
        None
    }

    fn join(&mut self, slot: u32, tenant: &Tenant, channel: &Channel, member: Option<&ChannelData>) {
        if self.socket(slot).phase != crate::socket::Phase::Open {
            return;
        }
        let inbox = Arc::clone(&self.inbox);
        let members_max = self.shared.config.presence_members_max;
        let joiner = member.filter(|_| channel.kind() == ChannelKind::Presence);
        let Ok(joined) = tenant.space.join(channel, &inbox, joiner, members_max) else {
            let text = format!("The channel has {members_max} members, which is the most it may have");
            return self.deny(slot, channel.name(), &Denied(text, "LimitReached", 4100));
        };
        let user = member.map(|member| member.user_id.as_str().into());
        self.remember(slot, channel.shared_name(), user, joined.id, joined.since);
        self.send(slot, &frame::subscription_succeeded(channel.name(), &joined.data));
    }

    /// Says no in both ways that clients know: hosted Pusher's error frame, and the one that reaches the channel.
    fn deny(&mut self, slot: u32, channel: &str, Denied(text, kind, status): &Denied) {
        self.send(slot, &frame::error(None, text));
        self.send(slot, &frame::subscription_error(channel, kind, text, *status));
    }
}

/// What becomes of a request to subscribe.
enum Admission {
    Granted(Option<ChannelData>),
    Ask(Box<Join>),
}

fn question(
    tenant: &Tenant,
    channel: &Channel,
    protected: Protected,
    member: ChannelData,
) -> Result<Box<Join>, Denied> {
    let user = UserId::try_from(member.user_id.as_str()).map_err(|error| unauthorized(error.to_string()))?;
    let revocations = tenant.space.revocations();
    Ok(Box::new(Join { app: Arc::clone(&tenant.app), channel: channel.clone(), protected, user, member, revocations }))
}

fn check_member(member: &ChannelData, info_bytes_max: usize) -> Result<(), Denied> {
    if member.user_id.chars().count() > UserId::CHARS_MAX {
        return Err(unauthorized(format!("A user_id may have at most {} characters", UserId::CHARS_MAX)));
    }
    if member.user_info.len() > info_bytes_max {
        return Err(unauthorized(format!("user_info may have at most {info_bytes_max} bytes")));
    }
    Ok(())
}

/// A signed-in user as a presence member.
fn member_of(bound: &Bound) -> ChannelData {
    #[derive(Deserialize)]
    struct UserData<'a> {
        #[serde(borrow, default)]
        user_info: Option<&'a serde_json::value::RawValue>,
    }
    let data: Option<UserData<'_>> = serde_json::from_str(&bound.user_data).ok();
    let user_info = data.and_then(|data| data.user_info).map_or("{}", serde_json::value::RawValue::get).to_owned();
    ChannelData { user_id: (*bound.user).to_owned(), user_info, gated: false }
}

/// Splits `KEY:SIGNATURE` and checks the key.
fn signature_of<'a>(app: &App, what: &str, auth: &'a str) -> Result<&'a str, String> {
    if auth.is_empty() {
        return Err(format!("Auth info required to subscribe to {what}"));
    }
    let format = || format!("Auth value for subscription to {what} is invalid: should be of format 'key:signature'");
    let (key, signature) = auth.split_once(':').ok_or_else(format)?;
    if key != app.key.as_str() {
        let key: String = key.chars().take(64).collect();
        return Err(format!("Invalid key in subscription auth data: '{key}'"));
    }
    Ok(signature)
}

fn verify_channel(
    app: &App,
    socket: SocketId,
    channel: &Channel,
    data: Option<&str>,
    auth: &str,
) -> Result<(), Denied> {
    let signature = signature_of(app, channel.name(), auth).map_err(unauthorized)?;
    if app.secret.verify_channel(socket, channel.name(), data, signature) {
        return Ok(());
    }
    let signed = data.map_or_else(String::new, |data| format!(":{data}"));
    let given: String = signature.chars().take(64).collect();
    let text =
        format!("Invalid signature: Expected HMAC SHA256 hex digest of {socket}:{channel}{signed}, but got {given}");
    Err(unauthorized(text))
}

fn signed_user(app: &App, socket: SocketId, auth: &str, data: &str) -> Result<UserId, String> {
    let signature = signature_of(app, "a user", auth)?;
    if !app.secret.verify_user(socket, data, signature) {
        return Err(format!("Invalid signature: Expected HMAC SHA256 hex digest of {socket}::user::{data}"));
    }
    #[derive(Deserialize)]
    struct UserData {
        id: UserId,
    }
    serde_json::from_str(data).map(|data: UserData| data.id).map_err(|error| format!("user_data needs an id: {error}"))
}
