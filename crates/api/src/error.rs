//! What the REST API answers when it cannot do what was asked: one table.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use protocol::{ErrorBody, ErrorDetail};

/// An answer that is not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("there is no such room")]
    RoomNotFound,
    #[error("there is no such notification")]
    NotificationNotFound,
    #[error("there is no such device")]
    DeviceNotFound,
    #[error("there is no such user")]
    UserNotFound,
    #[error("there is nothing at this path")]
    NotFound,
    #[error("this path does not take this method")]
    MethodNotAllowed,
    #[error("{message}")]
    Malformed { message: String },
    #[error("{message}")]
    Field { field: String, message: String },
    #[error("the message to reply to is not in this room")]
    UnknownReply,
    #[error("the clientId was used for another message")]
    ClientIdReused,
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    #[error("a request with this Idempotency-Key is under way")]
    UnderWay,
    #[error("tokens are signed elsewhere: this server knows only public keys")]
    CannotMint,
    #[error("the body may have at most {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body must be {0}")]
    UnsupportedMediaType(&'static str),
    #[error("the service is unavailable, try again")]
    Unavailable(#[source] Option<store::Error>),
    #[error("something went wrong")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// The whole error contract of the REST API: one row per variant.
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::RoomNotFound => (StatusCode::NOT_FOUND, "room_not_found"),
            Self::NotificationNotFound => (StatusCode::NOT_FOUND, "notification_not_found"),
            Self::DeviceNotFound => (StatusCode::NOT_FOUND, "device_not_found"),
            Self::UserNotFound => (StatusCode::NOT_FOUND, "user_not_found"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Malformed { .. } => (StatusCode::BAD_REQUEST, "malformed_body"),
            Self::Field { .. } => (StatusCode::BAD_REQUEST, "invalid_field"),
            Self::UnknownReply => (StatusCode::BAD_REQUEST, "unknown_reply"),
            Self::ClientIdReused => (StatusCode::CONFLICT, "client_id_reused"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::UnderWay => (StatusCode::CONFLICT, "request_under_way"),
            Self::CannotMint => (StatusCode::CONFLICT, "cannot_mint"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The field of the request that is at fault.
    pub(crate) fn field(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Field { field: field.into(), message: message.to_string() }
    }

    fn at(&self) -> Option<String> {
        match self {
            Self::Field { field, .. } => Some(field.clone()),
            Self::UnknownReply => Some("replyToId".into()),
            Self::ClientIdReused => Some("clientId".into()),
            _ => None,
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.row().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.row();
        match self {
            Self::Internal(cause) => tracing::error!(cause = %Chain(cause.as_ref()), "a request failed: {code}"),
            Self::Unavailable(Some(cause)) => tracing::warn!(cause = %Chain(cause), "a request found no database"),
            _ => {}
        }
        let error = ErrorDetail { code: code.into(), message: self.to_string(), field: self.at() };
        let mut response = HttpResponse::build(status).json(ErrorBody { error });
        let (name, value) = match self {
            Self::Unavailable(_) | Self::UnderWay => (header::RETRY_AFTER, "1"),
            Self::Unauthorized(_) => (header::WWW_AUTHENTICATE, "Bearer"),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            error @ store::Error::Unavailable(_) => Self::Unavailable(Some(error)),
            error @ store::Error::Query(_) => Self::Internal(error.into()),
        }
    }
}

impl From<store::chat::SendError> for ApiError {
    fn from(error: store::chat::SendError) -> Self {
        use store::chat::SendError;
        match error {
            SendError::NotFound => Self::RoomNotFound,
            SendError::UnknownReply => Self::UnknownReply,
            SendError::ClientIdReused => Self::ClientIdReused,
            SendError::Store(error) => error.into(),
        }
    }
}

/// An error and its causes in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
