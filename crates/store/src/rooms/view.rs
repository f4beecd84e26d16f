//! What rooms look like to one of their members, in a number of queries that does not grow with the rooms.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::chat::{Message, MessageType, Person, Room, RoomMember, RoomType};
use protocol::{AppId, ClientId, MessageId, RoomId, UserId};

use super::RoomSummary;
use crate::PgConnection;
use crate::schema::{members, messages, rooms, users};

#[derive(Queryable, Selectable)]
#[diesel(table_name = rooms, check_for_backend(diesel::pg::Pg))]
pub(crate) struct RoomRow {
    pub(super) id: RoomId,
    kind: String,
    title: Option<String>,
    pub(crate) last_seq: i64,
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

impl RoomRow {
    /// The room when nobody is in it and nothing was written.
    pub(super) fn into_empty(self) -> Room {
        Room {
            id: self.id,
            r#type: room_type(&self.kind),
            title: self.title,
            last_seq: self.last_seq,
            last_message: None,
            unread: 0,
            members: Vec::new(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    pub(super) fn into_summary(self) -> RoomSummary {
        RoomSummary {
            id: self.id,
            r#type: room_type(&self.kind),
            title: self.title,
            last_seq: self.last_seq,
            created_by: self.created_by,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub(crate) struct PersonRow {
    pub(crate) name: String,
    pub(crate) avatar_url: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = messages, check_for_backend(diesel::pg::Pg))]
pub(crate) struct MessageRow {
    id: MessageId,
    room_id: RoomId,
    seq: i64,
    sender_id: UserId,
    kind: String,
    content: String,
    attachment_url: Option<String>,
    reply_to_id: Option<MessageId>,
    client_id: Option<ClientId>,
    created_at: DateTime<Utc>,
}

impl MessageRow {
    pub(crate) fn into_message(self, sender: PersonRow) -> Message {
        Message {
            id: self.id,
            room_id: self.room_id,
            seq: self.seq,
            sender: Person { id: self.sender_id.clone(), name: sender.name, avatar_url: sender.avatar_url },
            sender_id: self.sender_id,
            r#type: message_type(&self.kind),
            content: self.content,
            attachment_url: self.attachment_url,
            reply_to_id: self.reply_to_id,
            client_id: self.client_id,
            created_at: self.created_at,
        }
    }
}

/// The rooms, in the same order, as `viewer` sees them: three queries, however many rooms.
pub(super) fn views(
    conn: &mut PgConnection,
    app: &AppId,
    viewer: &UserId,
    rows: Vec<RoomRow>,
) -> QueryResult<Vec<Room>> {
    let ids: Vec<RoomId> = rows.iter().map(|row| row.id).collect();
    let mut last_messages = last_messages(conn, app, &ids)?;
    let mut members = members_of(conn, app, &ids)?;
    let unread: HashMap<RoomId, i64> = unread_by_room(conn, app, viewer, &ids)?.into_iter().collect();
    Ok(rows
        .into_iter()
        .map(|row| Room {
            last_message: last_messages.remove(&row.id),
            unread: unread.get(&row.id).copied().unwrap_or(0),
            members: members.remove(&row.id).unwrap_or_default(),
            ..row.into_empty()
        })
        .collect())
}

/// What unread means, once: each member beside others' messages after that member's read pointer.
#[diesel::dsl::auto_type]
pub(crate) fn unread() -> _ {
    members::table.inner_join(
        messages::table.on(messages::app_id
            .eq(members::app_id)
            .and(messages::room_id.eq(members::room_id))
            .and(messages::seq.gt(members::last_read_seq))
            .and(messages::sender_id.ne(members::user_id))),
    )
}

/// How much is unread for the user in each of the rooms where anything is.
pub(crate) fn unread_by_room(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    ids: &[RoomId],
) -> QueryResult<Vec<(RoomId, i64)>> {
    unread()
        .filter(members::app_id.eq(app).and(members::user_id.eq(user)).and(members::room_id.eq_any(ids)))
        .group_by(members::room_id)
        .select((members::room_id, diesel::dsl::count_star()))
        .load(conn)
}

fn last_messages(conn: &mut PgConnection, app: &AppId, ids: &[RoomId]) -> QueryResult<HashMap<RoomId, Message>> {
    let rows: Vec<(MessageRow, PersonRow)> = messages::table
        .inner_join(
            rooms::table.on(rooms::app_id
                .eq(messages::app_id)
                .and(rooms::id.eq(messages::room_id))
                .and(rooms::last_seq.eq(messages::seq))),
        )
        .inner_join(users::table.on(users::app_id.eq(messages::app_id).and(users::id.eq(messages::sender_id))))
        .filter(rooms::app_id.eq(app).and(rooms::id.eq_any(ids)))
        .select((MessageRow::as_select(), PersonRow::as_select()))
        .load(conn)?;
    Ok(rows.into_iter().map(|(message, sender)| (message.room_id, message.into_message(sender))).collect())
}

fn members_of(conn: &mut PgConnection, app: &AppId, ids: &[RoomId]) -> QueryResult<HashMap<RoomId, Vec<RoomMember>>> {
    type Row = (RoomId, UserId, i64, i64, PersonRow);
    let rows: Vec<Row> = members::table
        .inner_join(users::table.on(users::app_id.eq(members::app_id).and(users::id.eq(members::user_id))))
        .filter(members::app_id.eq(app).and(members::room_id.eq_any(ids)))
        .order((members::joined_at, members::user_id))
        .select((
            members::room_id,
            members::user_id,
            members::last_read_seq,
            members::last_delivered_seq,
            PersonRow::as_select(),
        ))
        .load(conn)?;
    let mut by_room: HashMap<RoomId, Vec<RoomMember>> = HashMap::new();
    for (room, id, last_read_seq, last_delivered_seq, PersonRow { name, avatar_url }) in rows {
        let member = RoomMember { id, name, avatar_url, online: false, last_read_seq, last_delivered_seq };
        by_room.entry(room).or_default().push(member);
    }
    Ok(by_room)
}

// The tables' CHECKs let nothing else in.
fn room_type(text: &str) -> RoomType {
    match text {
        "DIRECT" => RoomType::Direct,
        "SUPPORT" => RoomType::Support,
        _ => RoomType::Group,
    }
}

fn message_type(text: &str) -> MessageType {
    match text {
        "IMAGE" => MessageType::Image,
        "FILE" => MessageType::File,
        _ => MessageType::Text,
    }
}
