//! What is sent: texts already rendered in the recipient's language, and how urgent it is.

use std::time::Duration;

use protocol::notification::DeliveryId;
use serde_json::{Map, Value};

use crate::address::Address;
use crate::link::Link;

/// One delivery, as a provider sees it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Names the delivery at every attempt: it is the provider's key where it knows one.
    pub id: DeliveryId,
    /// Where it goes.
    pub to: Address,
    /// What it says.
    pub content: Content,
}

/// What is said. Texts are the recipient's alone: they are in no log, and `Debug` does not show them.
#[derive(Clone)]
pub struct Content {
    /// A short line: an email's subject, a push's heading.
    pub title: String,
    /// Plain text. In an email it always goes along.
    pub text: String,
    /// The same as HTML, for email; whoever made it has escaped what is in it.
    pub html: Option<String>,
    /// Where a click leads.
    pub link: Option<Link>,
    /// A picture.
    pub image: Option<Link>,
    /// What the receiving app needs to know.
    pub data: Map<String, Value>,
    /// A later one with the same key replaces this one, where the provider can.
    pub collapse_key: Option<String>,
    /// For how long it is worth anything to somebody who is offline.
    pub ttl: Duration,
    /// It may wake a sleeping phone.
    pub urgent: bool,
    /// Where one request (RFC 8058) ends such emails.
    pub unsubscribe: Option<Link>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("ttl", &self.ttl).field("urgent", &self.urgent).finish_non_exhaustive()
    }
}

impl Content {
    /// The text and, on a line of its own, the link if the text does not have it already.
    pub(crate) fn text_and_link(&self) -> String {
        match &self.link {
            Some(link) if !self.text.contains(link.as_str()) => format!("{}\n\n{link}", self.text),
            _ => self.text.clone(),
        }
    }

    /// The title in one line: it becomes a header, or a parameter that may not have several.
    pub(crate) fn title_line(&self) -> String {
        one_line(&self.title)
    }
}

/// Text without line breaks and control characters, each run of space as one space.
pub(crate) fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text as HTML that shows exactly this text.
pub(crate) fn escape_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' => html.push_str("<br>\n"),
            '\r' => {}
            other => html.push(other),
        }
    }
    html
}

/// The first `chars_max` characters, the last of them an ellipsis where some are left out.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    match text.chars().count() > chars_max {
        true => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_shows_the_text_and_runs_nothing() {
        assert_eq!(
            escape_html("<script>alert('\"&')</script>\r\nHi"),
            "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;<br>\nHi"
        );
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("héllo", 5), "héllo");
        assert_eq!(cut("héllos", 5), "héll…");
    }
}
