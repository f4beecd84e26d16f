//! The internal API, for backends: users, tokens, rooms and who is in them.

use std::time::Duration;

use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use protocol::chat::RoomType;
use protocol::{App, ErrorBody, Protected, RoomId, UserId};
use store::rooms::NewRoom;
use store::users::NewUser;

use crate::auth::{MintError, MintFor, is_shown, mint};
use crate::body::{
    AddMembers, AddedMembers, MakeRoom, MintToken, PatchRoom, PutUser, RoomSummary, RoomSummaryAnswer, RoomUpdated,
    TokenAnswer, UserAnswer,
};
use crate::caller::Backend;
use crate::error::ApiError;
use crate::request::Body;
use crate::routes::chat::{is_web_url, title};
use crate::{Api, announce};

/// How long a token lives when nobody says.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Makes a user or replaces what was known of them.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])),
    params(("id" = UserId, Path)), request_body = PutUser,
    responses((status = 200, body = UserAnswer), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[put("/users/{id}")]
pub(crate) async fn put_user(
    backend: Backend,
    id: web::Path<String>,
    Body(user): Body<PutUser>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let user = valid_user(user_id(id.into_inner())?, user)?;
    let app = backend.app.id.clone();
    let user = api.store(move |conn| store::users::upsert(conn, &app, &user)).await?;
    api.forget_person(&backend.app.id, &user.id);
    Ok(HttpResponse::Ok().json(UserAnswer {
        id: user.id,
        name: user.name,
        avatar_url: user.avatar_url,
        role: user.role,
        email: user.email,
        phone: user.phone,
        locale: user.locale,
        time_zone: user.time_zone,
    }))
}

fn valid_user(id: UserId, user: PutUser) -> Result<NewUser, ApiError> {
    let PutUser { name, avatar_url, role, email, phone, locale, time_zone } = user;
    let name = name.trim().to_owned();
    let texts = [("role", &role), ("email", &email), ("phone", &phone), ("locale", &locale), ("timeZone", &time_zone)];
    let texts = texts.into_iter().filter_map(|(field, text)| text.as_ref().map(|text| (field, text)));
    for (field, text) in texts.chain([("name", &name)]) {
        if !is_shown(text) {
            return Err(ApiError::field(field, format!("{field} must have 1 to 200 plain characters")));
        }
    }
    if avatar_url.as_ref().is_some_and(|url| !is_web_url(url)) {
        return Err(ApiError::field("avatarUrl", "avatarUrl must be an http or https URL"));
    }
    Ok(NewUser { id, name, avatar_url, role, email, phone, locale, time_zone })
}

/// A token for a user of the app.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])), request_body = MintToken,
    responses((status = 200, body = TokenAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[post("/tokens")]
pub(crate) async fn mint_token(
    backend: Backend,
    Body(new): Body<MintToken>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (app, user_id) = (backend.app.id.clone(), new.user_id.clone());
    let user = api.store(move |conn| store::users::get(conn, &app, &user_id)).await?;
    let to = MintFor {
        app: &backend.app.id,
        user: &new.user_id,
        name: user.as_ref().map(|user| user.name.as_str()),
        role: user.as_ref().and_then(|user| user.role.as_deref()),
    };
    let lifetime = new.ttl_seconds.map_or(TOKEN_LIFETIME, Duration::from_secs);
    let minted = mint(&api.config().auth, &to, lifetime).map_err(|error| match error {
        MintError::NoSecret => ApiError::CannotMint,
        error @ MintError::Lifetime { .. } => ApiError::field("ttlSeconds", error),
        error @ MintError::Sign(_) => ApiError::Internal(error.into()),
    })?;
    Ok(HttpResponse::Ok().json(TokenAnswer { token: minted.token, expires_at: minted.expires_at.into() }))
}

/// Makes a room: the one direct room of two people (200 if it was there), or a new group or support room.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])), request_body = MakeRoom,
    responses((status = 201, body = RoomSummaryAnswer), (status = 200, body = RoomSummaryAnswer),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/rooms")]
pub(crate) async fn make_room(
    backend: Backend,
    Body(new): Body<MakeRoom>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let app = backend.app.id.clone();
    let title = title(new.title)?;
    let mut members = bounded("memberIds", new.member_ids, &api)?;
    members.sort();
    members.dedup();
    let (room, created) = if new.r#type == RoomType::Direct {
        let two = || ApiError::field("memberIds", "DIRECT takes two different people");
        let [one, other] = <[UserId; 2]>::try_from(members).map_err(|_| two())?;
        api.store(move |conn| store::rooms::start_direct(conn, &app, &one, &other)).await?
    } else {
        let new = NewRoom { r#type: new.r#type, title, members, created_by: None };
        (api.store(move |conn| store::rooms::create(conn, &app, &new)).await?, true)
    };
    if created {
        let members = room.members.into_iter().map(|member| member.id).collect();
        api.tell_added(&backend.app, room.id, members).await?;
    }
    let answer = RoomSummaryAnswer { room: summary(&api, &backend.app, room.id).await? };
    Ok(if created { HttpResponse::Created() } else { HttpResponse::Ok() }.json(answer))
}

/// A room and who is in it.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])), params(("id" = RoomId, Path)),
    responses((status = 200, body = RoomSummaryAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[get("/rooms/{id}")]
pub(crate) async fn get_room(
    backend: Backend,
    id: web::Path<String>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let room = summary(&api, &backend.app, room_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(RoomSummaryAnswer { room }))
}

/// Gives a room another title.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])), params(("id" = RoomId, Path)),
    request_body = PatchRoom, responses((status = 200, body = RoomSummaryAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[patch("/rooms/{id}")]
pub(crate) async fn patch_room(
    backend: Backend,
    id: web::Path<String>,
    Body(patch): Body<PatchRoom>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (app, room, title) = (backend.app.id.clone(), room_id(&id)?, title(patch.title)?);
    let updated = api.store(move |conn| store::rooms::update_title(conn, &app, room, title.as_deref())).await?;
    let updated = updated.ok_or(ApiError::RoomNotFound)?;
    if let Some(hub) = api.hub() {
        announce::room_updated(hub, &backend.app.id, &RoomUpdated { room_id: room, title: updated.title });
    }
    let room = summary(&api, &backend.app, room).await?;
    Ok(HttpResponse::Ok().json(RoomSummaryAnswer { room }))
}

/// Deletes a room with everything in it; its members' subscriptions end at once.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])), params(("id" = RoomId, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[delete("/rooms/{id}")]
pub(crate) async fn delete_room(
    backend: Backend,
    id: web::Path<String>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (room, teller) = (room_id(&id)?, api.get_ref().clone());
    // On the database's thread: subscriptions end even if the caller hangs up in between.
    let deleted = api.store(move |conn| -> Result<_, store::Error> {
        let members = store::rooms::member_ids(conn, &backend.app.id, room)?;
        let deleted = store::rooms::delete(conn, &backend.app.id, room)?;
        members.iter().filter(|_| deleted).for_each(|user| teller.tell_removed(&backend.app, room, user));
        Ok(deleted)
    });
    match deleted.await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiError::RoomNotFound),
    }
}

/// Puts people into a room.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])), params(("id" = RoomId, Path)),
    request_body = AddMembers, responses((status = 200, body = AddedMembers), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[put("/rooms/{id}/members")]
pub(crate) async fn add_members(
    backend: Backend,
    id: web::Path<String>,
    Body(new): Body<AddMembers>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (app, room, users) = (backend.app.id.clone(), room_id(&id)?, bounded("userIds", new.user_ids, &api)?);
    let added = api.store(move |conn| store::rooms::add_members(conn, &app, room, &users)).await?;
    let added = added.ok_or(ApiError::RoomNotFound)?;
    api.tell_added(&backend.app, room, added.clone()).await?;
    Ok(HttpResponse::Ok().json(AddedMembers { added }))
}

/// Takes somebody out of a room; their subscriptions to it end at once.
#[utoipa::path(context_path = "/internal", tag = "internal", security(("backend" = [])),
    params(("id" = RoomId, Path), ("userId" = UserId, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[delete("/rooms/{id}/members/{userId}")]
pub(crate) async fn remove_member(
    backend: Backend,
    path: web::Path<(String, String)>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (id, user) = path.into_inner();
    let (room, user, teller) = (room_id(&id)?, user_id(user)?, api.get_ref().clone());
    // As above: whoever is no member any more hears nothing more, whatever becomes of this request.
    let removed = api.store(move |conn| -> Result<_, store::Error> {
        let removed = store::rooms::remove_member(conn, &backend.app.id, room, &user)?;
        if removed == Some(true) {
            teller.tell_removed(&backend.app, room, &user);
        }
        Ok(removed)
    });
    match removed.await?.ok_or(ApiError::RoomNotFound)? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiError::UserNotFound),
    }
}

async fn summary(api: &Api, app: &App, room: RoomId) -> Result<RoomSummary, ApiError> {
    let app = app.id.clone();
    let found = api.store(move |conn| -> Result<_, store::Error> {
        let Some(found) = store::rooms::get_any(conn, &app, room)? else { return Ok(None) };
        Ok(Some((found, store::rooms::member_ids(conn, &app, room)?)))
    });
    let (found, member_ids) = found.await?.ok_or(ApiError::RoomNotFound)?;
    Ok(RoomSummary {
        id: found.id,
        r#type: found.r#type,
        title: found.title,
        last_seq: found.last_seq,
        created_by: found.created_by,
        member_ids,
        created_at: found.created_at,
        updated_at: found.updated_at,
    })
}

fn bounded(field: &'static str, users: Vec<UserId>, api: &Api) -> Result<Vec<UserId>, ApiError> {
    let members_max = api.config().room_members_max;
    match (1..=members_max).contains(&users.len()) {
        true => Ok(users),
        false => Err(ApiError::field(field, format!("{field} must name 1 to {members_max} users"))),
    }
}

/// What is no id names nothing.
fn room_id(text: &str) -> Result<RoomId, ApiError> {
    text.parse().map_err(|_| ApiError::RoomNotFound)
}

fn user_id(text: String) -> Result<UserId, ApiError> {
    UserId::try_from(text).map_err(|error| ApiError::field("id", error))
}

impl Api {
    /// Tells those who are online of a room that they are now in, each as they see it.
    async fn tell_added(&self, app: &App, room: RoomId, users: Vec<UserId>) -> Result<(), ApiError> {
        let Some(hub) = self.hub() else { return Ok(()) };
        let (id, online_in) = (app.id.clone(), hub.clone());
        let views = self.store(move |conn| -> Result<Vec<_>, store::Error> {
            let online = users.into_iter().filter(|user| online_in.is_online(&id, user));
            online.map(|user| Ok((store::rooms::get(conn, &id, &user, room)?, user))).collect()
        });
        for (view, user) in views.await? {
            if let Some(mut view) = view {
                self.show_online(&app.id, &mut view);
                announce::room_added(hub, &app.id, &user, &view);
            }
        }
        Ok(())
    }

    /// Ends what the user held of the room, then says so.
    fn tell_removed(&self, app: &App, room: RoomId, user: &UserId) {
        self.inner.members.forget(&app.id, room, user);
        self.typing(&app.id, room, user, user.as_str(), false);
        if let Some(hub) = self.hub() {
            hub.revoke(&app.id, user, &Protected::Room(room));
            announce::room_removed(hub, &app.id, user, room);
        }
    }
}

/// The description of these routes.
#[utoipa::path(context_path = "/internal", tag = "about", responses((status = 200, description = "OpenAPI 3.1")))]
#[get("/openapi.json")]
pub(crate) async fn get_openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(crate::internal_openapi())
}
