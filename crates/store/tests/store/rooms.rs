//! Rooms and room lists.

use std::collections::HashSet;

use protocol::RoomId;
use protocol::chat::{Room, RoomType};
use store::rooms::{self, Cursor, ListRooms, NewRoom};
use store::users::{self, NewUser};
use store::{Error, Store};
use tokio::task::JoinSet;

use crate::support::{app, group, say, user, view};

async fn direct(store: &Store, one: &'static str, other: &'static str) -> (Room, bool) {
    store.run(move |conn| rooms::start_direct(conn, &app(), &user(one), &user(other))).await.unwrap()
}

async fn list(store: &Store, limit: i64, cursor: Option<Cursor>, search: Option<&str>) -> (Vec<Room>, Option<Cursor>) {
    let list = ListRooms { limit, cursor, search: search.map(str::to_owned) };
    store.run::<_, Error>(move |conn| rooms::list(conn, &app(), &user("ada"), &list)).await.unwrap()
}

#[tokio::test]
async fn two_people_have_one_direct_room_however_many_start_it_at_once() {
    let db = testkit::database().await;
    let mut starts = JoinSet::new();
    for n in 0..16 {
        let store = db.store.clone();
        let (one, other) = if n % 2 == 0 { ("ada", "bob") } else { ("bob", "ada") };
        starts.spawn(async move { direct(&store, one, other).await });
    }
    let started = starts.join_all().await;
    assert_eq!(started.iter().filter(|(_, created)| *created).count(), 1);
    assert_eq!(started.iter().map(|(room, _)| room.id).collect::<HashSet<_>>().len(), 1);
    assert!(started.iter().all(|(room, _)| room.members.len() == 2 && room.r#type == RoomType::Direct));
}

#[tokio::test]
async fn pairs_whose_ids_run_together_alike_have_rooms_of_their_own() {
    let db = testkit::database().await;
    let rooms = [direct(&db.store, "a:b", "c").await, direct(&db.store, "a", "b:c").await];
    assert!(rooms.iter().all(|(_, created)| *created) && rooms[0].0.id != rooms[1].0.id);
}

#[tokio::test]
async fn who_left_a_direct_room_is_in_it_again_and_has_nothing_unread() {
    let db = testkit::database().await;
    let room = direct(&db.store, "ada", "bob").await.0.id;
    let leave = move |conn: &mut store::PgConnection| rooms::remove_member(conn, &app(), room, &user("bob"));
    assert_eq!(db.store.run(leave).await.unwrap(), Some(true));
    assert_eq!(db.store.run(leave).await.unwrap(), Some(false));
    say(&db.store, "ada", room, "are you there").await;
    let (again, created) = direct(&db.store, "bob", "ada").await;
    assert_eq!((again.id, created, again.unread, again.members.len()), (room, false, 0, 2));
}

#[tokio::test]
async fn a_direct_room_is_not_made_beside_its_pair() {
    let db = testkit::database().await;
    let new = NewRoom { r#type: RoomType::Direct, title: None, members: vec![user("ada")], created_by: None };
    let refused = db.store.run(move |conn| rooms::create(conn, &app(), &new)).await;
    assert!(matches!(refused, Err(Error::Query(_))), "{refused:?}");
}

#[tokio::test]
async fn following_the_pages_shows_every_room_once_while_people_write() {
    let db = testkit::database().await;
    let mut ids: Vec<RoomId> = Vec::new();
    for _ in 0..23 {
        ids.push(group(&db.store, &["ada", "bob"]).await.id);
    }
    for limit in [1, 4, 7, 23, 50] {
        let (mut seen, mut cursor, mut turn) = (Vec::new(), None, 0_usize);
        loop {
            let (rooms, next) = list(&db.store, limit, cursor, None).await;
            seen.extend(rooms.iter().map(|room| room.id));
            // Rooms of every part of the list rise to the top between two pages.
            for step in 0..5 {
                turn += 1;
                say(&db.store, "bob", ids[(turn * 7 + step) % ids.len()], "x").await;
            }
            // What goes over the wire is the text.
            cursor = next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), ids.len(), "pages of {limit}");
        assert_eq!(seen.iter().collect::<HashSet<_>>(), ids.iter().collect(), "pages of {limit}");
    }
}

#[tokio::test]
async fn the_list_is_newest_first_and_says_what_each_room_holds() {
    let db = testkit::database().await;
    let (quiet, busy) = (group(&db.store, &["ada", "bob"]).await, group(&db.store, &["ada", "bob"]).await);
    group(&db.store, &["bob"]).await;
    say(&db.store, "bob", quiet.id, "one").await;
    let last = say(&db.store, "ada", quiet.id, "two").await;
    let (rooms, next) = list(&db.store, 10, None, None).await;
    assert_eq!(rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [quiet.id, busy.id]);
    assert_eq!((rooms[0].unread, rooms[0].last_seq, rooms[0].last_message.as_ref()), (1, 2, Some(&last)));
    assert_eq!((rooms[1].unread, rooms[1].last_message.as_ref(), next), (0, None, None));
    assert_eq!(Some(&rooms[0]), view(&db.store, "ada", quiet.id).await.as_ref());
}

#[tokio::test]
async fn search_finds_rooms_by_the_names_of_others_and_takes_marks_literally() {
    let db = testkit::database().await;
    for (id, name) in [("ada", "Ada"), ("bob", "Búdi 100%_sure\\"), ("cyd", "Cyd")] {
        let new = NewUser {
            id: user(id),
            name: name.into(),
            avatar_url: None,
            role: None,
            email: None,
            phone: None,
            locale: None,
            time_zone: None,
        };
        db.store.run(move |conn| users::upsert(conn, &app(), &new)).await.unwrap();
    }
    let bobs = direct(&db.store, "ada", "bob").await.0.id;
    direct(&db.store, "ada", "cyd").await;
    for found in ["bÚDI", "00%", "%_s", "e\\", " sure "] {
        let (rooms, _) = list(&db.store, 10, None, Some(found)).await;
        assert_eq!(rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [bobs], "{found}");
    }
    for nothing in ["ada", "0_%", "\\\\", "'"] {
        assert!(list(&db.store, 10, None, Some(nothing)).await.0.is_empty(), "{nothing}");
    }
    let (first, next) = list(&db.store, 1, None, Some("d")).await;
    let (second, end) = list(&db.store, 1, next, Some("d")).await;
    assert!(first[0].id != second[0].id && end.is_none(), "search goes on from page to page");
}
