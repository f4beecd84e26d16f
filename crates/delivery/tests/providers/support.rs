//! What all of these tests need: something to send, and the faults that every provider over HTTP must bear.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use delivery::address::{EmailAddress, PhoneNumber};
use delivery::{Address, Content, Failed, Http, Outcome, Outgoing, Provider, http};
use protocol::notification::{DeliveryId, FailureClass};
use webhooks::guard::{Guard, SystemResolver};

use crate::http_double::{HttpDouble, Script, html};

pub(crate) const DELIVERY: &str = "01990000-0000-7000-8000-000000000001";
pub(crate) const SECRET: &str = "canary-secret-5f1e";
pub(crate) const EMAIL: &str = "ada@reader.example";
pub(crate) const PHONE: &str = "6281234567890";

pub(crate) fn outgoing(to: Address) -> Outgoing {
    let content = Content {
        title: "Komentar Baru".to_owned(),
        text: "Bob: <b>halo</b> & salam".to_owned(),
        html: None,
        link: Some("https://kelas.example/posts/1#c2".parse().unwrap()),
        image: None,
        data: [("postId".to_owned(), 1.into()), ("kind".to_owned(), "comment".into())].into_iter().collect(),
        collapse_key: Some("post-1".to_owned()),
        ttl: Duration::from_secs(3600),
        urgent: true,
        unsubscribe: None,
    };
    Outgoing { id: DELIVERY.parse::<DeliveryId>().unwrap(), to, content }
}

pub(crate) fn email() -> Address {
    Address::Email(EmailAddress::parse(EMAIL, Some("Ada Lovelace")).unwrap())
}

pub(crate) fn phone() -> Address {
    Address::Phone(PhoneNumber::parse("+62 812-3456-7890", "62").unwrap())
}

/// Where tests listen, and nowhere else that is not global.
pub(crate) fn guard() -> Guard {
    Guard::new(vec!["127.0.0.1".parse().unwrap()], Arc::new(SystemResolver::default()))
}

pub(crate) fn http(deadline: Duration, double: Option<&HttpDouble>) -> Http {
    let trusted = double.and_then(|double| double.certificate.clone()).into_iter().collect();
    Http::new(guard(), &http::Config { deadline, answer_bytes_max: 64 * 1024, trusted }).unwrap()
}

pub(crate) fn patient(double: &HttpDouble) -> Http {
    http(Duration::from_secs(10), Some(double))
}

/// Without time and text: those are looked at where they matter.
pub(crate) fn class(outcome: &Outcome) -> Result<Option<String>, FailureClass> {
    match outcome {
        Outcome::Sent { message_id, .. } => Ok(message_id.clone()),
        Outcome::NoRecipient { note } => panic!("nobody there: {note}"),
        Outcome::Failed(failed) => {
            for hidden in [SECRET, EMAIL, PHONE] {
                assert!(!failed.text.contains(hidden), "{failed:?}");
            }
            assert!(failed.text.chars().count() <= 500 && !failed.text.chars().any(char::is_control), "{failed:?}");
            assert!(!failed.text.is_empty(), "{failed:?}");
            Err(failed.class)
        }
    }
}

pub(crate) fn failed(outcome: Outcome) -> Failed {
    match outcome {
        Outcome::Failed(failed) => failed,
        other => panic!("{other:?}"),
    }
}

/// The same send, once per answer; what came of each, as [`class`] tells it.
pub(crate) async fn table<P: Provider>(
    make: impl Fn(&HttpDouble) -> P,
    outgoing: &Outgoing,
    rows: Vec<(Script, Result<Option<&str>, FailureClass>)>,
) {
    for (index, (script, expected)) in rows.into_iter().enumerate() {
        let double = HttpDouble::plain([script]).await;
        let outcome = make(&double).send(outgoing).await;
        assert_eq!(class(&outcome), expected.map(|id| id.map(str::to_owned)), "row {index}: {outcome:?}");
        assert_eq!(double.requests().len(), 1, "row {index}: sent once, whatever the answer");
    }
}

/// What providers do when the network fails or something else answers in their place: nothing of it is taken for sent.
pub(crate) async fn faults<P: Provider>(make: impl Fn(&str, Http) -> P, outgoing: &Outgoing) {
    use FailureClass::{Operator, Retryable, Unknown};
    // Long enough to connect on a busy machine.
    let short = Duration::from_secs(1);
    let wait = Script::Answer(429, vec![("Retry-After", "7".to_owned())], b"slow down canary-secret-5f1e".to_vec());
    for (script, deadline, expected) in [
        (Script::Hang, short, Unknown),
        (Script::Drip(200), short, Unknown),
        (Script::Cut, Duration::from_secs(10), Unknown),
        (Script::Half(200), Duration::from_secs(10), Unknown),
        (html(200), Duration::from_secs(10), Unknown),
        (Script::Answer(200, vec![], vec![]), Duration::from_secs(10), Unknown),
        (Script::Answer(204, vec![], vec![]), Duration::from_secs(10), Unknown),
        (Script::Answer(200, vec![], vec![b' '; 300_000]), Duration::from_secs(10), Unknown),
        (wait, Duration::from_secs(10), Retryable),
        (html(500), Duration::from_secs(10), Retryable),
        (html(502), Duration::from_secs(10), Retryable),
        (Script::Half(503), Duration::from_secs(10), Retryable),
        (html(401), Duration::from_secs(10), Operator),
        (html(404), Duration::from_secs(10), Operator),
    ] {
        let double = HttpDouble::plain([script]).await;
        let outcome = make(&double.url, http(deadline, None)).send(outgoing).await;
        assert_eq!(class(&outcome), Err(expected), "{outcome:?}");
        let failed = failed(outcome);
        if failed.status == Some(429) {
            assert_eq!(failed.retry_after, Some(Duration::from_secs(7)));
        }
    }

    // A redirect is an answer, not an order.
    let canary = HttpDouble::plain([]).await;
    for status in [301, 302, 307, 308] {
        let double = HttpDouble::plain([Script::Answer(status, vec![("Location", canary.url.clone())], vec![])]).await;
        let outcome = make(&double.url, http(Duration::from_secs(10), None)).send(outgoing).await;
        assert_eq!(class(&outcome), Err(Operator), "{outcome:?}");
    }
    assert!(canary.requests().is_empty());

    // Nobody listens, nobody may be asked, and no such address.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let long = Duration::from_secs(10);
    for (url, expected) in [
        (format!("http://{closed}"), Retryable),
        ("http://127.0.0.2:1".to_owned(), Operator),
        ("x:y".to_owned(), Operator),
    ] {
        let outcome = make(&url, http(long, None)).send(outgoing).await;
        assert_eq!(class(&outcome), Err(expected), "{url} {outcome:?}");
    }
}
