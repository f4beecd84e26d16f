//! What the tests of this crate share: ids, rooms, sending.

use protocol::chat::{Message, MessageContent, MessageType, Room, RoomType};
use protocol::{AppId, ClientId, RoomId, UserId};
use store::chat::{self, NewMessage, Page, SendError, Sent};
use store::rooms::{self, NewRoom};
use store::{Error, Store};

pub(crate) fn app() -> AppId {
    "1".try_into().unwrap()
}

pub(crate) fn user(id: &str) -> UserId {
    id.try_into().unwrap()
}

pub(crate) async fn group(store: &Store, members: &[&str]) -> Room {
    let members = members.iter().map(|id| user(id)).collect();
    let new = NewRoom { r#type: RoomType::Group, title: Some("lobby".into()), members, created_by: None };
    store.run(move |conn| rooms::create(conn, &app(), &new)).await.unwrap()
}

pub(crate) fn text(room: RoomId, content: &str) -> NewMessage {
    NewMessage {
        room_id: room,
        r#type: MessageType::Text,
        content: MessageContent::parse(content, 4_000).unwrap(),
        attachment_url: None,
        reply_to_id: None,
        client_id: None,
    }
}

pub(crate) fn with_client_id(room: RoomId, content: &str, id: &str) -> NewMessage {
    NewMessage { client_id: Some(ClientId::try_from(id).unwrap()), ..text(room, content) }
}

pub(crate) async fn send(store: &Store, sender: &str, new: NewMessage) -> Result<Sent, SendError> {
    let sender = user(sender);
    store.run(move |conn| chat::send_message(conn, &app(), &sender, &new)).await
}

pub(crate) async fn say(store: &Store, sender: &str, room: RoomId, content: &str) -> Message {
    send(store, sender, text(room, content)).await.unwrap().message
}

pub(crate) async fn page(store: &Store, reader: &str, room: RoomId, page: Page, limit: i64) -> Option<Vec<Message>> {
    let reader = user(reader);
    store.run(move |conn| chat::messages(conn, &app(), &reader, room, page, limit)).await.unwrap()
}

pub(crate) async fn view(store: &Store, viewer: &str, room: RoomId) -> Option<Room> {
    let viewer = user(viewer);
    store.run::<_, Error>(move |conn| rooms::get(conn, &app(), &viewer, room)).await.unwrap()
}
