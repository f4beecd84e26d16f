//! Tickets: what a browser can put into a socket's URL without harm.

use actix_web::{HttpResponse, get, post, web};
use protocol::ErrorBody;

use crate::Api;
use crate::api::Caller;
use crate::body::Ticket;
use crate::error::ApiError;
use crate::gate::user_data;

/// A ticket that opens one socket as the caller, soon.
#[utoipa::path(context_path = "/api", tag = "channels", security(("user" = [])),
    responses((status = 201, body = Ticket), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/socket-tickets")]
pub(crate) async fn issue_ticket(caller: Caller, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let lifetime = api.config().ticket_lifetime;
    let expires_at = chrono::Utc::now() + lifetime;
    let ticket = api
        .store(move |conn| {
            let (data, ends) = (user_data(&caller.person), Some(caller.expires_at.into()));
            store::tickets::issue(conn, &caller.app.id, caller.user(), &data, ends, lifetime)
        })
        .await?;
    Ok(HttpResponse::Created().json(Ticket { ticket, expires_at }))
}

/// This description.
#[utoipa::path(context_path = "/api", tag = "about", responses((status = 200, description = "OpenAPI 3.1")))]
#[get("/openapi.json")]
pub(crate) async fn get_openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(crate::openapi())
}
