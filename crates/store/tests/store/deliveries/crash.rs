//! Workers that die between any two steps, many times over: nothing is lost, and doubles are where they may be.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use store::deliveries::{Event, ProviderEvent, cancel, dead_letters, expire, provider_event, record, retry};

use super::*;

/// A seed of its own for each run, printed; `SEED` repeats one.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("SEED={seed}");
    seed
}

/// Where a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Claimed,
    Begun,
    Called,
    Recorded,
    Never,
}

/// What the providers saw.
#[derive(Default)]
struct Ledger {
    calls: BTreeMap<DeliveryId, u32>,
    keys: BTreeMap<DeliveryId, BTreeSet<Uuid>>,
    /// Workers that died between a call and its record.
    crashes: BTreeMap<DeliveryId, u32>,
}

fn work(conn: &mut PgConnection, rng: &mut StdRng, ledger: &mut Ledger, claimed: &Claimed, provider: &str) {
    // The rescue gives up after five tries; dying each time is not what is tested here.
    let die_at = match claimed.tries {
        4.. => Step::Never,
        _ => *[Step::Claimed, Step::Begun, Step::Called, Step::Recorded, Step::Never].choose(rng).unwrap(),
    };
    if die_at == Step::Claimed {
        return;
    }
    let begun = begin_attempt(conn, claimed, provider, "a").unwrap().unwrap();
    if die_at == Step::Begun {
        return;
    }
    *ledger.calls.entry(claimed.id).or_default() += 1;
    ledger.keys.entry(claimed.id).or_default().insert(claimed.idempotency_key);
    if die_at == Step::Called {
        *ledger.crashes.entry(claimed.id).or_default() += 1;
        return;
    }
    if die_at == Step::Recorded {
        assert!(record(conn, &begun, &sent("m")).unwrap());
        return;
    }
    assert!(finish(conn, claimed, Some((&begun, &sent("m"))), &Ended::Sent).unwrap());
}

#[tokio::test]
async fn two_hundred_rounds_of_dying_workers_lose_nothing_and_double_only_what_may_be() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let mut rng = StdRng::seed_from_u64(seed());
        let (mut doubles, mut unknowns) = (0, 0);
        for round in 0..200 {
            let provider = *["keyed", "soft", "smtp"].choose(&mut rng).unwrap();
            let category = *["chat", "transaction"].choose(&mut rng).unwrap();
            let at_most_once = provider == "smtp" && category == "transaction";
            let queued: Vec<_> = (0..4)
                .map(|_| NewDelivery { category: category.try_into().unwrap(), ..new(ALL[rng.random_range(0..3)], 50) })
                .collect();
            enqueue(conn, &app("1"), &queued).unwrap();
            let mut ledger = Ledger::default();
            loop {
                let claimed = take(conn, 10);
                if claimed.is_empty() {
                    break;
                }
                claimed.iter().for_each(|one| work(conn, &mut rng, &mut ledger, one, provider));
                end_leases(conn);
                rescue::rescue(conn);
                check(conn);
            }
            for one in &queued {
                let context = format!("round {round}, {provider}, {category}, {}", one.id);
                let after = story(conn, one.id);
                let of = |map: &BTreeMap<DeliveryId, u32>| map.get(&one.id).copied().unwrap_or_default();
                let (calls, crashes) = (of(&ledger.calls), of(&ledger.crashes));
                match after.state {
                    State::Sent => assert!(calls >= 1, "{context}: said to be sent, and was not"),
                    State::Unknown => assert!(at_most_once, "{context}"),
                    other => panic!("{context}: {other}"),
                }
                assert!(calls <= 1 + crashes, "{context}: {calls} calls, {crashes} crashes");
                assert!(ledger.keys.get(&one.id).is_none_or(|keys| keys.len() == 1), "{context}");
                if at_most_once {
                    assert!(calls <= 1, "{context}");
                } else if calls > 1 {
                    doubles += 1;
                    assert!(provider == "keyed" || after.duplicate_possible, "{context}: an unflagged double");
                }
                unknowns += u32::from(after.state == State::Unknown);
            }
        }
        assert!(doubles > 0 && unknowns > 0, "the rounds have met the cases");
    })
    .await;
}

