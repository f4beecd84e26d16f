//! Whose turn it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

#[tokio::test]
async fn urgent_ones_overtake_bulk_and_one_tenant_does_not_delay_another() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let bulk: Vec<_> = (0..10_000).map(|_| new(Transport::Email, 100)).collect();
        enqueue(conn, &app("a"), &bulk).unwrap();
        let urgent: Vec<_> = (0..10).map(|_| new(Transport::Email, 0)).collect();
        let other: Vec<_> = (0..10).map(|_| new(Transport::Email, 100)).collect();
        enqueue(conn, &app("a"), &urgent).unwrap();
        enqueue(conn, &app("b"), &other).unwrap();
        let wanted: BTreeSet<DeliveryId> = urgent.iter().chain(&other).map(|one| one.id).collect();
        let first = take(conn, 20);
        assert_eq!(ids(&first), wanted);
        assert!(first.iter().map(|one| one.priority).is_sorted());
        assert_eq!(take(conn, 20).len(), 20, "who is alone has all of it");
    })
    .await;
}

#[tokio::test]
async fn within_a_lane_the_longest_due_goes_first_and_what_is_not_due_hides_nothing() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let due = |minutes: i64, priority| NewDelivery {
            run_at: Utc::now() - TimeDelta::minutes(minutes),
            ..new(Transport::Push, priority)
        };
        let later: Vec<_> = (0..100).map(|_| due(-60, 0)).collect();
        let order = [due(1, 0), due(30, 50), due(20, 50), due(10, 50), due(40, 100)];
        let mut queued = later;
        queued.extend([4, 2, 0, 3, 1].map(|n: usize| order[n].clone()));
        enqueue(conn, &app("1"), &queued).unwrap();
        let mut taken = Vec::new();
        while let Some(one) = take(conn, 1).pop() {
            taken.push(one.id);
        }
        assert_eq!(taken, order.map(|one| one.id));
    })
    .await;
}

#[tokio::test]
async fn a_claim_keeps_to_what_is_left_of_each_app_and_transport() {
    let db = testkit::database().await;
    on(&db, |conn| {
        for id in ["a", "b", "c"] {
            for transport in ALL {
                let queued: Vec<_> = (0..20).map(|_| new(transport, 50)).collect();
                enqueue(conn, &app(id), &queued).unwrap();
            }
        }
        let mut count = |claim: Claim| {
            let mut of = BTreeMap::new();
            for one in claim_due(conn, &claim).unwrap() {
                *of.entry((one.app.as_str().to_owned(), one.transport)).or_insert(0) += 1;
            }
            of
        };
        let base = |limit| claim(Uuid::now_v7(), limit);
        let transports = vec![(Transport::Push, 4), (Transport::Email, 0)];
        let of = count(Claim { transports: transports.clone(), ..base(90) });
        assert_eq!(of.values().sum::<i32>(), 4, "a transport without room, or that is not named, waits: {of:?}");
        assert!(of.keys().all(|(_, transport)| *transport == Transport::Push) && of.len() == 3);
        let of = count(Claim { per_app: 5, apps: vec![(app("b"), 0), (app("c"), 2)], ..base(90) });
        let app_sum = |id: &str| of.iter().filter(|((app, _), _)| app == id).map(|(_, n)| n).sum::<i32>();
        assert_eq!((app_sum("a"), app_sum("b"), app_sum("c")), (5, 0, 2));
        let of = count(base(9));
        assert!(of.len() == 9 && of.values().all(|n| *n == 1), "{of:?}");
        assert_eq!(count(base(2)).values().sum::<i32>(), 2, "fewer than there are lanes");
        assert!(count(base(0)).is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_past_its_time_expires_instead_of_being_claimed_and_hides_nothing() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let past = |_| NewDelivery { expires_at: Utc::now() - TimeDelta::seconds(1), ..new(Transport::Push, 0) };
        let expired: Vec<_> = (0..30).map(past).collect();
        let good = new(Transport::Push, 50);
        enqueue(conn, &app("1"), &expired).unwrap();
        enqueue(conn, &app("1"), std::slice::from_ref(&good)).unwrap();
        assert_eq!(take(conn, 10).iter().map(|one| one.id).collect::<Vec<_>>(), [good.id]);
        assert!(expired.iter().all(|one| state(conn, one.id) == State::Expired));
        assert_eq!(story(conn, expired[0].id).tries, 0);
        check(conn);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_workers_claim_each_of_twenty_thousand_exactly_once() {
    const DELIVERIES: usize = 20_000;
    let db = testkit::database().await;
    on(&db, |conn| {
        for id in ["a", "b"] {
            let queued: Vec<_> = (0..DELIVERIES / 2).map(|n| new(ALL[n % 3], (n % 2) as i16)).collect();
            enqueue(conn, &app(id), &queued).unwrap();
        }
    })
    .await;
    let seen = Arc::new(Mutex::new(BTreeMap::<DeliveryId, u32>::new()));
    let done = Arc::new(AtomicUsize::new(0));
    let workers = (0..16).map(|_| {
        let (url, seen, done) = (db.url.clone(), Arc::clone(&seen), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut conn = PgConnection::establish(&url).unwrap();
            let worker = Uuid::now_v7();
            // Empty while others hold what is left: only the count says that it is over.
            while done.load(Ordering::SeqCst) < DELIVERIES {
                let claimed = claim_due(&mut conn, &claim(worker, 50)).unwrap();
                done.fetch_add(claimed.len(), Ordering::SeqCst);
                let mut seen = seen.lock().unwrap();
                for one in claimed {
                    assert_eq!(one.attempt, 1);
                    *seen.entry(one.id).or_default() += 1;
                }
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| worker.join().unwrap())).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!((seen.len(), seen.values().max()), (DELIVERIES, Some(&1)));
}

/// Statistics lag behind a queue that fills within seconds. Planned on another index than that of the lanes, a claim
/// reads the whole queue: seconds instead of two milliseconds at 600,000.
#[tokio::test]
async fn a_claim_reads_only_the_heads_of_lanes_even_if_statistics_say_that_nothing_is_queued() {
    let db = testkit::database().await;
    let plan = on(&db, |conn| {
        measured::insert(conn, "sent", 50_000);
        sql(conn, "ANALYZE deliveries");
        measured::insert(conn, "ready", 5_000);
        sql(conn, "SET plan_cache_mode = force_generic_plan");
        assert_eq!(take(conn, 12).len(), 12);
        measured::plan_of_claim(conn)
    })
    .await;
    let scans: Vec<&str> = plan.lines().filter(|line| line.contains(" deliveries ")).collect();
    let good =
        |line: &&&str| ["using deliveries_due on", "Tid Scan on", "Update on"].iter().any(|good| line.contains(good));
    assert_eq!((scans.len(), scans.iter().filter(good).count()), (6, 6), "{plan}");
}
