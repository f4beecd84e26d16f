//! 2.2 the envelope, 2.4 the texts of errors, 2.6 subscribing and 2.7 auth strings.

use protocol::Signer;

use crate::script::run;
use crate::server::{DEFAULTS, MAIN};

#[test]
fn frames_are_objects_with_an_event_and_anything_else_is_an_error_that_closes_nothing() {
    run(
        &DEFAULTS,
        r##"
# 2.3 a ping is answered, with data or without
A > {"event":"pusher:ping","data":{}}
A < {"event":"pusher:pong","data":{}}
A > {"event":"pusher:ping"}
A < {"event":"pusher:pong","data":{}}
A > {"data":"","event":"pusher:ping"}
A < {"event":"pusher:pong","data":{}}
# 2.3 a pong is taken and not answered
A > {"event":"pusher:pong","data":{}}
A > {"event":"pusher:pong"}
A .
# 2.2 what is no JSON is an error
A > hello
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
A > {"event":
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
A > []
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
# 2.2 an event is a string and has to be there
A > {"data":{}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
A > {"event":7}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
# 2.2 unknown fields do not matter
A > {"event":"pusher:subscribe","data":{"channel":"open~","auth":"","more":1},"extra":[1,2]}
A < {"event":"pusher_internal:subscription_succeeded","channel":"open~","data":"{}"}
# 2.4 an event that only a server sends is not supported
A > {"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}
A < {"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: pusher_internal:subscription_succeeded"}}
A > {"event":"pusher:error","data":{}}
A < {"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: pusher:error"}}
# 2.9 an event without the prefix of client events is not supported
A > {"event":"hello","channel":"private-a","data":{}}
A < {"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: hello"}}
A > {"event":"client","channel":"private-a","data":{}}
A < {"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: client"}}
# 2.6 a subscription needs a channel that is a string
A > {"event":"pusher:subscribe","data":{}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
A > {"event":"pusher:subscribe","data":{"channel":1}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
A > {"event":"pusher:subscribe"}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
# 2.2 data that is published comes as the string that it was
A > {"event":"pusher:subscribe","data":{"channel":"open~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"open~","data":"{}"}
POST events {"name":"e","channel":"open~","data":"{\"a\": 1}"}
= 200 {}
A < {"event":"e","channel":"open~","data":"{\"a\": 1}"}
POST events {"name":"e","channel":"open~","data":"no json é \u0001 \ud83d\ude00"}
= 200 {}
A < {"event":"e","channel":"open~","data":"no json é \u0001 😀"}
POST events {"name":"e \"q\"","channel":"open~","data":""}
= 200 {}
A < {"event":"e \"q\"","channel":"open~","data":""}
"##,
    );
}

#[test]
fn subscriptions_begin_and_end_in_the_order_in_which_they_are_asked_for() {
    run(
        &DEFAULTS,
        r##"
# 2.6 a public channel is joined with no auth, with an empty one, or with null
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"auth":"","channel":"b~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"b~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"auth":null,"channel_data":null,"channel":"c~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"c~","data":"{}"}
# 2.4 a second subscription is an error and the first one stays
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"pusher:error","data":{"code":null,"message":"Existing subscription to channel a~"}}
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
A < {"event":"e","channel":"a~","data":"1"}
# 2.6 unsubscribing has no answer and nothing comes after it
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"b~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"b~","data":"{}"}
A > {"event":"pusher:unsubscribe","data":{"channel":"a~"}}
A .
POST events {"name":"e","channels":["a~","b~"],"data":"1"}
= 200 {}
A < {"event":"e","channel":"b~","data":"1"}
# 2.4 unsubscribing from what one is not subscribed to is an error
A > {"event":"pusher:unsubscribe","data":{"channel":"a~"}}
A < {"event":"pusher:error","data":{"code":null,"message":"No current subscription to channel a~, or subscription in progress"}}
# 2.6 subscribing, unsubscribing and subscribing again without waiting ends subscribed
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A > {"event":"pusher:unsubscribe","data":{"channel":"a~"}}
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A .
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
A < {"event":"e","channel":"a~","data":"1"}
# 2.6 subscribing and unsubscribing without waiting ends unsubscribed
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A > {"event":"pusher:unsubscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A .
GET channels/a~
= 200 {"occupied":false}
# 2.5 every prefix ends in its dash, and case matters
A > {"event":"pusher:subscribe","data":{"channel":"private"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"privateer~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"privateer~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"Private-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"Private-a~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"presence_a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"presence_a~","data":"{}"}
"##,
    );
}

#[test]
fn a_protected_subscription_takes_the_signature_of_exactly_this_socket_channel_and_data() {
    run(
        &DEFAULTS,
        r##"
# 2.7 a private channel takes the signature of socket and channel
A > {"event":"pusher:ping","data":{}}
A < {"event":"pusher:pong","data":{}}
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-a~","data":"{}"}
# 2.7 so does an encrypted one
A > {"event":"pusher:subscribe","data":{"channel":"private-encrypted-a~",$(auth A private-encrypted-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-encrypted-a~","data":"{}"}
# 2.7 channel_data on a private channel is part of what is signed
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-a~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"private-b~",$(auth A private-b~ anything at all)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-b~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"private-c~",$(auth A private-c~),"channel_data":"{}"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid signature: Expected HMAC SHA256 hex digest of $(A):private-c~:{}, but got $(sign A private-c~)"}}
A < {"event":"pusher:subscription_error","channel":"private-c~","data":{"type":"AuthError","error":"Invalid signature: Expected HMAC SHA256 hex digest of $(A):private-c~:{}, but got $(sign A private-c~)","status":401}}
# 2.4 no auth is an error in both forms and closes nothing
A > {"event":"pusher:subscribe","data":{"channel":"private-a~"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Auth info required to subscribe to private-a~"}}
A < {"event":"pusher:subscription_error","channel":"private-a~","data":{"type":"AuthError","error":"Auth info required to subscribe to private-a~","status":401}}
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~","auth":""}}
A < {"event":"pusher:error","data":{"code":null,"message":"Auth info required to subscribe to presence-a~"}}
A < {"event":"pusher:subscription_error","channel":"presence-a~","data":{"type":"AuthError","error":"Auth info required to subscribe to presence-a~","status":401}}
# 2.4 an auth without a colon is named as such
A > {"event":"pusher:subscribe","data":{"channel":"private-a~","auth":"abc"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Auth value for subscription to private-a~ is invalid: should be of format 'key:signature'"}}
A < {"event":"pusher:subscription_error","channel":"private-a~","data":{"type":"AuthError",…"status":401}}
# 2.4 another key is named
A > {"event":"pusher:subscribe","data":{"channel":"private-a~","auth":"plain:$(sign A private-a~)"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid key in subscription auth data: 'plain'"}}
A < {"event":"pusher:subscription_error","channel":"private-a~","data":{"type":"AuthError",…"status":401}}
# 2.4 a wrong signature is told what was expected
A > {"event":"pusher:subscribe","data":{"channel":"private-a~","auth":"278d425bdf160c739803:00"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid signature: Expected HMAC SHA256 hex digest of $(A):private-a~, but got 00"}}
A < {"event":"pusher:subscription_error","channel":"private-a~","data":{"type":"AuthError","error":"Invalid signature: Expected HMAC SHA256 hex digest of $(A):private-a~, but got 00","status":401}}
# 2.7 the signature of another channel does not do
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-b~)}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid signature: …"}}
A < {"event":"pusher:subscription_error","channel":"private-a~",…}
# 2.7 the signature of another socket does not do
A here
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
B < {"event":"pusher:error","data":{"code":null,"message":"Invalid signature: …"}}
B < {"event":"pusher:subscription_error","channel":"private-a~",…}
# 2.7 channel_data is signed as its exact bytes
A here
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~","auth":"278d425bdf160c739803:$(sign A presence-a~ {"user_id":"1"})","channel_data":"{\"user_id\": \"1\"}"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid signature: …"}}
A < {"event":"pusher:subscription_error","channel":"presence-a~",…}
# 2.4 after a refusal the channel can be joined
A > {"event":"pusher:subscribe","data":{"channel":"private-a~","auth":"x:y"}}
A < {"event":"pusher:error",…}
A < {"event":"pusher:subscription_error",…}
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-a~","data":"{}"}
"##,
    );
}

#[test]
fn what_rows_are_signed_with_makes_the_vectors_that_pusher_has_published() {
    let signer = Signer::new(MAIN.secret);
    let socket = "1234.1234".parse().unwrap();
    let member = |name: &str| format!(r#"{{"user_id":10,"user_info":{{"name":"{name}"}}}}"#);
    let rows = [
        (
            signer.sign_channel(socket, "private-foobar", None),
            "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
        ),
        (
            signer.sign_user(socket, r#"{"id":"12345"}"#),
            "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
        ),
        (
            signer.sign_channel(socket, "presence-foobar", Some(&member("Mr. Pusher"))),
            "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
        ),
        (
            signer.sign_channel(socket, "presence-foobar", Some(&member("Mr. Channels"))),
            "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
        ),
    ];
    for (made, published) in rows {
        assert_eq!(made, published, "2.7");
    }
}
