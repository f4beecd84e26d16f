//! Links: absolute when they leave the house, `http` or `https`, and where the rule says, whatever the event holds.

use url::Url;

/// The most characters of a link.
const CHARS_MAX: usize = 2048;

/// Why a link is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    /// The app's address is none.
    #[error("must be http:// or https:// with a host, and perhaps a path: no user, no query, no fragment")]
    Base,
    /// A template's beginning leaves open where it leads.
    #[error("must begin with / and a path, or with http:// or https://, a host and a /")]
    Open,
    /// It climbs out of its path, or is too long, or is no URL.
    #[error("leads nowhere: {0:?}")]
    Nowhere(String),
}

/// Where the app is; without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidLink> {
        let url = Url::parse(text).ok().filter(is_plain).ok_or(InvalidLink::Base)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidLink::Base);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The absolute link that a template made.
    pub(crate) fn resolve(&self, link: &str) -> Result<String, InvalidLink> {
        let nowhere = || InvalidLink::Nowhere(crate::text::truncate(link, 100));
        let whole = if link.starts_with('/') { format!("{}{link}", self.0) } else { link.to_owned() };
        let path = whole.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').any(|part| matches!(part, "." | "..")) || whole.chars().count() > CHARS_MAX {
            return Err(nowhere());
        }
        Url::parse(&whole).ok().filter(is_plain).map(String::from).ok_or_else(nowhere)
    }
}

/// A URL, such as that by which one unsubscribes, as it may stand in a text.
pub(crate) fn web(text: &str) -> Option<String> {
    let plain = text.chars().count() <= CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    Url::parse(text).ok().filter(|url| plain && is_plain(url)).map(String::from)
}

fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none()
}

/// Whether a link's template says by itself on which host it leads where: no value of an event can change that.
pub(crate) fn check(template: &str) -> Result<(), InvalidLink> {
    let fixed = template.split(['{', '\\']).next().unwrap_or_default();
    let rest = fixed.strip_prefix("https://").or_else(|| fixed.strip_prefix("http://"));
    let closed = match rest {
        Some(rest) => rest.find('/').is_some_and(|host| host > 0) && Url::parse(fixed).is_ok_and(|url| is_plain(&url)),
        // "//host" is another host to a browser.
        None => fixed.starts_with('/') && !fixed.starts_with("//") && (fixed.len() > 1 || template.starts_with("/{{")),
    };
    let plain = template.chars().all(|c| !c.is_control() && !c.is_whitespace() || c == ' ') && !template.contains('\\');
    if (closed || template == "/") && plain { Ok(()) } else { Err(InvalidLink::Open) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_absolute() {
        for (base, link, whole) in [
            ("https://app.example", "/posts/1", "https://app.example/posts/1"),
            ("https://app.example/", "/posts/1#comment-2", "https://app.example/posts/1#comment-2"),
            ("https://app.example/id/", "/chat?room=1", "https://app.example/id/chat?room=1"),
            ("http://localhost:3000", "/", "http://localhost:3000/"),
            ("https://app.example", "https://other.example/x", "https://other.example/x"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().resolve(link).unwrap(), whole);
        }
        let base = BaseUrl::parse("https://app.example").unwrap();
        let long = format!("/{}", "x".repeat(3000));
        for bad in
            ["/posts/../admin", "/..", "/posts/./", "javascript:alert(1)", "posts/1", "https://a@b.example/", &long]
        {
            assert!(base.resolve(bad).is_err(), "{bad}");
        }
        for bad in ["app.example", "ftp://a.example", "https://u:p@a.example", "https://a.example?x", "https://", "a#b"]
        {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_says_where_its_link_leads() {
        for good in ["/", "/achievements", "/{{ a }}", "/posts/{{ post.id }}", "https://a.example/{{ id }}"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "{{ url }}",
            "//{{ host }}/",
            "//a.example/",
            "/\\a.example",
            "https://{{ host }}/",
            "https://a.example",
            "javascript:{{ a }}",
            "https://a{{ b }}/",
            "posts/{{ a }}",
            "/{% if a %}/b{% endif %}",
            "https:///{{ a }}",
        ] {
            assert_eq!(check(bad), Err(InvalidLink::Open), "{bad}");
        }
    }

    #[test]
    fn only_web_addresses_are_links() {
        assert_eq!(web("https://a.example/u?t=1").unwrap(), "https://a.example/u?t=1");
        assert_eq!(web("https://a.example/<x>\"").unwrap(), "https://a.example/%3Cx%3E%22");
        for bad in ["javascript:alert(1)", "data:text/html,x", "https://a.example/\n", "https://u@a.example/", "/x"] {
            assert_eq!(web(bad), None, "{bad}");
        }
    }
}
