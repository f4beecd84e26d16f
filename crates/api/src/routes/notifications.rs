//! A user's list of notifications.

use actix_web::{HttpRequest, HttpResponse, get, patch, web};
use chrono::{DateTime, TimeDelta, Utc};
use protocol::ErrorBody;
use protocol::notification::{Category, NotificationEvent, NotificationType, NotificationsMarked};
use store::notifications::{ListNotifications, Mark, Start, Which};

use crate::api::Caller;
use crate::body::notifications::{Notifications, Pagination, PatchNotifications, PatchedNotifications};
use crate::error::ApiError;
use crate::request::{Body, Params};
use crate::{Api, announce};

const PAGE: i64 = 20;
/// The most types that one request may name.
const TYPES_MAX: usize = 100;
const SNOOZE_MAX: TimeDelta = TimeDelta::days(366);

/// The caller's notifications, newest first.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])),
    params(("limit" = Option<i64>, Query, minimum = 1, description = "20 if it is left out"),
        ("offset" = Option<i64>, Query, minimum = 0), ("cursor" = Option<String>, Query, description = "a nextCursor"),
        ("type" = Option<Vec<NotificationType>>, Query, description = "one or many, or one with commas"),
        ("category" = Option<Category>, Query), ("unreadOnly" = Option<bool>, Query)),
    responses((status = 200, body = Notifications), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[get("/notifications")]
pub(crate) async fn list_notifications(
    caller: Caller,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let params = Params::of(&request);
    let list = asked(&params, api.config().notifications.page_max)?;
    let (limit, start) = (list.limit, list.start);
    let found = api.store(move |conn| store::notifications::list(conn, &caller.app.id, caller.user(), &list)).await?;
    let pagination = Pagination {
        limit,
        offset: match start {
            Start::Offset(offset) => Some(offset),
            Start::Before(_) => None,
        },
        total: found.total,
        has_more: found.next.is_some(),
        next_cursor: found.next.map(|seq| format!("n{seq}")),
    };
    let (notifications, unread_count) = (found.notifications, found.unread);
    Ok(HttpResponse::Ok().json(Notifications { notifications, unread_count, pagination }))
}

fn asked(params: &Params, page_max: i64) -> Result<ListNotifications, ApiError> {
    let expected = format!("a number from 1 to {page_max}");
    let limit = params.parse("limit", &expected)?.unwrap_or(PAGE.min(page_max));
    if !(1..=page_max).contains(&limit) {
        return Err(ApiError::field("limit", format!("limit must be {expected}")));
    }
    let start = match (params.get("cursor"), params.parse("offset", "a number of 0 or more")?.unwrap_or(0)) {
        (Some(cursor), _) => {
            let seq = cursor.strip_prefix('n').and_then(|seq| seq.parse().ok());
            let invalid = || ApiError::field("cursor", "cursor must be a nextCursor as it was handed out");
            Start::Before(seq.ok_or_else(invalid)?)
        }
        (None, offset) if offset >= 0 => Start::Offset(offset),
        _ => return Err(ApiError::field("offset", "offset must be a number of 0 or more")),
    };
    let types = params.all("type").map(NotificationType::try_from).collect::<Result<Vec<_>, _>>();
    let types = types.map_err(|error| ApiError::field("type", error))?;
    if types.len() > TYPES_MAX {
        return Err(ApiError::field("type", format!("type may name at most {TYPES_MAX} types")));
    }
    Ok(ListNotifications {
        limit,
        start,
        types,
        category: params.parse("category", "a category")?,
        unread_only: params.parse("unreadOnly", "true or false")?.unwrap_or(false),
    })
}

/// Marks one of the caller's notifications, or all in the list: as read, unless something else is said.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])),
    request_body = PatchNotifications, responses((status = 200, body = PatchedNotifications),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[patch("/notifications")]
pub(crate) async fn mark_notifications(
    caller: Caller,
    Body(patch): Body<PatchNotifications>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (which, mark) = (which(&patch)?, mark(&patch)?);
    let teller = api.get_ref().clone();
    // On the database's thread: it is told even if the caller hangs up in between.
    let marked = api.store(move |conn| -> Result<_, store::Error> {
        let marked = store::notifications::mark(conn, &caller.app.id, caller.user(), &which, mark)?;
        if let Some(marked) = marked.as_ref().filter(|marked| marked.changed > 0) {
            announce_marked(&teller, &caller, &which, mark, marked);
        }
        Ok(marked)
    });
    let marked = marked.await?.ok_or(ApiError::NotificationNotFound)?;
    Ok(HttpResponse::Ok().json(PatchedNotifications { success: true, unread_count: marked.unread }))
}

fn which(patch: &PatchNotifications) -> Result<Which, ApiError> {
    match (patch.id, patch.mark_all) {
        (Some(id), false) if patch.category.is_none() => Ok(Which::One(id)),
        (Some(_), false) => Err(ApiError::field("category", "category goes with markAll")),
        (None, true) => Ok(Which::All(patch.category.clone())),
        _ => Err(ApiError::field("id", "send either id or markAll")),
    }
}

fn mark(patch: &PatchNotifications) -> Result<Mark, ApiError> {
    let PatchNotifications { seen, read, archived, clicked, snoozed_until, .. } = *patch;
    let now = Utc::now();
    if snoozed_until.is_some_and(|until| until <= now || until > now + SNOOZE_MAX) {
        return Err(ApiError::field("snoozedUntil", "snoozedUntil must be in the future, within 366 days"));
    }
    let nothing_else = !(seen || archived || clicked || snoozed_until.is_some());
    Ok(Mark { seen, read: read || nothing_else, archived, clicked, snoozed_until })
}

fn announce_marked(api: &Api, caller: &Caller, which: &Which, mark: Mark, marked: &store::notifications::Marked) {
    let Some(hub) = api.hub() else { return };
    let (app, unread_count) = (&caller.app.id, marked.unread);
    match (which, &marked.notification) {
        (_, Some(notification)) => {
            let updated = NotificationEvent { notification: notification.clone(), unread_count };
            announce::notification_updated(hub, app, &updated);
        }
        (Which::All(category), None) => {
            let at = |done: bool| -> Option<DateTime<Utc>> { done.then_some(marked.at) };
            let read = mark.read || mark.clicked;
            let all = NotificationsMarked {
                all: true,
                up_to_seq: marked.up_to_seq,
                category: category.clone(),
                seen_at: at(mark.seen || read),
                read_at: at(read),
                archived_at: at(mark.archived),
                snoozed_until: mark.snoozed_until,
                unread_count,
            };
            announce::notifications_marked(hub, app, caller.user(), &all);
        }
        (Which::One(_), None) => {}
    }
    api.inner.unread.mark_user(app, caller.user());
}
