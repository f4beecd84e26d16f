//! What the hub cannot know by itself: tokens, tickets, memberships.

use std::sync::Arc;

use hub::{Answer, Gate, Refused, SignedIn};
use protocol::chat::Person;
use protocol::{App, Protected, UserId};

use crate::Api;
use crate::auth::TokenRefused;

pub(crate) struct UserGate {
    api: Api,
}

impl UserGate {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }
}

impl Gate for UserGate {
    fn user_of_token(&self, app: Arc<App>, token: String) -> Answer<SignedIn> {
        let api = self.api.clone();
        Box::pin(async move {
            let (claims, app) = api.verify(&token, Some(&app)).await?;
            // A socket may sign in while the database is away; it is then called what its token calls it.
            let person = api.person(&app, &claims).await.unwrap_or_else(|_| Person {
                id: claims.user.clone(),
                name: claims.name.clone().unwrap_or_else(|| claims.user.to_string()),
                avatar_url: None,
            });
            Ok(SignedIn { user: claims.user, user_data: user_data(&person), expires_at: Some(claims.expires_at) })
        })
    }

    fn user_of_ticket(&self, app: Arc<App>, ticket: String) -> Answer<SignedIn> {
        let store = self.api.inner.store.clone();
        Box::pin(async move {
            let redeemed = store.run(move |conn| store::tickets::redeem(conn, &app.id, &ticket)).await;
            let redeemed = redeemed.map_err(unavailable)?;
            let redeemed = redeemed.ok_or_else(|| Refused::No("the ticket is unknown, used or expired".into()))?;
            Ok(SignedIn {
                user: redeemed.user,
                user_data: redeemed.user_data,
                expires_at: redeemed.session_expires_at.map(Into::into),
            })
        })
    }

    fn may_subscribe(&self, app: Arc<App>, user: UserId, to: Protected) -> Answer<()> {
        let store = self.api.inner.store.clone();
        Box::pin(async move {
            let may = match to {
                Protected::User(id) => id == user,
                Protected::Room(room) => store
                    .run(move |conn| store::rooms::is_member(conn, &app.id, room, &user))
                    .await
                    .map_err(unavailable)?,
            };
            may.then_some(()).ok_or_else(|| Refused::No("the user may not subscribe to this channel".into()))
        })
    }
}

fn unavailable(error: store::Error) -> Refused {
    tracing::warn!(error = %error, "the gate could not ask the database: {error}");
    Refused::Unavailable
}

impl From<TokenRefused> for Refused {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::No(why) => Self::No(why.into()),
            TokenRefused::Unavailable => Self::Unavailable,
        }
    }
}

/// The user as `pusher:signin_success` and tickets carry them.
pub(crate) fn user_data(person: &Person) -> String {
    serde_json::json!({ "id": person.id, "user_info": user_info(person) }).to_string()
}

/// What other members of a presence channel see.
pub(crate) fn user_info(person: &Person) -> serde_json::Value {
    match &person.avatar_url {
        Some(url) => serde_json::json!({ "name": person.name, "avatarUrl": url }),
        None => serde_json::json!({ "name": person.name }),
    }
}
