//! Chat over REST: what a message costs from the sender's request to the other member's socket.

use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use protocol::Signer;
use serde_json::json;
use uuid::Uuid;

use crate::driver::Driver;
use crate::report::Report;
use crate::target::{Join, Target};
use crate::works::{measured, plan};
use crate::{http, stamp};

/// Tokens live as long as the longest run and its setting up.
const TOKEN_LIFETIME: Duration = Duration::from_secs(1_800);

struct Room {
    id: String,
    sender_token: String,
}

/// Sends in `rooms` direct rooms in turn; the other member of each has a socket on `chat-{roomId}`.
pub(crate) fn run(
    target: &Target,
    jwt_secret: &str,
    rooms: u32,
    window: u32,
    rate: Option<f64>,
) -> anyhow::Result<Report> {
    let signer = Signer::new(jwt_secret);
    // Ids of this run only: rooms of an earlier one would be found again, and be longer.
    let run = Uuid::now_v7().simple().to_string();
    let (mut set_up, mut joins) = (Vec::new(), Vec::new());
    for index in 0..rooms {
        let (ada, bob) = (format!("ada-{index}-{run}"), format!("bob-{index}-{run}"));
        let (ada_token, bob_token) = (token(&signer, target, &ada)?, token(&signer, target, &bob)?);
        // A user exists once a request was made as them.
        http::call(target.addr, "GET", "/api/chat/rooms", &bob_token, "")?;
        let body = json!({"participantId": bob, "type": "DIRECT"}).to_string();
        let started = http::call(target.addr, "POST", "/api/chat/start", &ada_token, &body)?;
        let id = started["room"]["id"].as_str().context("no room in the answer")?.to_owned();
        joins.push(Join { channel: format!("chat-{id}"), token: Some(bob_token) });
        set_up.push(Room { id, sender_token: ada_token });
    }
    let opened = target.open(&joins)?;
    let (plan, publishers) = plan(target, window, rate, 1);
    let driver = Driver::new(target.addr, opened, publishers)?;
    let mut request = |n: u64, stamp: u64| {
        let room = &set_up[(n % u64::from(rooms)) as usize];
        let content = stamp::payload(stamp, target.bytes as usize);
        let body = format!(r#"{{"roomId":"{}","content":"{content}","clientId":"{run}-{n}"}}"#, room.id);
        http::post("/api/chat/send", Some(&room.sender_token), &body)
    };
    let (outcome, usage) = measured(target, || driver.run(plan, &mut request))?;
    Ok(Report::new("chat", target, u64::from(rooms)).outcome(plan, &outcome).usage(usage, outcome.deliveries))
}

/// A user's JWT, HS256.
fn token(signer: &Signer, target: &Target, user: &str) -> anyhow::Result<String> {
    let now = http::now();
    let expires = now + TOKEN_LIFETIME.as_secs().cast_signed();
    let claims = json!({"sub": user, "app": target.app_id, "name": user, "role": "user", "iat": now, "exp": expires});
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(&claims.to_string()));
    let signature = hex::decode(signer.sign(&[&signed]))?;
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}
