//! Whatever strangers write, it stays words.

use notify::{DomainEvent, Rules};
use proptest::prelude::*;
use protocol::notification::Transport::{self, Email, InApp, Push, Whatsapp};
use serde_json::{Value, json};

use crate::{now, planned, rules, rules_with};

const PAYLOADS: [&str; 17] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></p><a href=\"javascript:alert(1)\">x</a>",
    "javascript:alert(1)",
    "data:text/html,<script>",
    "{{ config }}",
    "{{ 7 * 7 }}{% for a in b %}",
    "{% raw %}{# x #}",
    "a\r\nBcc: victim@example.com",
    "a\0b\u{1b}[31m\u{7f}",
    "\u{202E}gnp.exe\u{2066}\u{2028}x\u{FEFF}",
    "//evil.example/..",
    "../../admin?x=1#y",
    "\\\\evil.example",
    "*bold* _it_ ~no~ ```code```",
    "%00%0d%0a%2e%2e%2f",
];

/// How the layout begins a paragraph.
const PARAGRAPH: &str = "p style=\"margin:0 0 16px;color:#18181b\"";

/// A rule of which every place is a stranger's.
fn all_of_it() -> Rules {
    rules_with(
        r#"
        [[rules]]
        name = "say"
        event = "say"
        recipients = "to"
        type = "SYSTEM"
        link = "/say/{{ value }}?q={{ value }}#{{ value }}"
        transports = ["in_app", "push", "email", "whatsapp"]
        texts.id = { title = "T {{ value }}", text = "{{ value }}\n{{ actor.name }} {{ value | upper }} {{ value | truncate(9) }}" }
        "#,
    )
    .unwrap()
}

fn say(value: &str) -> DomainEvent {
    let event = json!({
        "id": "e", "name": "say", "actor": { "id": "a", "name": value }, "data": { "to": "b", "value": value },
        "occurredAt": "2026-11-20T00:00:00Z",
    });
    serde_json::from_value(event).unwrap()
}

/// The tags of an HTML text, without what stands between them.
fn tags(html: &str) -> Vec<String> {
    html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or("").to_owned()).collect()
}

