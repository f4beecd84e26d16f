//! The built-in rules, row by row.

use notify::{Action, Planned, Recipient};
use protocol::notification::Transport::{self, Email, InApp, Push};
use serde_json::{Value, json};

use crate::{event, now, planned, rules};

const ROOM: &str = "0193574e-9e80-7000-8000-000000000001";

/// A row of the table.
struct Row {
    event: &'static str,
    data: Value,
    to: Recipient,
    r#type: &'static str,
    category: &'static str,
    transports: &'static [Transport],
    link: &'static str,
    id: (&'static str, &'static str),
    en: (&'static str, &'static str),
}

fn user(id: &str) -> Recipient {
    Recipient::User { user_id: id.parse().unwrap() }
}

fn subscribers(target_type: &str, target_id: &str, exclude: &[&str]) -> Recipient {
    let exclude = exclude.iter().map(|id| id.parse().unwrap()).collect();
    Recipient::Subscribers { target_type: target_type.into(), target_id: target_id.into(), exclude }
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        Row {
            event: "comment.created", data: json!({ "post": { "id": "p1", "authorId": "budi" } }),
            to: user("budi"), r#type: "COMMENT", category: "comment", transports: &[InApp, Push],
            link: "https://app.example/posts/p1",
            id: ("Komentar Baru", "Ani mengomentari postingan Anda"),
            en: ("New comment", "Ani commented on your post"),
        },
        Row {
            event: "comment.replied", data: json!({ "post": { "id": "p1" }, "parent": { "id": "c1", "authorId": "budi" } }),
            to: user("budi"), r#type: "COMMENT_REPLY", category: "comment", transports: &[InApp, Push],
            link: "https://app.example/posts/p1#comment-c1",
            id: ("Balasan Baru", "Ani membalas komentar Anda"),
            en: ("New reply", "Ani replied to your comment"),
        },
        Row {
            event: "transaction.succeeded",
            data: json!({ "transaction": { "id": "t1", "buyerId": 7, "amount": "1234567.00" } }),
            to: user("7"), r#type: "TRANSACTION_SUCCESS", category: "transaction", transports: &[InApp, Push, Email],
            link: "https://app.example/transactions/t1",
            id: ("Pembayaran Berhasil", "Pembayaran Anda sebesar Rp 1.234.567 telah berhasil diproses"),
            en: ("Payment successful", "Your payment of Rp 1.234.567 has been processed"),
        },
        Row {
            event: "course.enrolled",
            data: json!({ "course": { "id": 3, "title": "Rust", "mentorId": "m" }, "student": { "id": "s", "name": "Sari" } }),
            to: user("m"), r#type: "COURSE_ENROLLED", category: "course", transports: &[InApp, Push],
            link: "https://app.example/courses/3/students",
            id: ("Siswa Baru di Kursus Anda", "Sari telah mendaftar di kursus Rust"),
            en: ("New student in your course", "Sari has enrolled in Rust"),
        },
        Row {
            event: "group.post_approved",
            data: json!({ "group": { "id": "g" }, "post": { "id": "p", "authorId": "ani", "status": "APPROVED" } }),
            to: subscribers("GROUP", "g", &["ani"]), r#type: "POST_NEW", category: "system", transports: &[InApp],
            link: "https://app.example/community/groups/g/posts/p",
            id: ("Postingan Baru di Grup", "Ani memposting di grup"),
            en: ("New post in your group", "Ani posted in the group"),
        },
        Row {
            event: "chat.message_sent", data: json!({ "room": { "id": ROOM } }),
            to: Recipient::Members { room_id: ROOM.parse().unwrap(), exclude: vec!["ani".parse().unwrap()] },
            r#type: "CHAT_MESSAGE", category: "chat", transports: &[InApp, Push],
            link: "https://app.example/chat?room=0193574e-9e80-7000-8000-000000000001",
            id: ("Pesan Baru", "Ani mengirim pesan kepada Anda"),
            en: ("New message", "Ani sent you a message"),
        },
        Row {
            event: "event.scheduled",
            data: json!({ "event": { "id": "e", "title": "Webinar", "startsAt": "2026-11-23T14:30:00+07:00" } }),
            to: subscribers("EVENT", "e", &[]), r#type: "EVENT_REMINDER", category: "event", transports: &[InApp, Push],
            link: "https://app.example/events/e",
            id: ("Pengingat Event", "Webinar dimulai dalam 24 jam: Senin, 23 November 2026 pukul 14.30"),
            en: ("Event reminder", "Webinar starts in 24 hours: Monday, 23 November 2026 at 14:30"),
        },
        Row {
            event: "user.followed", data: json!({ "user": { "id": "budi" } }),
            to: user("budi"), r#type: "FOLLOWER", category: "system", transports: &[InApp, Push],
            link: "https://app.example/users/ani",
            id: ("Pengikut Baru", "Ani mulai mengikuti Anda"),
            en: ("New follower", "Ani started following you"),
        },
        Row {
            event: "achievement.earned", data: json!({ "user": { "id": "ani" }, "achievement": { "title": "Rajin" } }),
            to: user("ani"), r#type: "ACHIEVEMENT", category: "achievement", transports: &[InApp, Push],
            link: "https://app.example/achievements",
            id: ("Pencapaian Baru", "Selamat! Anda meraih pencapaian Rajin"),
            en: ("New achievement", "Congratulations! You earned Rajin"),
        },
        Row {
            event: "course.discussion_posted",
            data: json!({ "course": { "id": "k", "title": "Rust" }, "post": { "id": "d" } }),
            to: subscribers("COURSE", "k", &["ani"]), r#type: "COURSE_DISCUSSION", category: "course",
            transports: &[InApp, Push],
            link: "https://app.example/courses/k/discussions/d",
            id: ("Diskusi Baru", "Ani memulai diskusi di kursus Rust"),
            en: ("New discussion", "Ani started a discussion in Rust"),
        },
    ]
}

