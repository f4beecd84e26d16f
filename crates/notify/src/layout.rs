//! How an email looks: one layout for all, its only HTML. What rules write are texts, and they are escaped into it.

use serde_json::{Map, json};

use crate::Locale;
use crate::engine::{Engine, RenderError};

/// The layout's name among the templates; the ending is what makes them escape.
const LAYOUT: &str = "layout/html";

/// What an email says.
pub(crate) struct Email<'a> {
    pub(crate) locale: Locale,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    /// Checked to be a web address.
    pub(crate) link: Option<&'a str>,
    /// Checked to be a web address.
    pub(crate) unsubscribe: Option<&'a str>,
}

/// What the layout says by itself.
struct Words {
    open: &'static str,
    why: &'static str,
    stop: &'static str,
}

fn words(locale: Locale) -> Words {
    match locale {
        Locale::Id => Words {
            open: "Buka",
            why: "Anda menerima email ini karena pengaturan notifikasi Anda.",
            stop: "Berhenti berlangganan",
        },
        Locale::En => Words {
            open: "Open",
            why: "You receive this email because of your notification settings.",
            stop: "Unsubscribe",
        },
    }
}

pub(crate) fn add(engine: &mut Engine) {
    engine.add(LAYOUT.to_owned(), include_str!("layout.html")).expect("the layout is a template");
}

/// The HTML part.
pub(crate) fn html(engine: &Engine, email: &Email<'_>) -> Result<String, RenderError> {
    let words = words(email.locale);
    let paragraphs: Vec<Vec<&str>> = email.text.split("\n\n").map(|paragraph| paragraph.lines().collect()).collect();
    let scope = json!({
        "locale": email.locale.as_str(), "title": email.title, "paragraphs": paragraphs, "link": email.link,
        "unsubscribe": email.unsubscribe, "open": words.open, "why": words.why, "stop": words.stop,
    });
    let empty = Map::new();
    engine.render(LAYOUT, scope.as_object().unwrap_or(&empty))
}

/// The text part: the same words.
pub(crate) fn text(email: &Email<'_>) -> String {
    let words = words(email.locale);
    let mut text = email.text.to_owned();
    if let Some(link) = email.link {
        text.push_str(&format!("\n\n{}: {link}", words.open));
    }
    if let Some(unsubscribe) = email.unsubscribe {
        text.push_str(&format!("\n\n-- \n{}\n{}: {unsubscribe}", words.why, words.stop));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn strangers_cannot_write_html() {
        let mut engine = Engine::new(Limits::default());
        add(&mut engine);
        let email = Email {
            locale: Locale::En,
            title: "</title><script>alert(1)</script>",
            text: "<img src=x onerror=alert(1)>\n\" onmouseover=\"x\n\n{{ link }}",
            link: Some("https://a.example/?a=1&b=%22"),
            unsubscribe: Some("https://a.example/u"),
        };
        let html = html(&engine, &email).unwrap();
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("\" onmouseover"), "{html}");
        assert!(html.contains("<br>&quot; onmouseover=&quot;x</p>"), "{html}");
        assert!(html.contains("{{ link }}</p>") && html.contains(">Unsubscribe</a>"), "{html}");
        assert!(html.contains("href=\"https:&#x2f;&#x2f;a.example&#x2f;?a=1&amp;b=%22\""), "{html}");
    }
}
