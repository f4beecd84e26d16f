//! What backends tell, to whom and when.

use serde_json::{Value, json};

use crate::support::house;

#[actix_web::test]
async fn a_request_with_a_key_tells_once() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let ask = |title: &str| {
        let body = json!({ "userId": "ada", "type": "SYSTEM", "title": title });
        let house = &house;
        async move { house.ask("backend-1", "POST", "/internal/notifications", Some("k1"), &body).await }
    };
    let first = ask("Hi").await;
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (201, None));
    let again = ask("Hi").await;
    assert_eq!((again.status, &again.json), (201, &first.json));
    assert_eq!(again.headers.get("idempotent-replayed").unwrap(), "true");
    assert_eq!(ask("Ho").await.code(), (422, "idempotency_key_reused"));
    let body = json!({ "userId": "ada", "type": "SYSTEM", "title": "Hi" });
    let other = house.ask("backend-2", "POST", "/internal/notifications", Some("k1"), &body).await;
    assert_eq!((other.status, other.headers.get("idempotent-replayed")), (201, None), "another app's key");
    let bad = house.ask("backend-1", "POST", "/internal/notifications", Some("a b"), &body).await;
    assert_eq!(bad.field(), (400, "Idempotency-Key"));

    let body = json!({ "userId": "ada", "type": "SYSTEM", "title": "Paid", "sourceEvent": "invoice-1" });
    let paid = house.tell(body.clone()).await;
    let again = house.tell(body).await;
    let (one, other) = (&paid.json["notifications"][0], &again.json["notifications"][0]);
    assert_eq!((again.status, &other["status"], &other["id"]), (200, &json!("known"), &one["id"]));
    for seq in [1, 2] {
        assert_eq!(ada.next_named("notification-new").await["seq"], seq);
    }
    assert_eq!(house.get("ada", "").await["pagination"]["total"], 2);
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn subscribers_are_told_by_what_they_chose_but_not_who_did_it() {
    let house = house(|config| config.notifications.subscriptions_max = 1).await;
    let course = json!({ "targetType": "COURSE", "targetId": "c1" });
    for user in ["ada", "bob"] {
        let put = house.user(user, "PUT", "/subscriptions", course.clone()).await;
        assert_eq!((put.status, &put.json["subscription"]["transports"]), (200, &Value::Null));
    }
    house.user("eve", "POST", "/devices", json!({ "kind": "onesignal", "playerId": "p1" })).await;
    let push = json!({ "targetType": "COURSE", "targetId": "c1", "transports": ["push"] });
    let put = house.user("eve", "PUT", "/subscriptions", push).await;
    assert_eq!(put.json["subscription"]["transports"], json!(["push"]));
    let second = house.user("ada", "PUT", "/subscriptions", json!({ "targetType": "COURSE", "targetId": "c2" })).await;
    assert_eq!(second.field(), (400, "targetId"));
    let tell = json!({ "targetType": "COURSE", "targetId": "c1", "exclude": ["bob"], "type": "COURSE_DISCUSSION",
        "title": "Diskusi Baru" });
    let told = house.tell(tell.clone()).await.json["notifications"].clone();
    let told: Vec<_> = told.as_array().unwrap().iter().map(|one| (&one["userId"], &one["transports"])).collect();
    assert_eq!(told, [(&json!("ada"), &json!(["in_app"])), (&json!("eve"), &json!(["push"]))]);
    assert_eq!(house.get("eve", "").await["unreadCount"], 0, "push alone is in no list");
    let gone = house.user("ada", "DELETE", "/subscriptions?targetType=COURSE&targetId=c1", Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(house.get("ada", "/subscriptions").await, json!({ "subscriptions": [] }));
    assert_eq!(house.tell(tell).await.json["notifications"].as_array().unwrap().len(), 1);
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn what_is_scheduled_is_told_at_its_time_unless_it_is_taken_back() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let at = |millis| chrono::Utc::now() + chrono::TimeDelta::milliseconds(millis);
    let body = |at| json!({ "userId": "ada", "type": "EVENT_REMINDER", "title": "Soon", "sendAt": at });
    let later = house.tell(body(at(3_600_000))).await;
    assert_eq!((later.status, &later.json["notifications"][0]["status"]), (201, &json!("scheduled")));
    let path = format!("/internal/notifications/{}", later.json["notifications"][0]["id"].as_str().unwrap());
    let trace = house.ask("backend-1", "GET", &path, None, &Value::Null).await.json;
    assert_eq!((&trace["status"], &trace["inApp"]), (&json!("scheduled"), &json!(false)));
    let taken_back = house.ask("backend-1", "DELETE", &path, None, &Value::Null).await;
    assert_eq!(taken_back.json, json!({ "success": true, "cancelledDeliveries": 0 }));
    assert_eq!(house.ask("backend-1", "GET", &path, None, &Value::Null).await.status, 404);
    let soon = house.tell(body(at(100))).await.json["notifications"][0].clone();
    assert_eq!(soon["status"], "scheduled");
    let new = ada.next_named("notification-new").await;
    assert_eq!((&new["id"], &new["seq"], &new["unreadCount"]), (&soon["id"], &json!(1), &json!(1)));
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn what_cannot_be_told_is_refused_by_its_field() {
    let house = house(|config| config.notifications.recipients_max = 2).await;
    let with = |more: Value| {
        let mut body = json!({ "userId": "ada", "type": "SYSTEM", "title": "Hi" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        body
    };
    for (bad, field) in [
        (json!({ "title": " " }), "title"),
        (json!({ "title": null }), "title"),
        (json!({ "body": "x".repeat(4001) }), "body"),
        (json!({ "userId": null }), "userId"),
        (json!({ "userIds": ["bob"] }), "userId"),
        (json!({ "userId": null, "userIds": ["a", "b", "c"] }), "userIds"),
        (json!({ "userId": null, "userIds": [] }), "userIds"),
        (json!({ "userId": null, "targetType": "COURSE" }), "userId"),
        (json!({ "type": "UNHEARD_OF" }), "category"),
        (json!({ "category": "nope" }), "category"),
        (json!({ "link": "javascript:alert(1)" }), "link"),
        (json!({ "imageUrl": "/a.png" }), "imageUrl"),
        (json!({ "actor": { "id": "b", "name": "" } }), "actor.name"),
        (json!({ "data": { "a": "\u{0}" } }), "data"),
        (json!({ "data": { "a": "x".repeat(9000) } }), "data"),
        (json!({ "transports": ["sms"] }), "transports[0]"),
        (json!({ "sendAt": "2999-01-01T00:00:00Z" }), "sendAt"),
        (json!({ "ttlSeconds": 0 }), "ttlSeconds"),
        (json!({ "sourceEvent": "" }), "sourceEvent"),
        (json!({ "priority": "high" }), "priority"),
        (json!({ "collapseKey": "a b" }), "collapseKey"),
    ] {
        let answer = house.tell(with(bad.clone())).await;
        assert_eq!(answer.field(), (400, field), "{bad} {}", answer.json);
    }
    let own = json!({ "type": "UNHEARD_OF", "category": "system" });
    assert_eq!(house.tell(with(own)).await.status, 201);
    for (bad, field) in [
        (json!({}), "id"),
        (json!({ "id": uuid::Uuid::now_v7(), "markAll": true }), "id"),
        (json!({ "markAll": true, "snoozedUntil": "2020-01-01T00:00:00Z" }), "snoozedUntil"),
    ] {
        assert_eq!(house.user("ada", "PATCH", "", bad).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}
