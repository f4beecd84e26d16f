//! `/app/…` and `/pusher/app/…` without a WebSocket: the hub answers, here is only where the requests come in.

use actix_web::{HttpRequest, HttpResponse, web};
use hub::Shard;

use crate::error::ApiError;

/// Hands the request to the thread's shard, which is the app's data where sockets are served.
pub(crate) async fn fallback(request: HttpRequest, body: web::Payload) -> Result<HttpResponse, actix_web::Error> {
    let shard = request.app_data::<Shard>().ok_or(ApiError::NotFound)?;
    match body.to_bytes_limited(shard.fallback_body_bytes_max()).await {
        Ok(body) => Ok(shard.fallback(request.head(), body?).await.into()),
        Err(_) => Ok(HttpResponse::PayloadTooLarge().finish()),
    }
}
