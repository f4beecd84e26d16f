//! Who asks: a user with a token, or a backend with an API key.

use std::sync::Arc;

use actix_web::{FromRequest, HttpRequest, dev};
use protocol::{App, UserId};

use crate::api::Caller;
use crate::auth::TokenRefused;
use crate::error::ApiError;
use crate::request::{Extracted, api, bearer};

impl Caller {
    pub(crate) fn user(&self) -> &UserId {
        &self.person.id
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let (api, token) = (api(request).cloned(), bearer(request));
        Box::pin(async move {
            let (api, token) = (api.ok_or(ApiError::NotFound)?, token?);
            let (claims, app) = api.verify(&token, None).await?;
            let person = api.person(&app, &claims).await?;
            Ok(Self { app, person, expires_at: claims.expires_at })
        })
    }
}

impl From<TokenRefused> for ApiError {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::No(why) => Self::Unauthorized(why.into()),
            TokenRefused::Unavailable => Self::Unavailable(None),
        }
    }
}

/// A backend of the app.
pub(crate) struct Backend {
    pub(crate) app: Arc<App>,
}

impl FromRequest for Backend {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let unknown = || ApiError::Unauthorized("the API key is unknown".into());
        let app = bearer(request).and_then(|key| {
            let api = api(request).ok_or(ApiError::NotFound)?;
            api.app_of_api_key(&key).ok_or_else(unknown)
        });
        std::future::ready(app.map(|app| Self { app }))
    }
}
