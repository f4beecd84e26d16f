//! What a reader gets by one transport: title, text and link in their language, cut to what the transport takes.

use chrono_tz::Tz;
use protocol::notification::Transport;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::RenderError;
use crate::layout::{self, Email};
use crate::planned::Planned;
use crate::rule::{Rule, template_name};
use crate::rules::Rules;
use crate::text::{lines, one_line, plain_for_whatsapp, truncate, truncate_bytes};
use crate::{Limits, Locale, link};

/// Whom a text is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Their language.
    pub locale: Locale,
    /// Where their clock is.
    pub time_zone: Tz,
    /// What they are called; empty if nobody knows.
    pub name: String,
    /// Where a click ends such emails. Anything but a web address is left out.
    pub unsubscribe_url: Option<String>,
}

/// A text for one reader and one transport. The JSON is what stands with a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// One line; an email's subject. Never empty.
    pub title: String,
    /// What it says, in lines. On WhatsApp with the title, in bold, and the link; in an email the text part.
    pub text: String,
    /// An email's HTML part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Where a click leads: absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Rules {
    /// A reader by what is stored of them: what is not said or not known is the app's default.
    pub fn reader(&self, locale: Option<&str>, time_zone: Option<&str>, name: &str) -> Reader {
        Reader {
            locale: locale.and_then(Locale::of_tag).unwrap_or(self.locale),
            time_zone: time_zone.and_then(|zone| zone.parse().ok()).unwrap_or(self.time_zone),
            name: name.to_owned(),
            unsubscribe_url: None,
        }
    }

    /// What the reader is told by this transport. A rule without texts in the reader's language has them in the other.
    ///
    /// [`Rules::plan`] has rendered each text once, so an error here means that the rules have changed since.
    pub fn render(&self, planned: &Planned, transport: Transport, reader: &Reader) -> Result<Content, RenderError> {
        let rule = self.rule(&planned.rule).ok_or_else(|| RenderError::NoRule(planned.rule.clone()))?;
        self.render_rule(rule, &planned.scope, transport, reader)
    }

    pub(crate) fn render_rule(
        &self,
        rule: &Rule,
        scope: &Map<String, Value>,
        transport: Transport,
        reader: &Reader,
    ) -> Result<Content, RenderError> {
        let locale = if rule.has_texts(reader.locale) { reader.locale } else { reader.locale.other() };
        let mut scope = scope.clone();
        scope.insert("transport".into(), transport.as_str().into());
        let name = one_line(&crate::text::clean(&reader.name));
        let zone = reader.time_zone.name();
        scope.insert("reader".into(), json!({ "name": name, "locale": locale.as_str(), "timeZone": zone }));
        let link = match rule.link() {
            true => Some(self.base_url.resolve(&self.engine.render(&template_name::link(&rule.name), &scope)?)?),
            false => None,
        };
        let part = |part| {
            let other = template_name::other(&rule.name, locale, transport, part);
            let own = template_name::text(&rule.name, locale, part);
            self.engine.render(if self.engine.has(&other) { &other } else { &own }, &scope)
        };
        let title = one_line(&part("title")?);
        if title.is_empty() {
            return Err(RenderError::EmptyTitle);
        }
        let plain = Plain { title, text: lines(&part("text")?), link };
        match transport {
            Transport::InApp => Ok(plain.in_app(&self.limits)),
            Transport::Push => Ok(plain.push(&self.limits)),
            Transport::Whatsapp => Ok(plain.whatsapp(&self.limits)),
            Transport::Email => {
                let unsubscribe = reader.unsubscribe_url.as_deref().and_then(link::web);
                let content = plain.in_app(&self.limits);
                let email = Email {
                    locale,
                    title: &content.title,
                    text: &content.text,
                    link: content.link.as_deref(),
                    unsubscribe: unsubscribe.as_deref(),
                };
                let (html, text) = (layout::html(&self.engine, &email)?, layout::text(&email));
                Ok(Content { text, html: Some(html), ..content })
            }
        }
    }
}

/// What the templates made.
struct Plain {
    title: String,
    text: String,
    link: Option<String>,
}

impl Plain {
    fn in_app(self, limits: &Limits) -> Content {
        Content {
            title: truncate(&self.title, limits.title_chars_max),
            text: truncate(&self.text, limits.text_chars_max),
            html: None,
            link: self.link,
        }
    }

    fn push(self, limits: &Limits) -> Content {
        let title = truncate_bytes(&truncate(&self.title, limits.push_title_chars_max), limits.push_bytes_max / 2);
        // A link that leaves no room for words is worth less than they are.
        let link = self.link.filter(|link| link.len() + title.len() <= limits.push_bytes_max);
        let room = limits.push_bytes_max - title.len() - link.as_ref().map_or(0, String::len);
        let text = truncate_bytes(&truncate(&one_line(&self.text), limits.push_text_chars_max), room);
        Content { title, text, html: None, link }
    }

    fn whatsapp(self, limits: &Limits) -> Content {
        let title = truncate(&self.title, limits.title_chars_max);
        // In bold as a whole, so that no mark within ends it.
        let head = format!("*{}*", plain_for_whatsapp(&title));
        let foot = self.link.as_ref().map(|link| format!("\n\n{link}")).unwrap_or_default();
        let room = limits.whatsapp_chars_max.saturating_sub(head.chars().count() + foot.chars().count() + 1);
        let text = truncate(&self.text, room.min(limits.text_chars_max));
        let text = if text.is_empty() { format!("{head}{foot}") } else { format!("{head}\n{text}{foot}") };
        Content { title, text, html: None, link: self.link }
    }
}
