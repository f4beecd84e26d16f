//! What providers tell later.

use store::deliveries::{Applied, Event, ProviderEvent, is_suppressed, provider_event};

use super::*;

fn told(message_id: &str, event: Event) -> ProviderEvent {
    ProviderEvent { provider: "smtp".to_owned(), message_id: message_id.to_owned(), event, at: Utc::now() }
}

/// Sends one that the provider calls so.
fn delivered_by(conn: &mut PgConnection, message_id: &str) -> Claimed {
    let claimed = taken(conn, Transport::Email);
    let begun = begin(conn, &claimed);
    assert!(finish(conn, &claimed, Some((&begun, &sent(message_id))), &Ended::Sent).unwrap());
    claimed
}

#[tokio::test]
async fn a_status_never_goes_backwards_whatever_the_order_of_events() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let events = [Event::Delivered, Event::Read, Event::Bounced, Event::Complaint];
        let rank = |story: &Story| match story.state {
            State::Sent => 0,
            State::Failed => 1,
            State::Delivered => 2 + i32::from(story.read_at.is_some()),
            other => panic!("{other}"),
        };
        for n in 0..4_usize.pow(4) {
            let message = format!("m{n}");
            let id = delivered_by(conn, &message).id;
            let mut before = 0;
            for event in (0..4).map(|place| events[n / 4_usize.pow(place) % 4]) {
                let applied = provider_event(conn, &app("1"), &told(&message, event)).unwrap();
                let after = story(conn, id);
                assert!(rank(&after) >= before, "{n}: {event:?}");
                assert_eq!(applied == Applied::Known(id), rank(&after) == before, "{n}: {event:?} {applied:?}");
                before = rank(&after);
                match event {
                    Event::Delivered | Event::Complaint => assert!(before >= 2),
                    Event::Read => assert!(before == 3 && after.delivered_at.is_some(), "read implies delivered"),
                    Event::Bounced => assert!(before >= 1),
                }
            }
        }
        check(conn);
    })
    .await;
}

#[tokio::test]
async fn events_find_their_call_by_app_provider_and_message() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let id = delivered_by(conn, "m").id;
        let unmatched = [
            (app("2"), told("m", Event::Delivered)),
            (app("1"), told("n", Event::Delivered)),
            (app("1"), ProviderEvent { provider: "other".to_owned(), ..told("m", Event::Delivered) }),
        ];
        for (app, told) in unmatched {
            assert_eq!(provider_event(conn, &app, &told).unwrap(), Applied::Unmatched);
        }
        assert_eq!(state(conn, id), State::Sent);
        assert_eq!(provider_event(conn, &app("1"), &told("m", Event::Bounced)).unwrap(), Applied::Changed(id));
        let after = story(conn, id);
        assert_eq!((after.state, after.reason.as_deref()), (State::Failed, Some("bounced")));
        let why = is_suppressed(conn, &app("1"), Transport::Email, "ada@a.example").unwrap();
        assert_eq!(why.as_deref(), Some("bounced"));
    })
    .await;
}

#[tokio::test]
async fn what_has_arrived_is_not_sent_again() {
    let db = testkit::database().await;
    on(&db, |conn| {
        for overtaken in [false, true] {
            let stale = taken(conn, Transport::Email);
            let begun = begin(conn, &stale);
            end_leases(conn);
            rescue::rescue(conn);
            assert!(!finish(conn, &stale, Some((&begun, &sent("late"))), &Ended::Sent).unwrap());
            let second = overtaken.then(|| take_one(conn));
            let applied = provider_event(conn, &app("1"), &told("late", Event::Delivered)).unwrap();
            assert_eq!(applied, Applied::Changed(stale.id));
            assert!(take(conn, 10).is_empty());
            if let Some(second) = second {
                assert_eq!(begin_attempt(conn, &second, "smtp", "a").unwrap(), None, "right before the call");
                assert!(!finish(conn, &second, None, &Ended::Dead("no".to_owned())).unwrap());
            }
            assert_eq!(state(conn, stale.id), State::Delivered);
            check(conn);
            sql(conn, "DELETE FROM deliveries");
        }
    })
    .await;
}
