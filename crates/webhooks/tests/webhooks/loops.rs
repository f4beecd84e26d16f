//! The loops as a server runs them, on the real clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use webhooks::{Config, Endpoints, Recorder, Sender, SystemClock, Tracker};

use crate::bench::{add, app, config, credentials, endpoint, occupied, poster, vacated};
use crate::receiver::{Answer, Receiver};

#[tokio::test]
async fn a_running_node_tells_what_happens_retries_and_stops_with_everything_stored() {
    let mut receiver = Receiver::start().await;
    let db = testkit::database().await;
    let mut batching = endpoint("1", &receiver.url());
    batching.batching = true;
    add(&db.store, vec![batching]).await;
    let config = Config { leave_delay: Duration::from_millis(100), ..config() };
    let tracker = Tracker::new(&config, Arc::new(SystemClock));
    let (endpoints, enqueued) = (Endpoints::default(), Arc::new(Notify::new()));
    assert!(endpoints.wants(&app("any")), "nothing is known yet");
    let (stop, stopped) = watch::channel(false);
    let recorder = Recorder::new(
        db.store.clone(),
        tracker.clone(),
        endpoints.clone(),
        watch::channel(Vec::new()).1,
        config.clone(),
        Arc::new(SystemClock),
        Arc::clone(&enqueued),
    );
    let sender = Sender::new(
        db.store.clone(),
        endpoints.clone(),
        Arc::new(credentials),
        poster(&config),
        config,
        Arc::new(SystemClock),
        enqueued,
    );
    let recording = tokio::spawn(recorder.run(stopped.clone()));
    let sending = tokio::spawn(sender.run(stopped));

    receiver.will_answer([Answer::Status(500)]);
    tracker.observe(&app("1"), occupied("a"));
    tracker.observe(&app("1"), occupied("b"));
    let first = receiver.next().await;
    assert_eq!(first.events(), ["channel_occupied a", "channel_occupied b"]);
    assert_eq!(receiver.next().await.id(), first.id());
    assert!(endpoints.wants(&app("1")) && !endpoints.wants(&app("2")));
    tracker.observe(&app("1"), vacated("a"));
    assert_eq!(receiver.next().await.events(), ["channel_vacated a"]);

    tracker.hold();
    tracker.observe(&app("1"), occupied("c"));
    tracker.observe(&app("1"), vacated("b"));
    stop.send(true).unwrap();
    recording.await.unwrap();
    sending.await.unwrap();
    let told = db.store.run(store::webhooks::occupancy).await.unwrap();
    assert_eq!(told.iter().map(|one| one.channel.as_str()).collect::<Vec<_>>(), ["b", "c"]);
}
