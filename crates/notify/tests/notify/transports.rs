//! The same words as each transport takes them.

use notify::{Content, Limits, Rules, TriggersConfig};
use protocol::notification::Transport::{self, Email, InApp, Push, Whatsapp};
use serde_json::{Value, json};

use crate::{event, planned};

/// A rule whose title and text are what the event says.
const SAY: &str = r#"
base_url = "https://app.example"
[[rules]]
name = "say"
event = "say"
recipients = "to"
type = "SYSTEM"
link = "/say/{{ id }}"
transports = ["in_app", "push", "email", "whatsapp"]
texts.id = { title = "Kabar: {{ title }}", text = "{{ text }}" }
texts.en = { title = "News: {{ title }}", text = "{{ text }}" }
"#;

fn say(limits: Limits) -> Rules {
    let config: TriggersConfig = toml::from_str(SAY).unwrap();
    Rules::new(&config, limits).unwrap()
}

fn content(transport: Transport, data: Value) -> Content {
    let rules = say(Limits::default());
    let planned = planned(&rules, &event("say", data));
    let mut reader = rules.reader(Some("id"), None, "Budi");
    reader.unsubscribe_url = Some("https://app.example/unsubscribe?t=x&u=1".to_owned());
    rules.render(&planned, transport, &reader).unwrap()
}

#[test]
fn an_email_has_a_text_part_and_an_html_part() {
    let content =
        content(Email, json!({ "to": 1, "id": 7, "title": "a <b> & c", "text": "satu\ndua\n\n\n\ntiga <i>" }));
    assert_eq!(content.title, "Kabar: a <b> & c");
    assert_eq!(
        content.text,
        "satu\ndua\n\ntiga <i>\n\nBuka: https://app.example/say/7\n\n-- \n\
         Anda menerima email ini karena pengaturan notifikasi Anda.\n\
         Berhenti berlangganan: https://app.example/unsubscribe?t=x&u=1"
    );
    let html = content.html.unwrap();
    for part in [
        "<html lang=\"id\">",
        "<title>Kabar: a &lt;b&gt; &amp; c</title>",
        ">satu<br>dua</p>",
        ">tiga &lt;i&gt;</p>",
        "<a href=\"https:&#x2f;&#x2f;app.example&#x2f;say&#x2f;7\"",
        ">Buka</a>",
        "unsubscribe?t=x&amp;u=1\"",
        ">Berhenti berlangganan</a>",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
}

#[test]
fn an_email_without_an_address_to_unsubscribe_says_nothing_of_it() {
    let rules = say(Limits::default());
    let planned = planned(&rules, &event("say", json!({ "to": 1, "id": 7, "title": "a", "text": "b" })));
    for url in [None, Some("javascript:alert(1)"), Some("/unsubscribe")] {
        let mut reader = rules.reader(Some("en"), None, "");
        reader.unsubscribe_url = url.map(str::to_owned);
        let content = rules.render(&planned, Email, &reader).unwrap();
        assert_eq!(content.text, "b\n\nOpen: https://app.example/say/7");
        assert!(!content.html.unwrap().contains("nsubscribe"));
    }
}

#[test]
fn a_push_is_cut_to_what_providers_take() {
    let content =
        content(Push, json!({ "to": 1, "id": 7, "title": "j".repeat(500), "text": "satu\ndua ".repeat(500) }));
    assert_eq!(content.title.chars().count(), 80);
    assert!(content.title.ends_with("j…") && content.text.ends_with('…'));
    assert!(content.text.starts_with("satu dua satu") && content.text.chars().count() <= 240);

    // Four bytes a character: the bytes are what counts, and no character is taken apart.
    let rules = say(Limits { push_bytes_max: 200, ..Limits::default() });
    let flags = event("say", json!({ "to": 1, "id": 7, "title": "x", "text": "👨‍👩‍👧".repeat(50) }));
    let cut = rules.render(&planned(&rules, &flags), Push, &rules.reader(None, None, "")).unwrap();
    assert!(cut.title.len() + cut.text.len() + cut.link.unwrap().len() <= 200);
    assert_eq!(cut.text.replace("👨‍👩‍👧", ""), "…");
    assert!(cut.text.len() > 100);
}

#[test]
fn whatsapp_has_a_bold_title_and_no_other_marks_of_strangers() {
    let data = json!({ "to": 1, "id": 7, "title": "*penting*", "text": "_halo_ ~budi_s~ ```x``` *tebal*" });
    assert_eq!(
        content(Whatsapp, data).text,
        "*Kabar: ∗penting∗*\nˍhaloˍ ∼budi_s∼ ˋˋˋxˋˋˋ ∗tebal∗\n\nhttps://app.example/say/7"
    );
    let long = content(Whatsapp, json!({ "to": 1, "id": 7, "title": "x", "text": "kata ".repeat(2000) }));
    assert!(long.text.chars().count() <= 4096 && long.text.ends_with("…\n\nhttps://app.example/say/7"));
}

#[test]
fn the_app_keeps_lines_and_cuts_what_is_too_long() {
    let content = content(InApp, json!({ "to": 1, "id": 7, "title": "satu\ndua", "text": "a\r\nb\n\n\n\nc" }));
    assert_eq!((content.title.as_str(), content.text.as_str()), ("Kabar: satu dua", "a\nb\n\nc"));
    let long = self::content(InApp, json!({ "to": 1, "id": 7, "title": "t".repeat(999), "text": "x".repeat(9999) }));
    assert_eq!((long.title.chars().count(), long.text.chars().count()), (150, 4000));
}

#[test]
fn the_json_of_content_is_what_a_delivery_holds() {
    let content = content(InApp, json!({ "to": 1, "id": 7, "title": "a", "text": "b" }));
    let json = json!({ "title": "Kabar: a", "text": "b", "link": "https://app.example/say/7" });
    assert_eq!(serde_json::to_value(content).unwrap(), json);
}
