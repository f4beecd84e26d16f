//! What the hub observes arrives at an app's backend.

use hub::{Apps, Observed};
use protocol::{App, AppId, AppKey, Signer};
use server::Settings;
use server::webhooks::Webhooks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRET: &str = "0123456789abcdef";

#[tokio::test]
async fn what_the_hub_observes_arrives_signed_and_who_leaves_at_a_stop_is_not_told_gone() {
    let database = testkit::database().await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!(r#"[{{"url":"http://{}/","batching":true}}]"#, receiver.local_addr().unwrap());
    let environment = [
        ("KABAR__APPS__0__ID", "7"),
        ("KABAR__APPS__0__KEY", "k"),
        ("KABAR__APPS__0__SECRET", SECRET),
        ("KABAR__APPS__0__WEBHOOKS", &webhook),
        ("KABAR__WEBHOOKS__ALLOWED_HOSTS", r#"["127.0.0.1"]"#),
        ("KABAR__WEBHOOKS__LEAVE_DELAY_MS", "0"),
    ];
    let settings = Settings::from_sources(None, environment.map(|(name, text)| (name.into(), text.into())).into_iter());
    let app = AppId::try_from("7").unwrap();
    let apps = Apps::new(vec![App::new(app.clone(), AppKey::try_from("k").unwrap(), SECRET).unwrap()]);
    let webhooks = Webhooks::new(&settings.unwrap(), database.store.clone(), apps).unwrap();
    let observer = webhooks.observer();
    let running = webhooks.start();
    assert!(observer.wants(&app));
    let socket = "1.2".parse().unwrap();
    let (channel, user) = ("presence-a", "u");
    for event in [
        Observed::Occupied { channel },
        Observed::MemberAdded { channel, user },
        Observed::ClientEvent { channel, event: "client-x", data: "{}", socket, user: Some(user) },
        Observed::CacheMiss { channel: "cache-b" },
        Observed::SubscriptionCount { channel: "c", count: 3 },
    ] {
        observer.observe(&app, event);
    }
    let (mut stream, _) = receiver.accept().await.unwrap();
    let expected = concat!(
        r#""events":[{"name":"channel_occupied","channel":"presence-a"},"#,
        r#"{"name":"member_added","channel":"presence-a","user_id":"u"},"#,
        r#"{"name":"client_event","channel":"presence-a","event":"client-x","data":"{}","socket_id":"1.2","user_id":"u"},"#,
        r#"{"name":"cache_miss","channel":"cache-b"},"#,
        r#"{"name":"subscription_count","channel":"c","subscription_count":3}]}"#,
    );
    let mut bytes = Vec::new();
    while !bytes.ends_with(expected.as_bytes()) {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "{}", String::from_utf8_lossy(&bytes));
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let request = String::from_utf8(bytes).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let signature = head.lines().find_map(|line| line.strip_prefix("x-pusher-signature: ")).unwrap();
    assert!(Signer::new(SECRET).verify(&[body], signature));

    running.hold();
    observer.observe(&app, Observed::MemberRemoved { channel, user });
    observer.observe(&app, Observed::Vacated { channel });
    running.stop().await;
    let told = database.store.run(store::webhooks::occupancy).await.unwrap();
    assert_eq!(told.len(), 2, "both are still told as there");
}
