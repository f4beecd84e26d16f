//! Pusher's HTTP API: signed requests of backends. Errors are plain text, which server SDKs show their users.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError, get, post, web};
use bytes::Bytes;
use hub::{Hub, Publication};
use protocol::publish::{CHANNELS_PER_PUBLISH_MAX, EVENT_NAME_CHARS_MAX, EVENTS_PER_BATCH_MAX};
use protocol::signature::{RequestRefused, SignedQuery};
use protocol::{App, Channel, SocketId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Api;
use crate::request::read;

/// Why a signed request did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("Nothing is at this path")]
    NotFound,
    #[error("This path does not take this method")]
    MethodNotAllowed,
    #[error("{0}")]
    TooLarge(String),
    #[error("Too many publications are waiting, try again")]
    Busy,
}

impl ResponseError for PublishError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if matches!(self, Self::Busy) {
            response.insert_header(("Retry-After", "1"));
        }
        response.content_type("text/plain; charset=utf-8").body(self.to_string())
    }
}

impl From<RequestRefused> for PublishError {
    fn from(refused: RequestRefused) -> Self {
        match refused {
            RequestRefused::Malformed(text) => Self::BadRequest(text.into()),
            refused => Self::Unauthorized(refused.to_string()),
        }
    }
}

pub(crate) async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, PublishError> {
    match crate::openapi::methods(request.path()).is_empty() {
        true => Err(PublishError::NotFound),
        false => Err(PublishError::MethodNotAllowed),
    }
}

/// `channels`, or `channel` as an older form. Text is borrowed from the body where nothing in it is escaped.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow, default)]
    channels: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(default)]
    socket_id: Option<SocketId>,
    #[serde(borrow, default)]
    info: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<Event<'a>>,
}

/// An event that may be published: every part of it was checked.
struct Checked<'a> {
    event: Event<'a>,
    channels: Vec<Channel>,
    info: Info,
}

/// Publishes one event to up to 100 channels.
#[utoipa::path(context_path = "/apps", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path)), responses((status = 200), (status = "4XX", description = "plain text")))]
#[post("/{id}/events")]
pub(crate) async fn publish_event(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PublishError> {
    let (app, body) = authenticate(&api, &request, &id, payload).await?;
    let event = check(parse(&body)?, api.config().event_bytes_max)?;
    let hub = api.hub().ok_or(PublishError::Busy)?;
    publish(hub, &app, &event)?;
    if event.info.is_empty() {
        return Ok(done());
    }
    let about = |channel: &Channel| (channel.name().to_owned(), Value::Object(event.info.of(hub, &app, channel)));
    let channels: Map<_, _> = event.channels.iter().map(about).collect();
    Ok(HttpResponse::Ok().json(json!({ "channels": channels })))
}

/// Publishes up to 10 events, one channel each.
#[utoipa::path(context_path = "/apps", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path)), responses((status = 200), (status = "4XX", description = "plain text")))]
#[post("/{id}/batch_events")]
pub(crate) async fn publish_batch(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PublishError> {
    let (app, body) = authenticate(&api, &request, &id, payload).await?;
    let batch: Batch<'_> = parse(&body)?;
    if batch.batch.len() > EVENTS_PER_BATCH_MAX {
        return Err(PublishError::BadRequest(format!("A batch may have at most {EVENTS_PER_BATCH_MAX} events")));
    }
    // All of them first: a batch is published whole or not at all.
    let bytes_max = api.config().event_bytes_max;
    let events = batch.batch.into_iter().map(|event| match event.channel.is_some() && event.channels.is_none() {
        true => check(event, bytes_max),
        false => Err(PublishError::BadRequest("Each event of a batch needs its channel".into())),
    });
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let hub = api.hub().ok_or(PublishError::Busy)?;
    events.iter().try_for_each(|event| publish(hub, &app, event))?;
    if events.iter().all(|event| event.info.is_empty()) {
        return Ok(done());
    }
    let about: Vec<_> = events.iter().map(|event| event.info.of(hub, &app, &event.channels[0])).collect();
    Ok(HttpResponse::Ok().json(json!({ "batch": about })))
}

/// Whether a channel has subscribers, and how many.
#[utoipa::path(context_path = "/apps", tag = "publish", security(("signature" = [])),
    params(("id" = String, Path), ("channel" = String, Path), ("info" = Option<String>, Query)),
    responses((status = 200), (status = "4XX", description = "plain text")))]
