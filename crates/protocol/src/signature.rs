//! Signatures as Pusher makes them: hexadecimal HMAC-SHA256 over the exact bytes.
//!
//! Every comparison of a secret takes the same time whatever was sent (`Mac::verify_slice`).

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use smallvec::SmallVec;

use crate::SocketId;

/// How far `auth_timestamp` may be from the server's clock, in seconds (Pusher HTTP API, authentication).
pub const TIMESTAMP_TOLERANCE_SECONDS: u64 = 600;

/// An app's secret, ready to sign. Shows nothing of itself in logs.
#[derive(Clone)]
pub struct Signer {
    // The key is mixed in once; each use clones the state, which saves two of four compressions.
    keyed: Hmac<Sha256>,
    /// The secret before this one, which is taken until then.
    previous: Option<(Hmac<Sha256>, SystemTime)>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// Takes a secret of any length.
    pub fn new(secret: &str) -> Self {
        Self { keyed: keyed(secret), previous: None }
    }

    /// Also takes signatures by the secret before this one, until that time: what a rotation overlaps.
    #[must_use]
    pub fn with_previous(self, secret: &str, until: SystemTime) -> Self {
        Self { previous: Some((keyed(secret), until)), ..self }
    }

    /// The signature of the parts, joined as they are: 64 lower-case hexadecimal digits.
    pub fn sign(&self, parts: &[&str]) -> String {
        hex::encode(mac(&self.keyed, parts).finalize().into_bytes())
    }

    /// Whether `signature` (hexadecimal, any case) is that of the joined parts.
    pub fn verify(&self, parts: &[&str], signature: &str) -> bool {
        let mut bytes = [0; 32];
        if hex::decode_to_slice(signature, &mut bytes).is_err() {
            return false;
        }
        let by = |keyed: &Hmac<Sha256>| mac(keyed, parts).verify_slice(&bytes).is_ok();
        let by_previous =
            || self.previous.as_ref().is_some_and(|(keyed, until)| by(keyed) && SystemTime::now() < *until);
        by(&self.keyed) || by_previous()
    }

    /// Signs a subscription to a private or presence channel: `SOCKET_ID:CHANNEL` and, where there is
    /// `channel_data`, `:CHANNEL_DATA`, whatever the channel's kind.
    pub fn sign_channel(&self, socket: SocketId, channel: &str, channel_data: Option<&str>) -> String {
        self.sign(&channel_parts(&socket.to_string(), channel, channel_data))
    }

    /// Checks what [`Signer::sign_channel`] makes.
    pub fn verify_channel(&self, socket: SocketId, channel: &str, channel_data: Option<&str>, signature: &str) -> bool {
        self.verify(&channel_parts(&socket.to_string(), channel, channel_data), signature)
    }

    /// Signs a sign-in: `SOCKET_ID::user::USER_DATA`.
    pub fn sign_user(&self, socket: SocketId, user_data: &str) -> String {
        self.sign(&[&socket.to_string(), "::user::", user_data])
    }

    /// Checks what [`Signer::sign_user`] makes.
    pub fn verify_user(&self, socket: SocketId, user_data: &str, signature: &str) -> bool {
        self.verify(&[&socket.to_string(), "::user::", user_data], signature)
    }
}

fn keyed(secret: &str) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length")
}

fn mac(keyed: &Hmac<Sha256>, parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac
}

fn channel_parts<'a>(socket: &'a str, channel: &'a str, channel_data: Option<&'a str>) -> Vec<&'a str> {
    match channel_data {
        Some(data) => vec![socket, ":", channel, ":", data],
        None => vec![socket, ":", channel],
    }
}

/// Why a signed HTTP request is refused; the texts are those that Pusher's SDKs show their users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// A parameter is missing or unreadable.
    #[error("{0}")]
    Malformed(&'static str),
    /// Outside the window of [`TIMESTAMP_TOLERANCE_SECONDS`].
    #[error(
        "Timestamp expired: Given timestamp ({given}) not within {TIMESTAMP_TOLERANCE_SECONDS}s of server time ({now})"
    )]
    Expired {
        /// `auth_timestamp`.
        given: i64,
        /// The server's clock, Unix seconds.
        now: i64,
    },
    /// `body_md5` is not that of the body.
    #[error("Invalid body_md5: the body's MD5 differs from the one given")]
    BodyChanged,
    /// The signature does not fit.
    #[error(
        "Invalid signature: you should have sent HmacSHA256Hex({expected:?}, your_secret_key), but you sent {given:?}"
    )]
    Signature {
        /// The string that had to be signed.
        expected: String,
        /// `auth_signature` as it came.
        given: String,
    },
}

/// The parameters of a signed request's query, percent-decoded. Borrows whatever needs no decoding.
#[derive(Debug)]
pub struct SignedQuery<'a> {
    pairs: SmallVec<[(Cow<'a, str>, Cow<'a, str>); 6]>,
    method: &'a str,
    path: &'a str,
}

