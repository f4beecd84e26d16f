//! Chat, for users.

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use protocol::chat::{DeliveredReceipt, Message, MessageContent, ReadReceipt, Room, RoomType, UnreadCount};
use protocol::{AppId, ErrorBody, RoomId, UserId};
use store::chat::{NewMessage, Page, SendError};
use store::rooms::{ListRooms, NewRoom};

use crate::api::Caller;
use crate::body::{
    DeliveredAnswer, MessageAnswer, Messages, MoveReceipt, RoomAnswer, Rooms, SendMessage, SetTyping, StartRoom, Unread,
};
use crate::error::ApiError;
use crate::order::Turn;
use crate::request::{Body, Params};
use crate::{Api, announce};

const SEARCH_CHARS_MAX: usize = 200;
const URL_CHARS_MAX: usize = 2048;
const TITLE_CHARS_MAX: usize = 200;

/// The caller's rooms, last written first.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])),
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query),
        ("search" = Option<String>, Query, description = "part of another member's name")),
    responses((status = 200, body = Rooms), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[get("/chat/rooms")]
pub(crate) async fn list_rooms(
    caller: Caller,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let params = Params::of(&request);
    let list = ListRooms {
        limit: params.limit(20)?,
        cursor: params.parse("cursor", "a nextCursor as it was handed out")?,
        search: params.get("search").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned),
    };
    if list.search.as_ref().is_some_and(|text| text.chars().count() > SEARCH_CHARS_MAX || text.contains('\0')) {
        return Err(ApiError::field("search", format!("search may have at most {SEARCH_CHARS_MAX} plain characters")));
    }
    let (app, user) = (caller.app.id.clone(), caller.user().clone());
    let (mut rooms, next) = api.store(move |conn| store::rooms::list(conn, &app, &user, &list)).await?;
    rooms.iter_mut().for_each(|room| api.show_online(&caller.app.id, room));
    Ok(HttpResponse::Ok().json(Rooms { rooms, next_cursor: next.map(|cursor| cursor.to_string()) }))
}

