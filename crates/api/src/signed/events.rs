//! Publishing: one event, a batch, and the older form with the channel in the path.

use std::borrow::Cow;
use std::collections::HashSet;

use futures_util::future::join_all;
use hub::{Accepted, Hub, Publication};
use protocol::publish::{CHANNELS_PER_PUBLISH_MAX, EVENT_NAME_CHARS_MAX, EVENTS_PER_BATCH_MAX};
use protocol::signature::SignedQuery;
use protocol::{App, Channel};
use serde::Serialize;

use super::answer::{Answer, Refused};
use super::body::{Batch, Event, Text, parse};
use super::channels::parse_channel;
use super::info::{About, Info, by_name};
use crate::Api;

const KNOWN: [&str; 3] = ["user_count", "subscription_count", "position"];

/// An event that may be published: every part of it was checked.
struct Checked<'b> {
    event: Event<'b>,
    channels: Vec<Channel>,
    info: Info,
}

/// What is known of the channels of one event.
#[derive(Serialize)]
struct Channels<'c> {
    #[serde(serialize_with = "entries")]
    channels: Vec<(&'c str, About)>,
}

fn entries<S: serde::Serializer>(channels: &[(&str, About)], serializer: S) -> Result<S::Ok, S::Error> {
    by_name(channels, serializer)
}

/// What is known of each event's channel.
#[derive(Serialize)]
struct Abouts {
    batch: Vec<About>,
}

/// Publishes one event to up to 100 channels.
#[utoipa::path(post, path = "/apps/{id}/events", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200), (status = "4XX", description = "plain text"), (status = 503, description = "plain text")))]
pub(crate) async fn publish_event(api: &Api, app: &App, body: &[u8], id: Option<&str>) -> Result<Answer, Refused> {
    let event = check(parse(body)?, event_bytes_max(api, app))?;
    let hub = api.hub().ok_or(Refused::Busy)?;
    allow(hub, app, event.channels.len())?;
    let accepted = publish(hub, app, std::slice::from_ref(&event), id).await?;
    let replayed = accepted.iter().all(|accepted| accepted.duplicate);
    if event.info.is_empty() {
        return Ok(Answer::done().replayed_if(replayed));
    }
    let about = |(channel, accepted)| (Channel::name(channel), about(event.info, hub, app, channel, accepted));
    let channels = event.channels.iter().zip(&accepted).map(about).collect();
    Ok(Answer::json(&Channels { channels }).replayed_if(replayed))
}

/// Publishes up to 10 events, one channel each: all of them, or none.
#[utoipa::path(post, path = "/apps/{id}/batch_events", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200), (status = "4XX", description = "plain text"), (status = 503, description = "plain text")))]
pub(crate) async fn publish_batch(api: &Api, app: &App, body: &[u8], id: Option<&str>) -> Result<Answer, Refused> {
    let batch: Batch<'_> = parse(body)?;
    if batch.batch.len() > EVENTS_PER_BATCH_MAX {
        return Err(Refused::bad(format!("A batch may have at most {EVENTS_PER_BATCH_MAX} events")));
    }
    let bytes_max = event_bytes_max(api, app);
    let events = batch.batch.into_iter().map(|event| match event.channel.is_some() && event.channels.is_none() {
        true => check(event, bytes_max),
        false => Err(Refused::bad("Each event of a batch needs its channel")),
    });
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let hub = api.hub().ok_or(Refused::Busy)?;
    allow(hub, app, events.len())?;
    let accepted = publish(hub, app, &events, id).await?;
    let replayed = !accepted.is_empty() && accepted.iter().all(|accepted| accepted.duplicate);
    if events.iter().all(|event| event.info.is_empty()) {
        return Ok(Answer::done().replayed_if(replayed));
    }
    let about =
        |(event, accepted): (&Checked<'_>, &Accepted)| about(event.info, hub, app, &event.channels[0], accepted);
    let batch = events.iter().zip(&accepted).map(about).collect();
    Ok(Answer::json(&Abouts { batch }).replayed_if(replayed))
}

/// Publishes the raw body to one channel. Superseded by `events`.
#[utoipa::path(post, path = "/apps/{id}/channels/{channel}/events", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("channel" = String, Path), ("name" = String, Query),
        ("socket_id" = Option<String>, Query)),
    responses((status = 202), (status = "4XX", description = "plain text"), (status = 503, description = "plain text")))]
pub(crate) async fn publish_to_channel(
    api: &Api,
    app: &App,
    channel: &str,
    query: &SignedQuery<'_>,
    body: &[u8],
    id: Option<&str>,
) -> Result<Answer, Refused> {
    let data = std::str::from_utf8(body).map_err(|_| Refused::bad("The body is not UTF-8"))?;
    let socket_id = query.get("socket_id").filter(|text| !text.is_empty()).map(str::parse).transpose();
    let event = Event {
        name: query.get("name").ok_or_else(|| Refused::bad("name is missing"))?.into(),
        data: data.into(),
        channels: None,
        channel: Some(Text(channel.into())),
        socket_id: socket_id.map_err(|error| Refused::bad(format!("socket_id is not valid: {error}")))?,
        info: None,
    };
    let event = check(event, event_bytes_max(api, app))?;
    let hub = api.hub().ok_or(Refused::Busy)?;
    allow(hub, app, 1)?;
    let accepted = publish(hub, app, std::slice::from_ref(&event), id).await?;
    Ok(Answer::accepted().replayed_if(accepted[0].duplicate))
}

