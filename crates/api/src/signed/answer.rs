//! Answers to signed requests. Errors are plain text, which server SDKs show their users.

use actix_http::body::BoxBody;
use actix_http::header::{self, HeaderName, HeaderValue};
use actix_http::{Response, StatusCode};
use bytes::Bytes;
use protocol::signature::RequestRefused;
use serde::Serialize;

use crate::headers;

/// Tells that the answer is that of an earlier request, and nothing was done again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer that may be kept and given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(super) status: StatusCode,
    kind: Option<&'static str>,
    body: Bytes,
    retry_after: bool,
    allow: Option<String>,
    pub(super) replayed: bool,
}

impl Answer {
    /// `{}` exactly: some SDKs compare it.
    pub(super) fn done() -> Self {
        Self::new(StatusCode::OK, Some("application/json"), Bytes::from_static(b"{}"))
    }

    pub(super) fn json(value: &impl Serialize) -> Self {
        let text = serde_json::to_vec(value).expect("these types have string keys and no fallible parts");
        Self::new(StatusCode::OK, Some("application/json"), text.into())
    }

    /// 202 and nothing else.
    pub(super) fn accepted() -> Self {
        Self::new(StatusCode::ACCEPTED, None, Bytes::new())
    }

    fn new(status: StatusCode, kind: Option<&'static str>, body: Bytes) -> Self {
        Self { status, kind, body, retry_after: false, allow: None, replayed: false }
    }

    /// Says so, if it is the answer of an earlier request.
    pub(super) fn replayed_if(self, replayed: bool) -> Self {
        Self { replayed, ..self }
    }

    /// How much of the bound on kept answers this one takes: one per started KiB.
    pub(super) fn weight(&self) -> usize {
        1 + self.body.len() / 1024
    }
}

impl From<Answer> for Response<BoxBody> {
    fn from(answer: Answer) -> Self {
        let mut response = Self::with_body(answer.status, BoxBody::new(answer.body));
        let to = response.headers_mut();
        headers::mark(to);
        if let Some(kind) = answer.kind {
            to.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if answer.retry_after {
            to.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(allow) = answer.allow.and_then(|allow| allow.parse().ok()) {
            to.insert(header::ALLOW, allow);
        }
        if answer.replayed {
            to.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Why a signed request did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("Nothing is at this path")]
    NotFound,
    #[error("This path takes only {allow}")]
    MethodNotAllowed { allow: String },
    #[error("The Idempotency-Key was used for another request")]
    KeyReused,
    #[error("{0}")]
    TooLarge(String),
    #[error("The app may publish at most {per_second_max} events in a second, try again")]
    TooMany { per_second_max: u32 },
    #[error("Too many publications are waiting, try again")]
    Busy,
    #[error("The channel's history cannot be stored or read now, try again")]
    Unavailable,
}

impl Refused {
    /// The whole error contract: one row per variant.
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeyReused => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::BadRequest(text.into())
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string().into();
        let answer = Self::new(refused.status(), Some("text/plain; charset=utf-8"), text);
        let retry_after = matches!(refused, Refused::TooMany { .. } | Refused::Busy | Refused::Unavailable);
        let allow = if let Refused::MethodNotAllowed { allow } = refused { Some(allow) } else { None };
        Self { retry_after, allow, ..answer }
    }
}

impl From<RequestRefused> for Refused {
    fn from(refused: RequestRefused) -> Self {
        match refused {
            RequestRefused::Malformed(text) => Self::bad(text),
            refused => Self::Unauthorized(refused.to_string()),
        }
    }
}

impl From<hub::PublishError> for Refused {
    fn from(error: hub::PublishError) -> Self {
        match error {
            hub::PublishError::Busy => Self::Busy,
            hub::PublishError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<hub::JournalUnavailable> for Refused {
    fn from(_: hub::JournalUnavailable) -> Self {
        Self::Unavailable
    }
}
