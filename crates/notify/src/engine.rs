//! The template engine, shut in: it sees what it is given and nothing else, and stops when it works or writes too much.

use std::fmt::Write as _;
use std::io;

use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde_json::{Map, Value as Json};

use crate::config::Limits;
use crate::language::{TemplateError, check_expression, check_template};
use crate::{filters, text};

/// Templates whose name ends so make links: each value in them is percent-encoded.
pub(crate) const LINK: &str = "/link";
/// Templates whose name ends so make HTML: each value in them is escaped.
const HTML: &str = "/html";

/// Why a text could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The event lacks what the text names.
    #[error("the event has no {0}")]
    Missing(String),
    /// It takes more steps than `fuel`.
    #[error("the template takes more than {0} steps")]
    Fuel(u64),
    /// It is longer than `output_bytes_max`.
    #[error("the text has more than {0} bytes")]
    TooLarge(usize),
    /// A value does not suit the filter that it goes through, say.
    #[error("{0}")]
    Template(String),
    /// A link leads nowhere that it may.
    #[error("the link {0}")]
    Link(#[from] crate::link::InvalidLink),
    /// Nothing is left of the title.
    #[error("the title is empty")]
    EmptyTitle,
    /// There is no such rule any more.
    #[error("there is no rule {0:?}")]
    NoRule(String),
}

pub(crate) struct Engine {
    env: Environment<'static>,
    limits: Limits,
}

impl Engine {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut env = Environment::empty();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|name| if name.ends_with(HTML) { AutoEscape::Html } else { AutoEscape::None });
        env.set_fuel(Some(limits.fuel));
        env.set_formatter(write_value);
        filters::add(&mut env);
        Self { env, limits }
    }

    /// Takes a template that is part of the language.
    pub(crate) fn add(&mut self, name: String, source: &str) -> Result<(), TemplateError> {
        check_template(source)?;
        self.env.add_template_owned(name, source.to_owned()).map_err(TemplateError::Syntax)
    }

    pub(crate) fn check_expression(&self, source: &str) -> Result<(), TemplateError> {
        check_expression(source)?;
        self.env.compile_expression(source).map(|_| ()).map_err(TemplateError::Syntax)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.env.get_template(name).is_ok()
    }

    pub(crate) fn render(&self, name: &str, scope: &Map<String, Json>) -> Result<String, RenderError> {
        let template = self.env.get_template(name).map_err(|error| RenderError::Template(error.to_string()))?;
        let mut out = Bounded { text: Vec::new(), bytes_max: self.limits.output_bytes_max, full: false };
        let rendered = template.render_captured_to(Value::from(Serde(scope)), &mut out).map(|_| ());
        if out.full {
            return Err(RenderError::TooLarge(self.limits.output_bytes_max));
        }
        rendered
            .map_err(|error| self.explain(error, template.undeclared_variables(true).into_iter().collect(), scope))?;
        Ok(String::from_utf8(out.text).expect("templates and values are UTF-8"))
    }

    /// Whether the expression holds.
    pub(crate) fn holds(&self, expression: &str, scope: &Map<String, Json>) -> Result<bool, RenderError> {
        let expression =
            self.env.compile_expression(expression).map_err(|error| RenderError::Template(error.to_string()))?;
        let value = expression.eval(Value::from(Serde(scope)));
        let value = value
            .map_err(|error| self.explain(error, expression.undeclared_variables(true).into_iter().collect(), scope))?;
        if value.is_undefined() {
            let paths = expression.undeclared_variables(true).into_iter().collect();
            return Err(self.explain(Error::from(ErrorKind::UndefinedError), paths, scope));
        }
        Ok(value.is_true())
    }

    /// What the engine's error means; `paths` are what the template names.
    fn explain(&self, error: Error, mut paths: Vec<String>, scope: &Map<String, Json>) -> RenderError {
        match error.kind() {
            ErrorKind::OutOfFuel => RenderError::Fuel(self.limits.fuel),
            ErrorKind::UndefinedError => {
                paths.sort();
                match paths.into_iter().find(|path| !stands(path, scope)) {
                    Some(path) => RenderError::Missing(path),
                    None => RenderError::Template(error.to_string()),
                }
            }
            _ => RenderError::Template(error.to_string()),
        }
    }
}

