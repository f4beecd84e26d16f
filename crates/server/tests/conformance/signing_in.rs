//! 2.12 signing in, server to user, watchlists.

use testkit::Socket;

use crate::script::run;
use crate::server::{DEFAULTS, MAIN};

#[test]
fn a_socket_signs_in_by_a_signature_and_stays_that_user() {
    run(
        &DEFAULTS,
        r##"
# 2.12 the same user_data comes back, as an object's string
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~", "user_info":{"a":"é"}})}}
A < {"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u~\", \"user_info\":{\"a\":\"é\"}}"}}
# 2.12 a wrong signature is an error and the socket stays
A here
A > {"event":"pusher:signin","data":{"auth":"278d425bdf160c739803:00","user_data":"{\"id\":\"u~\"}"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: Invalid signature: Expected HMAC SHA256 hex digest of $(A)::user::{\"id\":\"u~\"}"}}
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u~\"}"}}
# 2.12 a signature over a channel signs nobody in
A here
A > {"event":"pusher:signin","data":{"auth":"278d425bdf160c739803:$(sign A private-a)","user_data":"{\"id\":\"u~\"}"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: Invalid signature: …"}}
# 2.12 another key, no key, nothing
A > {"event":"pusher:signin","data":{"auth":"plain:00","user_data":"{\"id\":\"u~\"}"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: Invalid key in subscription auth data: 'plain'"}}
A > {"event":"pusher:signin","data":{"auth":"00","user_data":"{\"id\":\"u~\"}"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: …key:signature'"}}
A > {"event":"pusher:signin","data":{}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: …"}}
# 2.12 the id is a string that is not empty
A here
A > {"event":"pusher:signin","data":{$(user A {"id":""})}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: user_data needs an id: …"}}
A > {"event":"pusher:signin","data":{$(user A {"id":7})}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: user_data needs an id: …"}}
A > {"event":"pusher:signin","data":{$(user A {"user_info":{}})}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: user_data needs an id: …"}}
A > {"event":"pusher:signin","data":{$(user A nothing)}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: user_data needs an id: …"}}
# 2.5 a user id of 128 characters and one more
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"$(x 129)"})}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: user_data needs an id: …"}}
A > {"event":"pusher:signin","data":{$(user A {"id":"$(x 128)"})}}
A < {"event":"pusher:signin_success",…
# 2.12 the same user may sign in again, another one may not
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u~\"}"}}
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","user_info":1})}}
A < {"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u~\",\"user_info\":1}"}}
A > {"event":"pusher:signin","data":{$(user A {"id":"v~"})}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: the connection is signed in as another user"}}
# docs/protocol.md a token that is none is an error, and the socket stays
A > {"event":"pusher:signin","data":{"token":"none"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign-in failed: …"}}
"##,
    );
}

#[test]
fn a_user_has_a_channel_that_only_the_signed_in_user_may_join() {
    run(
        &DEFAULTS,
        r##"
# 2.12 as pusher-js joins it, and as server SDKs send to a user
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
A > {"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-u~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"#server-to-user-u~","data":"{}"}
POST events {"name":"e","channels":["#server-to-user-u~"],"data":"1"}
= 200 {}
A < {"event":"e","channel":"#server-to-user-u~","data":"1"}
# 2.12 not before signing in
A > {"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-u~"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Only the signed-in user may subscribe to this channel"}}
A < {"event":"pusher:subscription_error","channel":"#server-to-user-u~","data":{"type":"AuthError","error":"Only the signed-in user may subscribe to this channel","status":401}}
# 2.12 not as another user, not even one whose id begins so
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
A > {"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-v~"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"#server-to-user-v~",…
A > {"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-u~0"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"#server-to-user-u~0",…
# 2.12 not by a signature of the channel
A > {"event":"pusher:subscribe","data":{"channel":"#server-to-user-u~",$(auth A #server-to-user-u~)}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"#server-to-user-u~",…
# 2.9 clients do not send on it
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
A > {"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-u~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"#server-to-user-u~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"Client event rejected - only supported on private and presence channels"}}
"##,
    );
}

#[test]
fn a_watchlist_tells_who_is_online_and_then_each_change() {
    run(
        &DEFAULTS,
        r##"
# 2.12 the state after sign-in, then the first socket of a watched user and the last
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","watchlist":["v~","w~"]})}}
A < {"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u~\",\"watchlist\":[\"v~\",\"w~\"]}"}}
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"v~\",\"w~\"]}]}"}
B here
B > {"event":"pusher:signin","data":{$(user B {"id":"v~"})}}
B < {"event":"pusher:signin_success",…
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"v~\"]}]}"}
C here
C > {"event":"pusher:signin","data":{$(user C {"id":"v~","watchlist":["u~","w~"]})}}
C < {"event":"pusher:signin_success",…
C < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u~\"]},{\"name\":\"offline\",\"user_ids\":[\"w~\"]}]}"}
B bye
A .
C bye
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"v~\"]}]}"}
# 2.12 an empty list tells nothing
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","watchlist":[]})}}
A < {"event":"pusher:signin_success",…
A .
# 2.12 signing in again replaces the list
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","watchlist":["v~"]})}}
A < {"event":"pusher:signin_success",…
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"v~\"]}]}"}
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","watchlist":["w~"]})}}
A < {"event":"pusher:signin_success",…
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"w~\"]}]}"}
B here
B > {"event":"pusher:signin","data":{$(user B {"id":"v~"})}}
B < {"event":"pusher:signin_success",…
C here
C > {"event":"pusher:signin","data":{$(user C {"id":"w~"})}}
C < {"event":"pusher:signin_success",…
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"w~\"]}]}"}
# 2.12 100 ids
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","watchlist":[$(list 100 w~-)]})}}
A < {"event":"pusher:signin_success",…
A < {"event":"pusher_internal:watchlist_events",…\"w~-99\"]}]}"}
# 2.12 of 101 ids the first 100 are taken, and an error says so
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","watchlist":[$(list 101 w~-)]})}}
A < {"event":"pusher:signin_success",…
A < {"event":"pusher:error","data":{"code":4302,"message":"A watchlist may have at most 100 ids; the first are watched"}}
A < {"event":"pusher_internal:watchlist_events",…\"w~-99\"]}]}"}
B here
B > {"event":"pusher:signin","data":{$(user B {"id":"w~-100"})}}
B < {"event":"pusher:signin_success",…
C here
C > {"event":"pusher:signin","data":{$(user C {"id":"w~-99"})}}
C < {"event":"pusher:signin_success",…
A < {"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"w~-99\"]}]}"}
"##,
    );
}

#[test]
fn names_of_protected_channels_are_never_public_and_counts_of_a_user_are_limited() {
    run(
        &DEFAULTS,
        r##"
# docs/protocol.md user- and chat- need a sign-in
A > {"event":"pusher:subscribe","data":{"channel":"user-u~"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign in to subscribe to user-u~"}}
A < {"event":"pusher:subscription_error","channel":"user-u~","data":{"type":"AuthError","error":"Sign in to subscribe to user-u~","status":401}}
A > {"event":"pusher:subscribe","data":{"channel":"chat-a",$(auth A chat-a)}}
A < {"event":"pusher:error","data":{"code":null,"message":"Sign in to subscribe to chat-a"}}
A < {"event":"pusher:subscription_error","channel":"chat-a",…
# docs/protocol.md a user's channel is for that user, and takes what is published to it
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
A > {"event":"pusher:subscribe","data":{"channel":"user-u~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"user-u~","data":"{}"}
POST events {"name":"e","channel":"user-u~","data":"1"}
= 200 {}
A < {"event":"e","channel":"user-u~","data":"1"}
A > {"event":"pusher:subscribe","data":{"channel":"user-v~"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"user-v~","data":{"type":"AuthError",…"status":403}}
# docs/protocol.md a twin for stock clients gets what is published to the name without prefix
A > {"event":"pusher:subscribe","data":{"channel":"private-user-u~",$(auth A private-user-u~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
POST events {"name":"e","channel":"user-u~","data":"1"}
= 200 {}
A < {"event":"e","channel":"private-user-u~","data":"1"}
# 4104 one connection of a user, as the policy has it
app user
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~"})}}
A < {"event":"pusher:signin_success",…
B here
B > {"event":"pusher:signin","data":{$(user B {"id":"u~"})}}
B < {"event":"pusher:error","data":{"code":4104,"message":"Too many connections of this user"}}
B × 4104 Too many connections of this user
C here
C > {"event":"pusher:signin","data":{$(user C {"id":"v~"})}}
C < {"event":"pusher:signin_success",…
"##,
    );
}

#[test]
fn a_token_or_ticket_that_is_none_closes_a_new_socket_with_4009() {
    DEFAULTS.run(async |server| {
        let path = format!("/app/{}?protocol=7", MAIN.key);
        let rows: [(&str, &str, &[&str]); 2] = [("ticket", "&ticket=none", &[]), ("token", "", &["kabar.jwt.none"])];
        for (row, query, subprotocols) in rows {
            let mut socket = Socket::connect_with(server.0.address(), &format!("{path}{query}"), subprotocols).await;
            let refused = socket.expect_event("pusher:error").await;
            assert_eq!(refused["code"], 4009, "docs/protocol.md, signing in: {row}");
            assert_eq!(socket.expect_close().await, 4009, "docs/protocol.md, signing in: {row}");
        }
        let mut socket = Socket::connect_with(server.0.address(), &format!("{path}&token=none"), &[]).await;
        socket.established().await;
    });
}
