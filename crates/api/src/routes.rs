//! Every route, by who calls it. The lists of handlers are in `openapi`: what is not described is not served.

use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::error::ApiError;
use crate::{headers, openapi};

pub(crate) mod channels;
pub(crate) mod chat;
pub(crate) mod devices;
pub(crate) mod fallback;
pub(crate) mod internal;
pub(crate) mod notifications;
pub(crate) mod notify;
pub(crate) mod preferences;
pub(crate) mod subscriptions;
pub(crate) mod tickets;

/// The public routes: `/api/…`, and sockets without a WebSocket at `/app/…` and `/pusher/app/…`. The
/// app needs [`crate::Api`] as its data (`web::Data`), and where sockets are served, the thread's [`hub::Shard`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let api = web::scope("/api").wrap(from_fn(headers::shared)).configure(openapi::user_handlers);
    cfg.service(api.default_service(web::to(nothing_here)));
    // Their paths are for the hub to read.
    cfg.service(web::scope("/app").default_service(web::to(fallback::fallback)));
    cfg.service(web::scope("/pusher/app").default_service(web::to(fallback::fallback)));
}

/// The routes of the internal listener: `/internal/…`.
pub fn internal_routes(cfg: &mut web::ServiceConfig) {
    let internal = web::scope("/internal").wrap(from_fn(headers::secure)).configure(openapi::internal_handlers);
    cfg.service(internal.default_service(web::to(nothing_here)));
}

/// 405 where another method would do, with `Allow`; else 404.
async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, actix_web::Error> {
    let allowed = openapi::methods(request.path());
    if allowed.is_empty() {
        return Err(ApiError::NotFound.into());
    }
    let mut response = actix_web::ResponseError::error_response(&ApiError::MethodNotAllowed);
    let value = allowed.join(", ");
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(actix_web::http::header::ALLOW, value);
    }
    Ok(response)
}
