//! What a configuration may say, and how it is told what it may not.

use protocol::notification::Transport::{Email, InApp, Push};
use serde_json::json;

use crate::{event, now, planned, rules, rules_with};

const RULE: &str = r#"
[types]
LIVE_STARTED = "live"

[[rules]]
name = "live.started"
event = "live.started"
recipients = "followers"
exclude = ["actor.id", "live.mutedBy"]
when = "live.public and live.viewers > 10"
type = "LIVE_STARTED"
link = "/live/{{ live.id }}"
transports = ["pusher", "email"]
delay_seconds = { email = 60 }
expires_seconds = 120
[rules.texts.en]
title = "{{ actor.name }} is live"
text = "{{ live.viewers }} {{ live.viewers | plural('viewer', 'viewers') }}, {{ live.hours | default('no end') }}"
[rules.texts.en.email]
title = "Hello {{ reader.name }}, {{ actor.name }} is live"
"#;

/// The rule with one line changed.
fn with(line: &str, instead: &str) -> String {
    assert!(RULE.contains(line), "{line}");
    RULE.replace(line, instead)
}

#[test]
fn an_app_writes_its_own_rule() {
    let rules = rules_with(RULE).unwrap();
    let live = |viewers: u32| json!({ "id": 9, "public": true, "viewers": viewers, "mutedBy": ["c"] });
    let data = |viewers| json!({ "followers": ["ani", "b", "c", "d", "b"], "live": live(viewers) });
    assert_eq!(rules.plan(&event("live.started", data(10)), now()).unwrap(), []);
    let actions = rules.plan(&event("live.started", data(11)), now()).unwrap();
    assert_eq!(actions.len(), 2, "b and d: {actions:?}");
    let planned = planned(&rules, &event("live.started", data(11)));
    assert_eq!((planned.r#type.as_str(), planned.category.as_str()), ("LIVE_STARTED", "live"));
    assert_eq!((planned.transports[1].send_at - now()).num_seconds(), 60);
    // There are no texts in Indonesian: better English than nothing.
    let reader = rules.reader(Some("id"), None, "Budi");
    let content = rules.render(&planned, InApp, &reader).unwrap();
    assert_eq!((content.title.as_str(), content.text.as_str()), ("Ani is live", "11 viewers, no end"));
    assert_eq!(rules.render(&planned, Email, &reader).unwrap().title, "Hello Budi, Ani is live");
}

#[test]
fn a_built_in_rule_is_left_out_or_replaced() {
    let rules = rules_with("without = [\"user.followed\"]").unwrap();
    assert!(!rules.knows("user.followed") && rules.knows("comment.created"));
    let rules = rules_with(
        r#"
        [[rules]]
        name = "user.followed"
        event = "user.followed"
        recipients = "user.id"
        type = "FOLLOWER"
        transports = ["in_app"]
        texts.id = { title = "Hai", text = "{{ actor.name }}" }
        "#,
    )
    .unwrap();
    let planned = planned(&rules, &event("user.followed", json!({ "user": { "id": 1 } })));
    let content = rules.render(&planned, InApp, &rules.reader(None, None, "")).unwrap();
    assert_eq!((content.title.as_str(), content.link), ("Hai", None));
    assert_eq!(rules.plan(&event("user.followed", json!({ "user": { "id": 1 } })), now()).unwrap().len(), 1);
}

#[test]
fn what_a_rule_may_not_say_is_told_with_its_name_and_key() {
    let cases = [
        ("name = \"live.started\"", "name = \"Live\"", "rule Live: name: "),
        ("event = \"live.started\"", "event = \"a..b\"", "rule live.started: event: "),
        ("recipients = \"followers\"", "", "rule live.started: recipients: one of "),
        ("recipients = \"followers\"", "recipients = \"a[0]\"", "rule live.started: recipients: \"a[0]\" is no path"),
        ("recipients = \"followers\"", "recipients = \"a\"\nmembers = \"b\"", "rule live.started: recipients: one of "),
        (
            "recipients = \"followers\"",
            "subscribers = { target_type = \"group\", target_id = \"id\" }",
            "rule live.started: subscribers.target_type: ",
        ),
        ("\"live.mutedBy\"", "\"live.\"", "rule live.started: exclude: "),
        ("live.viewers > 10", "live.viewers >", "rule live.started: when: syntax error"),
        ("live.viewers > 10", "range(9)", "rule live.started: when: line 1: a call is not part"),
        ("type = \"LIVE_STARTED\"", "type = \"LIVE\"", "rule live.started: type: there is no type \"LIVE\""),
        ("link = \"/live", "link = \"javascript:", "rule live.started: link: must begin with / "),
        ("link = \"/live/{{ live.id }}\"", "link = \"{{ url }}\"", "rule live.started: link: must begin with / "),
        ("link = \"/live/{{ live.id }}\"", "link = \"/{{ a \"", "rule live.started: link: syntax error"),
        ("\"pusher\", \"email\"", "\"email\", \"email\"", "rule live.started: transports: each at most once"),
        ("\"pusher\", \"email\"", "", "rule live.started: transports: "),
        ("{ email = 60 }", "{ push = 60 }", "rule live.started: delay_seconds: push must be one of transports"),
        ("{ email = 60 }", "{ email = 99999999 }", "rule live.started: delay_seconds: "),
        ("expires_seconds = 120", "expires_seconds = 60", "rule live.started: expires_seconds: must be longer"),
        (
            "{{ actor.name }} is live\"\ntext",
            "{{ actor.name }\"\ntext",
            "rule live.started: texts.en.title: syntax error",
        ),
        ("plural('viewer', 'viewers')", "plural('viewer')", "rule live.started: texts.en.text: line 1: plural takes 2"),
        (
            "live.hours | default('no end')",
            "live | tojson",
            "rule live.started: texts.en.text: line 1: there is no filter",
        ),
        ("Hello {{ reader.name }}", "{{ 'x' * 9 }}", "rule live.started: texts.en.email.title: line 1: * is not part"),
        ("\"{{ actor.name }} is live\"\ntext", "\" \"\ntext", "rule live.started: texts.en.title: is empty"),
        ("LIVE_STARTED = \"live\"", "live_started = \"live\"", "types: \"live_started\" is no type"),
        ("LIVE_STARTED = \"live\"", "COMMENT = \"live\"", "types: COMMENT is a type that every app has"),
        ("LIVE_STARTED = \"live\"", "LIVE_STARTED = \"Live\"", "types: \"Live\" is no category"),
    ];
    for (line, instead, error) in cases {
        let told = rules_with(&with(line, instead)).err().unwrap_or_else(|| panic!("{instead} is taken"));
        assert!(told.starts_with(error), "{instead}: {told}");
    }
}

#[test]
fn unknown_keys_and_names_are_refused() {
    for (more, error) in [
        ("basurl = \"x\"", "unknown field `basurl`"),
        ("without = [\"user.folowed\"]", "without: there is no built-in rule \"user.folowed\""),
        ("time_zone = \"Asia/Jakata\"", "time_zone: there is no time zone \"Asia/Jakata\""),
        ("locale = \"fr\"", "unknown variant `fr`"),
        (&with("when = ", "wen = "), "unknown field `wen`"),
        (&with("\"email\"]", "\"fax\"]"), "unknown variant `fax`"),
        (&with("[rules.texts.en.email]", "[rules.texts.en.mail]"), "unknown field `mail`"),
        (&with("rules.texts.en", "rules.texts.fr"), "unknown field `fr`"),
        (
            &format!("{RULE}\n{}", RULE.split_once("[[rules]]").map(|(_, rule)| format!("[[rules]]{rule}")).unwrap()),
            "rule live.started: name: another",
        ),
    ] {
        let told = rules_with(more).err().unwrap_or_else(|| panic!("{more} is taken"));
        assert!(told.contains(error), "{told}");
    }
}

#[test]
fn the_documents_examples_are_taken() {
    let document = include_str!("../../../../docs/triggers.md");
    let block = |kind: &str| document.split_once(&format!("```{kind}\n")).unwrap().1.split_once("```").unwrap().0;
    let config: notify::TriggersConfig = toml::from_str(block("toml")).unwrap();
    let rules = notify::Rules::new(&config, Default::default()).unwrap();
    assert!(rules.knows("live.started") && !rules.knows("user.followed"));
    let created: notify::DomainEvent = serde_json::from_str(block("json")).unwrap();
    assert_eq!(rules.plan(&created, now()).unwrap().len(), 1);
}

#[test]
fn a_base_url_is_an_address_of_the_web() {
    for bad in ["", "app.example", "javascript:alert(1)", "https://a@b.example", "https://a.example/?x=1"] {
        let config = toml::from_str(&format!("base_url = {bad:?}")).unwrap();
        let error = notify::Rules::new(&config, Default::default()).err().unwrap().to_string();
        assert!(error.starts_with("base_url: must be http:// or https://"), "{error}");
    }
}

#[test]
fn a_reader_who_has_said_nothing_reads_as_the_app_does() {
    let rules = rules_with("locale = \"en\"\ntime_zone = \"Asia/Makassar\"").unwrap();
    let reader = rules.reader(Some("jv"), Some("Mars/Olympus"), "x");
    assert_eq!((reader.locale.as_str(), reader.time_zone.name()), ("en", "Asia/Makassar"));
    let reader = crate::rules().reader(None, None, "x");
    assert_eq!((reader.locale.as_str(), reader.time_zone.name()), ("id", "Asia/Jakarta"));
}

#[test]
fn a_rule_that_is_gone_has_no_texts() {
    let planned = planned(&rules(), &event("user.followed", json!({ "user": { "id": 1 } })));
    let without = rules_with("without = [\"user.followed\"]").unwrap();
    let error = without.render(&planned, Push, &without.reader(None, None, "")).unwrap_err();
    assert_eq!(error.to_string(), "there is no rule \"user.followed\"");
}
