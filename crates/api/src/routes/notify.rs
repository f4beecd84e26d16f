//! Telling users something, for backends: one, many, or those who subscribed; now or later; and taking it back.

use actix_web::{HttpResponse, delete, get, post, web};
use protocol::ErrorBody;
use protocol::notification::NotificationId;
use store::idempotency::{Answer, Once};
use store::notifications::{Made, Outcome, Trace};

use crate::Api;
use crate::body::notifications::{
    CancelledNotification, DeliveryTrace, NotificationTrace, SendNotification, SentNotification, SentNotifications,
};
use crate::caller::Backend;
use crate::error::ApiError;
use crate::request::Keyed;
use crate::telling::Telling;

/// Says that an answer was given before, in Stripe's words.
const REPLAYED: (&str, &str) = ("Idempotent-Replayed", "true");

/// Tells users something.
#[utoipa::path(context_path = "/internal", tag = "notifications", security(("backend" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "the same request under it is done once")),
    request_body = SendNotification, responses((status = 201, body = SentNotifications),
        (status = 200, description = "nobody was told anything new", body = SentNotifications),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/notifications")]
pub(crate) async fn send_notification(
    backend: Backend,
    Keyed { key, fingerprint, value }: Keyed<SendNotification>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let telling = Telling::new(value, &api.config().notifications)?;
    let (app, teller) = (backend.app.id.clone(), api.get_ref().clone());
    // All of it in one go on the database's thread: a caller who hangs up ends the waiting, not the announcement.
    let done = api.store(move |conn| -> Result<_, ApiError> {
        let tell = |conn: &mut store::PgConnection| -> Result<_, ApiError> {
            let new = telling.notifications(conn, &app)?;
            let turns = teller.take_turns(&app, &new);
            let made = store::notifications::notify(conn, &app, &teller.config().notifications.rules, &new)?;
            Ok((answer(&made)?, (made, turns)))
        };
        let done = match key {
            Some(key) => store::idempotency::once(conn, &app, &key, &fingerprint, tell)?,
            None => tell(conn).map(|(answer, told)| Once::Done(answer, told))?,
        };
        Ok(match done {
            Once::Done(answer, (made, turns)) => {
                teller.announce_made(&app, made, Some(turns));
                Once::Done(answer, ())
            }
            Once::Before(answer) => Once::Before(answer),
            Once::KeyReused => Once::KeyReused,
            Once::UnderWay => Once::UnderWay,
        })
    });
    match done.await? {
        Once::Done(answer, ()) => Ok(respond(&answer).json(answer.body)),
        Once::Before(answer) => Ok(respond(&answer).insert_header(REPLAYED).json(answer.body)),
        Once::KeyReused => Err(ApiError::KeyReused),
        Once::UnderWay => Err(ApiError::UnderWay),
    }
}

fn respond(answer: &Answer) -> actix_web::HttpResponseBuilder {
    if answer.status == 201 { HttpResponse::Created() } else { HttpResponse::Ok() }
}

fn answer(made: &[Made]) -> Result<Answer, ApiError> {
    let notifications = made.iter().map(|made| {
        let (status, transports) = match &made.outcome {
            Outcome::Told { notification, outside, .. } => {
                let in_app = notification.as_ref().map(|_| protocol::notification::Transport::InApp);
                ("told", in_app.into_iter().chain(outside.iter().copied()).collect())
            }
            Outcome::Scheduled(_) => ("scheduled", Vec::new()),
            Outcome::Known => ("known", Vec::new()),
        };
        SentNotification { id: made.id, user_id: made.user.clone(), status, transports }
    });
    let new = made.iter().any(|made| made.outcome != Outcome::Known);
    let body = serde_json::to_value(SentNotifications { notifications: notifications.collect() });
    let body = body.map_err(|error| ApiError::Internal(error.into()))?;
    Ok(Answer { status: if new { 201 } else { 200 }, body })
}

/// A notification and what became of it.
#[utoipa::path(context_path = "/internal", tag = "notifications", security(("backend" = [])),
    params(("id" = NotificationId, Path)), responses((status = 200, body = NotificationTrace),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[get("/notifications/{id}")]
pub(crate) async fn get_notification(
    backend: Backend,
    id: web::Path<String>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let id = notification_id(&id)?;
    let found = api.store(move |conn| store::notifications::trace(conn, &backend.app.id, id)).await?;
    let Trace { notification, in_list, send_at, deliveries } = found.ok_or(ApiError::NotificationNotFound)?;
    let deliveries = deliveries.into_iter().map(|one| DeliveryTrace {
        id: one.id,
        transport: one.transport,
        state: one.state,
        reason: one.reason,
        run_at: one.run_at,
        attempts: one.attempt,
        provider: one.provider,
        provider_message_id: one.provider_message_id,
        updated_at: one.updated_at,
    });
    Ok(HttpResponse::Ok().json(NotificationTrace {
        notification,
        status: if send_at.is_some() { "scheduled" } else { "told" },
        send_at,
        in_app: in_list,
        deliveries: deliveries.collect(),
    }))
}

/// Takes back what was not sent: one that is scheduled is gone; of one that was told, what waits does not go out.
#[utoipa::path(context_path = "/internal", tag = "notifications", security(("backend" = [])),
    params(("id" = NotificationId, Path)), responses((status = 200, body = CancelledNotification),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[delete("/notifications/{id}")]
pub(crate) async fn cancel_notification(
    backend: Backend,
    id: web::Path<String>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let id = notification_id(&id)?;
    let cancelled = api.store(move |conn| store::notifications::cancel(conn, &backend.app.id, id)).await?;
    let cancelled_deliveries = cancelled.ok_or(ApiError::NotificationNotFound)?;
    Ok(HttpResponse::Ok().json(CancelledNotification { success: true, cancelled_deliveries }))
}

/// What is no id names nothing.
fn notification_id(text: &str) -> Result<NotificationId, ApiError> {
    text.parse().map_err(|_| ApiError::NotificationNotFound)
}
