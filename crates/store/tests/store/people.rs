//! Users and tickets.

use std::time::Duration;

use store::tickets;
use store::users::{self, NewUser};
use tokio::task::JoinSet;

use crate::support::{app, user};

#[tokio::test]
async fn a_token_names_its_user_until_the_backend_does() {
    let db = testkit::database().await;
    let ensure = |name: Option<&'static str>| {
        let store = db.store.clone();
        async move { store.run(move |conn| users::ensure(conn, &app(), &user("1"), name, None)).await.unwrap().name }
    };
    assert_eq!(ensure(None).await, "1");
    assert_eq!(ensure(Some("Ada")).await, "Ada");
    assert_eq!(ensure(None).await, "Ada");
    let put = NewUser {
        id: user("1"),
        name: "Ada Lovelace".into(),
        avatar_url: None,
        role: Some("MENTOR".into()),
        email: None,
        phone: None,
        locale: None,
        time_zone: None,
    };
    db.store.run(move |conn| users::upsert(conn, &app(), &put)).await.unwrap();
    assert_eq!(ensure(Some("Mallory")).await, "Ada Lovelace");
    let known = db.store.run(|conn| users::get(conn, &app(), &user("1"))).await.unwrap().unwrap();
    assert_eq!(known.role.as_deref(), Some("MENTOR"));
}

#[tokio::test]
async fn a_ticket_is_good_once_for_its_app_until_it_expires() {
    let db = testkit::database().await;
    let issue = |ttl| {
        let store = db.store.clone();
        let issue = move |conn: &mut _| tickets::issue(conn, &app(), &user("ada"), r#"{"id":"ada"}"#, None, ttl);
        async move { store.run(issue).await.unwrap() }
    };
    let expired = issue(Duration::ZERO).await;
    let ticket = issue(Duration::from_secs(30)).await;
    let of = ticket.clone();
    let foreign = db.store.run(move |conn| tickets::redeem(conn, &"2".try_into().unwrap(), &of)).await.unwrap();
    assert_eq!(foreign, None);
    assert_eq!(db.store.run(move |conn| tickets::redeem(conn, &app(), &expired)).await.unwrap(), None);
    let mut tries = JoinSet::new();
    for _ in 0..12 {
        let (store, ticket) = (db.store.clone(), ticket.clone());
        tries.spawn(async move { store.run(move |conn| tickets::redeem(conn, &app(), &ticket)).await.unwrap() });
    }
    let redeemed: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
    assert_eq!(redeemed.len(), 1);
    assert_eq!((&redeemed[0].user, redeemed[0].user_data.as_str()), (&user("ada"), r#"{"id":"ada"}"#));
}
