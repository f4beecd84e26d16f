//! The ways in which a delivery ends, and what operators can do then.

use protocol::notification::FailureClass;
use store::deliveries::{
    Cancelled, Retention, cancel, dead_letters, edit, expire, is_suppressed, prune, retry, suppress, trace, unsuppress,
};

use super::*;

#[tokio::test]
async fn every_end_has_its_state_and_reason() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let word = || "word".to_owned();
        let past = Utc::now() - TimeDelta::seconds(1);
        let retry = |at, duplicate_possible| Ended::Retry { at, reason: word(), duplicate_possible };
        let table = [
            (Ended::Delivered, State::Delivered, None, 1, false),
            (Ended::Skipped(word()), State::Skipped, Some("word"), 1, false),
            (retry(past, false), State::Ready, Some("word"), 1, false),
            (retry(past, true), State::Ready, Some("word"), 1, true),
            (retry(in_one_hour() + TimeDelta::hours(1), false), State::Expired, Some("word"), 1, false),
            (Ended::Paused { until: past, reason: word() }, State::Ready, Some("word"), 0, false),
            (Ended::Dead(word()), State::Dead, Some("word"), 1, false),
            (Ended::Unknown(word()), State::Unknown, Some("word"), 1, true),
            (Ended::PermanentRecipient(word()), State::Failed, Some("word"), 1, false),
        ];
        for (ended, expected, reason, tries, maybe_twice) in table {
            let claimed = taken(conn, Transport::Email);
            let begun = begin(conn, &claimed);
            let outcome = answer(Outcome::Failed(FailureClass::Retryable), None);
            assert!(finish(conn, &claimed, Some((&begun, &outcome)), &ended).unwrap());
            let after = story(conn, claimed.id);
            assert_eq!((after.state, after.reason.as_deref(), after.tries), (expected, reason, tries), "{ended:?}");
            assert_eq!(after.duplicate_possible, maybe_twice, "{ended:?}");
            check(conn);
            sql(conn, "DELETE FROM deliveries");
        }
        let why = is_suppressed(conn, &app("1"), Transport::Email, "ada@a.example").unwrap();
        assert_eq!(why.as_deref(), Some("word"), "of the dead address");
    })
    .await;
}

#[tokio::test]
async fn an_address_is_suppressed_once_and_for_its_app_and_transport() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let one = app("1");
        assert!(suppress(conn, &one, Transport::Email, "a@b", "bounced").unwrap());
        assert!(!suppress(conn, &one, Transport::Email, "a@b", "complaint").unwrap());
        let why = |conn: &mut PgConnection, app: &AppId, transport| is_suppressed(conn, app, transport, "a@b").unwrap();
        assert_eq!(why(conn, &one, Transport::Email).as_deref(), Some("bounced"));
        assert_eq!(why(conn, &app("2"), Transport::Email), None);
        assert_eq!(why(conn, &one, Transport::Whatsapp), None);
        assert!(unsuppress(conn, &one, Transport::Email, "a@b").unwrap());
        assert!(!unsuppress(conn, &one, Transport::Email, "a@b").unwrap());
        assert_eq!(why(conn, &one, Transport::Email), None);
    })
    .await;
}

#[tokio::test]
async fn a_dead_address_is_suppressed_even_if_somebody_else_has_taken_over() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let stale = taken(conn, Transport::Email);
        let begun = begin(conn, &stale);
        end_leases(conn);
        rescue::rescue(conn);
        let outcome = answer(Outcome::Failed(FailureClass::PermanentRecipient), None);
        let ended = Ended::PermanentRecipient("no such mailbox".to_owned());
        assert!(!finish(conn, &stale, Some((&begun, &outcome)), &ended).unwrap());
        assert!(is_suppressed(conn, &app("1"), Transport::Email, "ada@a.example").unwrap().is_some());
        assert_eq!(state(conn, stale.id), State::Ready);
    })
    .await;
}

