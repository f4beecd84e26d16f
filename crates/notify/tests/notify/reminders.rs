//! Reminders: planned, planned anew, cancelled.

use notify::{Action, DomainEvent, Planned};
use serde_json::json;

use crate::{at, event, rules, rules_with};

fn webinar(name: &str, starts_at: &str) -> DomainEvent {
    event(name, json!({ "event": { "id": "e", "title": "Webinar", "startsAt": starts_at } }))
}

fn replanned(action: Action) -> Vec<Planned> {
    match action {
        Action::Replan { key, as_of, planned } => {
            assert_eq!((key.as_str(), as_of), ("event:e", at("2026-11-20T00:00:00Z")));
            planned
        }
        other => panic!("{other:?}"),
    }
}

fn times(planned: &[Planned]) -> Vec<String> {
    planned.iter().map(|planned| planned.transports[0].send_at.to_rfc3339()).collect()
}

#[test]
fn an_event_is_reminded_of_three_times() {
    let rules = rules();
    let scheduled = webinar("event.scheduled", "2026-11-23T14:30:00+07:00");
    let planned = replanned(rules.plan(&scheduled, at("2026-11-20T00:00:00Z")).unwrap().remove(0));
    assert_eq!(
        times(&planned),
        ["2026-11-22T07:30:00+00:00", "2026-11-23T06:30:00+00:00", "2026-11-23T07:15:00+00:00"]
    );
    assert_eq!(planned[2].transports[1].expires_at.unwrap(), at("2026-11-23T07:30:00Z"));
    let keys: Vec<_> = planned.iter().map(|planned| planned.dedupe.as_str()).collect();
    assert_eq!(keys, ["event.reminder/evt_1/1440", "event.reminder/evt_1/60", "event.reminder/evt_1/15"]);
    let reader = rules.reader(Some("id"), Some("Asia/Jayapura"), "");
    let texts =
        planned.iter().map(|of| rules.render(of, protocol::notification::Transport::Push, &reader).unwrap().text);
    assert_eq!(
        texts.collect::<Vec<_>>(),
        [
            "Webinar dimulai dalam 24 jam: Senin, 23 November 2026 pukul 16.30",
            "Webinar dimulai dalam 1 jam: Senin, 23 November 2026 pukul 16.30",
            "Webinar dimulai dalam 15 menit: Senin, 23 November 2026 pukul 16.30",
        ]
    );
}

#[test]
fn a_reminder_that_would_have_been_before_is_left_out() {
    let rules = rules();
    let moved = webinar("event.moved", "2026-11-23T07:30:00Z");
    let left = |now: &str| times(&replanned(rules.plan(&moved, at(now)).unwrap().remove(0)));
    assert_eq!(left("2026-11-22T07:29:59Z").len(), 3);
    assert_eq!(left("2026-11-22T07:30:00Z"), ["2026-11-23T06:30:00+00:00", "2026-11-23T07:15:00+00:00"]);
    assert_eq!(left("2026-11-23T07:14:59Z"), ["2026-11-23T07:15:00+00:00"]);
    // Nothing is left to tell, but what waits is cancelled all the same.
    assert!(left("2026-11-23T07:15:00Z").is_empty());
    assert!(left("2027-01-01T00:00:00Z").is_empty());
}

#[test]
fn a_cancelled_event_cancels_by_its_id_alone() {
    let rules = rules();
    let cancelled = event("event.cancelled", json!({ "event": { "id": "e" } }));
    let as_of = at("2026-11-20T00:00:00Z");
    assert_eq!(rules.plan(&cancelled, as_of).unwrap(), [Action::Cancel { key: "event:e".into(), as_of }]);
    let nameless = rules.plan(&event("event.cancelled", json!({})), as_of).unwrap_err();
    assert_eq!(nameless.to_string(), "rule event.reminder: reminders.key: the event has no event.id");
}

#[test]
fn an_hour_before_is_an_hour_before_also_when_clocks_change() {
    let rules = rules();
    // In Berlin clocks go forward in the night of 29 March: 24 hours before 10:00 is 09:00 there.
    let scheduled = webinar("event.scheduled", "2027-03-28T10:00:00+02:00");
    let planned = replanned(rules.plan(&scheduled, at("2026-11-20T00:00:00Z")).unwrap().remove(0));
    assert_eq!(times(&planned)[0], "2027-03-27T08:00:00+00:00");
    let reader = rules.reader(Some("en"), Some("Europe/Berlin"), "");
    let content = rules.render(&planned[0], protocol::notification::Transport::InApp, &reader).unwrap();
    assert_eq!(content.text, "Webinar starts in 24 hours: Sunday, 28 March 2027 at 10:00");
}

#[test]
fn a_start_without_zone_or_sense_is_named() {
    for starts_at in ["2026-11-23T14:30:00", "2026-11-23", "besok", ""] {
        let error = rules().plan(&webinar("event.scheduled", starts_at), at("2026-11-20T00:00:00Z")).unwrap_err();
        assert!(
            error.to_string().starts_with("rule event.reminder: event.startsAt is no time with its zone"),
            "{error}"
        );
    }
}

#[test]
fn reminders_whose_condition_no_longer_holds_are_cancelled() {
    let rules = rules_with(
        r#"
        without = ["event.reminder"]
        [[rules]]
        name = "class.reminder"
        event = "class.scheduled"
        recipients = "class.students"
        equals = { "class.status" = "OPEN" }
        type = "EVENT_REMINDER"
        transports = ["push"]
        reminders = { at = "class.startsAt", minutes_before = [5, 30, 5], key = "class:{{ class.id }}", replan_on = ["class.changed"] }
        texts.en = { title = "Class", text = "in {{ reminder.minutesBefore | duration }}" }
        "#,
    )
    .unwrap();
    let class = |status: &str| {
        let class = json!({ "id": 1, "students": ["a", "b"], "status": status, "startsAt": "2026-12-01T00:00:00Z" });
        rules.plan(&event("class.changed", json!({ "class": class })), at("2026-11-20T00:00:00Z")).unwrap().remove(0)
    };
    let Action::Replan { planned, .. } = class("OPEN") else { panic!("not planned") };
    assert_eq!(planned.len(), 4);
    assert!(matches!(class("CLOSED"), Action::Cancel { key, .. } if key == "class:1"));
}
