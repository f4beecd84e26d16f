//! What arrives at an endpoint, how often, and in which order.

use std::collections::HashSet;

use chrono::TimeDelta;
use protocol::Signer;
use tokio::sync::oneshot;
use webhooks::{Config, Event};

use crate::bench::{Bench, SECRET, add, app, client_event, config, endpoint, occupied, removed, vacated};
use crate::receiver::{Answer, Receiver};

#[tokio::test]
async fn a_request_is_signed_over_exactly_the_bytes_that_arrive() {
    let mut receiver = Receiver::start().await;
    let mut of = endpoint("1", &receiver.url());
    of.headers.insert("Authorization".to_owned(), "Bearer hook".to_owned());
    let (_db, mut node) = Bench::with(vec![of], config()).await;
    node.observe("1", [client_event("private-a", r#"{"text":"gr\u00fc\"ße\n"}"#)]);
    assert_eq!(node.settle().await, 1);
    let request = receiver.next().await;
    assert!(request.head.starts_with("POST /hook?team=a HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["x-pusher-key"], "key-1");
    assert_eq!(request.headers["host"], receiver.addr.to_string());
    assert_eq!(request.headers["authorization"], "Bearer hook");
    let body = std::str::from_utf8(&request.body).unwrap();
    assert!(Signer::new(SECRET).verify(&[body], &request.headers["x-pusher-signature"]));
    let json = request.json();
    assert_eq!(json["time_ms"], 1_327_078_148_132_i64);
    assert_eq!(json["events"][0]["data"], "{\"text\":\"gr\\u00fc\\\"ße\\n\"}");
    assert_eq!(json.as_object().unwrap().len(), 2);
    assert_eq!(node.pending("1").await, 0);
}

#[tokio::test]
async fn without_batching_each_event_is_a_request_of_its_own() {
    let mut receiver = Receiver::start().await;
    let (_db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", (0..20).map(|n| occupied(&format!("c{n}"))));
    assert_eq!(node.settle().await, 20);
    let requests = receiver.arrived();
    assert_eq!(requests.len(), 20);
    assert!(requests.iter().all(|request| request.events().len() == 1));
    assert_eq!(requests.iter().map(|request| request.id().to_owned()).collect::<HashSet<_>>().len(), 20);
}

#[tokio::test]
async fn with_batching_a_request_holds_many_events_within_its_bounds_and_in_order() {
    let mut receiver = Receiver::start().await;
    let mut of = endpoint("1", &receiver.url());
    of.batching = true;
    let (_db, mut node) = Bench::with(vec![of], config()).await;
    let happened: Vec<Event> = (0..250).map(|n| client_event("private-a", &n.to_string())).collect();
    node.observe("1", happened);
    node.settle().await;
    let requests = receiver.arrived();
    let counts: Vec<usize> = requests.iter().map(|request| request.events().len()).collect();
    assert_eq!(counts, [100, 100, 50]);
    let bodies: Vec<_> = requests.iter().map(|request| request.json()).collect();
    let data: Vec<_> =
        bodies.iter().flat_map(|body| body["events"].as_array().unwrap()).map(|event| event["data"].clone()).collect();
    assert_eq!(data, (0..250).map(|n| n.to_string()).collect::<Vec<_>>());

    let big = "x".repeat(100_000);
    node.observe("1", (0..5).map(|_| client_event("private-a", &big)));
    node.settle().await;
    let requests = receiver.arrived();
    assert_eq!(requests.iter().map(|request| request.events().len()).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(requests.iter().all(|request| request.body.len() <= 262_144));
}

#[tokio::test]
async fn an_endpoint_gets_what_it_wants_of_its_own_app_and_nothing_else() {
    let (mut choosy, mut other) = (Receiver::start().await, Receiver::start().await);
    let mut wants = endpoint("1", &choosy.url());
    wants.events = vec!["channel_vacated".to_owned(), "cache_miss".to_owned()];
    wants.channel_prefix = Some("cache-".to_owned());
    wants.batching = true;
    let mut of_other = endpoint("2", &other.url());
    of_other.batching = true;
    let (_db, mut node) = Bench::with(vec![wants, of_other], config()).await;
    let miss = |channel: &str| Event::CacheMiss { channel: channel.to_owned() };
    node.observe("1", [occupied("cache-a"), miss("cache-a"), miss("a"), client_event("cache-a", "x"), occupied("b")]);
    node.observe("2", [occupied("of-two")]);
    node.settle().await;
    node.observe("1", [vacated("cache-a"), vacated("b")]);
    node.after(TimeDelta::seconds(3)).await;
    let got: Vec<_> = choosy.arrived().iter().flat_map(|request| request.events()).collect();
    assert_eq!(got, ["cache_miss cache-a", "channel_vacated cache-a"]);
    let requests = other.arrived();
    assert_eq!(requests.iter().flat_map(|request| request.events()).collect::<Vec<_>>(), ["channel_occupied of-two"]);
    assert_eq!(requests[0].headers["x-pusher-key"], "key-2");
}

#[tokio::test]
async fn a_failed_request_is_tried_again_with_the_same_id_and_body() {
    let mut receiver = Receiver::start().await;
    let cut = Answer::Raw(Vec::new());
    let garbage = Answer::Raw(b"what?\r\n\r\n".to_vec());
    receiver.will_answer([Answer::Status(500), Answer::Status(404), Answer::Status(302), cut, garbage]);
    let (_db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", [occupied("a")]);
    assert_eq!(node.settle().await, 1);
    let first = receiver.next().await;
    for _ in 0..5 {
        assert_eq!(node.after(TimeDelta::seconds(33)).await, 1);
        let again = receiver.next().await;
        assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    }
    assert_eq!(node.after(TimeDelta::seconds(60)).await, 0, "it was delivered");
    assert!(node.dead("1").await.is_empty());
}

#[tokio::test]
async fn after_five_minutes_of_failure_it_is_a_dead_letter_that_can_be_replayed() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer((0..1000).map(|_| Answer::Status(500)));
    let (_db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", [occupied("a")]);
    let mut attempts = node.settle().await;
    for _ in 0..299 {
        attempts += node.after(TimeDelta::seconds(1)).await;
        assert!(node.dead("1").await.is_empty());
    }
    attempts += node.after(TimeDelta::seconds(1)).await;
    let dead = node.dead("1").await;
    assert_eq!(dead.len(), 1);
    assert!((9..60).contains(&attempts), "{attempts}");
    assert_eq!(usize::try_from(dead[0].attempts).unwrap(), attempts);
    assert_eq!(dead[0].last_error.as_deref(), Some("answered 500"));
    assert_eq!(node.after(TimeDelta::hours(1)).await, 0);

    let sent = receiver.arrived();
    receiver.forget_answers();
    let now = webhooks::Clock::now(&node.clock);
    let replayed = node.store.run(move |conn| store::webhooks::replay(conn, &app("1"), None, now)).await.unwrap();
    assert_eq!((replayed, node.settle().await), (1, 1));
    let again = receiver.next().await;
    assert_eq!((again.id(), &again.body), (sent[0].id(), &sent[0].body));
    assert_eq!((node.dead("1").await.len(), node.pending("1").await), (0, 0));
}

#[tokio::test]
async fn within_a_channel_nothing_overtakes_and_other_channels_and_endpoints_go_on() {
    let (mut failing, mut fine) = (Receiver::start().await, Receiver::start().await);
    let (_db, mut node) = Bench::with(vec![endpoint("1", &failing.url()), endpoint("1", &fine.url())], config()).await;
    failing.will_answer([Answer::Status(503)]);
    node.observe("1", [client_event("a", "1"), client_event("a", "2"), client_event("a", "3")]);
    node.settle().await;
    let data = |receiver: &mut Receiver| -> Vec<String> {
        receiver.arrived().iter().map(|one| one.json()["events"][0]["data"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(data(&mut failing), ["1"]);
    assert_eq!(data(&mut fine), ["1", "2", "3"]);
    node.observe("1", [client_event("b", "4")]);
    node.settle().await;
    assert_eq!(data(&mut failing), ["4"]);
    node.after(TimeDelta::seconds(2)).await;
    assert_eq!(data(&mut failing), ["1", "2", "3"]);
}

#[tokio::test]
async fn what_waits_behind_a_delivery_that_is_given_up_gets_its_turn_without_another_five_minutes() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer((0..2000).map(|_| Answer::Status(500)));
    let (_db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", (0..50).map(|n| client_event("a", &n.to_string())));
    node.settle().await;
    for _ in 0..6 {
        node.after(TimeDelta::seconds(60)).await;
    }
    assert_eq!(node.dead("1").await.len(), 50);
    let firsts: HashSet<_> = receiver.arrived().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(firsts.len(), 50, "each was tried");
}

#[tokio::test]
async fn an_endpoint_that_is_slow_leaves_room_for_others_and_never_gets_more_than_its_share() {
    let (slow, mut fine) = (Receiver::start().await, Receiver::start().await);
    let limits = Config { in_flight_max: 6, in_flight_per_endpoint_max: 4, ..config() };
    let (_db, mut node) = Bench::with(vec![endpoint("1", &slow.url()), endpoint("2", &fine.url())], limits).await;
    let (gates, waits): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel()).unzip();
    slow.will_answer(waits.into_iter().map(Answer::After));
    node.observe("1", (0..9).map(|n| occupied(&format!("c{n}"))));
    node.record().await;
    let sender = node.sender.clone();
    let held = tokio::spawn(async move { sender.step().await.unwrap() });
    let mut slow = slow;
    for _ in 0..4 {
        slow.next().await;
    }
    node.observe("2", [occupied("d")]);
    assert_eq!(node.settle().await, 1);
    fine.next().await;
    assert!(slow.arrived().is_empty(), "four of six places are all it gets");
    gates.into_iter().for_each(|gate| gate.send(()).unwrap());
    assert_eq!(held.await.unwrap(), 4);
    assert_eq!(node.settle().await, 5);
}

#[tokio::test]
async fn a_worker_that_dies_between_claim_and_finish_is_followed_by_another_with_the_same_id() {
    let mut receiver = Receiver::start().await;
    let (gone, went) = oneshot::channel();
    receiver.will_answer([Answer::Silence(gone)]);
    let (_db, mut node) = Bench::with(vec![endpoint("1", &receiver.url())], config()).await;
    node.observe("1", [occupied("a")]);
    node.record().await;
    let sender = node.sender.clone();
    let worker = tokio::spawn(async move { sender.step().await });
    let first = receiver.next().await;
    worker.abort();
    went.await.unwrap_err();
    assert!(worker.await.unwrap_err().is_cancelled());
    assert_eq!(node.settle().await, 0, "it is leased");
    assert_eq!(node.after(TimeDelta::seconds(15)).await, 1);
    assert_eq!(receiver.next().await.id(), first.id());
    assert_eq!(node.pending("1").await, 0);
}

#[tokio::test]
async fn many_workers_send_each_delivery_once() {
    let mut receiver = Receiver::start().await;
    let db = testkit::database().await;
    add(&db.store, vec![endpoint("1", &receiver.url())]).await;
    let clock = crate::bench::ManualClock::new();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(Bench::start(&db.store, &config(), &clock, Vec::new()).await);
    }
    nodes[0].observe("1", (0..60).flat_map(|n| (0..5).map(move |m| client_event(&format!("c{n}"), &m.to_string()))));
    nodes[0].record().await;
    let work = nodes.into_iter().map(|mut node| async move { node.settle().await });
    let mut workers = tokio::task::JoinSet::new();
    work.for_each(|work| drop(workers.spawn(work)));
    // One may find nothing due only because another one has it; the last to finish has seen to the rest.
    while workers.join_next().await.is_some() {}
    Bench::start(&db.store, &config(), &clock, Vec::new()).await.settle().await;
    let requests = receiver.arrived();
    assert_eq!(requests.len(), 300);
    assert_eq!(requests.iter().map(|request| request.id().to_owned()).collect::<HashSet<_>>().len(), 300);
    for n in 0..60 {
        let of: Vec<_> = requests
            .iter()
            .map(|one| one.json()["events"][0].clone())
            .filter(|one| one["channel"] == format!("c{n}"))
            .collect();
        let order: Vec<_> = of.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect();
        assert_eq!(order, ["0", "1", "2", "3", "4"], "c{n}");
    }
}

#[tokio::test]
async fn an_app_that_is_not_served_is_tried_again_and_sent_nothing_meanwhile() {
    let receiver = Receiver::start().await;
    let (_db, mut node) = Bench::with(vec![endpoint("unserved", &receiver.url())], config()).await;
    node.observe("unserved", [occupied("a"), removed("a", "never-added")]);
    assert_eq!(node.settle().await, 1);
    assert_eq!((node.pending("unserved").await, receiver.connections()), (1, 0));
}
