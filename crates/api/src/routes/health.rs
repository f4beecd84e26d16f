//! Whether this node lives and whether it can serve.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use protocol::ErrorBody;

use crate::Api;
use crate::error::ApiError;

/// How long Postgres may take to answer before the node counts as not ready.
const DEADLINE: Duration = Duration::from_secs(2);

/// The process answers.
#[utoipa::path(context_path = "/health", tag = "health", responses((status = 204)))]
#[get("/live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// The node can serve: Postgres answers.
#[utoipa::path(context_path = "/health", tag = "health",
    responses((status = 204), (status = 503, body = ErrorBody)))]
#[get("/ready")]
pub(crate) async fn ready(api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    match tokio::time::timeout(DEADLINE, api.inner.store.ping()).await {
        Ok(Ok(())) => Ok(HttpResponse::NoContent().finish()),
        _ => Err(ApiError::Unavailable(None)),
    }
}
