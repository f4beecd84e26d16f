//! Who may subscribe, and what becomes of it.
//!
//! A signature is checked on the spot. What only the outside knows becomes a [`Question`]; the socket reads nothing
//! more until its [`Reply`] is there, which keeps its frames in order.

use std::sync::Arc;

use protocol::frame::{self, ChannelData, Subscribe};
use protocol::{App, Channel, ChannelKind, Protected, SocketId, UserId};
use serde::Deserialize;

use crate::gate::{Refused, SignedIn};
use crate::hub::Shared;
use crate::journal::JournalUnavailable;
use crate::replay::Replay;
use crate::shard::{Flow, Granted, State};
use crate::socket::{Bound, Tenant};
use crate::space::{JoinRefused, Joined, Resume, Space, Stored};

/// What a socket waits to hear.
pub(crate) enum Question {
    /// Whose token it is; asked at connect or by `pusher:signin`.
    Token { app: Arc<App>, token: String, at_connect: bool },
    /// Whose ticket it is; asked at connect.
    Ticket { app: Arc<App>, ticket: String },
    /// Whether the user may subscribe.
    Join(Box<Join>),
    /// What the journal has of the channel's past.
    Past(Box<Replay>, Arc<Space>),
}

/// A subscription that needs a yes.
pub(crate) struct Join {
    app: Arc<App>,
    channel: Channel,
    protected: Protected,
    user: UserId,
    /// For presence channels, and to know whose subscription it is.
    member: ChannelData,
    resume: Resume,
    /// The space's count of revocations when it was asked.
    revocations: u64,
}

/// The answer to a [`Question`].
pub(crate) enum Reply {
    SignedIn { answer: Result<SignedIn, Refused>, at_connect: bool },
    Join(Box<Join>, Result<(), Refused>),
    Past(Box<Replay>, Result<Stored, JournalUnavailable>),
}

impl Question {
    pub(crate) async fn ask(self, shared: Arc<Shared>) -> Reply {
        let gate = &shared.gate;
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
            Self::Past(replay, space) => {
                let answer = replay.ask(&shared, &space).await;
                Reply::Past(replay, answer)
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
            Reply::Past(replay, Ok(stored)) => return self.join(slot, *replay, Some(&stored)),
            Reply::Past(replay, Err(unavailable)) => {
                self.deny(slot, replay.channel.name(), &Denied(unavailable.to_string(), "Unavailable", 503));
            }
        }
        None
    }

    /// `pusher:unsubscribe`: never answered, as Pusher does; an unknown channel is an error frame.
    pub(crate) fn unsubscribe(&mut self, slot: u32, name: &str) {
        let subscriptions = &mut self.socket(slot).subscriptions;
        let Some(index) = subscriptions.iter().position(|subscription| subscription.channel.name() == name) else {
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
            Ok(Admission::Granted(member)) => {
                let replay = Replay::new(channel, member, Resume::of(subscribe));
                if let Some(question) = self.join(slot, replay, None) {
                    return Flow::Ask(question);
                }
            }
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
        let config = shared.config();
        let socket = self.socket(slot);
        let app = &*tenant.app();
        let channels_max =
            app.policy.channels_per_socket_max.map_or(config.channels_per_socket_max, |max| max as usize);
        if socket.subscriptions.len() >= channels_max {
            let text = format!("A connection may have at most {channels_max} subscriptions");
            return Err(Denied(text, "LimitReached", 4100));
        }
        let auth = subscribe.auth.as_deref().unwrap_or_default();
        let bound = socket.bound.as_deref();
        let resume = Resume::of(subscribe);
        let about = channel.protected().filter(|_| app.policy.protected_channels);
        let is_own = app.policy.protected_channels && channel.is_protected();
        // Those who are signed in need no signature for what the gate can answer.
        if is_own || (auth.is_empty() && bound.is_some() && about.is_some()) {
            let bound = bound.ok_or_else(|| unauthorized(format!("Sign in to subscribe to {channel}")))?;
            let about = about.ok_or_else(|| unauthorized(format!("There is no channel {channel} to subscribe to")))?;
            let member = member_of(bound);
            return question(tenant, channel, about, member, resume).map(Admission::Ask);
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
            (Some(about), Some(member)) if member.gated => {
                question(tenant, channel, about, member, resume).map(Admission::Ask)
            }
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
            Ok(()) => {
                let Join { channel, member, resume, .. } = *join;
                return self.join(slot, Replay::new(channel, Some(member), resume), None);
            }
            Err(Refused::No(why)) => self.deny(slot, join.channel.name(), &Denied(why, "AuthError", 403)),
            Err(refused) => self.deny(slot, join.channel.name(), &Denied(refused.to_string(), "Unavailable", 503)),
        }
        None
    }

    /// Subscribes, and gives what it asked for of the past; that may be a question to the journal first.
    fn join(&mut self, slot: u32, mut replay: Replay, stored: Option<&Stored>) -> Option<Question> {
        let socket = self.socket(slot);
        if socket.phase != crate::socket::Phase::Open {
            return None;
        }
        let (tenant, inbox) = (socket.tenant.clone()?, Arc::clone(&self.inbox));
        let channel = replay.channel.clone();
        let joiner = replay.member.as_ref().filter(|_| channel.kind() == ChannelKind::Presence);
        let joined = match tenant.space.join(&channel, &inbox, joiner, &replay.resume, stored) {
            Ok(joined) => joined,
            Err(JoinRefused::Full(members_max)) => {
                let text = format!("The channel has {members_max} members, which is the most it may have");
                self.deny(slot, channel.name(), &Denied(text, "LimitReached", 4100));
                return None;
            }
            Err(JoinRefused::Unloaded) if replay.may_ask() => {
                return Some(Question::Past(Box::new(replay), tenant.space));
            }
            Err(JoinRefused::Unloaded) => {
                let text = "The channel's past cannot be read now, try again".to_owned();
                self.deny(slot, channel.name(), &Denied(text, "Unavailable", 503));
                return None;
            }
        };
        let user = replay.member.map(|member| member.user_id.as_str().into());
        let succeeded = frame::subscription_succeeded(channel.name(), &joined.data);
        let positioned = replay.resume != Resume::Nothing;
        let Joined { id, since, follow, .. } = joined;
        self.remember(slot, Granted { id, since, channel, user, positioned });
        self.send(slot, &succeeded);
        self.replay(slot, follow);
        None
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
    resume: Resume,
) -> Result<Box<Join>, Denied> {
    let user = UserId::try_from(member.user_id.as_str()).map_err(|error| unauthorized(error.to_string()))?;
    let revocations = tenant.space.revocations();
    let app = tenant.app();
    Ok(Box::new(Join { app, channel: channel.clone(), protected, user, member, resume, revocations }))
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
pub(crate) fn signature_of<'a>(app: &App, what: &str, auth: &'a str) -> Result<&'a str, String> {
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