#[tokio::test]
async fn a_notification_is_taken_back_as_far_as_that_goes() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let notification = NotificationId::mint();
        let of = |transport| NewDelivery { notification: Some(notification), ..new(transport, 50) };
        let queued = ALL.map(of);
        enqueue(conn, &app("1"), &queued).unwrap();
        let only = |transport| Claim { transports: vec![(transport, 1)], ..claim(Uuid::now_v7(), 1) };
        let push = claim_due(conn, &only(Transport::Push)).unwrap().remove(0);
        let email = claim_due(conn, &only(Transport::Email)).unwrap().remove(0);
        assert_eq!(cancel(conn, &app("2"), notification).unwrap(), Cancelled::default());
        assert_eq!(cancel(conn, &app("1"), notification).unwrap(), Cancelled { cancelled: 1, under_way: 2 });
        let again = Ended::Retry { at: Utc::now(), reason: "later".to_owned(), duplicate_possible: false };
        assert!(finish(conn, &push, None, &again).unwrap());
        end_leases(conn);
        assert_eq!(rescue::rescue(conn)[0].id, email.id);
        let story = trace(conn, &app("1"), notification).unwrap();
        assert_eq!(story.len(), 3);
        for one in story {
            assert_eq!((one.state, one.reason.as_deref()), (State::Cancelled, Some("cancelled")), "{}", one.transport);
        }
        assert!(trace(conn, &app("2"), notification).unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_was_not_sent_in_time_expires_in_steps() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let queued: Vec<_> = (0..10).map(|_| new(Transport::Push, 0)).collect();
        enqueue(conn, &app("1"), &queued).unwrap();
        assert_eq!(expire(conn, 100).unwrap(), 0);
        sql(conn, "UPDATE deliveries SET expires_at = now() - interval '1 s'");
        assert_eq!((expire(conn, 7).unwrap(), expire(conn, 7).unwrap(), expire(conn, 7).unwrap()), (7, 3, 0));
        assert!(queued.iter().all(|one| state(conn, one.id) == State::Expired));
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_looked_at_mended_and_sent_again() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let one = app("1");
        let mut dead = Vec::new();
        for ended in ["dead", "dead", "dead", "unknown"] {
            let claimed = taken(conn, Transport::Email);
            let begun = begin(conn, &claimed);
            let outcome = answer(Outcome::Failed(FailureClass::PermanentMessage), None);
            let ended = match ended {
                "dead" => Ended::Dead("too long".to_owned()),
                _ => Ended::Unknown("timeout".to_owned()),
            };
            assert!(finish(conn, &claimed, Some((&begun, &outcome)), &ended).unwrap());
            dead.insert(0, claimed);
        }
        let page = dead_letters(conn, &one, None, 3).unwrap();
        assert_eq!(page.iter().map(|one| one.id).collect::<Vec<_>>(), [dead[0].id, dead[1].id, dead[2].id]);
        assert_eq!((page[0].state, page[1].reason.as_deref()), (State::Unknown, Some("too long")));
        let rest = dead_letters(conn, &one, Some((page[2].since, page[2].id)), 3).unwrap();
        assert_eq!(rest.iter().map(|one| one.id).collect::<Vec<_>>(), [dead[3].id]);
        assert!(dead_letters(conn, &app("2"), None, 3).unwrap().is_empty());

        let content = json!({"title": "short"});
        assert!(edit(conn, &one, dead[3].id, &content).unwrap());
        assert!(!edit(conn, &app("2"), dead[3].id, &content).unwrap());
        assert_eq!(retry(conn, &app("2"), None, in_one_hour(), 10).unwrap(), 0);
        sql(conn, "UPDATE deliveries SET expires_at = now() - interval '1 s'");
        assert_eq!(retry(conn, &one, Some(&[dead[3].id]), in_one_hour(), 10).unwrap(), 1);
        assert!(!edit(conn, &one, dead[3].id, &content).unwrap(), "too late");
        let again = take_one(conn);
        assert_eq!((again.id, again.tries, &again.content), (dead[3].id, 1, &content));
        assert_ne!(again.idempotency_key, dead[3].idempotency_key, "no repeat of what was refused");
        assert_eq!(retry(conn, &one, None, in_one_hour(), 1).unwrap(), 1);
        assert_eq!(retry(conn, &one, None, in_one_hour(), 10).unwrap(), 1, "not what may have been sent");
        assert!(take(conn, 10).iter().all(|one| !one.duplicate_possible));
        assert_eq!(retry(conn, &one, Some(&[dead[0].id]), in_one_hour(), 10).unwrap(), 1);
        let again = take_one(conn);
        assert!(again.duplicate_possible && again.idempotency_key == dead[0].idempotency_key);
        check(conn);
    })
    .await;
}

#[tokio::test]
async fn what_has_ended_is_forgotten_in_steps_and_what_has_not_is_kept() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let mut end = |ended: Option<Ended>| {
            let claimed = taken(conn, Transport::Email);
            begin(conn, &claimed);
            ended.into_iter().for_each(|ended| assert!(finish(conn, &claimed, None, &ended).unwrap()));
            claimed.id
        };
        for _ in 0..5 {
            end(Some(Ended::Skipped("read".to_owned())));
        }
        let dead = end(Some(Ended::Dead("no".to_owned())));
        let held = end(None);
        let kept = Retention { finished: Duration::from_secs(60), dead: Duration::from_secs(3_600) };
        assert_eq!(prune(conn, &kept, 10).unwrap(), 0);
        sql(conn, "UPDATE deliveries SET updated_at = updated_at - interval '2 minutes'");
        assert_eq!(
            (prune(conn, &kept, 3).unwrap(), prune(conn, &kept, 3).unwrap(), prune(conn, &kept, 3).unwrap()),
            (3, 2, 0)
        );
        assert_eq!((state(conn, dead), state(conn, held)), (State::Dead, State::Leased));
        sql(conn, "UPDATE deliveries SET updated_at = updated_at - interval '2 hours'");
        assert_eq!(prune(conn, &kept, 3).unwrap(), 1);
        assert_eq!(sql(conn, "SELECT 1 FROM attempts"), 1, "with their attempts");
    })
    .await;
}
