//! The headers that an endpoint adds to each request.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The most headers of one endpoint.
pub const HEADERS_MAX: usize = 20;
/// The most bytes of one header's value.
pub const VALUE_BYTES_MAX: usize = 1024;

/// What HTTP itself or we say; whoever sets it could break or forge a request.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "forwarded",
];
/// Starts of names that are ours or Pusher's.
const RESERVED_STARTS: [&str; 3] = ["x-pusher-", "x-kabar-", "x-forwarded-"];

/// Headers that cannot be added. Never repeats a value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaders {
    /// There are more than [`HEADERS_MAX`].
    #[error("there may be {HEADERS_MAX} headers at most")]
    TooMany,
    /// The name is no header's.
    #[error("{0:?} is no name of a header")]
    Name(String),
    /// The name is kept for HTTP or for us.
    #[error("the header {0:?} cannot be set")]
    Reserved(String),
    /// The value is empty, too long or not visible ASCII.
    #[error("the value of {0:?} must be 1 to {VALUE_BYTES_MAX} visible ASCII characters")]
    Value(String),
}

/// Checks the headers of an endpoint.
///
/// # Errors
/// The first header that cannot be sent.
pub fn parse(headers: &BTreeMap<String, String>) -> Result<HeaderMap, InvalidHeaders> {
    if headers.len() > HEADERS_MAX {
        return Err(InvalidHeaders::TooMany);
    }
    let mut parsed = HeaderMap::new();
    for (name, value) in headers {
        let header = HeaderName::try_from(name.as_str()).map_err(|_| InvalidHeaders::Name(name.clone()))?;
        let taken = RESERVED.contains(&header.as_str())
            || RESERVED_STARTS.iter().any(|start| header.as_str().starts_with(start));
        if taken {
            return Err(InvalidHeaders::Reserved(name.clone()));
        }
        let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim().len() == value.len();
        if !plain || !(1..=VALUE_BYTES_MAX).contains(&value.len()) {
            return Err(InvalidHeaders::Value(name.clone()));
        }
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| InvalidHeaders::Value(name.clone()))?;
        parsed.insert(header, value);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<HeaderMap, InvalidHeaders> {
        parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn an_endpoint_may_add_headers_but_not_forge_a_request() {
        assert_eq!(one("Authorization", "Bearer x").unwrap()["authorization"], "Bearer x");
        for name in
            ["Host", "content-TYPE", "Content-Length", "X-Pusher-Key", "x-kabar-webhook-id", "Transfer-Encoding"]
        {
            assert_eq!(one(name, "x"), Err(InvalidHeaders::Reserved(name.to_owned())));
        }
        for name in ["", "a b", "a:b", "a\r\nb", "é"] {
            assert_eq!(one(name, "x"), Err(InvalidHeaders::Name(name.to_owned())));
        }
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for value in ["", "a\r\nHost: b", "a\0", " a", "é", &long] {
            assert_eq!(one("X-A", value), Err(InvalidHeaders::Value("X-A".to_owned())));
        }
        let many = (0..=HEADERS_MAX).map(|n| (format!("x-{n}"), "x".to_owned())).collect();
        assert_eq!(parse(&many), Err(InvalidHeaders::TooMany));
    }
}
