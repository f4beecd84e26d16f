//! Messages, receipts and unread counts on a real Postgres.

use crate::support::{app, group, page, say, send, text, user, view, with_client_id};
use protocol::MessageId;
use protocol::chat::{MessageContent, RoomType};
use store::chat::{self, NewMessage, Page, SendError};
use store::rooms::{self, NewRoom};
use store::{Error, users};
use tokio::task::JoinSet;

#[tokio::test]
async fn sixteen_senders_at_once_leave_no_gap_and_no_repeat() {
    let db = testkit::database().await;
    let room = group(&db.store, &["ada", "bob"]).await.id;
    let mut senders = JoinSet::new();
    for sender in 0..16 {
        let store = db.store.clone();
        senders.spawn(async move {
            for n in 0..10 {
                say(&store, if sender % 2 == 0 { "ada" } else { "bob" }, room, &format!("{sender} {n}")).await;
            }
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    let messages = page(&db.store, "ada", room, Page::After(0), 1_000).await.unwrap();
    assert_eq!(messages.iter().map(|m| m.seq).collect::<Vec<_>>(), (1..=160).collect::<Vec<_>>());
    assert!(messages.is_sorted_by_key(|m| m.created_at), "created_at follows seq");
    let newest = page(&db.store, "bob", room, Page::Before(None), 2).await.unwrap();
    assert_eq!(newest.iter().map(|m| m.seq).collect::<Vec<_>>(), [160, 159]);
    let older = page(&db.store, "bob", room, Page::Before(Some(159)), 2).await.unwrap();
    assert_eq!(older.iter().map(|m| m.seq).collect::<Vec<_>>(), [158, 157]);
    assert_eq!(view(&db.store, "ada", room).await.unwrap().last_message, Some(newest[0].clone()));
}

#[tokio::test]
async fn the_same_client_id_sent_many_times_at_once_is_one_message() {
    let db = testkit::database().await;
    let room = group(&db.store, &["ada", "bob"]).await.id;
    let mut tries = JoinSet::new();
    for _ in 0..12 {
        let store = db.store.clone();
        tries.spawn(async move { send(&store, "ada", with_client_id(room, "hi", "c1")).await.unwrap() });
    }
    let sent = tries.join_all().await;
    assert_eq!(sent.iter().filter(|sent| sent.new).count(), 1);
    assert!(sent.iter().all(|other| other.message == sent[0].message));
    assert_eq!(say(&db.store, "bob", room, "next").await.seq, 2, "no retry took a number");

    let other = send(&db.store, "ada", with_client_id(room, "hello", "c1")).await;
    assert!(matches!(other, Err(SendError::ClientIdReused)), "{other:?}");
    let bobs = send(&db.store, "bob", with_client_id(room, "hi", "c1")).await.unwrap();
    assert!(bobs.new, "another sender has ids of their own");
}

#[tokio::test]
async fn a_reply_answers_a_message_of_the_same_room_only() {
    let db = testkit::database().await;
    let (room, other) = (group(&db.store, &["ada"]).await.id, group(&db.store, &["ada"]).await.id);
    let first = say(&db.store, "ada", room, "question").await;
    let reply = |room, id| NewMessage { reply_to_id: Some(id), ..text(room, "answer") };
    assert_eq!(send(&db.store, "ada", reply(room, first.id)).await.unwrap().message.reply_to_id, Some(first.id));
    for (room, id) in [(other, first.id), (room, MessageId::mint())] {
        let refused = send(&db.store, "ada", reply(room, id)).await;
        assert!(matches!(refused, Err(SendError::UnknownReply)), "{refused:?}");
    }
    assert_eq!(say(&db.store, "ada", room, "more").await.seq, 3, "a refused message takes no number");
}

#[tokio::test]
async fn who_is_not_in_the_room_or_comes_from_another_app_finds_nothing() {
    let db = testkit::database().await;
    let room = group(&db.store, &["ada"]).await.id;
    let message = say(&db.store, "ada", room, "secret").await;
    assert!(matches!(send(&db.store, "eve", text(room, "x")).await, Err(SendError::NotFound)));
    assert_eq!(page(&db.store, "eve", room, Page::Before(None), 10).await, None);
    assert_eq!(view(&db.store, "eve", room).await, None);

    let foreign = move |conn: &mut store::PgConnection| {
        let (app, ada) = ("2".try_into().unwrap(), user("ada"));
        users::ensure(conn, &app, &ada, Some("Ada"), None)?;
        assert_eq!(rooms::get(conn, &app, &ada, room)?, None);
        assert_eq!(rooms::get_any(conn, &app, room)?, None);
        assert_eq!(chat::messages(conn, &app, &ada, room, Page::After(0), 9)?, None);
        assert!(matches!(chat::send_message(conn, &app, &ada, &text(room, "x")), Err(SendError::NotFound)));
        assert_eq!(chat::mark_read(conn, &app, &ada, room, None)?, None);
        assert_eq!(rooms::add_members(conn, &app, room, std::slice::from_ref(&ada))?, None);
        assert_eq!(rooms::remove_member(conn, &app, room, &ada)?, None);
        assert_eq!(rooms::update_title(conn, &app, room, Some("mine"))?, None);
        assert!(!rooms::delete(conn, &app, room)?);
        assert!(!rooms::is_member(conn, &app, room, &ada)?);
        // A reply across apps.
        let new = NewRoom { r#type: RoomType::Group, title: None, members: vec![ada.clone()], created_by: None };
        let own = rooms::create(conn, &app, &new)?;
        let reply = NewMessage { reply_to_id: Some(message.id), ..text(own.id, "x") };
        assert!(matches!(chat::send_message(conn, &app, &ada, &reply), Err(SendError::UnknownReply)));
        Ok::<_, Error>(())
    };
    db.store.run(foreign).await.unwrap();
    assert!(view(&db.store, "ada", room).await.is_some(), "still there for those whose it is");
}

#[tokio::test]
async fn a_read_pointer_only_moves_forward_and_sending_does_not_move_it() {
    let db = testkit::database().await;
    let room = group(&db.store, &["ada", "bob"]).await.id;
    for n in 0..5 {
        say(&db.store, if n < 3 { "ada" } else { "bob" }, room, "hi").await;
    }
    let read = |who: &'static str, up_to| {
        let store = db.store.clone();
        async move {
            store.run::<_, Error>(move |conn| chat::mark_read(conn, &app(), &user(who), room, up_to)).await.unwrap()
        }
    };
    assert_eq!(view(&db.store, "bob", room).await.unwrap().unread, 3);
    let first = read("bob", Some(2)).await.unwrap();
    assert_eq!((first.moved, first.last_read_seq, first.unread, first.unread_total), (true, 2, 1, 1));
    let back = read("bob", Some(1)).await.unwrap();
    assert_eq!((back.moved, back.last_read_seq, back.read_at), (false, 2, first.read_at));
    assert!(!read("bob", Some(i64::MIN)).await.unwrap().moved);
    let beyond = read("bob", Some(i64::MAX)).await.unwrap();
    assert_eq!((beyond.last_read_seq, beyond.unread), (5, 0), "clamped to the newest");
    assert!(read("eve", None).await.is_none());
    let bob = view(&db.store, "ada", room).await.unwrap().members.into_iter().find(|m| m.id == user("bob")).unwrap();
    assert_eq!((bob.last_read_seq, bob.last_delivered_seq), (5, 5), "read implies delivered");
    let delivered = db
        .store
        .run::<_, Error>(move |conn| chat::mark_delivered(conn, &app(), &user("ada"), room, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((delivered.moved, delivered.last_delivered_seq), (true, 5));
    assert_eq!(view(&db.store, "ada", room).await.unwrap().unread, 2, "delivered is not read");

    let add = move |conn: &mut store::PgConnection| rooms::add_members(conn, &app(), room, &[user("cyd"), user("ada")]);
    assert_eq!(db.store.run(add).await.unwrap(), Some(vec![user("cyd")]));
    assert_eq!(view(&db.store, "cyd", room).await.unwrap().unread, 0, "unread begins at the join");
}

#[tokio::test]
async fn unread_counts_equal_what_a_recount_finds_after_random_operations() {
    let db = testkit::database().await;
    let people = ["ada", "bob", "cyd"];
    let rooms = [group(&db.store, &people).await.id, group(&db.store, &people).await.id];
    // A fixed sequence of pseudo-random numbers (Knuth's MMIX generator), so that a failure comes back.
    let mut state = 42_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..150 {
        let (who, room, up_to) = (people[random(3)], rooms[random(2)], random(60) as i64);
        if random(3) > 0 {
            say(&db.store, who, room, "x").await;
        } else {
            db.store
                .run::<_, Error>(move |conn| chat::mark_read(conn, &app(), &user(who), room, Some(up_to)))
                .await
                .unwrap();
        }
    }
    let mut recounted = Vec::new();
    for who in people {
        let mut total = 0;
        for room in rooms {
            let view = view(&db.store, who, room).await.unwrap();
            let pointer = view.members.iter().find(|m| m.id == user(who)).unwrap().last_read_seq;
            let all = page(&db.store, who, room, Page::After(0), 1_000).await.unwrap();
            let unread = all.iter().filter(|m| m.seq > pointer && m.sender_id != user(who)).count() as i64;
            assert_eq!(view.unread, unread);
            total += unread;
        }
        recounted.push((user(who), total));
    }
    recounted.push((user("nobody"), 0));
    let asked: Vec<_> = recounted.iter().map(|(id, _)| id.clone()).collect();
    let counted = db.store.run(move |conn| chat::unread_totals(conn, &app(), &asked)).await.unwrap();
    assert_eq!(counted, recounted);
}

#[tokio::test]
async fn text_is_stored_as_it_was_written() {
    let db = testkit::database().await;
    let room = group(&db.store, &["ada"]).await.id;
    let odd = "'; DROP TABLE messages; -- \u{1F600} \u{202E} \\ \" % _ \n\t<b>";
    let content = MessageContent::parse(odd, 100).unwrap();
    let sent = send(&db.store, "ada", NewMessage { content, ..text(room, "x") }).await.unwrap();
    let read = page(&db.store, "ada", room, Page::Before(None), 1).await.unwrap();
    assert_eq!((read[0].content.as_str(), &read[0]), (odd, &sent.message));
}