/// Whether the verbs may take a delivery from the one state to the other.
fn allowed(from: State, to: State) -> bool {
    use State::{Cancelled, Dead, Delivered, Expired, Failed, Leased, Ready, Sent, Skipped, Unknown};
    match (from, to) {
        (from, to) if from == to => true,
        (Ready, Leased | Expired | Cancelled) => true,
        (Leased, Ready | Sent | Delivered | Failed | Skipped | Expired | Cancelled | Unknown | Dead) => true,
        (Dead | Unknown, Ready) => true,
        (Sent | Unknown | Dead, Failed) => true,
        (_, Delivered) => true,
        _ => false,
    }
}

fn any_end(rng: &mut StdRng) -> Ended {
    let reason = || "why".to_owned();
    let at =
        Utc::now() + TimeDelta::seconds(rng.random_range(-3..1)) + TimeDelta::hours(rng.random_range(0..3) / 2 * 2);
    match rng.random_range(0..8) {
        0 => Ended::Delivered,
        1 => Ended::Skipped(reason()),
        2 => Ended::Paused { until: at, reason: reason() },
        3 => Ended::Dead(reason()),
        4 => Ended::Unknown(reason()),
        5 => Ended::PermanentRecipient(reason()),
        _ => Ended::Retry { at, reason: reason(), duplicate_possible: rng.random() },
    }
}

#[tokio::test]
async fn whatever_is_done_in_whatever_order_each_step_is_one_of_those_allowed() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let mut rng = StdRng::seed_from_u64(seed());
        let mut seen = BTreeSet::new();
        for _ in 0..75 {
            let queued: Vec<_> = (0..4).map(|n| new(ALL[n % 3], 50)).collect();
            enqueue(conn, &app("1"), &queued).unwrap();
            let mut before: Vec<State> = vec![State::Ready; queued.len()];
            let (mut claims, mut calls) = (Vec::<Claimed>::new(), Vec::<(Claimed, Begun)>::new());
            for _ in 0..60 {
                step(conn, &mut rng, &queued, &mut claims, &mut calls);
                let now: Vec<State> = queued.iter().map(|one| state(conn, one.id)).collect();
                for (from, to) in before.iter().zip(&now) {
                    assert!(allowed(*from, *to), "{from} to {to}");
                    seen.insert((*from, *to));
                }
                before = now;
                check(conn);
            }
            sql(conn, "DELETE FROM deliveries");
        }
        let states: BTreeSet<State> = seen.iter().map(|(_, to)| *to).collect();
        assert_eq!(states, BTreeSet::from(State::ALL), "each state was met");
    })
    .await;
}

fn step(
    conn: &mut PgConnection,
    rng: &mut StdRng,
    queued: &[NewDelivery],
    claims: &mut Vec<Claimed>,
    calls: &mut Vec<(Claimed, Begun)>,
) {
    let one = app("1");
    match rng.random_range(0..12) {
        0..=2 => claims.extend(take(conn, rng.random_range(1..4))),
        3..=4 => {
            if let Some(claimed) = claims.choose(rng)
                && let Some(begun) = begin_attempt(conn, claimed, "smtp", "a").unwrap()
            {
                calls.push((claimed.clone(), begun));
            }
        }
        5 => {
            if let Some((claimed, begun)) = calls.choose(rng) {
                let message = format!("{}", begun.delivery);
                finish(conn, claimed, Some((begun, &sent(&message))), &Ended::Sent).unwrap();
            }
        }
        6 => {
            if let Some(claimed) = claims.choose(rng) {
                finish(conn, claimed, None, &any_end(rng)).unwrap();
            }
        }
        7 => {
            end_leases(conn);
            rescue::rescue(conn);
        }
        8 => {
            let chosen = queued.choose(rng).unwrap();
            let event = *[Event::Delivered, Event::Read, Event::Bounced, Event::Complaint].choose(rng).unwrap();
            let message_id = chosen.id.to_string();
            let told = ProviderEvent { provider: "smtp".to_owned(), message_id, event, at: Utc::now() };
            provider_event(conn, &one, &told).unwrap();
        }
        9 => {
            let dead = dead_letters(conn, &one, None, 1).unwrap();
            let ids: Vec<_> = dead.iter().map(|one| one.id).collect();
            retry(conn, &one, Some(&ids), in_one_hour(), 10).unwrap();
        }
        10 => {
            if rng.random_ratio(1, 4) {
                cancel(conn, &one, queued.choose(rng).unwrap().notification.unwrap()).unwrap();
            }
        }
        _ => {
            if rng.random_ratio(1, 4) {
                let id = queued.choose(rng).unwrap().id;
                sql(conn, &format!("UPDATE deliveries SET expires_at = now() WHERE id = '{id}'"));
            }
            expire(conn, 10).unwrap();
        }
    }
}
