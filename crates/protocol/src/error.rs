//! The one shape of every JSON error.

use serde::{Deserialize, Serialize};

/// `{"error":{"code","message","field"?}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, for a program (`code`), a person (`message`) and a form (`field`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// Stable, snake_case; never reworded.
    pub code: String,
    /// May be reworded at any time; names what is wrong.
    pub message: String,
    /// The field of the request that is at fault, by its name on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