/// Whether something stands at that path.
fn stands(path: &str, scope: &Map<String, Json>) -> bool {
    let mut parts = path.split('.');
    let first = parts.next().and_then(|part| scope.get(part));
    parts
        .try_fold(first, |value, part| match value {
            Some(Json::Object(map)) => Some(map.get(part)),
            // Lists and text have no names in them; whatever the template wants of them, it is not a key that is missing.
            Some(_) => Some(value),
            None => None,
        })
        .flatten()
        .is_some()
}

/// Writes a value as its place demands. Lists and objects are in no text.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        // What an `if` without its `else` is.
        ValueKind::Undefined => return Ok(()),
        ValueKind::String | ValueKind::Number | ValueKind::Bool => {}
        kind => return Err(Error::new(ErrorKind::InvalidOperation, format!("a {kind} is no text"))),
    }
    if *state.auto_escape() == AutoEscape::Html {
        return minijinja::escape_formatter(out, state, value);
    }
    let word = value.to_string();
    let word = match state.name().ends_with(LINK) {
        true if word.is_empty() => return Err(Error::new(ErrorKind::InvalidOperation, "a value in the link is empty")),
        true => percent_encoded(&word),
        false if state.lookup("transport").is_some_and(|transport| transport.as_str() == Some("whatsapp")) => {
            text::plain_for_whatsapp(&word)
        }
        false => word,
    };
    out.write_str(&word).map_err(Error::from)
}

/// All but unreserved characters (RFC 3986, section 2.3) percent-encoded: it stays within its part of a URL.
fn percent_encoded(word: &str) -> String {
    let mut encoded = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => write!(encoded, "%{byte:02X}").expect("writing to a String does not fail"),
        }
    }
    encoded
}

/// A text that takes no more than it may hold.
struct Bounded {
    text: Vec<u8>,
    bytes_max: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.bytes_max {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(name: &str, source: &str, scope: Json) -> Result<String, String> {
        let mut engine = Engine::new(Limits { fuel: 1000, output_bytes_max: 1000, ..Limits::default() });
        engine.add(name.to_owned(), source).map_err(|error| error.to_string())?;
        engine.render(name, scope.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_escaped_for_their_place() {
        let scope = json!({ "a": "<b>&\"'/ {{ x }}", "transport": "email" });
        assert_eq!(render("r/html", "{{ a }}", scope.clone()).unwrap(), "&lt;b&gt;&amp;&quot;&#x27;&#x2f; {{ x }}");
        assert_eq!(render("r/text", "{{ a }}", scope.clone()).unwrap(), "<b>&\"'/ {{ x }}");
        assert_eq!(render("r/link", "/{{ a }}", scope).unwrap(), "/%3Cb%3E%26%22%27%2F%20%7B%7B%20x%20%7D%7D");
        let scope = json!({ "a": "*x*", "transport": "whatsapp" });
        assert_eq!(render("r/text", "*{{ a }}*", scope).unwrap(), "*∗x∗*");
    }

    #[test]
    fn what_is_missing_is_named() {
        let scope = json!({ "post": { "id": 1, "tags": ["a"] } });
        for (source, missing) in [
            ("{{ post.title }}", "the event has no post.title"),
            ("{{ post.author.name }}", "the event has no post.author.name"),
            ("{{ actor.name }}", "the event has no actor.name"),
            ("{% if kind == 'a' %}x{% endif %}", "the event has no kind"),
            ("{{ post.amount | rupiah }}", "the event has no post.amount"),
            ("{% for tag in tags %}{{ tag }}{% endfor %}", "the event has no tags"),
        ] {
            assert_eq!(render("r/text", source, scope.clone()).unwrap_err(), missing, "{source}");
        }
        assert_eq!(render("r/text", "{{ post.title | default('-') }}", scope.clone()).unwrap(), "-");
        assert!(render("r/text", "{{ post }}", scope.clone()).unwrap_err().contains("a map is no text"));
        assert!(render("r/text", "{{ post.tags | rupiah }}", scope).unwrap_err().contains("sequence is not a number"));
    }

    #[test]
    fn work_and_output_are_bounded() {
        let many = json!({ "many": vec!["xxxxxxxxxx"; 100] });
        let nested = "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}";
        assert_eq!(render("r/text", nested, many.clone()).unwrap_err(), "the template takes more than 1000 steps");
        let long = "{% for a in many %}{{ a }}{{ a }}{% endfor %}";
        assert_eq!(render("r/text", long, many).unwrap_err(), "the text has more than 1000 bytes");
    }
}
