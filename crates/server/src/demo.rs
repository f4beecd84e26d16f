//! The demo: five people who know each other, signed in by one click. Only where `demo = true` says so.

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use protocol::chat::{MessageContent, MessageType, RoomType};
use protocol::{AppId, AppKey, ClientId, UserId};
use serde::Deserialize;
use serde_json::json;
use store::chat::NewMessage;
use store::rooms::{ListRooms, NewRoom};
use store::users::NewUser;
use store::{PgConnection, Store};

const PEOPLE: [(&str, &str); 5] = [
    ("ada", "Ada Lovelace"),
    ("budi", "Budi Santoso"),
    ("citra", "Citra Lestari"),
    ("dewi", "Dewi Anggraini"),
    ("eko", "Eko Prasetyo"),
];
const GROUP: &str = "Kelas Rust";
/// Who says what in the direct room of Ada and Budi, and in the group.
const DIRECT_LINES: [(&str, &str); 3] = [
    ("budi", "Halo Ada! Sudah coba kabar?"),
    ("ada", "Halo Budi 👋 Baru saja. Satu binary, langsung jalan."),
    ("budi", "Mantap! Buka dua jendela, nanti pesannya muncul seketika."),
];
const GROUP_LINES: [(&str, &str); 2] =
    [("citra", "Selamat datang di Kelas Rust!"), ("dewi", "Pertemuan pertama hari Senin pukul 19.00 ya 🙏")];
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// What sign-in needs.
#[derive(Clone)]
pub(crate) struct Demo {
    /// The app that the demo users are in.
    pub(crate) app: AppId,
    /// Its public key, for the page's socket.
    pub(crate) key: AppKey,
    /// Signs their tokens.
    pub(crate) auth: api::Auth,
}

/// `GET /demo/people`, `POST /demo/sign-in`.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/demo/people", web::get().to(people)).route("/demo/sign-in", web::post().to(sign_in));
}

/// What `/demo/…` answers when there is no demo.
pub(crate) async fn refused() -> HttpResponse {
    let message = "demo mode is off: set demo = true to sign in without a password";
    HttpResponse::Forbidden().json(json!({"error": {"code": "demo_off", "message": message}}))
}

async fn people() -> HttpResponse {
    let people: Vec<_> = PEOPLE.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    HttpResponse::Ok().json(json!({"people": people, "pusherJs": crate::page::has_pusher_js()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    user: String,
}

async fn sign_in(demo: web::Data<Demo>, body: web::Json<SignIn>) -> HttpResponse {
    let failed = |mut answer: actix_web::HttpResponseBuilder, code: &str, message: &str| {
        answer.json(json!({"error": {"code": code, "message": message}}))
    };
    let Some((id, name)) = PEOPLE.iter().find(|(id, _)| *id == body.user) else {
        return failed(HttpResponse::NotFound(), "not_found", "no demo user has this id");
    };
    let Ok(user) = UserId::try_from(*id) else {
        return failed(HttpResponse::NotFound(), "not_found", "no demo user has this id");
    };
    let lifetime = TOKEN_LIFETIME.min(demo.auth.lifetime_max);
    let to = api::MintFor { app: &demo.app, user: &user, name: Some(name), role: Some("MEMBER_FREE") };
    match api::mint(&demo.auth, &to, lifetime) {
        Ok(minted) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
            "token": minted.token,
            "user": {"id": id, "name": name},
            "appKey": demo.key.as_str(),
        })),
        Err(error) => {
            tracing::error!(%error, "no token for a demo user");
            failed(HttpResponse::InternalServerError(), "internal", "the token could not be made")
        }
    }
}

/// Makes the demo users and their rooms, where they are not there yet.
pub(crate) async fn seed(store: &Store, app: &AppId) -> anyhow::Result<()> {
    let app = app.clone();
    store.run(move |conn| fill(conn, &app)).await
}

fn fill(conn: &mut PgConnection, app: &AppId) -> anyhow::Result<()> {
    let ids: Vec<UserId> = PEOPLE.iter().map(|(id, _)| UserId::try_from(*id)).collect::<Result<_, _>>()?;
    for (id, (_, name)) in ids.iter().zip(PEOPLE) {
        let (locale, time_zone) = (Some("id".to_owned()), Some("Asia/Jakarta".to_owned()));
        let (id, name, role) = (id.clone(), name.to_owned(), Some("MEMBER_FREE".to_owned()));
        let new = NewUser { id, name, avatar_url: None, role, email: None, phone: None, locale, time_zone };
        store::users::upsert(conn, app, &new)?;
    }
    let (rooms, _) = store::rooms::list(conn, app, &ids[0], &ListRooms { limit: 100, cursor: None, search: None })?;
    let (direct, new) = store::rooms::start_direct(conn, app, &ids[0], &ids[1])?;
    if new || direct.last_seq == 0 {
        say(conn, app, direct.id, &DIRECT_LINES)?;
    }
    let group = rooms.iter().find(|room| room.title.as_deref() == Some(GROUP));
    if group.is_none() {
        let created_by = Some(ids[2].clone());
        let new = NewRoom { r#type: RoomType::Group, title: Some(GROUP.to_owned()), members: ids, created_by };
        let room = store::rooms::create(conn, app, &new)?;
        say(conn, app, room.id, &GROUP_LINES)?;
    }
    Ok(())
}

fn say(conn: &mut PgConnection, app: &AppId, room_id: protocol::RoomId, lines: &[(&str, &str)]) -> anyhow::Result<()> {
    for (index, (user, text)) in lines.iter().enumerate() {
        let new = NewMessage {
            room_id,
            r#type: MessageType::Text,
            content: MessageContent::parse(text, 4000)?,
            attachment_url: None,
            reply_to_id: None,
            // Filled again after a crash in between, nothing is said twice.
            client_id: Some(ClientId::try_from(format!("demo-{index}"))?),
        };
        store::chat::send_message(conn, app, &UserId::try_from(*user)?, &new)?;
    }
    Ok(())
}