impl<'a> SignedQuery<'a> {
    /// Reads the raw query of a request whose raw path is `path`.
    pub fn parse(method: &'a str, path: &'a str, query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (lower_case(percent_decode(key, true)), percent_decode(value, true))
        });
        Self { pairs: pairs.collect(), method, path }
    }

    /// A parameter by its lower-case name.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_ref())
    }

    /// `auth_key`, which names the app.
    ///
    /// # Errors
    /// It is missing.
    pub fn auth_key(&self) -> Result<&str, RequestRefused> {
        self.get("auth_key").ok_or(RequestRefused::Malformed("auth_key is missing"))
    }

    /// `auth_signature`, empty when it is missing.
    pub fn signature(&self) -> &str {
        self.get("auth_signature").unwrap_or_default()
    }

    /// What has to be signed: method, path and the sorted parameters, one a line.
    pub fn string_to_sign(&self) -> String {
        self.parts(self.path).concat()
    }

    fn parts<'p>(&'p self, path: &'p str) -> SmallVec<[&'p str; 32]> {
        let signed = self.pairs.iter().filter(|(key, _)| key != "auth_signature");
        let mut pairs: SmallVec<[(&str, &str); 6]> =
            signed.map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        pairs.sort_unstable();
        let mut parts = SmallVec::from_slice(&[self.method, "\n", path, "\n"]);
        for (index, (key, value)) in pairs.into_iter().enumerate() {
            if index > 0 {
                parts.push("&");
            }
            parts.extend_from_slice(&[key, "=", value]);
        }
        parts
    }

    /// The path is signed as it was requested, or, as some SDKs sign before they escape, unescaped.
    fn is_signed(&self, signer: &Signer) -> bool {
        if signer.verify(&self.parts(self.path), self.signature()) {
            return true;
        }
        // An escaped slash would make another route of the path that was signed.
        let plain = percent_decode(self.path, false);
        let slashes = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
        plain != self.path
            && slashes(&plain) == slashes(self.path)
            && signer.verify(&self.parts(&plain), self.signature())
    }

    /// Checks the request against the app's secret. `now` is Unix seconds.
    ///
    /// # Errors
    /// See [`RequestRefused`]; all but the first kind mean `401`.
    pub fn verify(&self, signer: &Signer, body: &[u8], now: i64) -> Result<(), RequestRefused> {
        self.verify_head(signer, now)?;
        self.verify_body(body)
    }

    /// The part of [`SignedQuery::verify`] that needs no body: who may not ask need not be read further.
    ///
    /// # Errors
    /// See [`RequestRefused`].
    pub fn verify_head(&self, signer: &Signer, now: i64) -> Result<(), RequestRefused> {
        if self.get("auth_version") != Some("1.0") {
            return Err(RequestRefused::Malformed("auth_version must be 1.0"));
        }
        let given = self.get("auth_timestamp").and_then(|text| text.parse().ok());
        let given: i64 = given.ok_or(RequestRefused::Malformed("auth_timestamp must be Unix time in seconds"))?;
        if !self.is_signed(signer) {
            let (expected, given) = (self.string_to_sign(), self.signature().to_owned());
            return Err(RequestRefused::Signature { expected, given });
        }
        if given.abs_diff(now) > TIMESTAMP_TOLERANCE_SECONDS {
            return Err(RequestRefused::Expired { given, now });
        }
        Ok(())
    }

    /// The rest of [`SignedQuery::verify`]: whether the body is the one that was signed.
    ///
    /// # Errors
    /// See [`RequestRefused`].
    pub fn verify_body(&self, body: &[u8]) -> Result<(), RequestRefused> {
        match self.get("body_md5") {
            Some(md5) if !is_md5_of(md5, body) => Err(RequestRefused::BodyChanged),
            None if !body.is_empty() => Err(RequestRefused::Malformed("body_md5 is missing")),
            _ => Ok(()),
        }
    }
}

/// The query that signs a request, `auth_signature` included; what a server SDK appends to its URL.
pub fn sign_request(key: &str, signer: &Signer, method: &str, path: &str, body: &[u8], now: i64) -> String {
    let mut query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0");
    if !body.is_empty() {
        query.push_str("&body_md5=");
        query.push_str(&body_md5(body));
    }
    let signature = signer.sign(&[method, "\n", path, "\n", &query]);
    format!("{query}&auth_signature={signature}")
}

/// Lower-case hexadecimal MD5, as `body_md5` wants it. It guards against accidents; the HMAC around it is the seal.
pub fn body_md5(body: &[u8]) -> String {
    hex::encode(Md5::digest(body))
}

fn is_md5_of(text: &str, body: &[u8]) -> bool {
    let mut given = [0; 16];
    hex::decode_to_slice(text, &mut given).is_ok() && given == *Md5::digest(body)
}

fn lower_case(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.chars().any(char::is_uppercase) {
        true => text.to_lowercase().into(),
        false => text,
    }
}

