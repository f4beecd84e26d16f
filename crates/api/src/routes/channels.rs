//! Signatures for stock Pusher clients: only for what the user may see.

use actix_web::{HttpResponse, post, web};
use protocol::{Channel, ErrorBody, Protected, SocketId};

use crate::Api;
use crate::api::Caller;
use crate::body::{AuthenticateUser, AuthorizeChannel, ChannelAuth, UserAuth};
use crate::error::ApiError;
use crate::gate::{user_data, user_info};
use crate::request::FormOrJson;

/// Signs a subscription to `private-user-{id}` (the caller's own), `private-chat-{id}` or `presence-chat-{id}`
/// (rooms that the caller is in). Other channels are the backend's to sign: who may see them is not known here.
#[utoipa::path(context_path = "/api", tag = "channels", security(("user" = [])), request_body = AuthorizeChannel,
    responses((status = 200, body = ChannelAuth), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[post("/channels/auth")]
pub(crate) async fn authorize(
    caller: Caller,
    FormOrJson(request): FormOrJson<AuthorizeChannel>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let socket = socket(&request.socket_id)?;
    let channel = Channel::parse(&request.channel_name).map_err(|error| ApiError::field("channel_name", error))?;
    let name = channel.name();
    let presence = name.starts_with("presence-");
    let refused = ApiError::Forbidden("the user may not subscribe to this channel");
    if !(presence || name.starts_with("private-")) || !caller.app.policy.protected_channels {
        return Err(refused);
    }
    let may = match channel.protected() {
        Some(Protected::User(user)) => user == *caller.user(),
        Some(Protected::Room(room)) => {
            let (app, user) = (caller.app.id.clone(), caller.user().clone());
            api.store(move |conn| store::rooms::is_member(conn, &app, room, &user)).await?
        }
        None => false,
    };
    if !may {
        return Err(refused);
    }
    // On private channels too: the hub must know whose subscription it is to be able to end it. `gate` makes it ask
    // again on subscribing: who left the room since this was signed stays out.
    let data = match presence {
        true => serde_json::json!({ "user_id": caller.user(), "user_info": user_info(&caller.person), "gate": true }),
        false => serde_json::json!({ "user_id": caller.user(), "gate": true }),
    };
    let channel_data = data.to_string();
    let signature = caller.app.secret.sign_channel(socket, name, Some(&channel_data));
    Ok(HttpResponse::Ok().json(ChannelAuth { auth: format!("{}:{signature}", caller.app.key), channel_data }))
}

/// Signs a sign-in as the caller.
#[utoipa::path(context_path = "/api", tag = "channels", security(("user" = [])), request_body = AuthenticateUser,
    responses((status = 200, body = UserAuth), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/channels/user-auth")]
pub(crate) async fn authenticate(
    caller: Caller,
    FormOrJson(request): FormOrJson<AuthenticateUser>,
) -> Result<HttpResponse, ApiError> {
    let socket = socket(&request.socket_id)?;
    let user_data = user_data(&caller.person);
    let signature = caller.app.secret.sign_user(socket, &user_data);
    Ok(HttpResponse::Ok().json(UserAuth { auth: format!("{}:{signature}", caller.app.key), user_data }))
}

fn socket(text: &str) -> Result<SocketId, ApiError> {
    text.parse().map_err(|error| ApiError::field("socket_id", error))
}
