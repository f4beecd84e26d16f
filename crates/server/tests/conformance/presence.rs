//! 2.8 presence: who is there, counted by user.

use crate::script::run;
use crate::server::{DEFAULTS, MAIN};
use testkit::Socket;

#[test]
fn members_are_users_and_only_the_first_and_the_last_socket_of_one_are_told() {
    run(
        &DEFAULTS,
        r##"
# 2.6 the joiner is in the list that it gets
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1","user_info":{"name":"Ada"}})}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"1\"],\"hash\":{\"1\":{\"name\":\"Ada\"}},\"count\":1}}"}
# 2.8 user_info may be left out
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"1\"],\"hash\":{\"1\":{}},\"count\":1}}"}
# 2.7 a numeric user_id counts as its text
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":10,"user_info":{"name":"Mr. Pusher"}})}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"10\"],\"hash\":{\"10\":{\"name\":\"Mr. Pusher\"}},\"count\":1}}"}
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"10","user_info":{"name":"Mr. Pusher"}})}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"10\"],\"hash\":{\"10\":{\"name\":\"Mr. Pusher\"}},\"count\":1}}"}
GET channels/presence-a~?info=user_count,subscription_count
= 200 {"occupied":true,"user_count":1,"subscription_count":2}
# 2.8 others are told of the first socket and the last, the joiner is not
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"2","user_info":{"b":[1,"é"]}})}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"1\",\"2\"],\"hash\":{\"1\":{},\"2\":{\"b\":[1,\"é\"]}},\"count\":2}}"}
A < {"event":"pusher_internal:member_added","channel":"presence-a~","data":"{\"user_id\":\"2\",\"user_info\":{\"b\":[1,\"é\"]}}"}
B bye
A < {"event":"pusher_internal:member_removed","channel":"presence-a~","data":"{\"user_id\":\"2\"}"}
# 2.8 further tabs are silent, and so are all that leave but the last
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"2"})}}
B < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:member_added","channel":"presence-a~","data":"{\"user_id\":\"2\",\"user_info\":{}}"}
C > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth C presence-a~ {"user_id":"2"})}}
C < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"1\",\"2\"],\"hash\":{\"1\":{},\"2\":{}},\"count\":2}}"}
B bye
POST events {"name":"e","channel":"presence-a~","data":"1"}
= 200 {}
A < {"event":"e","channel":"presence-a~","data":"1"}
C < {"event":"e","channel":"presence-a~","data":"1"}
C > {"event":"pusher:unsubscribe","data":{"channel":"presence-a~"}}
A < {"event":"pusher_internal:member_removed","channel":"presence-a~","data":"{\"user_id\":\"2\"}"}
# 2.8 a user with two sockets that leaves with one of them and comes back is never told
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"1"})}}
B < {"event":"pusher_internal:subscription_succeeded",…"count\":1}}"}
B > {"event":"pusher:unsubscribe","data":{"channel":"presence-a~"}}
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"1"})}}
B < {"event":"pusher_internal:subscription_succeeded",…"count\":1}}"}
POST events {"name":"e","channel":"presence-a~","data":"1"}
= 200 {}
A < {"event":"e",…
B < {"event":"e",…
# 2.14 members are listed over HTTP
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
GET channels/presence-a~?info=user_count
= 200 {"occupied":true,"user_count":1}
# 2.12 who is signed in needs no channel_data
A here
A > {"event":"pusher:signin","data":{$(user A {"id":"u~","user_info":{"name":"Ada"}})}}
A < {"event":"pusher:signin_success",…
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"presence-a~","data":"{\"presence\":{\"ids\":[\"u~\"],\"hash\":{\"u~\":{\"name\":\"Ada\"}},\"count\":1}}"}
# 2.8 who is not signed in does
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~)}}
A < {"event":"pusher:error","data":{"code":null,"message":"Presence channels need channel_data or a sign-in"}}
A < {"event":"pusher:subscription_error","channel":"presence-a~","data":{"type":"AuthError",…"status":401}}
# 2.8 channel_data has to be JSON with a user_id
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ hello)}}
A < {"event":"pusher:error","data":{"code":null,"message":"channel_data is not valid JSON: …"}}
A < {"event":"pusher:subscription_error","channel":"presence-a~","data":{"type":"AuthError",…"status":401}}
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_info":{}})}}
A < {"event":"pusher:error","data":{"code":null,"message":"channel_data needs a user_id"}}
A < {"event":"pusher:subscription_error",…
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":""})}}
A < {"event":"pusher:error","data":{"code":null,"message":"channel_data needs a user_id"}}
A < {"event":"pusher:subscription_error",…
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":null})}}
A < {"event":"pusher:error","data":{"code":null,"message":"channel_data needs a user_id"}}
A < {"event":"pusher:subscription_error",…
"##,
    );
}

#[test]
fn a_member_has_an_id_of_128_characters_and_1024_bytes_of_info() {
    run(
        &DEFAULTS,
        r##"
# 2.5 a user id of 128 characters
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"$(x 128)"})}}
A < {"event":"pusher_internal:subscription_succeeded",…$(x 128)…
A > {"event":"pusher:subscribe","data":{"channel":"presence-b~",$(auth A presence-b~ {"user_id":"$(é 128)"})}}
A < {"event":"pusher_internal:subscription_succeeded",…$(é 128)…
# 2.5 a user id of 129 characters
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"$(x 129)"})}}
A < {"event":"pusher:error","data":{"code":null,"message":"A user_id may have at most 128 characters"}}
A < {"event":"pusher:subscription_error","channel":"presence-a~","data":{"type":"AuthError",…"status":401}}
# 2.5 user_info of 1024 bytes
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1","user_info":{"a":"$(x 1016)"}})}}
A < {"event":"pusher_internal:subscription_succeeded",…$(x 1016)…
# 2.5 user_info of 1025 bytes
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1","user_info":{"a":"$(x 1017)"}})}}
A < {"event":"pusher:error","data":{"code":null,"message":"user_info may have at most 1024 bytes"}}
A < {"event":"pusher:subscription_error","channel":"presence-a~","data":{"type":"AuthError",…"status":401}}
# 2.8 members of one channel, as the policy has it; a further tab of a member is none more
app small
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":"2"})}}
B < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:member_added",…
C > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth C presence-a~ {"user_id":"3"})}}
C < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:member_added",…
B < {"event":"pusher_internal:member_added",…
D > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth D presence-a~ {"user_id":"4"})}}
D < {"event":"pusher:error","data":{"code":null,"message":"The channel has 3 members, which is the most it may have"}}
D < {"event":"pusher:subscription_error","channel":"presence-a~","data":{"type":"LimitReached","error":"The channel has 3 members, which is the most it may have","status":4100}}
D > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth D presence-a~ {"user_id":"3"})}}
D < {"event":"pusher_internal:subscription_succeeded",…"count\":3}}"}
C bye
D bye
A < {"event":"pusher_internal:member_removed","channel":"presence-a~","data":"{\"user_id\":\"3\"}"}
B < {"event":"pusher_internal:member_removed","channel":"presence-a~","data":"{\"user_id\":\"3\"}"}
E > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth E presence-a~ {"user_id":"4"})}}
E < {"event":"pusher_internal:subscription_succeeded",…"count\":3}}"}
A < {"event":"pusher_internal:member_added",…
B < {"event":"pusher_internal:member_added",…
"##,
    );
}

#[test]
fn a_presence_channel_has_100_members_by_default() {
    DEFAULTS.run(async |server| {
        let (mut sockets, info) = (Vec::new(), serde_json::json!({}));
        for number in 1..=100 {
            let mut socket = Socket::connect(server.0.address(), MAIN.key).await;
            let id = number.to_string();
            let joined = socket.subscribe_presence("presence-full", MAIN.key, MAIN.secret, &id, info.clone()).await;
            assert_eq!(joined["presence"]["count"], number, "2.5 member {number}");
            sockets.push(socket);
        }
        let mut over = Socket::connect(server.0.address(), MAIN.key).await;
        let data = r#"{"user_id":"101"}"#;
        let auth = MAIN.signer().sign_channel(over.id(), "presence-full", Some(data));
        let auth = format!("{}:{auth}", MAIN.key);
        over.send_subscribe(serde_json::json!({"channel": "presence-full", "auth": auth, "channel_data": data})).await;
        over.expect_event("pusher:error").await;
        let refused = over.expect_event("pusher:subscription_error").await;
        assert_eq!((&refused["type"], &refused["status"]), (&"LimitReached".into(), &4100.into()), "2.5 member 101");
        over.expect_quiet().await;
    });
}