fn transports(planned: &Planned) -> Vec<Transport> {
    planned.transports.iter().map(|due| due.transport).collect()
}

#[test]
fn each_row_tells_whom_it_should_what_it_should_in_both_languages() {
    let rules = rules();
    for row in table() {
        let planned = planned(&rules, &event(row.event, row.data));
        assert_eq!(planned.recipient, row.to, "{}", row.event);
        assert_eq!((planned.r#type.as_str(), planned.category.as_str()), (row.r#type, row.category));
        assert_eq!(transports(&planned), row.transports, "{}", row.event);
        for (locale, (title, text)) in [("id-ID", row.id), ("en-GB", row.en)] {
            let reader = rules.reader(Some(locale), None, "Budi");
            for transport in [InApp, Push] {
                let content = rules.render(&planned, transport, &reader).unwrap();
                assert_eq!((content.title.as_str(), content.text.as_str()), (title, text));
                assert_eq!((content.link.as_deref(), content.html), (Some(row.link), None));
            }
        }
    }
}

#[test]
fn nobody_hears_of_their_own_doings() {
    let rules = rules();
    for (name, data) in [
        ("comment.created", json!({ "post": { "id": 1, "authorId": "ani" } })),
        ("comment.replied", json!({ "post": { "id": 1 }, "parent": { "id": 2, "authorId": "ani" } })),
        (
            "course.enrolled",
            json!({ "course": { "id": 1, "title": "R", "mentorId": "s" }, "student": { "id": "s", "name": "S" } }),
        ),
        ("user.followed", json!({ "user": { "id": "ani" } })),
    ] {
        assert_eq!(rules.plan(&event(name, data), now()).unwrap(), [], "{name}");
    }
}

#[test]
fn a_buyer_and_an_earner_hear_of_their_own_doings() {
    let rules = rules();
    let bought = event("transaction.succeeded", json!({ "transaction": { "id": 1, "buyerId": "ani", "amount": 1 } }));
    assert_eq!(planned(&rules, &bought).recipient, user("ani"));
}

#[test]
fn a_post_that_is_not_approved_is_told_to_nobody() {
    let data =
        |status: Value| json!({ "group": { "id": "g" }, "post": { "id": "p", "authorId": "b", "status": status } });
    let rules = rules();
    for status in ["PENDING", "REJECTED", "approved", ""] {
        assert_eq!(rules.plan(&event("group.post_approved", data(status.into())), now()).unwrap(), []);
    }
    let lacking =
        event("group.post_approved", json!({ "group": { "id": "g" }, "post": { "id": "p", "authorId": "b" } }));
    let error = rules.plan(&lacking, now()).unwrap_err().to_string();
    assert_eq!(error, "rule group.post_approved: the event has no post.status");
}

#[test]
fn the_same_event_is_planned_the_same_again() {
    let rules = rules();
    let event = event("comment.created", json!({ "post": { "id": 1, "authorId": "budi" } }));
    let (first, second) = (planned(&rules, &event), planned(&rules, &event));
    assert_eq!(first.dedupe, "comment.created/evt_1");
    assert_eq!((first.dedupe, first.recipient), (second.dedupe, second.recipient));
}

#[test]
fn a_push_about_a_message_waits_for_it_to_be_read_and_replaces_the_one_before() {
    let planned = planned(&rules(), &event("chat.message_sent", json!({ "room": { "id": ROOM } })));
    let seconds = |index: usize| (planned.transports[index].send_at - now()).num_seconds();
    assert_eq!((seconds(0), seconds(1)), (0, 10));
    assert_eq!(planned.transports[1].expires_at.unwrap(), now() + chrono::TimeDelta::hours(1));
    assert_eq!(planned.collapse_key.unwrap(), format!("chat:{ROOM}"));
}

#[test]
fn an_event_that_no_rule_is_about_does_nothing() {
    let rules = rules();
    assert!(rules.knows("comment.created") && rules.knows("event.moved") && !rules.knows("comment.deleted"));
    assert_eq!(rules.plan(&event("comment.deleted", json!({})), now()).unwrap(), []);
}

#[test]
fn rules_are_shared_by_threads() {
    let rules = std::sync::Arc::new(rules());
    let followed = event("user.followed", json!({ "user": { "id": 1 } }));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (rules, followed) = (rules.clone(), followed.clone());
            std::thread::spawn(move || planned(&rules, &followed))
        })
        .collect();
    let planned: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(planned.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn what_is_planned_can_wait_as_json() {
    let rules = rules();
    for row in table() {
        let planned = planned(&rules, &event(row.event, row.data));
        let stored = serde_json::to_string(&planned).unwrap();
        assert_eq!(serde_json::from_str::<Planned>(&stored).unwrap(), planned);
    }
}

#[test]
fn what_an_event_lacks_is_named_before_anybody_is_told() {
    let rules = rules();
    for (name, data, error) in [
        ("comment.created", json!({}), "the event has no post.authorId"),
        ("comment.created", json!({ "post": { "authorId": {} } }), "post.authorId is no user id, and no list of them"),
        ("comment.created", json!({ "post": { "authorId": "b" } }), "texts.id, in_app: the event has no post.id"),
        (
            "transaction.succeeded",
            json!({ "transaction": { "id": 1, "buyerId": "b" } }),
            "the event has no transaction.amount",
        ),
        (
            "transaction.succeeded",
            json!({ "transaction": { "id": 1, "buyerId": "b", "amount": "Rp 5" } }),
            "\"Rp 5\" is not a number of up to 18 digits",
        ),
        ("group.post_approved", json!({ "post": { "status": "APPROVED" } }), "the event has no post.authorId"),
        ("course.discussion_posted", json!({}), "the event has no course.id"),
        ("chat.message_sent", json!({ "room": { "id": "lobby" } }), "room.id is no id"),
    ] {
        let told = rules.plan(&event(name, data), now()).unwrap_err().to_string();
        assert!(told.starts_with(&format!("rule {name}: ")) && told.contains(error), "{told}");
    }
    let gone = event("comment.created", json!({ "post": { "id": 1, "authorId": null } }));
    assert_eq!(rules.plan(&gone, now()).unwrap(), [] as [Action; 0]);
}
