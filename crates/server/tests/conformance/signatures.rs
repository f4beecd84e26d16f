//! 2.14 the HTTP API: who may ask.

use crate::request::{Request, now, send};
use crate::script::fits;
use crate::server::{DEFAULTS, MAIN, PLAIN, Server};

const BODY: &str = r#"{"name":"e","channel":"signed","data":"1"}"#;

#[test]
fn a_request_is_taken_only_as_it_was_signed_and_by_the_app_that_signed_it() {
    let post = || Request::new(MAIN, "POST", "events", BODY);
    let rows = [
        ("as it is", post(), 200, "{}"),
        (
            "a timestamp that is none",
            post().with("auth_timestamp", "now"),
            400,
            "auth_timestamp must be Unix time in seconds",
        ),
        ("no timestamp", post().without("auth_timestamp"), 400, "auth_timestamp must be Unix time in seconds"),
        ("no version", post().without("auth_version"), 400, "auth_version must be 1.0"),
        ("another version", post().with("auth_version", "2.0"), 400, "auth_version must be 1.0"),
        ("no key", post().without("auth_key"), 400, "auth_key is missing"),
        ("an unknown key", post().with("auth_key", "nobody"), 401, "Unknown auth_key \"nobody\""),
        (
            "another app's key",
            Request { path: format!("/apps/{}/events", MAIN.id), ..Request::new(PLAIN, "POST", "events", BODY) },
            403,
            "The auth_key belongs to another app than the one in the path",
        ),
        ("an app that does not exist", Request { path: "/apps/999/events".into(), ..post() }, 403, "…"),
        ("another body's MD5", post().with("body_md5", "ec365a775a4cd0599faeb73354201b6f"), 401, "Invalid body_md5…"),
        (
            "an MD5 in upper case",
            post().with("body_md5", &protocol::signature::body_md5(BODY.as_bytes()).to_uppercase()),
            200,
            "{}",
        ),
        ("a parameter in another case", post().without("auth_version").with("Auth_Version", "1.0"), 200, "{}"),
        ("a parameter of its own, escaped", post().with("extra", "a b&c=d/é%"), 200, "{}"),
        ("an array parameter", post().with("channels[]", "a"), 200, "{}"),
        (
            "parameters in another order",
            Request { parameters: post().parameters.into_iter().rev().collect(), ..post() },
            200,
            "{}",
        ),
        (
            "a question",
            Request::new(MAIN, "GET", "channels/signed?info=subscription_count", ""),
            200,
            "{\"occupied\":false,\"subscription_count\":0}",
        ),
    ];
    DEFAULTS.run(async |server| {
        for (row, request, status, text) in rows {
            let (came_status, came) = request.send(&server.0).await;
            assert!((came_status, true) == (status, fits(&came, text)), "2.14 {row}: {came_status} {came}");
        }
    });
}

#[test]
fn a_request_is_taken_within_600_seconds_of_its_timestamp() {
    /// As of one second of the clock, which the server has to have read as well.
    async fn sent(server: &Server, seconds: i64) -> (u16, String) {
        loop {
            let began = now();
            let request = Request::new(MAIN, "POST", "events", BODY);
            let answer = request.with("auth_timestamp", &(began + seconds).to_string()).send(server).await;
            if now() == began {
                return answer;
            }
        }
    }
    DEFAULTS.run(async |server| {
        for seconds in [-600, 600] {
            assert_eq!(sent(&server.0, seconds).await, (200, "{}".into()), "2.14 {seconds} s");
        }
        for seconds in [-601, 601] {
            let (status, text) = sent(&server.0, seconds).await;
            assert_eq!(status, 401, "2.14 {seconds} s: {text}");
            let wanted = "Timestamp expired: Given timestamp (…) not within 600s of server time (…)";
            assert!(fits(&text, wanted), "2.14 {seconds} s: {text}");
        }
    });
}