/// A room's messages, newest first; with `after`, those with a larger `seq`, oldest first.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])),
    params(("roomId" = RoomId, Query), ("limit" = Option<i64>, Query, minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query), ("after" = Option<i64>, Query, minimum = 0)),
    responses((status = 200, body = Messages), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[get("/chat/messages")]
pub(crate) async fn list_messages(
    caller: Caller,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let params = Params::of(&request);
    let room: RoomId =
        params.parse("roomId", "a room's id")?.ok_or_else(|| ApiError::field("roomId", "roomId is missing"))?;
    let limit = params.limit(50)?;
    let page = page(&params)?;
    let app = caller.app.id.clone();
    // One more than asked for shows whether there is another page.
    let found = api.store(move |conn| store::chat::messages(conn, &app, caller.user(), room, page, limit + 1)).await?;
    let mut messages = found.ok_or(ApiError::RoomNotFound)?;
    let more = messages.len() as i64 > limit;
    messages.truncate(limit as usize);
    let last = messages.last().filter(|_| more).map(|message| message.seq);
    let next_cursor = last.map(|seq| match page {
        Page::Before(_) => format!("b{seq}"),
        Page::After(_) => format!("a{seq}"),
    });
    Ok(HttpResponse::Ok().json(Messages { messages, next_cursor }))
}

fn page(params: &Params) -> Result<Page, ApiError> {
    const AFTER: &str = "a seq of 0 or more";
    if let Some(cursor) = params.get("cursor") {
        let invalid = || ApiError::field("cursor", "cursor must be a nextCursor as it was handed out");
        let (kind, seq) = cursor.split_at_checked(1).ok_or_else(invalid)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or_else(invalid)?;
        return match kind {
            "b" => Ok(Page::Before(Some(seq))),
            "a" => Ok(Page::After(seq)),
            _ => Err(invalid()),
        };
    }
    match params.parse("after", AFTER)? {
        Some(seq) if seq < 0 => Err(ApiError::field("after", format!("after must be {AFTER}"))),
        Some(seq) => Ok(Page::After(seq)),
        None => Ok(Page::Before(None)),
    }
}

/// Stores a message, then announces it. The same `clientId` again finds the first one.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])), request_body = SendMessage,
    responses((status = 201, body = MessageAnswer), (status = 200, description = "sent before", body = MessageAnswer),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/chat/send")]
pub(crate) async fn send_message(
    caller: Caller,
    Body(new): Body<SendMessage>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let new = valid_message(new, api.config().content_chars_max)?;
    let announcer = api.get_ref().clone();
    // All of it in one go on the database's thread: a caller who hangs up ends the waiting, not the announcement.
    let sent = api.store(move |conn| {
        let turn = announcer.inner.order.begin(new.room_id);
        let sent = store::chat::send_message(conn, &caller.app.id, caller.user(), &new)?;
        if sent.new {
            announce_sent(announcer, turn, caller, sent.message.clone());
        }
        Ok::<_, SendError>(sent)
    });
    let sent = sent.await?;
    let mut answer = if sent.new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(MessageAnswer { message: sent.message }))
}

fn announce_sent(api: Api, turn: Turn<RoomId>, caller: Caller, message: Message) {
    turn.announce(message.seq, move || {
        let Some(hub) = api.hub() else { return };
        let (app, room) = (&caller.app.id, message.room_id);
        api.typing(app, room, caller.user(), &caller.person.name, false);
        announce::new_message(hub, app, &message);
        api.inner.unread.mark(app, room);
    });
}

fn valid_message(new: SendMessage, chars_max: usize) -> Result<NewMessage, ApiError> {
    let attachment_url = new.attachment_url.filter(|url| !url.is_empty());
    if attachment_url.as_ref().is_some_and(|url| !is_web_url(url)) {
        let message = format!("attachmentUrl must be an http or https URL of at most {URL_CHARS_MAX} characters");
        return Err(ApiError::field("attachmentUrl", message));
    }
    let content = match &attachment_url {
        Some(_) => MessageContent::parse_caption(&new.content, chars_max),
        None => MessageContent::parse(&new.content, chars_max),
    };
    Ok(NewMessage {
        room_id: new.room_id,
        r#type: new.r#type,
        content: content.map_err(|error| ApiError::field("content", error))?,
        attachment_url,
        reply_to_id: new.reply_to_id,
        client_id: new.client_id,
    })
}

/// An absolute URL that a page may link to without running a script of the sender's.
pub(crate) fn is_web_url(text: &str) -> bool {
    text.len() <= URL_CHARS_MAX
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A title as it is stored; nothing but space is none.
pub(crate) fn title(text: Option<String>) -> Result<Option<String>, ApiError> {
    let title = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let fits = |text: &String| text.chars().count() <= TITLE_CHARS_MAX && !text.chars().any(char::is_control);
    match title.as_ref().is_none_or(fits) {
        true => Ok(title),
        false => Err(ApiError::field("title", format!("title may have at most {TITLE_CHARS_MAX} plain characters"))),
    }
}

/// Starts a room: the one direct room of a pair, or a new one of several people.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])), request_body = StartRoom,
    responses((status = 201, body = RoomAnswer), (status = 200, description = "was there already", body = RoomAnswer),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/chat/start")]
pub(crate) async fn start_room(
    caller: Caller,
    Body(new): Body<StartRoom>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let others = participants(&caller, &new, api.config().room_members_max)?;
    let (app, user) = (caller.app.id.clone(), caller.user().clone());
    let (mut room, created) = if new.r#type == RoomType::Direct {
        let [other] = others.try_into().map_err(|_| ApiError::field("participantIds", "DIRECT takes one person"))?;
        api.store(move |conn| store::rooms::start_direct(conn, &app, &user, &other)).await?
    } else {
        let title = title(new.title)?;
        let new = NewRoom { r#type: new.r#type, title, members: others, created_by: Some(user) };
        (api.store(move |conn| store::rooms::create(conn, &app, &new)).await?, true)
    };
    api.show_online(&caller.app.id, &mut room);
    if created && let Some(hub) = api.hub() {
        room.members.iter().for_each(|member| announce::room_added(hub, &caller.app.id, &member.id, &room));
    }
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(RoomAnswer { room }))
}

fn participants(caller: &Caller, new: &StartRoom, members_max: usize) -> Result<Vec<UserId>, ApiError> {
    let (field, mut others) = match (&new.participant_id, &new.participant_ids) {
        (Some(one), None) => ("participantId", vec![one.clone()]),
        (None, Some(many)) => ("participantIds", many.clone()),
        _ => return Err(ApiError::field("participantId", "send either participantId or participantIds")),
    };
    others.retain(|user| user != caller.user());
    others.sort();
    others.dedup();
    match others.len() {
        0 => Err(ApiError::field(field, "a room takes somebody else than yourself")),
        count if count >= members_max => {
            Err(ApiError::field(field, format!("a room may have at most {members_max} members")))
        }
        _ => Ok(others),
    }
}

/// Says that the caller types, or no longer does. Ends by itself.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])), request_body = SetTyping,
    responses((status = 204), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/chat/typing")]
pub(crate) async fn set_typing(
    caller: Caller,
    Body(sign): Body<SetTyping>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let app = &caller.app.id;
    if !api.is_member_lately(app, sign.room_id, caller.user()).await? {
        return Err(ApiError::RoomNotFound);
    }
    api.typing(app, sign.room_id, caller.user(), &caller.person.name, sign.is_typing);
    Ok(HttpResponse::NoContent().finish())
}

/// Moves the caller's read pointer forward.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])), request_body = MoveReceipt,
    responses((status = 200, body = Unread), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/chat/read")]
pub(crate) async fn mark_read(
    caller: Caller,
    Body(to): Body<MoveReceipt>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let up_to = up_to(&to)?;
    let (app, user_id, hub, room_id) = (caller.app.id.clone(), caller.user().clone(), api.hub().cloned(), to.room_id);
    // On the database's thread: it is told even if the caller hangs up in between.
    let read = api.store(move |conn| -> Result<_, store::Error> {
        let Some(read) = store::chat::mark_read(conn, &app, &user_id, room_id, up_to)? else { return Ok(None) };
        if let Some(hub) = hub.filter(|_| read.moved) {
            let receipt = ReadReceipt { room_id, user_id, last_read_seq: read.last_read_seq, read_at: read.read_at };
            announce::message_read(&hub, &app, &receipt);
            let notifications = store::notifications::unread_count(conn, &app, &receipt.user_id)?;
            let count = UnreadCount { notifications, chat: read.unread_total };
            announce::unread_count(&hub, &app, &receipt.user_id, count);
        }
        Ok(Some(read.unread))
    });
    let unread = read.await?.ok_or(ApiError::RoomNotFound)?;
    Ok(HttpResponse::Ok().json(Unread { unread }))
}

/// Moves the caller's delivered pointer forward.
#[utoipa::path(context_path = "/api", tag = "chat", security(("user" = [])), request_body = MoveReceipt,
    responses((status = 200, body = DeliveredAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[post("/chat/delivered")]
pub(crate) async fn mark_delivered(
    caller: Caller,
    Body(to): Body<MoveReceipt>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let up_to = up_to(&to)?;
    let (app, user_id, hub, room_id) = (caller.app.id.clone(), caller.user().clone(), api.hub().cloned(), to.room_id);
    let delivered = api.store(move |conn| -> Result<_, store::Error> {
        let delivered = store::chat::mark_delivered(conn, &app, &user_id, room_id, up_to)?;
        let Some(store::chat::Delivered { moved, last_delivered_seq, delivered_at }) = delivered else {
            return Ok(None);
        };
        if let Some(hub) = hub.filter(|_| moved) {
            let receipt = DeliveredReceipt { room_id, user_id, last_delivered_seq, delivered_at };
            announce::message_delivered(&hub, &app, &receipt);
        }
        Ok(Some(last_delivered_seq))
    });
    let last_delivered_seq = delivered.await?.ok_or(ApiError::RoomNotFound)?;
    Ok(HttpResponse::Ok().json(DeliveredAnswer { last_delivered_seq }))
}

fn up_to(to: &MoveReceipt) -> Result<Option<i64>, ApiError> {
    match to.up_to {
        Some(seq) if seq < 0 => Err(ApiError::field("upTo", "upTo must be a seq of 0 or more")),
        up_to => Ok(up_to),
    }
}

impl Api {
    /// Fills in who of the room is connected.
    pub(crate) fn show_online(&self, app: &AppId, room: &mut Room) {
        if let Some(hub) = self.hub() {
            room.members.iter_mut().for_each(|member| member.online = hub.is_online(app, &member.id));
        }
    }
}
