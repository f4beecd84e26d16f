//! 2.14 the HTTP API, endpoint by endpoint.

use testkit::{RawSocket, Socket};

use crate::request::Request;
use crate::script::run;
use crate::server::{DEFAULTS, MAIN, ONCE, SLOW, Server};

#[test]
fn an_event_is_published_to_channels_and_what_is_asked_for_is_told() {
    run(
        &DEFAULTS,
        r##"
# 2.14 to one channel and to several, each once
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"pusher:subscribe","data":{"channel":"b~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
A < {"event":"e","channel":"a~","data":"1"}
POST events {"name":"e","channels":["a~","b~","a~"],"data":"2"}
= 200 {}
A < {"event":"e","channel":"a~","data":"2"}
A < {"event":"e","channel":"b~","data":"2"}
# 2.14 socket_id excludes that connection
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"a~"}}
B < {"event":"pusher_internal:subscription_succeeded",…
POST events {"name":"e","channel":"a~","data":"1","socket_id":"$(A)"}
= 200 {}
POST batch_events {"batch":[{"name":"e","channel":"a~","data":"2","socket_id":"$(A)"},{"name":"e","channel":"a~","data":"3"}]}
= 200 {}
B < {"event":"e","channel":"a~","data":"1"}
B < {"event":"e","channel":"a~","data":"2"}
B < {"event":"e","channel":"a~","data":"3"}
A < {"event":"e","channel":"a~","data":"3"}
# 2.14 info tells what applies to each channel, after the event
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"1"})}}
B < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"a~"}}
B < {"event":"pusher_internal:subscription_succeeded",…
POST events {"name":"e","channels":["a~","presence-a~","nobody~"],"data":"1","info":"user_count,subscription_count"}
= 200 {"channels":{"a~":{"subscription_count":1},"presence-a~":{"user_count":1,"subscription_count":2},"nobody~":{"subscription_count":0}}}
A < {"event":"e","channel":"presence-a~","data":"1"}
B < {"event":"e",…
B < {"event":"e",…
POST events {"name":"e","channels":["a~"],"data":"1","info":"user_count"}
= 200 {"channels":{"a~":{}}}
B < {"event":"e","channel":"a~","data":"1"}
# 2.14 info of a batch stands at the place of its event
POST batch_events {"batch":[{"name":"e","channel":"a~","data":"1","info":"subscription_count"},{"name":"e","channel":"a~","data":"1"},{"name":"e","channel":"presence-a~","data":"1","info":"user_count"}]}
= 200 {"batch":[{"subscription_count":0},{},{"user_count":0}]}
POST batch_events {"batch":[]}
= 200 {}
# 2.14 what is missing or of another type is a 400 that says so
POST events {"channel":"a~","data":"1"}
= 400 …name…
POST events {"name":"e","channel":"a~"}
= 400 …data…
POST events {"name":"e","data":"1"}
= 400 channels is missing
POST events {"name":"e","channel":"a~","data":{"a":1}}
= 400 …
POST events {"name":"","channel":"a~","data":"1"}
= 400 The event's name must have 1 to 200 characters
POST events {"name":"e","channels":"a~","data":"1"}
= 400 …
POST events {"name":"e","channel":"a b","data":"1"}
= 400 Invalid channel name "a b": a channel name may hold only letters, digits and _ - = @ , . ;
POST events {"name":"e","channel":"a~","data":"1","socket_id":"abc"}
= 400 …
POST events {"name":"e","channel":"a~","data":"1","info":"colour"}
= 400 Unknown info attribute "colour"
POST events [1
= 400 …
POST batch_events {"batch":[{"name":"e","data":"1"}]}
= 400 Each event of a batch needs its channel
POST batch_events {}
= 400 …batch…
# 2.14 nothing of a batch goes out where one event is wrong
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
POST batch_events {"batch":[{"name":"e","channel":"a~","data":"1"},{"name":"e","channel":"a b","data":"1"}]}
= 400 …
POST events {"name":"e","channels":["a~","a b"],"data":"2"}
= 400 …
POST events {"name":"last","channel":"a~","data":"3"}
= 200 {}
A < {"event":"last","channel":"a~","data":"3"}
# 2.14 a disabled app is a 403
app disabled
POST events {"name":"e","channel":"a~","data":"1"}
= 403 The app is disabled
GET channels
= 403 The app is disabled
# 2.14 the deprecated way to publish is answered with 202 and nothing
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
POST channels/a~/events?name=e {"raw": 1}
= 202
A < {"event":"e","channel":"a~","data":"{\"raw\": 1}"}
POST channels/a~/events?name=e&socket_id=$(A) 2
= 202
POST channels/a~/events 3
= 400 name is missing
POST channels/a~/events?name=last 4
= 202
A < {"event":"last","channel":"a~","data":"4"}
"##,
    );
}

#[test]
fn channels_and_users_are_told_to_whoever_asks_with_a_signature() {
    run(
        &DEFAULTS,
        r##"
# 2.14 occupied channels, and those of a prefix
A > {"event":"pusher:subscribe","data":{"channel":"list~-a"}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"pusher:subscribe","data":{"channel":"list~-b"}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"pusher:subscribe","data":{"channel":"other~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels?filter_by_prefix=list~-
= 200 {"channels":{"list~-a":{},"list~-b":{}}}
GET channels?filter_by_prefix=list~-&info=subscription_count
= 200 {"channels":{"list~-a":{"subscription_count":1},"list~-b":{"subscription_count":1}}}
A > {"event":"pusher:unsubscribe","data":{"channel":"list~-a"}}
A .
GET channels?filter_by_prefix=list~-
= 200 {"channels":{"list~-b":{}}}
GET channels?filter_by_prefix=nothing~
= 200 {"channels":{}}
# 2.14 without a prefix, all of the app and of no other
app alone
A > {"event":"pusher:subscribe","data":{"channel":"all~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels
= 200 {"channels":{"all~":{}}}
# 2.14 user_count needs a prefix that leaves only presence channels
A > {"event":"pusher:subscribe","data":{"channel":"presence-list~",$(auth A presence-list~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels?filter_by_prefix=presence-list~&info=user_count
= 200 {"channels":{"presence-list~":{"user_count":1}}}
GET channels?info=user_count
= 400 user_count needs a filter_by_prefix that starts with presence-
GET channels?filter_by_prefix=presence&info=user_count
= 400 user_count needs a filter_by_prefix that starts with presence-
GET channels?info=colour
= 400 Unknown info attribute "colour"
# 2.14 one channel
GET channels/a~
= 200 {"occupied":false}
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels/a~
= 200 {"occupied":true}
GET channels/a~?info=subscription_count
= 200 {"occupied":true,"subscription_count":1}
GET channels/a~?info=user_count
= 400 user_count is known only of presence channels
GET channels/a~?info=subscription_count,user_count
= 400 user_count is known only of presence channels
GET channels/a~?info=cache
= 400 cache is known only of cache channels
GET channels/a~?info=colour
= 400 Unknown info attribute "colour"
GET channels/a!
= 400 Invalid channel name …
# 2.14 a presence channel, with both counts
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":1})}}
B < {"event":"pusher_internal:subscription_succeeded",…
GET channels/presence-a~?info=user_count,subscription_count
= 200 {"occupied":true,"user_count":1,"subscription_count":2}
GET channels/presence-a~/users
= 200 {"users":[{"id":"1"}]}
GET channels/presence-nobody~?info=user_count
= 200 {"occupied":false,"user_count":0}
GET channels/presence-nobody~/users
= 200 {"users":[]}
GET channels/private-a~/users
= 400 Users are known only of presence channels
# 2.14 what a cache channel holds
GET channels/cache-a~?info=cache
= 200 {"occupied":false,"cache":null}
POST events {"name":"e","channel":"cache-a~","data":"{\"a\":1}"}
= 200 {}
GET channels/cache-a~?info=cache,subscription_count
= 200 {"occupied":false,"subscription_count":0,"cache":{"data":"{\"a\":1}","ttl":1…}}
# 2.14 a user's channel, escaped in the path
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
A > {"event":"pusher:subscribe","data":{"channel":"#server-to-user-u~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels/%23server-to-user-u~
= 200 {"occupied":true}
# docs/protocol.md the position of a publish, and what a channel keeps
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
POST events {"name":"f","channel":"a~","data":"2","info":"position"}
= 200 {"channels":{"a~":{"position":{"epoch":"…","offset":2}}}}
GET channels/a~/history
= 200 {"position":{"epoch":"…","offset":2},"complete":true,"events":[{"offset":1,"event":"e","data":"1"},{"offset":2,"event":"f","data":"2"}]}
GET channels/a~/history?limit=1
= 200 {"position":{"epoch":"…","offset":2},"complete":…,"events":[{"offset":2,"event":"f","data":"2"}]}
GET channels/a~/history?limit=1000
= 200 …
GET channels/a~/history?limit=1001
= 400 limit must be a number from 1 to 1000
GET channels/a~/history?limit=0
= 400 limit must be a number from 1 to 1000
# 2.14 the deprecated stats
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels/presence-a~/stats
= 200 {"occupied":true,"user_count":1,"connection_count":1}
GET channels/a~/stats
= 200 {"occupied":false,"connection_count":0}
# 2.14 no such path, and another method
GET nothing
= 404 Nothing is at this path
GET events
= 405 This path takes only POST
POST channels/a~ {}
= 405 This path takes only GET
"##,
    );
}

#[test]
fn connections_of_a_user_are_terminated_with_4009_and_no_others() {
    run(
        &DEFAULTS,
        r##"
# 2.12 those that are signed in as the user, not those that are only present as it
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
B here
B > {"event":"pusher:signin","data":{$(user B {"id":"v~"})}}
B < {"event":"pusher:signin_success",…
C here
C > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth C presence-a~ {"user_id":"u~"})}}
C < {"event":"pusher_internal:subscription_succeeded",…
D here
D > {"event":"pusher:signin","data":{$(user D {"id":"u~"})}}
D < {"event":"pusher:signin_success",…
POST users/u~/terminate_connections {}
= 200 {}
A × 4009 Connection is unauthorized
D × 4009 Connection is unauthorized
B .
C .
POST users/nobody~/terminate_connections {}
= 200 {}
# 2.14 the Python SDK leaves the app out, and sends no body or an empty object
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
POST /users/u~/terminate_connections {}
= 200 {}
A × 4009 Connection is unauthorized
# 2.14 an id of 129 characters is none
POST users/$(x 129)/terminate_connections {}
= 400 Invalid user id …
POST users/$(x 128)/terminate_connections
= 200 {}
"##,
    );
}

const BODY: &str = r#"{"name":"e","channel":"signed","data":"1"}"#;

#[test]
fn answers_are_typed_and_the_connection_is_kept() {
    DEFAULTS.run(async |server| {
        let mut raw = RawSocket::connect(server.0.address()).await;
        for (body, status, kind, answer) in [
            (BODY, "200", "application/json", "{}"),
            ("{}", "400", "text/plain; charset=utf-8", ""),
            (BODY, "200", "application/json", "{}"),
        ] {
            let request = Request::new(MAIN, "POST", "events", body);
            let query: Vec<_> = request.signed().iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (path, query, bytes) = (&request.path, query.join("&"), body.len());
            let head = format!("POST {path}?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n{body}");
            raw.write(head.as_bytes()).await;
            let head = raw.read_head().await.to_lowercase();
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "2.14 {head}");
            assert!(head.contains(&format!("content-type: {kind}\r\n")), "2.14 {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let text = String::from_utf8(raw.read_exact(length.parse().unwrap()).await).unwrap();
            assert!(status == "400" || text == answer, "2.14 some SDKs compare it: {text}");
        }
    });
}

#[test]
fn a_body_has_one_mebibyte() {
    DEFAULTS.run(async |server| {
        let body = |bytes: usize| format!("{}{}", BODY, " ".repeat(bytes - BODY.len()));
        let at = Request::new(MAIN, "POST", "events", &body(1_048_576)).send(&server.0).await;
        assert_eq!(at, (200, "{}".into()), "docs/configuration.md, http.publish_body_bytes_max");
        let (status, text) = Request::new(MAIN, "POST", "events", &body(1_048_577)).send(&server.0).await;
        assert_eq!(status, 413, "docs/configuration.md, http.publish_body_bytes_max: {text}");
        assert!(text.contains("(1048576 bytes)"), "docs/configuration.md, http.publish_body_bytes_max: {text}");
    });
}

#[test]
fn more_events_in_a_second_than_the_policy_allows_are_answered_with_429() {
    DEFAULTS.run(async |server| {
        let publish = async |channels: &str| {
            let body = format!(r#"{{"name":"e","channels":[{channels}],"data":"1"}}"#);
            Request::new(SLOW, "POST", "events", &body).send(&server.0).await
        };
        // Each channel counts: three are too many in any second, two are not.
        let (status, text) = publish(r#""a","b","c""#).await;
        assert_eq!((status, &text[..]), (429, "The app may publish at most 2 events in a second, try again"), "P25");
        // Until a second is there in which nothing has been published.
        let allowed = async { while publish(r#""a","b""#).await.0 != 200 {} };
        assert!(tokio::time::timeout(testkit::PATIENCE, allowed).await.is_ok(), "P25 two are allowed");
    });
}

/// Sends it with an `Idempotency-Key`: status, whether it is the answer of an earlier one, and the body.
async fn keyed(server: &Server, request: &Request, key: &str) -> (u16, bool, String) {
    let query: Vec<_> = request.signed().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let url = format!("http://{}{}?{}", server.address(), request.path, query.join("&"));
    let request = server.client.post(url).header("idempotency-key", key).body(request.body.clone());
    let answer = request.send().await.unwrap();
    let replayed = answer.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    (answer.status().as_u16(), replayed, answer.text().await.unwrap())
}

#[test]
fn what_is_sent_twice_under_one_key_or_one_signature_is_published_once() {
    DEFAULTS.run(async |server| {
        let server = &server.0;
        let mut listener = Socket::connect(server.address(), MAIN.key).await;
        listener.subscribe("keyed").await;
        let event = |data: &str| {
            let body = serde_json::json!({"name": "e", "channel": "keyed", "data": data}).to_string();
            Request::new(MAIN, "POST", "events", &body)
        };
        let (long, too_long) = ("k".repeat(255), "k".repeat(256));
        for (row, data, key, wanted) in [
            ("the first", "1", "key", (200, false)),
            ("the same again", "1", "key", (200, true)),
            ("another body", "2", "key", (409, false)),
            ("another key", "1", "other", (200, false)),
            ("255 characters", "1", &long, (200, false)),
            ("256 characters", "1", &too_long, (400, false)),
            ("a space", "1", "a b", (400, false)),
        ] {
            let (status, replayed, text) = keyed(server, &event(data), key).await;
            assert_eq!((status, replayed), wanted, "docs/protocol.md, what is sent twice: {row}: {text}");
        }
        for _ in 0..3 {
            listener.expect_event("e").await;
        }
        listener.expect_quiet().await;

        let mut listener = Socket::connect(server.address(), ONCE.key).await;
        listener.subscribe("once").await;
        let request = Request::new(ONCE, "POST", "events", r#"{"name":"e","channel":"once","data":"1"}"#);
        for _ in 0..3 {
            assert_eq!(request.send(server).await, (200, "{}".into()), "docs/protocol.md, replays");
        }
        let last = Request::new(ONCE, "POST", "events", r#"{"name":"last","channel":"once","data":"1"}"#);
        assert_eq!(last.send(server).await.0, 200);
        listener.expect_event("e").await;
        listener.expect_event("last").await;
    });
}
