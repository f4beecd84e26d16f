//! The queue of webhooks: leases, order, and what commits together.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::AppId;
use store::webhooks::{
    Claim, Claimed, Endpoint, NewDelivery, Occupant, claim_due, create, dead_letters, delete, delivered, discard,
    enqueue, failed, list, occupancy, pending, prune, replay, update,
};
use store::{Error, PgConnection};
use testkit::TestDatabase;
use uuid::Uuid;

fn app(id: &str) -> AppId {
    AppId::try_from(id).unwrap()
}

fn endpoint(of: &str) -> Endpoint {
    Endpoint {
        app: app(of),
        id: Uuid::now_v7(),
        url: "https://a.example/".to_owned(),
        events: vec!["cache_miss".to_owned()],
        channel_prefix: Some("a".to_owned()),
        headers: [("X-A".to_owned(), "b".to_owned())].into(),
        batching: false,
        enabled: true,
        configured: false,
    }
}

fn delivery(to: &Endpoint, order_key: &str, body: &str) -> NewDelivery {
    NewDelivery {
        app: to.app.clone(),
        id: Uuid::now_v7(),
        endpoint: to.id,
        order_key: order_key.to_owned(),
        body: body.to_owned(),
    }
}

fn channel(name: &str) -> Occupant {
    Occupant { app: app("1"), channel: name.to_owned(), user: None }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn claim(conn: &mut PgConnection, seconds: i64) -> Vec<Claimed> {
    let claim =
        Claim { now: at(seconds), lease_until: at(seconds + 15), limit: 100, per_endpoint: 100, busy: Vec::new() };
    claim_due(conn, &claim).unwrap()
}

fn bodies(claimed: &[Claimed]) -> Vec<&str> {
    let mut bodies: Vec<_> = claimed.iter().map(|one| one.body.as_str()).collect();
    bodies.sort_unstable();
    bodies
}

async fn on(db: &TestDatabase, f: impl FnOnce(&mut PgConnection) + Send + 'static) {
    db.store
        .run(move |conn| {
            f(conn);
            Ok::<(), Error>(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn endpoints_are_kept_whole_and_belong_to_their_app() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let mut first = endpoint("1");
        assert!(create(conn, &first).unwrap());
        assert!(!create(conn, &first).unwrap(), "it is there");
        assert!(create(conn, &endpoint("2")).unwrap());
        assert_eq!(list(conn, Some(&app("1"))).unwrap(), [first.clone()]);
        assert_eq!(list(conn, None).unwrap().len(), 2);
        first.channel_prefix = None;
        first.events.clear();
        first.enabled = false;
        assert!(update(conn, &first).unwrap());
        assert_eq!(list(conn, Some(&app("1"))).unwrap(), [first.clone()]);
        assert!(!update(conn, &Endpoint { app: app("2"), ..first.clone() }).unwrap());
        assert!(!delete(conn, &app("2"), first.id).unwrap());
        assert!(delete(conn, &app("1"), first.id).unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_lease_keeps_others_away_until_it_ends_and_fences_whoever_had_it() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let to = endpoint("1");
        create(conn, &to).unwrap();
        let one = delivery(&to, "a", "body");
        assert_eq!(enqueue(conn, std::slice::from_ref(&one), &[], &[], at(0)).unwrap(), 1);
        assert_eq!(enqueue(conn, std::slice::from_ref(&one), &[], &[], at(0)).unwrap(), 0, "once is enough");
        let first = claim(conn, 0).remove(0);
        assert_eq!((first.id, first.attempt, first.first_attempt_at), (one.id, 1, at(0)));
        assert_eq!(first.headers["X-A"], "b");
        assert!(claim(conn, 14).is_empty());
        let second = claim(conn, 15).remove(0);
        assert_eq!((second.id, second.attempt, second.first_attempt_at), (one.id, 2, at(0)));
        assert!(!delivered(conn, &first).unwrap() && !failed(conn, &first, "late", at(16), None).unwrap());
        assert_eq!(pending(conn, &app("1")).unwrap(), 1);
        assert!(failed(conn, &second, "no", at(16), Some(at(20))).unwrap());
        assert!(!delivered(conn, &second).unwrap(), "it let go of it");
        assert!(claim(conn, 19).is_empty());
        let third = claim(conn, 20).remove(0);
        assert!(delivered(conn, &third).unwrap());
        assert_eq!(pending(conn, &app("1")).unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn only_the_oldest_of_an_order_key_is_claimed_and_each_endpoint_for_itself() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let (to, other) = (endpoint("1"), endpoint("1"));
        create(conn, &to).unwrap();
        create(conn, &other).unwrap();
        let deliveries = [
            delivery(&to, "a", "1"),
            delivery(&to, "a", "2"),
            delivery(&to, "b", "3"),
            delivery(&other, "a", "4"),
            delivery(&other, "a", "5"),
        ];
        enqueue(conn, &deliveries, &[], &[], at(0)).unwrap();
        let first = claim(conn, 0);
        assert_eq!(bodies(&first), ["1", "3", "4"]);
        let head = first.iter().find(|one| one.body == "1").unwrap();
        assert!(failed(conn, head, "no", at(0), Some(at(30))).unwrap());
        assert!(claim(conn, 1).is_empty(), "what waits for its retry is not overtaken");
        let fourth = first.iter().find(|one| one.body == "4").unwrap();
        assert!(delivered(conn, fourth).unwrap());
        assert_eq!(bodies(&claim(conn, 1)), ["5"]);
    })
    .await;
}

#[tokio::test]
async fn a_claim_keeps_to_its_limits() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let (to, other) = (endpoint("1"), endpoint("2"));
        create(conn, &to).unwrap();
        create(conn, &other).unwrap();
        let each = |to: &Endpoint| (0..10).map(|n| delivery(to, &n.to_string(), "x")).collect::<Vec<_>>();
        enqueue(conn, &[each(&to), each(&other)].concat(), &[], &[], at(0)).unwrap();
        let mut claim = |limit, busy: &[(Uuid, i32)]| {
            let claim = Claim { now: at(0), lease_until: at(15), limit, per_endpoint: 4, busy: busy.to_vec() };
            claim_due(conn, &claim).unwrap()
        };
        assert_eq!(claim(1, &[]).len(), 1);
        let claimed = claim(100, &[(to.id, 3), (other.id, 9)]);
        assert_eq!(claimed.iter().map(|one| one.endpoint).collect::<Vec<_>>(), [to.id]);
        assert_eq!(claim(100, &[]).len(), 8);
    })
    .await;
}

#[tokio::test]
async fn what_is_told_commits_with_its_deliveries_and_gone_endpoints_fail_nothing() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let (to, removed, mut disabled) = (endpoint("1"), endpoint("1"), endpoint("1"));
        disabled.enabled = false;
        create(conn, &to).unwrap();
        create(conn, &disabled).unwrap();
        // Of the right id, but another app's: nothing crosses.
        let forged = NewDelivery { app: app("2"), ..delivery(&to, "a", "forged") };
        let deliveries = [delivery(&to, "a", "1"), delivery(&removed, "a", "2"), delivery(&disabled, "a", "3"), forged];
        assert_eq!(enqueue(conn, &deliveries, &[channel("a"), channel("b")], &[], at(0)).unwrap(), 1);
        let member = Occupant { user: Some("u".to_owned()), ..channel("a") };
        assert_eq!(enqueue(conn, &[], &[channel("a"), member.clone()], &[channel("b")], at(0)).unwrap(), 0);
        assert_eq!(occupancy(conn).unwrap(), [member, channel("a")], "members before their channel");
        // A body that Postgres cannot hold undoes the whole.
        let bad = [delivery(&to, "a", "ok"), delivery(&to, "a", "nul\0")];
        assert!(matches!(enqueue(conn, &bad, &[channel("c")], &[channel("a")], at(0)), Err(Error::Query(_))));
        assert_eq!((occupancy(conn).unwrap().len(), pending(conn, &app("1")).unwrap()), (2, 1));
        assert!(delete(conn, &app("1"), to.id).unwrap());
        assert_eq!(pending(conn, &app("1")).unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_replayed_in_their_old_order_discarded_or_pruned() {
    let db = testkit::database().await;
    on(&db, |conn| {
        let to = endpoint("1");
        create(conn, &to).unwrap();
        let deliveries: Vec<_> = (0..4).map(|n| delivery(&to, "a", &n.to_string())).collect();
        enqueue(conn, &deliveries, &[], &[], at(0)).unwrap();
        for n in 0..4 {
            let head = claim(conn, 10 + n).remove(0);
            // Those behind have been waiting since they were enqueued.
            assert_eq!(head.first_attempt_at, at(if n == 0 { 10 } else { 0 }));
            assert!(failed(conn, &head, &"long ".repeat(100), at(20 + n), None).unwrap());
        }
        let one = app("1");
        let dead = dead_letters(conn, &one, 10).unwrap();
        assert_eq!(dead.iter().map(|one| one.body.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
        assert_eq!(dead[0].last_error.as_ref().unwrap().len(), 300);
        assert!(dead_letters(conn, &app("2"), 10).unwrap().is_empty());
        assert_eq!(replay(conn, &app("2"), None, at(30)).unwrap(), 0);
        assert_eq!(discard(conn, &one, Some(&[dead[3].id])).unwrap(), 1);
        assert_eq!(prune(conn, at(21), 10).unwrap(), 1);
        enqueue(conn, &[delivery(&to, "a", "new")], &[], &[], at(30)).unwrap();
        assert_eq!(replay(conn, &one, Some(&[dead[2].id, dead[1].id]), at(30)).unwrap(), 2);
        let mut order = Vec::new();
        while let Some(next) = claim(conn, 31).pop() {
            assert_eq!((next.attempt, next.first_attempt_at), (1, at(31)));
            assert!(delivered(conn, &next).unwrap());
            order.push(next.body);
        }
        assert_eq!(order, ["new", "1", "2"]);
        assert_eq!(discard(conn, &one, None).unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn none_is_overlooked_when_some_are_added_while_others_are_finished() {
    let db = testkit::database().await;
    let to = endpoint("1");
    let made = to.clone();
    on(&db, move |conn| assert!(create(conn, &made).unwrap())).await;
    let mut work = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (store, to) = (db.store.clone(), to.clone());
        work.spawn(async move {
            for n in 0..25 {
                let one = delivery(&to, ["a", "b"][n % 2], &format!("{writer}.{n}"));
                store.run(move |conn| enqueue(conn, &[one], &[], &[], at(0))).await.unwrap();
            }
        });
    }
    for _ in 0..4 {
        let store = db.store.clone();
        work.spawn(async move {
            let mut done = 0;
            while done < 15 {
                let finish = |conn: &mut PgConnection| {
                    let claimed = claim(conn, 1);
                    claimed.iter().try_fold(0, |done, one| Ok::<_, Error>(done + i32::from(delivered(conn, one)?)))
                };
                done += store.run(finish).await.unwrap();
            }
        });
    }
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
    on(&db, |conn| {
        loop {
            let claimed = claim(conn, 1);
            if claimed.is_empty() {
                break;
            }
            claimed.iter().for_each(|one| assert!(delivered(conn, one).unwrap()));
        }
        assert_eq!(pending(conn, &app("1")).unwrap(), 0);
    })
    .await;
}
