//! Headers of every answer, and cross-origin requests: any page may ask, since only a header it must set itself
//! (`Authorization`) says who asks; cookies mean nothing here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

/// Middleware for answers that no page of another origin reads.
pub(crate) async fn secure(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = answer(request, next).await?;
    mark(response.headers_mut());
    Ok(response)
}

/// Middleware for answers that pages of any origin may read.
pub(crate) async fn shared(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match preflight {
        true => request.into_response(HttpResponse::NoContent().finish()),
        false => answer(request, next).await?,
    };
    let headers = response.headers_mut();
    mark(headers);
    set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if preflight {
        set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE");
        set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type");
        set(headers, header::ACCESS_CONTROL_MAX_AGE, "7200");
    } else {
        set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after");
    }
    Ok(response)
}

/// Errors become answers here, so that they get the headers too.
async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Ok(next.call(request).await?.map_into_boxed_body())
}

pub(crate) fn mark(headers: &mut HeaderMap) {
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, header::REFERRER_POLICY, "no-referrer");
    set(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