/// Undoes percent-escapes, and `+` for space where `form` says so. What is no escape stays as it is; bytes that are no
/// UTF-8 become U+FFFD.
pub fn percent_decode(text: &str, form: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (form && byte == b'+')) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let decoded = match byte {
            b'%' => rest.get(..2).and_then(|pair| hex::decode(pair).ok()).map(|pair| pair[0]),
            b'+' if form => Some(b' '),
            _ => None,
        };
        if byte == b'%' && decoded.is_some() {
            rest = &rest[2..];
        }
        bytes.push(decoded.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "278d425bdf160c739803";
    const SECRET: &str = "7ad3773142a6692b25b8";

    fn socket() -> SocketId {
        "1234.1234".parse().unwrap()
    }

    #[test]
    fn channel_and_user_signatures_match_the_published_vectors() {
        let signer = Signer::new(SECRET);
        assert_eq!(
            signer.sign_channel(socket(), "private-foobar", None),
            "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        );
        let data = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;
        let presence = "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80";
        assert_eq!(signer.sign_channel(socket(), "presence-foobar", Some(data)), presence);
        assert!(signer.verify_channel(socket(), "presence-foobar", Some(data), &presence.to_uppercase()));
        assert!(!signer.verify_channel(socket(), "presence-foobar", None, presence));
        assert_eq!(
            signer.sign_user(socket(), r#"{"id":"12345"}"#),
            "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
        );
    }

    #[test]
    fn the_secret_before_is_taken_until_its_time() {
        let (now, hour) = (SystemTime::now(), std::time::Duration::from_secs(3600));
        let signature = Signer::new("old").sign(&["text"]);
        assert!(Signer::new("new").with_previous("old", now + hour).verify(&["text"], &signature));
        assert!(!Signer::new("new").with_previous("old", now - hour).verify(&["text"], &signature));
        assert_eq!(Signer::new("new").with_previous("old", now + hour).sign(&["a"]), Signer::new("new").sign(&["a"]));
    }

    const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    const QUERY: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&\
        body_md5=ec365a775a4cd0599faeb73354201b6f&\
        auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

    fn verify(query: &str, body: &str, now: i64) -> Result<(), RequestRefused> {
        SignedQuery::parse("POST", "/apps/3/events", query).verify(&Signer::new(SECRET), body.as_bytes(), now)
    }

    #[test]
    fn a_request_is_taken_within_600_seconds_and_only_as_it_was_signed() {
        for now in [1_353_088_179 - 600, 1_353_088_179, 1_353_088_179 + 600] {
            assert_eq!(verify(QUERY, BODY, now), Ok(()));
        }
        for now in [1_353_088_179 - 601, 1_353_088_179 + 601, i64::MIN, i64::MAX] {
            assert!(matches!(verify(QUERY, BODY, now), Err(RequestRefused::Expired { .. })), "{now}");
        }
        assert_eq!(verify(QUERY, "{}", 1_353_088_179), Err(RequestRefused::BodyChanged));
        let changed = QUERY.replace("body_md5", "info=user_count&body_md5");
        assert!(matches!(verify(&changed, BODY, 1_353_088_179), Err(RequestRefused::Signature { .. })));
        assert!(matches!(verify("", BODY, 1_353_088_179), Err(RequestRefused::Malformed(_))));
    }

    #[test]
    fn a_request_signed_here_is_accepted_here_whatever_the_order_and_escaping_of_its_query() {
        let signer = Signer::new(SECRET);
        let query = sign_request(KEY, &signer, "POST", "/apps/3/events", BODY.as_bytes(), 1_353_088_179);
        assert_eq!(query, QUERY);
        let mut pairs: Vec<_> = QUERY.split('&').collect();
        pairs.reverse();
        assert_eq!(verify(&pairs.join("&").replace("1.0", "1%2E0"), BODY, 1_353_088_179), Ok(()));
    }

    #[test]
    fn parameters_are_signed_unescaped_and_sorted() {
        let query = SignedQuery::parse("GET", "/apps/3/channels", "info=a%2Cb&Filter_By_Prefix=presence-&auth_key=k");
        assert_eq!(query.string_to_sign(), "GET\n/apps/3/channels\nauth_key=k&filter_by_prefix=presence-&info=a,b");
    }

    #[test]
    fn a_path_may_be_signed_before_it_is_escaped_but_not_across_a_slash() {
        let signer = Signer::new(SECRET);
        let verify = |signed: &str, requested: &str| {
            let query = sign_request(KEY, &signer, "GET", signed, b"", 0);
            SignedQuery::parse("GET", requested, &query).verify(&signer, b"", 0).is_ok()
        };
        assert!(verify("/apps/3/channels/a,b", "/apps/3/channels/a%2Cb"));
        assert!(verify("/apps/3/channels/a%2Cb", "/apps/3/channels/a%2Cb"));
        assert!(verify("/users/a+b/x", "/users/a+b/x"));
        assert!(!verify("/apps/3/channels/a,b", "/apps/3/channels/a%2Cc"));
        assert!(!verify("/apps/3/channels/a/users", "/apps/3/channels/a%2Fusers"));
    }
}
