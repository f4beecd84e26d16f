//! What comes in: bodies within their limit, JSON and forms read field by field, query parameters.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest, dev, web};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use store::idempotency::Fingerprint;

use crate::Api;
use crate::error::ApiError;
use crate::signed::{IDEMPOTENCY_KEY, KEY_BYTES_MAX};

pub(crate) type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

/// A JSON body. Anything but `application/json` is refused, so no HTML form can make one.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let is_json = content_type(request) == Some("application/json");
        let bytes = body(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::UnsupportedMediaType("application/json"));
            }
            read_json(&bytes.await?).map(Self)
        })
    }
}

/// A JSON body that many may be named in, with the key under which it is to be done once.
pub(crate) struct Keyed<T> {
    pub(crate) key: Option<String>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) value: T,
}

impl<T: DeserializeOwned> FromRequest for Keyed<T> {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let is_json = content_type(request) == Some("application/json");
        let key = idempotency_key(request);
        let bytes_max = api(request).map_or(0, |api| api.config().publish_body_bytes_max);
        let bytes = body_of(request, payload, bytes_max);
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::UnsupportedMediaType("application/json"));
            }
            let (key, bytes) = (key?, bytes.await?);
            Ok(Self { key, fingerprint: Fingerprint::of(&bytes), value: read_json(&bytes)? })
        })
    }
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut keys = request.headers().get_all(&IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else { return Ok(None) };
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(key) if fits && keys.next().is_none() => Ok(Some(key.to_owned())),
        _ => {
            let message = format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
            Err(ApiError::field("Idempotency-Key", message))
        }
    }
}

/// A JSON or form-urlencoded body, as pusher-js sends either.
pub(crate) struct FormOrJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for FormOrJson<T> {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let content_type = content_type(request).map(str::to_owned);
        let bytes = body(request, payload);
        Box::pin(async move {
            let bytes = bytes.await?;
            match content_type.as_deref() {
                Some("application/json") => read_json(&bytes).map(Self),
                Some("application/x-www-form-urlencoded") => {
                    let text = std::str::from_utf8(&bytes).unwrap_or_default();
                    let form = web::Query::<T>::from_query(text);
                    let malformed = |error: actix_web::error::QueryPayloadError| match error {
                        actix_web::error::QueryPayloadError::Deserialize(error) => named(&error.to_string()),
                        error => ApiError::Malformed { message: error.to_string() },
                    };
                    form.map(|form| Self(form.into_inner())).map_err(malformed)
                }
                _ => Err(ApiError::UnsupportedMediaType("application/x-www-form-urlencoded or application/json")),
            }
        })
    }
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner();
        match path.as_str() {
            _ if !inner.is_data() => ApiError::Malformed { message: format!("the body is not JSON: {inner}") },
            "." | "?" => named(&inner.to_string()),
            path => ApiError::field(path, inner),
        }
    })?;
    json.end().map_err(|error| ApiError::Malformed { message: format!("the body is not JSON: {error}") })?;
    Ok(value)
}

/// serde names a missing field only in its text.
fn named(text: &str) -> ApiError {
    let message = text.to_owned();
    match text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => ApiError::Field { field: field.to_owned(), message: format!("{field} is missing") },
        None => ApiError::Malformed { message },
    }
}

fn body(request: &HttpRequest, payload: &mut dev::Payload) -> Extracted<Bytes> {
    let bytes_max = api(request).map_or(0, |api| api.config().body_bytes_max);
    body_of(request, payload, bytes_max)
}

fn body_of(request: &HttpRequest, payload: &mut dev::Payload, bytes_max: usize) -> Extracted<Bytes> {
    let payload = web::Payload::from_request(request, payload);
    Box::pin(async move {
        let payload = payload.await.map_err(|error| ApiError::Malformed { message: error.to_string() })?;
        read(payload, bytes_max).await
    })
}

/// The body, if it is within its limit.
pub(crate) async fn read(payload: web::Payload, bytes_max: usize) -> Result<Bytes, ApiError> {
    match payload.to_bytes_limited(bytes_max).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(ApiError::Malformed { message: format!("the body could not be read: {error}") }),
        Err(_) => Err(ApiError::TooLarge { bytes_max }),
    }
}

/// The API that serves this request.
pub(crate) fn api(request: &HttpRequest) -> Option<&Api> {
    request.app_data::<web::Data<Api>>().map(web::Data::get_ref).or_else(|| request.app_data::<Api>())
}

/// The media type without its parameters.
fn content_type(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// What stands behind `Bearer`. Only the header counts: URLs end up in logs and cookies come by themselves.
pub(crate) fn bearer(request: &HttpRequest) -> Result<String, ApiError> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    let missing = || ApiError::Unauthorized("send Authorization: Bearer and a token".into());
    let value = values.next().filter(|_| values.next().is_none()).ok_or_else(missing)?;
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    match scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        true => Ok(token.trim().to_owned()),
        false => Err(missing()),
    }
}

/// Query parameters, each read where it is used so that an error can name it.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        Self(web::Query::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default())
    }

    /// An empty value is as good as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// One or many: the parameter several times, or once with commas.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter(move |(key, _)| key == name);
        values.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
    }

    pub(crate) fn parse<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| ApiError::field(name, format!("{name} must be {expected}")))
    }

    /// `limit`, 1 to 100.
    pub(crate) fn limit(&self, default: i64) -> Result<i64, ApiError> {
        const EXPECTED: &str = "a number from 1 to 100";
        match self.parse("limit", EXPECTED)?.unwrap_or(default) {
            limit @ 1..=100 => Ok(limit),
            _ => Err(ApiError::field("limit", format!("limit must be {EXPECTED}"))),
        }
    }
}
