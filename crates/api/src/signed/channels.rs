//! Questions about channels, and the end of a user's connections.

use std::collections::BTreeMap;

use hub::{Hub, JournalQuery};
use protocol::signature::SignedQuery;
use protocol::{App, Channel, Epoch, Position, UserId};
use serde::Serialize;

use super::answer::{Answer, Refused};
use super::info::{About, Info};

/// The most events that one page of history has, and how many it has where nobody says.
const HISTORY_MAX: u32 = 1000;
const HISTORY_DEFAULT: u32 = 100;

#[derive(Serialize)]
struct Channels {
    channels: BTreeMap<String, About>,
}

#[derive(Serialize)]
struct Users {
    users: Vec<User>,
}

#[derive(Serialize)]
struct User {
    id: String,
}

#[derive(Serialize)]
struct History {
    position: Option<Position>,
    complete: bool,
    events: Vec<Kept>,
}

#[derive(Serialize)]
struct Kept {
    offset: u64,
    event: String,
    data: String,
}

/// Channels that somebody is subscribed to.
#[utoipa::path(get, path = "/apps/{id}/channels", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("filter_by_prefix" = Option<String>, Query), ("info" = Option<String>, Query)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
pub(crate) fn list_channels(hub: &Hub, app: &App, query: &SignedQuery<'_>) -> Result<Answer, Refused> {
    let prefix = query.get("filter_by_prefix").unwrap_or_default();
    let info = Info::parse(query.get("info"), &["user_count", "subscription_count"])?;
    if info.user_count && !prefix.starts_with("presence-") {
        return Err(Refused::bad("user_count needs a filter_by_prefix that starts with presence-"));
    }
    let occupied = hub.channels(&app.id, prefix).into_iter().map(|channel| {
        let about = About {
            user_count: channel.user_count.filter(|_| info.user_count),
            subscription_count: info.subscription_count.then_some(channel.subscription_count),
            ..About::default()
        };
        (channel.name, about)
    });
    Ok(Answer::json(&Channels { channels: occupied.collect() }))
}

/// Whether a channel has subscribers, how many, and what it holds.
#[utoipa::path(get, path = "/apps/{id}/channels/{channel}", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("channel" = String, Path), ("info" = Option<String>, Query)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
pub(crate) fn get_channel(hub: &Hub, app: &App, name: &str, query: &SignedQuery<'_>) -> Result<Answer, Refused> {
    let channel = parse_channel(name)?;
    let info = Info::parse(query.get("info"), &["user_count", "subscription_count", "cache"])?;
    if info.user_count && !is_presence(&channel) {
        return Err(Refused::bad("user_count is known only of presence channels"));
    }
    if info.cache && !channel.is_cache() {
        return Err(Refused::bad("cache is known only of cache channels"));
    }
    let occupied = hub.subscription_count(&app.id, &channel) > 0;
    Ok(Answer::json(&About { occupied: Some(occupied), ..info.of(hub, app, &channel) }))
}

/// Users in a presence channel.
#[utoipa::path(get, path = "/apps/{id}/channels/{channel}/users", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("channel" = String, Path)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
pub(crate) fn list_users(hub: &Hub, app: &App, name: &str) -> Result<Answer, Refused> {
    let channel = parse_channel(name)?;
    if !is_presence(&channel) {
        return Err(Refused::bad("Users are known only of presence channels"));
    }
    let users = hub.users(&app.id, &channel).into_iter().map(|id| User { id });
    Ok(Answer::json(&Users { users: users.collect() }))
}

/// Counts of a channel. Superseded by `info`.
#[utoipa::path(get, path = "/apps/{id}/channels/{channel}/stats", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("channel" = String, Path)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
pub(crate) fn get_stats(hub: &Hub, app: &App, name: &str) -> Result<Answer, Refused> {
    let channel = parse_channel(name)?;
    let count = hub.subscription_count(&app.id, &channel);
    let info = Info { user_count: true, ..Info::default() };
    let about = info.of(hub, app, &channel);
    Ok(Answer::json(&About { occupied: Some(count > 0), connection_count: Some(count), ..about }))
}

/// What a channel keeps: all after a position, or the newest.
#[utoipa::path(get, path = "/apps/{id}/channels/{channel}/history", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("channel" = String, Path), ("limit" = Option<u32>, Query),
        ("after_epoch" = Option<String>, Query), ("after_offset" = Option<u64>, Query),
        ("seconds" = Option<u32>, Query)),
    responses((status = 200), (status = "4XX", description = "plain text"), (status = 503, description = "plain text")))]
pub(crate) async fn get_history(hub: &Hub, app: &App, name: &str, query: &SignedQuery<'_>) -> Result<Answer, Refused> {
    let channel = parse_channel(name)?;
    let page = hub.history(&app.id, &channel, history_query(query)?).await?;
    let events = page.events.into_iter().map(|kept| Kept { offset: kept.offset, event: kept.event, data: kept.data });
    Ok(Answer::json(&History { position: page.position, complete: page.whole, events: events.collect() }))
}

fn history_query(query: &SignedQuery<'_>) -> Result<JournalQuery, Refused> {
    let limit = number(query, "limit", 1, HISTORY_MAX)?.unwrap_or(HISTORY_DEFAULT);
    let seconds = number(query, "seconds", 1, u32::MAX)?;
    match (query.get("after_epoch"), number(query, "after_offset", 0, u64::MAX)?) {
        (None, None) => Ok(JournalQuery::Newest { limit, seconds }),
        (Some(epoch), Some(offset)) if seconds.is_none() => {
            let epoch: Epoch = epoch.parse().map_err(|error| Refused::bad(format!("after_epoch: {error}")))?;
            Ok(JournalQuery::After { position: Position { epoch, offset }, limit })
        }
        (Some(_), Some(_)) => Err(Refused::bad("seconds goes only without after_epoch and after_offset")),
        _ => Err(Refused::bad("after_epoch and after_offset go only together")),
    }
}

fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    query: &SignedQuery<'_>,
    name: &str,
    min: T,
    max: T,
) -> Result<Option<T>, Refused> {
    let Some(text) = query.get(name) else { return Ok(None) };
    match text.parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(Some(number)),
        _ => Err(Refused::bad(format!("{name} must be a number from {min} to {max}"))),
    }
}

/// Closes the sockets that are signed in as a user.
#[utoipa::path(post, path = "/apps/{id}/users/{userId}/terminate_connections", tag = "publish",
    security(("signature" = [])), params(("id" = String, Path), ("userId" = String, Path)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
pub(crate) fn terminate(hub: &Hub, app: &App, user: &str) -> Result<Answer, Refused> {
    let user = UserId::try_from(user).map_err(|error| Refused::bad(format!("Invalid user id {user:?}: {error}")))?;
    hub.terminate(&app.id, &user);
    Ok(Answer::done())
}

/// As under `/apps/{id}`; the app is that of the `auth_key`. Pusher's Python SDK asks here.
#[utoipa::path(post, path = "/users/{userId}/terminate_connections", tag = "publish",
    security(("signature" = [])), params(("userId" = String, Path)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
pub(crate) fn terminate_by_key(hub: &Hub, app: &App, user: &str) -> Result<Answer, Refused> {
    terminate(hub, app, user)
}

pub(super) fn parse_channel(name: &str) -> Result<Channel, Refused> {
    Channel::parse(name).map_err(|error| Refused::bad(format!("Invalid channel name {name:?}: {error}")))
}

fn is_presence(channel: &Channel) -> bool {
    channel.name().starts_with("presence-")
}
