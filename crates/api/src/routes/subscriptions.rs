//! What a user wants to hear of.

use actix_web::{HttpRequest, HttpResponse, delete, get, put, web};
use protocol::ErrorBody;
use store::notifications::Target;

use crate::Api;
use crate::api::Caller;
use crate::body::notifications::{PutSubscription, Subscription, SubscriptionAnswer, Subscriptions};
use crate::error::ApiError;
use crate::request::{Body, Params};

const TYPE_CHARS_MAX: usize = 64;
const ID_CHARS_MAX: usize = 200;

/// The caller's subscriptions.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])),
    params(("targetType" = Option<String>, Query), ("targetId" = Option<String>, Query)),
    responses((status = 200, body = Subscriptions), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[get("/notifications/subscriptions")]
pub(crate) async fn list_subscriptions(
    caller: Caller,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let params = Params::of(&request);
    let part = |name: &str, chars_max| match params.get(name) {
        Some(text) if !fits(text, chars_max) => Err(unfit(name, chars_max)),
        text => Ok(text.map(str::to_owned)),
    };
    let (target_type, target_id) = (part("targetType", TYPE_CHARS_MAX)?, part("targetId", ID_CHARS_MAX)?);
    let found = api.store(move |conn| {
        let (target_type, target_id) = (target_type.as_deref(), target_id.as_deref());
        store::notifications::subscriptions(conn, &caller.app.id, caller.user(), target_type, target_id)
    });
    let subscriptions = found.await?.into_iter().map(subscription).collect();
    Ok(HttpResponse::Ok().json(Subscriptions { subscriptions }))
}

/// Subscribes the caller, or changes by which transports.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])), request_body = PutSubscription,
    responses((status = 200, body = SubscriptionAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[put("/notifications/subscriptions")]
pub(crate) async fn put_subscription(
    caller: Caller,
    Body(put): Body<PutSubscription>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let target = target(put.target_type, put.target_id)?;
    let transports = put.transports.map(|mut transports| {
        transports.sort();
        transports.dedup();
        transports
    });
    let max = api.config().notifications.subscriptions_max;
    let stored = api.store(move |conn| {
        let (app, user) = (&caller.app.id, caller.user());
        store::notifications::put_subscription(conn, app, user, &target, transports.as_deref(), max)
    });
    let too_many = || ApiError::field("targetId", format!("you may have at most {max} subscriptions"));
    let stored = stored.await?.ok_or_else(too_many)?;
    Ok(HttpResponse::Ok().json(SubscriptionAnswer { subscription: subscription(stored) }))
}

/// Ends a subscription of the caller's; fine if there is none.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])),
    params(("targetType" = String, Query), ("targetId" = String, Query)),
    responses((status = 204), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[delete("/notifications/subscriptions")]
pub(crate) async fn remove_subscription(
    caller: Caller,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let params = Params::of(&request);
    let part = |name: &str| params.get(name).unwrap_or_default().to_owned();
    let target = target(part("targetType"), part("targetId"))?;
    let removed =
        api.store(move |conn| store::notifications::remove_subscription(conn, &caller.app.id, caller.user(), &target));
    removed.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Something to subscribe to, as it is stored.
pub(crate) fn target(r#type: String, id: String) -> Result<Target, ApiError> {
    if !fits(&r#type, TYPE_CHARS_MAX) {
        return Err(unfit("targetType", TYPE_CHARS_MAX));
    }
    if !fits(&id, ID_CHARS_MAX) {
        return Err(unfit("targetId", ID_CHARS_MAX));
    }
    Ok(Target { r#type, id })
}

fn fits(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn unfit(field: &str, chars_max: usize) -> ApiError {
    ApiError::field(field, format!("{field} must have 1 to {chars_max} plain characters"))
}

fn subscription(stored: store::notifications::Subscription) -> Subscription {
    let store::notifications::Subscription { target, transports, created_at } = stored;
    Subscription { target_type: target.r#type, target_id: target.id, transports, created_at }
}
