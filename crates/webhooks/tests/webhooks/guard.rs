//! What must never be called is never called: a listener on loopback counts connections.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use webhooks::guard::{Blocked, Guard, Resolve, SystemResolver};
use webhooks::post::{PostError, Poster};

use crate::receiver::{Answer, Receiver};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Answers something else each time it is asked, the last answer for ever.
struct Rebinding {
    answers: Vec<IpAddr>,
    asked: AtomicUsize,
}

impl Resolve for Rebinding {
    fn resolve(&self, _: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[asked];
        Box::pin(async move { Ok(vec![answer]) })
    }
}

fn poster(allowed: &[&str], resolver: Arc<dyn Resolve>, timeout: Duration) -> Poster {
    Poster::new(Guard::new(allowed.iter().map(|text| text.parse().unwrap()).collect(), resolver), timeout).unwrap()
}

async fn post(poster: &Poster, url: &str) -> Result<(), PostError> {
    poster.post(url, HeaderMap::new(), "{}".to_owned()).await
}

#[tokio::test]
async fn no_spelling_of_loopback_is_called() {
    let canary = Receiver::start().await;
    let port = canary.addr.port();
    let poster = poster(&[], Arc::new(SystemResolver::default()), TIMEOUT);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0",
        "[::ffff:127.0.0.1]",
        "①②⑦.0.0.1",
        "[::]",
        "[::1]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "127.0.0.1.",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ] {
        let failed = post(&poster, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(failed, PostError::Blocked(Blocked::Address | Blocked::Unresolved)), "{host}: {failed}");
        assert!(post(&poster, &format!("https://{host}:{port}/")).await.is_err(), "{host}");
    }
    for url in [
        format!("http://user@127.0.0.1:{port}/"),
        format!("http://example.com@127.0.0.1:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
    ] {
        assert!(matches!(post(&poster, &url).await, Err(PostError::Blocked(_))), "{url}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_it_was_vetted_leads_nowhere_else() {
    let canary = Receiver::start().await;
    let url = format!("http://hook.example:{}/", canary.addr.port());
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // What may be called stands first; nobody listens there.
    let allowed = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let resolver = Arc::new(Rebinding { answers: vec![allowed, loopback], asked: 0.into() });
    let poster = poster(&["127.0.0.2"], Arc::clone(&resolver) as _, TIMEOUT);
    assert!(matches!(post(&poster, &url).await, Err(PostError::Connection(_))));
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1, "one look at the name for one request");
    assert_eq!(post(&poster, &url).await, Err(PostError::Blocked(Blocked::Address)));
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let (mut door, canary) = (Receiver::start().await, Receiver::start().await);
    let poster = poster(&["127.0.0.1"], Arc::new(SystemResolver::default()), TIMEOUT);
    for status in [301, 302, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", canary.url()).into_bytes();
        door.will_answer([Answer::Raw(answer)]);
        assert_eq!(post(&poster, &door.url()).await, Err(PostError::Refused { status, retry_after: None }));
        door.next().await;
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn an_allowed_name_is_called_with_its_own_host_header() {
    let mut receiver = Receiver::start().await;
    let resolver = Rebinding { answers: vec![Ipv4Addr::LOCALHOST.into()], asked: 0.into() };
    let poster = poster(&["hook.internal"], Arc::new(resolver), TIMEOUT);
    let port = receiver.addr.port();
    assert_eq!(post(&poster, &format!("http://hook.internal:{port}/a")).await, Ok(()));
    assert_eq!(receiver.next().await.headers["host"], format!("hook.internal:{port}"));
    assert_eq!(
        post(&poster, &format!("http://other.internal:{port}/a")).await,
        Err(PostError::Blocked(Blocked::Address))
    );
}

#[tokio::test]
async fn an_answer_that_never_ends_or_never_comes_holds_nobody_for_longer_than_the_timeout() {
    let receiver = Receiver::start().await;
    let poster = poster(&["127.0.0.1"], Arc::new(SystemResolver::default()), Duration::from_millis(300));
    let (gone, went) = tokio::sync::oneshot::channel();
    receiver.will_answer([Answer::Silence(gone)]);
    assert_eq!(post(&poster, &receiver.url()).await, Err(PostError::Timeout));
    went.await.unwrap_err();
    // More than is read, and more than any socket buffers: the connection is cut while it is still being written.
    let mut endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    endless.resize(50_000_000, b'x');
    receiver.will_answer([Answer::Raw(endless)]);
    assert_eq!(post(&poster, &receiver.url()).await, Ok(()));
    let asks = b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_vec();
    receiver.will_answer([Answer::Raw(asks)]);
    let retry_after = Some(chrono::TimeDelta::seconds(7));
    assert_eq!(post(&poster, &receiver.url()).await, Err(PostError::Refused { status: 429, retry_after }));
}