#[test]
fn a_signature_covers_method_path_parameters_and_body() {
    DEFAULTS.run(async |server| {
        let server = &server.0;
        let request = Request::new(MAIN, "POST", "events", BODY);
        let pairs: Vec<_> = request.signed().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query = pairs.join("&");
        let path = format!("/apps/{}/events", MAIN.id);
        assert_eq!(send(server, "POST", &format!("{path}?{query}"), BODY).await, (200, "{}".into()), "2.14");
        let last = pairs.last().unwrap();
        let (rest, upper) = (pairs[..pairs.len() - 1].join("&"), last.replace("auth_signature=", "").to_uppercase());
        let expected = format!(
            "Invalid signature: you should have sent HmacSHA256Hex(\"POST\\n{path}\\nauth_key={}…\", your_secret_key), but you sent \"00\"",
            MAIN.key
        );
        let rows = [
            ("unsigned", "POST", path.clone(), BODY, 400, "auth_key is missing".to_owned()),
            ("no signature", "POST", format!("{path}?{rest}"), BODY, 401, "Invalid signature: …but you sent \"\"".into()),
            ("another signature", "POST", format!("{path}?{rest}&auth_signature=00"), BODY, 401, expected),
            ("in upper case", "POST", format!("{path}?{rest}&auth_signature={upper}"), BODY, 200, "{}".into()),
            ("one more parameter", "POST", format!("{path}?{query}&info=user_count"), BODY, 401, "Invalid signature: …".into()),
            ("another body", "POST", format!("{path}?{query}"), "{}", 401, "Invalid body_md5…".into()),
            ("another path", "POST", format!("/apps/{}/batch_events?{query}", MAIN.id), BODY, 401, "Invalid signature: …".into()),
            ("another method", "GET", format!("/apps/{}/channels?{query}", MAIN.id), "", 401, "Invalid signature: …".into()),
        ];
        for (row, method, path, body, status, text) in rows {
            let (came_status, came) = send(server, method, &path, body).await;
            assert!((came_status, true) == (status, fits(&came, &text)), "2.14 {row}: {came_status} {came}");
        }
    });
}

#[test]
fn what_was_signed_before_it_was_escaped_is_taken() {
    DEFAULTS.run(async |server| {
        let signed = |path: &str| {
            let request = Request::new(MAIN, "GET", path, "").with("extra", "a b");
            let pairs: Vec<_> = request.signed().iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join("&")
        };
        let (user, slash) = ("channels/#server-to-user-u", "channels/a/users");
        for (row, signed, asked, space, status) in [
            ("as requested", "channels/%23server-to-user-u", "channels/%23server-to-user-u", "%20", 200),
            ("before it was escaped", user, "channels/%23server-to-user-u", "%20", 200),
            ("a space as a plus", user, "channels/%23server-to-user-u", "+", 200),
            ("escaped in lower case", user, "channels/%23server-to-use%72-u", "%20", 200),
            ("an escaped slash is none", slash, "channels/a%2Fusers", "%20", 401),
        ]
        .map(|(row, path, asked, space, status)| (row, signed(path), asked, space, status))
        {
            let path = format!("/apps/{}/{asked}?{}", MAIN.id, signed.replace(' ', space));
            let (came, text) = send(&server.0, "GET", &path, "").await;
            assert_eq!(came, status, "2.14 {row}: {text}");
        }
    });
}

#[test]
fn the_request_that_pusher_has_published_is_signed_right_and_has_expired() {
    DEFAULTS.run(async |server| {
        let query = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
            &body_md5=ec365a775a4cd0599faeb73354201b6f\
            &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let (status, text) = send(&server.0, "POST", &format!("/apps/3/events?{query}"), body).await;
        assert_eq!(status, 401, "2.14");
        assert!(text.starts_with("Timestamp expired: Given timestamp (1353088179) not within 600s"), "2.14 {text}");
    });
}