fn event_bytes_max(api: &Api, app: &App) -> usize {
    app.policy.event_bytes_max.map_or(api.config().event_bytes_max, |bytes| bytes as usize)
}

fn check(mut event: Event<'_>, bytes_max: usize) -> Result<Checked<'_>, Refused> {
    let bad = |text: String| Err(Refused::BadRequest(text));
    // Counting characters is needed only where bytes alone do not settle it.
    if event.name.is_empty()
        || event.name.len() > EVENT_NAME_CHARS_MAX && event.name.chars().count() > EVENT_NAME_CHARS_MAX
    {
        return bad(format!("The event's name must have 1 to {EVENT_NAME_CHARS_MAX} characters"));
    }
    let mut channels: Vec<Channel> = match (event.channels.take(), event.channel.take()) {
        (Some(names), _) if !(1..=CHANNELS_PER_PUBLISH_MAX).contains(&names.len()) => {
            return bad(format!("An event must name 1 to {CHANNELS_PER_PUBLISH_MAX} channels, not {}", names.len()));
        }
        (Some(names), _) => names.iter().map(|name| parse_channel(&name.0)).collect::<Result<_, _>>()?,
        (None, Some(name)) => vec![parse_channel(&name.0)?],
        (None, None) => return bad("channels is missing".into()),
    };
    if channels.len() > 1 {
        // A channel that is named twice gets the event once.
        let mut seen = HashSet::new();
        channels.retain(|channel| seen.insert(channel.shared_name()));
    }
    if event.data.len() > bytes_max {
        return Err(Refused::TooLarge(format!(
            "The data content of this event exceeds the allowed maximum ({bytes_max} bytes). \
             See http.event_bytes_max in docs/configuration.md"
        )));
    }
    let info = Info::parse(event.info.as_ref().map(|info| info.0.as_ref()), &KNOWN)?;
    Ok(Checked { event, channels, info })
}

fn allow(hub: &Hub, app: &App, count: usize) -> Result<(), Refused> {
    match app.policy.publishes_per_second_max {
        Some(per_second_max) if !hub.allows_publishes(&app.id, u32::try_from(count).unwrap_or(u32::MAX)) => {
            Err(Refused::TooMany { per_second_max })
        }
        _ => Ok(()),
    }
}

/// One event on its way to one channel name.
struct Step<'c, 'b> {
    channel: Cow<'c, Channel>,
    event: &'c Event<'b>,
    id: Option<String>,
    /// Whether it is the name that the publisher used: that one's place is the answer.
    named: bool,
}

/// Publishes all of the events to all of their channels, in order. What is stored comes first, so that a refusal by the
/// journal leaves nothing published; what it may have stored, it knows again by `id`.
async fn publish(hub: &Hub, app: &App, events: &[Checked<'_>], id: Option<&str>) -> Result<Vec<Accepted>, Refused> {
    if let [Checked { event, channels, .. }] = events
        && let [channel] = channels.as_slice()
        && !channel.is_protected()
    {
        return Ok(vec![hub.accept(&app.id, channel, &publication(event), id).await?]);
    }
    let steps = steps(app, events, id);
    hub.has_room(&app.id, steps.iter().map(|step| step.channel.as_ref()))?;
    let mut accepted: Vec<Option<Accepted>> = vec![None; steps.len()];
    let (stored, passing): (Vec<_>, Vec<_>) =
        (0..steps.len()).partition(|&at| app.policy.is_durable(steps[at].channel.name()));
    let accept = async |at: usize| {
        let Step { channel, event, id, .. } = &steps[at];
        hub.accept(&app.id, channel, &publication(event), id.as_deref()).await
    };
    for (&at, done) in stored.iter().zip(join_all(stored.iter().map(|&at| accept(at))).await) {
        accepted[at] = Some(done?);
    }
    for at in passing {
        accepted[at] = Some(accept(at).await?);
    }
    Ok(steps.iter().zip(accepted).filter(|(step, _)| step.named).filter_map(|(_, accepted)| accepted).collect())
}

fn publication<'e>(event: &'e Event<'_>) -> Publication<'e> {
    Publication { event: &event.name, data: &event.data, except: event.socket_id, ..Publication::default() }
}

fn steps<'c, 'b>(app: &App, events: &'c [Checked<'b>], id: Option<&str>) -> Vec<Step<'c, 'b>> {
    let mut steps = Vec::new();
    for (index, Checked { event, channels, .. }) in events.iter().enumerate() {
        // A key holds no space, so no two of them meet.
        let id = || id.map(|id| if events.len() > 1 { format!("{id} {index}") } else { id.to_owned() });
        for channel in channels {
            let protected = channel.protected().filter(|_| app.policy.protected_channels && channel.is_protected());
            steps.push(Step { channel: Cow::Borrowed(channel), event, id: id(), named: true });
            // kabar's own name of it stands for all its names: stock clients are subscribed under another one.
            let twins = protected.iter().flat_map(|protected| protected.channels()).filter(|twin| twin != channel);
            steps.extend(twins.map(|twin| Step { channel: Cow::Owned(twin), event, id: id(), named: false }));
        }
    }
    steps
}

fn about(info: Info, hub: &Hub, app: &App, channel: &Channel, accepted: &Accepted) -> About {
    About { position: info.position.then_some(accepted.position), ..info.of(hub, app, channel) }
}