#[get("/{id}/channels/{channel}")]
pub(crate) async fn get_channel(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PublishError> {
    let (id, channel) = path.into_inner();
    let (app, _) = authenticate(&api, &request, &id, payload).await?;
    let channel = parse_channel(&channel)?;
    let query = SignedQuery::parse("GET", request.path(), request.query_string());
    let info = Info::parse(query.get("info"))?;
    let hub = api.hub().ok_or(PublishError::Busy)?;
    if info.user_count && !channel.name().starts_with("presence-") {
        return Err(PublishError::BadRequest("user_count is known only of presence channels".into()));
    }
    let mut about = info.of(hub, &app, &channel);
    about.insert("occupied".into(), (hub.subscription_count(&app.id, &channel) > 0).into());
    Ok(HttpResponse::Ok().json(about))
}

async fn authenticate(
    api: &Api,
    request: &HttpRequest,
    id: &str,
    payload: web::Payload,
) -> Result<(Arc<App>, Bytes), PublishError> {
    let method = request.method().as_str();
    let query = SignedQuery::parse(method, request.uri().path(), request.uri().query().unwrap_or_default());
    let key = query.auth_key()?;
    let app = api.inner.apps.by_key(key);
    let app = app.ok_or_else(|| PublishError::Unauthorized(format!("Unknown auth_key {key:?}")))?;
    if app.id.as_str() != id {
        return Err(PublishError::Forbidden("The auth_key belongs to another app than the one in the path"));
    }
    let bytes_max = api.config().publish_body_bytes_max;
    let body = read(payload, bytes_max).await.map_err(|error| match error {
        crate::error::ApiError::TooLarge { .. } => {
            PublishError::TooLarge(format!("The body of this request exceeds the allowed maximum ({bytes_max} bytes)"))
        }
        error => PublishError::BadRequest(error.to_string()),
    })?;
    query.verify(&app.secret, &body, chrono::Utc::now().timestamp())?;
    Ok((app, body))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, PublishError> {
    serde_json::from_slice(body).map_err(|error| PublishError::BadRequest(format!("The body is not valid: {error}")))
}

fn check(mut event: Event<'_>, bytes_max: usize) -> Result<Checked<'_>, PublishError> {
    let bad = |text: String| Err(PublishError::BadRequest(text));
    // Counting characters is needed only where bytes alone do not settle it.
    if event.name.is_empty()
        || event.name.len() > EVENT_NAME_CHARS_MAX && event.name.chars().count() > EVENT_NAME_CHARS_MAX
    {
        return bad(format!("The event's name must have 1 to {EVENT_NAME_CHARS_MAX} characters"));
    }
    let names = match (event.channels.take(), event.channel.take()) {
        (Some(names), _) => names,
        (None, Some(name)) => vec![name],
        (None, None) => return bad("channels is missing".into()),
    };
    if !(1..=CHANNELS_PER_PUBLISH_MAX).contains(&names.len()) {
        return bad(format!("An event must name 1 to {CHANNELS_PER_PUBLISH_MAX} channels, not {}", names.len()));
    }
    let mut channels: Vec<Channel> = names.iter().map(|name| parse_channel(name)).collect::<Result<_, _>>()?;
    if channels.len() > 1 {
        // A channel that is named twice gets the event once.
        let mut seen = std::collections::HashSet::new();
        channels.retain(|channel| seen.insert(channel.shared_name()));
    }
    if event.data.len() > bytes_max {
        return Err(PublishError::TooLarge(format!(
            "The data content of this event exceeds the allowed maximum ({bytes_max} bytes). \
             See http.event_bytes_max in docs/configuration.md"
        )));
    }
    let info = Info::parse(event.info.as_deref())?;
    Ok(Checked { event, channels, info })
}

fn parse_channel(name: &str) -> Result<Channel, PublishError> {
    Channel::parse(name).map_err(|error| PublishError::BadRequest(format!("Invalid channel name {name:?}: {error}")))
}

fn publish(hub: &Hub, app: &App, checked: &Checked<'_>) -> Result<(), PublishError> {
    let Event { name, data, socket_id, .. } = &checked.event;
    let publication = Publication { event: name, data, except: *socket_id, ..Publication::default() };
    let publish = |channel: &Channel| hub.publish(&app.id, channel, &publication).map_err(|_| PublishError::Busy);
    checked.channels.iter().try_for_each(|channel| match channel.protected() {
        // kabar's own name of it stands for all its names: stock clients are subscribed under another one.
        Some(protected) if app.policy.protected_channels && channel.is_protected() => {
            protected.channels().iter().try_for_each(publish)
        }
        _ => publish(channel),
    })
}

/// `{}` exactly: some SDKs compare it.
fn done() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body("{}")
}

/// Which attributes are asked for.
#[derive(Clone, Copy, Default)]
struct Info {
    user_count: bool,
    subscription_count: bool,
}

impl Info {
    fn parse(text: Option<&str>) -> Result<Self, PublishError> {
        let mut info = Self::default();
        for attribute in text.unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match attribute {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                other => return Err(PublishError::BadRequest(format!("Unknown info attribute {other:?}"))),
            }
        }
        Ok(info)
    }

    fn is_empty(self) -> bool {
        !self.user_count && !self.subscription_count
    }

    fn of(self, hub: &Hub, app: &App, channel: &Channel) -> Map<String, Value> {
        let mut about = Map::new();
        if self.user_count && channel.name().starts_with("presence-") {
            about.insert("user_count".into(), hub.user_count(&app.id, channel).into());
        }
        if self.subscription_count {
            about.insert("subscription_count".into(), hub.subscription_count(&app.id, channel).into());
        }
        about
    }
}
