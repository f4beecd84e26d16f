//! URLs that may stand in what is sent: absolute, `http` or `https`, and nothing that hides where they lead.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The most characters of a link.
pub const LINK_CHARS_MAX: usize = 2048;

/// A link, as the URL parser writes it: ASCII without spaces, quotes or angle brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(String);

/// Text that may not be sent as a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a link is an absolute http or https URL of {LINK_CHARS_MAX} characters at most, without user and password")]
pub struct InvalidLink;

impl Link {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `https`, without which one-click unsubscribing (RFC 8058) is not offered.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromStr for Link {
    type Err = InvalidLink;
    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        // The parser would leave out tabs and line breaks and trim spaces: whoever writes them means no good.
        if text.len() > 4 * LINK_CHARS_MAX || text.chars().any(|char| char.is_control() || char == ' ') {
            return Err(InvalidLink);
        }
        let url = Url::parse(text).map_err(|_| InvalidLink)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none();
        // Apostrophes stay as they are in paths and fragments, where they would end an attribute.
        let text = String::from(url).replace('\'', "%27");
        let unquoted = !text.contains(['"', '<', '>', '\\', '`']) && text.is_ascii();
        match plain && unquoted && text.len() <= LINK_CHARS_MAX {
            true => Ok(Self(text)),
            false => Err(InvalidLink),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_it_says_or_is_none() {
        for hostile in [
            "",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,<b>",
            "vbscript:x",
            "file:///etc/passwd",
            "//a.example",
            "/posts/1",
            "a.example",
            "https://",
            "https://user@a.example/",
            "https://a.example@b.example/",
            "https://:pass@a.example/",
            "https://a.example/\r\nBcc: x@y.example",
            "https://a.example/\u{0}",
            " https://a.example",
            "https://a.example/a b",
            &format!("https://a.example/{}", "x".repeat(LINK_CHARS_MAX)),
        ] {
            assert_eq!(hostile.parse::<Link>(), Err(InvalidLink), "{hostile:?}");
        }
        for (text, link) in [
            ("https://a.example/posts/1#c", "https://a.example/posts/1#c"),
            ("http://a.example", "http://a.example/"),
            ("https://a.example/\"><script>?q='x'", "https://a.example/%22%3E%3Cscript%3E?q=%27x%27"),
            ("https://münchen.example/ü", "https://xn--mnchen-3ya.example/%C3%BC"),
        ] {
            assert_eq!(text.parse::<Link>().unwrap().as_str(), link);
        }
    }
}
