//! What users do with their lists, preferences, devices.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::house;

#[actix_web::test]
async fn a_user_hears_of_everything_that_happens_in_their_list() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let body = json!({ "userId": "ada", "type": "COMMENT_REPLY", "title": " Balasan Baru ", "body": "Budi membalas",
        "link": "/posts/7#comment-3", "actor": { "id": "budi", "name": "Budi" }, "data": { "postId": 7 },
        "transports": ["pusher", "onesignal"] });
    let told = house.tell(body).await;
    let one = &told.json["notifications"][0];
    assert_eq!((told.status, &one["status"], &one["transports"]), (201, &json!("told"), &json!(["in_app"])));
    let id = one["id"].as_str().unwrap();

    let new = ada.next_named("notification-new").await;
    let listed = house.get("ada", "").await;
    let mut whole = listed["notifications"][0].clone();
    assert_eq!(
        (&whole["seq"], &whole["category"], &whole["title"]),
        (&json!(1), &json!("comment"), &json!("Balasan Baru"))
    );
    assert_eq!(
        (&whole["link"], &whole["data"]),
        (&json!("https://example.com/posts/7#comment-3"), &json!({ "postId": 7 }))
    );
    whole["unreadCount"] = json!(1);
    assert_eq!(new.data, whole, "the event is the whole notification and the count");
    assert_eq!(ada.next_named("unread-count").await.data, json!({ "notifications": 1, "chat": 0 }));

    let marked = house.user("ada", "PATCH", "", json!({ "id": id })).await;
    assert_eq!((marked.status, marked.json), (200, json!({ "success": true, "unreadCount": 0 })));
    let updated = ada.next_named("notification-updated").await;
    assert_eq!((&updated["id"], &updated["unreadCount"]), (&json!(id), &json!(0)));
    assert!(updated["readAt"].is_string());
    assert_eq!(ada.next_named("unread-count").await.data, json!({ "notifications": 0, "chat": 0 }));
    assert_eq!(house.user("ada", "PATCH", "", json!({ "id": id })).await.status, 200);

    house.told("ada", "SYSTEM").await;
    ada.next_named("notification-new").await;
    let all = house.user("ada", "PATCH", "", json!({ "markAll": true, "category": "system", "archived": true })).await;
    assert_eq!(all.json["unreadCount"], 0);
    let updated = ada.next_named("notification-updated").await;
    assert_eq!(
        (&updated["all"], &updated["upToSeq"], &updated["category"]),
        (&json!(true), &json!(2), &json!("system"))
    );
    assert_eq!(house.get("ada", "").await["pagination"]["total"], 1, "archived is out of the list");
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn notifications_are_announced_in_the_order_of_the_list() {
    let house = house(|_| {}).await;
    let mut ada = house.socket("ada").await;
    let tell = || house.tell(json!({ "userIds": ["ada", "bob"], "type": "SYSTEM", "title": "Hi" }));
    // More at once than there are connections, and not so many that one would wait too long for its turn.
    let answers: Vec<_> = stream::iter((0..300).map(|_| tell())).buffer_unordered(40).collect().await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    for seq in 1..=300 {
        assert_eq!(ada.next_named("notification-new").await["seq"], seq);
    }
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn a_list_is_read_page_by_page_and_filtered() {
    let house = house(|config| config.notifications.page_max = 50).await;
    for r#type in ["COMMENT", "TRANSACTION_SUCCESS", "TRANSACTION_FAILED", "MENTION"] {
        house.told("ada", r#type).await;
    }
    let seqs = |page: &Value| -> Vec<i64> {
        page["notifications"].as_array().unwrap().iter().map(|one| one["seq"].as_i64().unwrap()).collect()
    };
    let page = house.get("ada", "?limit=3").await;
    assert_eq!((seqs(&page), &page["unreadCount"]), (vec![4, 3, 2], &json!(4)));
    let expected = json!({ "limit": 3, "offset": 0, "total": 4, "hasMore": true, "nextCursor": "n2" });
    assert_eq!(page["pagination"], expected);
    let page = house.get("ada", "?limit=3&cursor=n2").await;
    let expected = json!({ "limit": 3, "offset": null, "total": null, "hasMore": false, "nextCursor": null });
    assert_eq!((seqs(&page), &page["pagination"]), (vec![1], &expected));
    assert_eq!(seqs(&house.get("ada", "?limit=2&offset=1").await), [3, 2]);
    assert_eq!(seqs(&house.get("ada", "?type=TRANSACTION_SUCCESS,TRANSACTION_FAILED").await), [3, 2]);
    assert_eq!(seqs(&house.get("ada", "?type=COMMENT&type=MENTION").await), [4, 1]);
    assert_eq!(seqs(&house.get("ada", "?category=transaction").await), [3, 2]);
    house.user("ada", "PATCH", "", json!({ "markAll": true, "category": "comment" })).await;
    let unread = house.get("ada", "?unreadOnly=true").await;
    assert_eq!((seqs(&unread), &unread["unreadCount"]), (vec![3, 2], &json!(2)));
    for bad in ["limit=0", "limit=51", "offset=-1", "cursor=2", "cursor=nx", "unreadOnly=yes"] {
        let field = bad.split('=').next().unwrap();
        assert_eq!(house.user("ada", "GET", &format!("?{bad}"), Value::Null).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn nobody_reaches_what_is_anothers() {
    let house = house(|_| {}).await;
    let id = house.told("ada", "SYSTEM").await;
    assert_eq!(house.user("eve", "PATCH", "", json!({ "id": id })).await.code(), (404, "notification_not_found"));
    assert_eq!(house.get("eve", "").await["pagination"]["total"], 0);
    let path = format!("/internal/notifications/{id}");
    for method in ["GET", "DELETE"] {
        let foreign = house.ask("backend-2", method, &path, None, &Value::Null).await;
        assert_eq!(foreign.code(), (404, "notification_not_found"));
    }
    let foreign = house.ask(&house.token("2", "ada"), "PATCH", "/api/notifications", None, &json!({ "id": id })).await;
    assert_eq!(foreign.status, 404);
    assert_eq!(house.ask("backend-1", "GET", &path, None, &Value::Null).await.json["status"], "told");
    let mine = house.ask("nobody", "GET", "/api/notifications", None, &Value::Null).await;
    assert_eq!(mine.code(), (401, "unauthorized"));
    let device = json!({ "kind": "fcm", "address": "token" });
    let device = house.user("ada", "POST", "/devices", device).await.json["device"]["id"].clone();
    let stolen = house.user("eve", "DELETE", "/devices", json!({ "id": device })).await;
    assert_eq!(stolen.code(), (404, "device_not_found"));
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn preferences_are_a_table_that_users_change() {
    let house = house(|_| {}).await;
    let table = house.get("ada", "/preferences").await;
    let on = json!({ "in_app": true, "push": true, "email": true, "whatsapp": false });
    assert_eq!((&table["categories"]["comment"], &table["categories"]["chat"]["email"]), (&on, &json!(false)));
    assert_eq!(table["categories"].as_object().unwrap().len(), 8);
    let put = json!({ "categories": { "comment": { "in_app": false, "starsender": true }, "*": { "email": false } },
        "quietHours": { "from": "22:00", "until": "07:00" }, "timeZone": "Asia/Jakarta", "locale": "id", "digest": "daily" });
    let put = house.user("ada", "PUT", "/preferences", put).await;
    let changed = json!({ "in_app": false, "push": true, "email": false, "whatsapp": true });
    assert_eq!((put.status, &put.json["categories"]["comment"]), (200, &changed));
    assert_eq!(put.json["quietHours"], json!({ "from": "22:00", "until": "07:00" }));
    let body = json!({ "categories": { "comment": { "in_app": null } }, "quietHours": null });
    let put = house.user("ada", "PUT", "/preferences", body).await.json;
    assert_eq!((&put["categories"]["comment"]["in_app"], &put["quietHours"]), (&json!(true), &Value::Null));
    assert_eq!((&put["timeZone"], &put["digest"]), (&json!("Asia/Jakarta"), &json!("daily")), "what is left out stays");
    assert_eq!(house.get("ada", "/preferences").await, put);
    for (bad, field) in [
        (json!({ "categories": { "nope": { "push": true } } }), "categories.nope"),
        (json!({ "timeZone": "Mars/Base" }), "timeZone"),
        (json!({ "locale": "i d" }), "locale"),
        (json!({ "digest": "never" }), "digest"),
        (json!({ "quietHours": { "from": "25:00", "until": "07:00" } }), "quietHours.from"),
        (json!({ "quietHours": { "from": "07:00", "until": "07:00" } }), "quietHours.until"),
    ] {
        assert_eq!(house.user("ada", "PUT", "/preferences", bad).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}

#[actix_web::test]
async fn devices_sign_in_and_move_with_whoever_uses_them() {
    let house = house(|_| {}).await;
    let key = |bytes: usize| base64_url(&vec![4; bytes]);
    let endpoint = "https://push.example.com/send/abc";
    let push = json!({ "endpoint": endpoint, "expirationTime": null, "keys": { "p256dh": key(65), "auth": key(16) } });
    let first = house.user("ada", "POST", "/devices", push.clone()).await;
    assert_eq!((first.status, &first.json["device"]["kind"]), (201, &json!("web_push")));
    assert!(first.json["device"].get("keys").is_none(), "keys stay inside");
    assert_eq!(house.user("ada", "POST", "/devices", push.clone()).await.status, 200);
    assert_eq!(house.user("bob", "POST", "/devices", push.clone()).await.status, 201);
    let gone = house.user("ada", "DELETE", "/devices", json!({ "endpoint": endpoint })).await;
    assert_eq!(gone.code(), (404, "device_not_found"));
    assert_eq!(house.user("bob", "DELETE", "/devices", json!({ "endpoint": endpoint })).await.status, 204);
    for (bad, field) in [
        (json!({ "endpoint": endpoint }), "keys"),
        (json!({ "endpoint": endpoint, "keys": { "p256dh": key(64), "auth": key(16) } }), "keys.p256dh"),
        (json!({ "endpoint": "http://x.org/a", "keys": { "p256dh": key(65), "auth": key(16) } }), "address"),
        (json!({ "kind": "pager", "address": "1" }), "kind"),
        (json!({ "kind": "fcm", "address": "a b" }), "address"),
    ] {
        assert_eq!(house.user("ada", "POST", "/devices", bad).await.field(), (400, field));
    }
    house.handle.stop(false).await;
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
