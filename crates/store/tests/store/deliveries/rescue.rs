//! What becomes of deliveries whose worker is gone.

use protocol::notification::FailureClass;
use store::deliveries::rescue::{Dedup, Fate, Policy, Rescued};
use store::deliveries::{record, rescue_expired};

use super::*;

pub(super) fn policy() -> Policy {
    Policy {
        providers: [("keyed", Dedup::Key), ("soft", Dedup::Soft), ("smtp", Dedup::None)]
            .map(|(name, dedup)| (name.to_owned(), dedup))
            .into(),
        at_most_once: ["transaction".try_into().unwrap()].into(),
        tries_max: 5,
    }
}

pub(super) fn rescue(conn: &mut PgConnection) -> Vec<Rescued> {
    rescue_expired(conn, &policy(), 1_000).unwrap()
}

fn of(category: &str) -> NewDelivery {
    NewDelivery { category: category.try_into().unwrap(), ..new(Transport::Email, 50) }
}

#[tokio::test]
async fn the_table_of_rescues() {
    let db = testkit::database().await;
    on(&db, |conn| {
        use Fate::{Again, AgainMaybeTwice, Unknown};
        let table = [
            (None, "chat", Again, State::Ready),
            (None, "transaction", Again, State::Ready),
            (Some("keyed"), "chat", Again, State::Ready),
            (Some("keyed"), "transaction", Again, State::Ready),
            (Some("soft"), "chat", AgainMaybeTwice, State::Ready),
            (Some("soft"), "transaction", AgainMaybeTwice, State::Ready),
            (Some("smtp"), "chat", AgainMaybeTwice, State::Ready),
            (Some("smtp"), "transaction", Unknown, State::Unknown),
            (Some("nobody knows it"), "chat", AgainMaybeTwice, State::Ready),
            (Some("nobody knows it"), "transaction", Unknown, State::Unknown),
        ];
        for (provider, category, fate, expected) in table {
            let one = of(category);
            enqueue(conn, &app("1"), std::slice::from_ref(&one)).unwrap();
            let claimed = take_one(conn);
            if let Some(provider) = provider {
                begin_attempt(conn, &claimed, provider, "a").unwrap().unwrap();
            }
            assert!(rescue(conn).is_empty(), "its lease is not over");
            end_leases(conn);
            assert_eq!(rescue(conn), [Rescued { app: app("1"), id: one.id, fate }], "{provider:?} {category}");
            assert!(rescue(conn).is_empty());
            let after = story(conn, one.id);
            let maybe_twice = matches!(fate, AgainMaybeTwice | Unknown);
            assert_eq!((after.state, after.duplicate_possible), (expected, maybe_twice), "{provider:?} {category}");
            assert_eq!((after.reason.as_deref(), after.provider.as_deref()), (Some("worker_lost"), provider));
            if expected == State::Ready {
                let again = take_one(conn);
                assert_eq!((again.id, again.attempt, again.tries), (one.id, 2, 2));
                assert_eq!(again.idempotency_key, claimed.idempotency_key, "a provider with keys knows the repeat");
                assert!(finish(conn, &again, None, &Ended::Skipped("read".to_owned())).unwrap());
            }
            check(conn);
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_had_its_answer_is_believed() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let (failed, unknown) = (Outcome::Failed(FailureClass::Retryable), Outcome::Failed(FailureClass::Unknown));
        let table: [(&[Outcome], Fate, State); 5] = [
            (&[Outcome::Sent], Fate::Sent, State::Sent),
            (&[failed], Fate::Again, State::Ready),
            (&[failed, Outcome::Sent], Fate::Sent, State::Sent),
            (&[unknown], Fate::Unknown, State::Unknown),
            (&[Outcome::Sent, unknown], Fate::Unknown, State::Unknown),
        ];
        for (outcomes, fate, expected) in table {
            let one = of("transaction");
            enqueue(conn, &app("1"), std::slice::from_ref(&one)).unwrap();
            let claimed = take_one(conn);
            for (n, outcome) in outcomes.iter().enumerate() {
                let begun = begin(conn, &claimed);
                assert_eq!(begun.call, n as i32 + 1);
                assert!(record(conn, &begun, &answer(*outcome, Some("m"))).unwrap());
                assert!(!record(conn, &begun, &sent("other")).unwrap(), "the first answer stays");
            }
            end_leases(conn);
            assert_eq!(rescue(conn)[0].fate, fate, "{outcomes:?}");
            let after = story(conn, one.id);
            assert_eq!(after.state, expected, "{outcomes:?}");
            if fate == Fate::Sent {
                assert_eq!((after.provider_message_id.as_deref(), after.reason), (Some("m"), None));
            }
            sql(conn, "DELETE FROM deliveries");
            assert_eq!(sql(conn, "SELECT 1 FROM attempts"), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_kills_its_workers_is_given_up() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let (quiet, called) = (new(Transport::Email, 50), new(Transport::Email, 50));
        enqueue(conn, &app("1"), &[quiet.clone(), called.clone()]).unwrap();
        for tries in 1..=5 {
            let claimed = take(conn, 10);
            assert_eq!(claimed.len(), 2);
            assert!(claimed.iter().all(|one| one.tries == tries));
            begin(conn, claimed.iter().find(|one| one.id == called.id).unwrap());
            end_leases(conn);
            rescue(conn);
        }
        assert!(take(conn, 10).is_empty());
        assert_eq!((state(conn, quiet.id), state(conn, called.id)), (State::Dead, State::Unknown));
    })
    .await;
}

#[tokio::test]
async fn two_who_rescue_do_not_take_the_same() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let queued: Vec<_> = (0..10).map(|_| new(Transport::Push, 0)).collect();
        enqueue(conn, &app("1"), &queued).unwrap();
        assert_eq!(take(conn, 10).len(), 10);
        end_leases(conn);
        assert_eq!(rescue_expired(conn, &policy(), 4).unwrap().len(), 4);
        assert_eq!(rescue_expired(conn, &policy(), 100).unwrap().len(), 6);
    })
    .await;
}