fn check(rules: &Rules, value: &str) {
    let planned = planned(rules, &say(value));
    let harmless = self::planned(rules, &say("harmless"));
    let mut reader = rules.reader(None, None, value);
    reader.unsubscribe_url = Some(value.to_owned());
    for transport in Transport::ALL {
        let content = rules.render(&planned, transport, &reader).unwrap();
        assert!(!content.title.chars().any(char::is_control), "{:?}", content.title);
        assert!(content.text.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", content.text);
        for direction in ['\u{202E}', '\u{2066}', '\u{200F}', '\u{2028}'] {
            assert!(!content.title.contains(direction) && !content.text.contains(direction));
        }
        let link = content.link.unwrap();
        assert!(link.starts_with("https://app.example/say/"), "{link}");
        assert_eq!(link.matches(['?', '#']).count(), 2, "{link}");
        assert!(link.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'\\`".contains(&byte)), "{link}");
        match transport {
            Email => {
                // The same tags with the same attributes, whatever the words, but for more paragraphs, more lines, and
                // the address of the link.
                let plain = rules.render(&harmless, Email, &reader).unwrap().html.unwrap();
                let attributes = |html: &str| -> Vec<String> {
                    let mut tags = tags(html);
                    tags.retain(|tag| !matches!(tag.as_str(), "br" | "/p" | PARAGRAPH));
                    tags.iter().map(|tag| tag.split("say&#x2f;").next().unwrap().to_owned()).collect()
                };
                assert_eq!(attributes(&content.html.unwrap()), attributes(&plain), "{value:?}");
            }
            Whatsapp => {
                let first = content.text.lines().next().unwrap();
                assert!(first.starts_with('*') && first.ends_with('*'), "{first}");
                assert!(!content.text.contains('`'), "{}", content.text);
            }
            InApp | Push => assert_eq!(content.html, None),
        }
    }
}

#[test]
fn hostile_words_stay_words_in_every_place() {
    let rules = all_of_it();
    for value in PAYLOADS {
        check(&rules, value);
    }
}

#[test]
fn braces_of_strangers_are_no_template() {
    let rules = all_of_it();
    let content = rules.render(&planned(&rules, &say("{{ 7*7 }}")), InApp, &rules.reader(None, None, "")).unwrap();
    assert_eq!(content.title, "T {{ 7*7 }}");
}

#[test]
fn a_name_of_several_lines_does_not_speak_for_us() {
    let rules = all_of_it();
    let event = json!({
        "id": "e", "name": "comment.created", "actor": { "id": "a", "name": "Ani\n\nBayar: Rp 5\u{2028}" },
        "data": { "post": { "id": 1, "authorId": "b" } }, "occurredAt": "2026-11-20T00:00:00Z",
    });
    let planned = planned(&rules, &serde_json::from_value(event).unwrap());
    let content = rules.render(&planned, InApp, &rules.reader(None, None, "")).unwrap();
    assert_eq!(content.text, "Ani Bayar: Rp 5 mengomentari postingan Anda");
}

#[test]
fn a_link_does_not_climb() {
    let error = rules().plan(&followed_by(".."), now()).unwrap_err().to_string();
    assert!(error.contains("the link leads nowhere: \"/users/..\""), "{error}");
    let whole = rules().plan(&followed_by("../../admin?x#y"), now()).unwrap();
    assert_eq!(whole.len(), 1);
}

fn followed_by(id: &str) -> DomainEvent {
    let event = json!({
        "id": "e", "name": "user.followed", "actor": { "id": id, "name": "x" }, "data": { "user": { "id": "b" } },
        "occurredAt": "2026-11-20T00:00:00Z",
    });
    serde_json::from_value(event).unwrap()
}

#[test]
fn a_megabyte_is_no_event() {
    let event = |value: &str| json!({ "id": "e", "name": "say", "data": { "value": value }, "occurredAt": "2026-11-20T00:00:00Z" });
    let parse = |event: Value| serde_json::from_value::<DomainEvent>(event);
    assert!(parse(event(&"x".repeat(60_000))).is_ok());
    assert!(parse(event(&"x".repeat(1 << 20))).unwrap_err().to_string().contains("data: has 1048"));
}

#[test]
fn the_longest_words_that_an_event_may_have_are_cut_or_refused_with_a_reason() {
    let rules = rules();
    let earned = |title: String| {
        let data = json!({ "user": { "id": "b" }, "achievement": { "title": title } });
        crate::event("achievement.earned", data)
    };
    for long in
        ["x".repeat(60_000), "é".repeat(30_000), "e\u{301}".repeat(20_000), "<".repeat(60_000), "\n".repeat(30_000)]
    {
        let planned = planned(&rules, &earned(long));
        for transport in [InApp, Push] {
            let content = rules.render(&planned, transport, &rules.reader(None, None, "")).unwrap();
            assert!(content.text.chars().count() <= 4000);
        }
    }
    let texts = r#"
        [[rules]]
        name = "say"
        event = "say"
        recipients = "to"
        type = "SYSTEM"
        transports = ["in_app"]
        texts.id = { title = "x", text = "{% for a in many %}{% for b in many %}{{ value }}{% endfor %}{% endfor %}" }
    "#;
    let rules = rules_with(texts).unwrap();
    let say = |many: usize, value: usize| {
        crate::event("say", json!({ "to": "b", "many": vec![1; many], "value": "v".repeat(value) }))
    };
    let error = |event| rules.plan(&event, now()).unwrap_err().to_string();
    assert_eq!(error(say(1000, 1)), "rule say: texts.id, in_app: the template takes more than 10000 steps");
    assert_eq!(error(say(20, 1000)), "rule say: texts.id, in_app: the text has more than 131072 bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_words_escape(value in "[<>\"'&{}%/\\\\*_~`a\\PC\u{0}\r\n\u{202E}.:#?]{1,40}") {
        prop_assume!(!matches!(value.as_str(), "." | ".."));
        let plain = value.chars().any(|c| c.is_alphanumeric());
        // A value of which nothing is left once it is clean makes no link.
        let rules = all_of_it();
        if plain {
            check(&rules, &value);
        } else if let Err(error) = rules.plan(&say(&value), now()) {
            prop_assert!(error.to_string().contains("link"));
        }
    }
}
