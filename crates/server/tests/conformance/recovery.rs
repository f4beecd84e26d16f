//! docs/protocol.md, history, recovery and rewind: kabar's own addition, which who does not ask for it never sees.

use serde_json::json;
use testkit::Socket;

use crate::request::Request;
use crate::script::run;
use crate::server::{DEFAULTS, MAIN};

#[test]
fn who_asks_is_told_a_position_and_gets_what_it_missed_and_who_does_not_sees_nothing_of_it() {
    run(
        &DEFAULTS,
        r##"
# recover true tells where the channel is, and events have an offset from then on
A > {"event":"pusher:subscribe","data":{"channel":"a~","recover":true}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"kabar:position","channel":"a~","data":"{\"epoch\":\"…\",\"offset\":0}"}
B > {"event":"pusher:subscribe","data":{"channel":"a~"}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
A < {"event":"e","channel":"a~","data":"1","offset":1}
B < {"event":"e","channel":"a~","data":"1"}
# recover false and null ask for nothing
A > {"event":"pusher:subscribe","data":{"channel":"a~","recover":false,"rewind":null}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
# rewind gives the newest, oldest first
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
POST events {"name":"e","channel":"a~","data":"2"}
= 200 {}
POST events {"name":"e","channel":"a~","data":"3"}
= 200 {}
A > {"event":"pusher:subscribe","data":{"channel":"a~","rewind":{"messages":2}}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"kabar:position","channel":"a~","data":"{\"epoch\":\"…\",\"offset\":3}"}
A < {"event":"e","channel":"a~","data":"2","offset":2}
A < {"event":"e","channel":"a~","data":"3","offset":3}
B > {"event":"pusher:subscribe","data":{"channel":"a~","rewind":{"seconds":60}}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
B < {"event":"kabar:position",…
B < {"event":"e","channel":"a~","data":"1","offset":1}
B < {"event":"e","channel":"a~","data":"2","offset":2}
B < {"event":"e","channel":"a~","data":"3","offset":3}
# a position of another epoch is not recovered
POST events {"name":"e","channel":"a~","data":"1"}
= 200 {}
A > {"event":"pusher:subscribe","data":{"channel":"a~","recover":{"epoch":"0000000000000001","offset":0}}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"kabar:position","channel":"a~","data":"{\"epoch\":\"…\",\"offset\":1,\"recovered\":false}"}
# a position that is none, and an unknown field of rewind, are errors
A > {"event":"pusher:subscribe","data":{"channel":"a~","recover":{"epoch":"x","offset":0}}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
A > {"event":"pusher:subscribe","data":{"channel":"a~","rewind":{"hours":1}}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: …"}}
# a channel that keeps nothing has neither epoch nor offset
app forgetful
A > {"event":"pusher:subscribe","data":{"channel":"a~","recover":true}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"kabar:position","channel":"a~","data":"{}"}
B > {"event":"pusher:subscribe","data":{"channel":"a~","recover":{"epoch":"0000000000000001","offset":0}}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
B < {"event":"kabar:position","channel":"a~","data":"{\"recovered\":false}"}
# client events are live only
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~),"recover":true}}
A < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"kabar:position","channel":"private-a~","data":"{\"epoch\":\"…\",\"offset\":0}"}
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth B private-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"client-x","channel":"private-a~","data":"1"}
A < {"event":"client-x","channel":"private-a~","data":"1"}
C > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth C private-a~),"rewind":{"messages":9}}}
C < {"event":"pusher_internal:subscription_succeeded",…
C < {"event":"kabar:position","channel":"private-a~","data":"{\"epoch\":\"…\",\"offset\":0}"}
# a subscriber that recovers gets what it missed instead of the cached event
POST events {"name":"e","channel":"cache-a~","data":"1"}
= 200 {}
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~","rewind":{"messages":1}}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"kabar:position",…
A < {"event":"e","channel":"cache-a~","data":"1","offset":1}
"##,
    );
}

#[test]
fn all_after_a_position_comes_once_and_of_101_messages_the_oldest_is_gone() {
    DEFAULTS.run(async |server| {
        let server = &server.0;
        let publish = async |data: &str, except: Option<String>| {
            let body = serde_json::json!({"name": "e", "channel": "missed", "data": data, "socket_id": except});
            assert_eq!(Request::new(MAIN, "POST", "events", &body.to_string()).send(server).await.0, 200);
        };
        let mut first = Socket::connect(server.address(), MAIN.key).await;
        first.send_subscribe(json!({"channel": "missed", "recover": true})).await;
        first.expect_event("pusher_internal:subscription_succeeded").await;
        let at = first.expect_event("kabar:position").await;
        let id = first.id().to_string();
        publish("own", Some(id.clone())).await;
        publish("missed", None).await;
        // Without the socket that it was, and with it.
        for (own, wanted) in [(None, &["own", "missed"][..]), (Some(&id), &["missed"])] {
            let mut again = Socket::connect(server.address(), MAIN.key).await;
            let mut recover = json!({"epoch": at["epoch"], "offset": at["offset"]});
            own.into_iter().for_each(|own| recover["socket_id"] = json!(own));
            again.send_subscribe(json!({"channel": "missed", "recover": recover})).await;
            again.expect_event("pusher_internal:subscription_succeeded").await;
            let position = again.expect_event("kabar:position").await;
            assert_eq!((&position["recovered"], &position["offset"]), (&json!(true), &json!(2)), "recovery");
            for wanted in wanted {
                assert_eq!(again.expect_event("e").await.data, json!(wanted), "recovery");
            }
            again.expect_quiet().await;
        }
        for number in 3..=102 {
            publish(&number.to_string(), None).await;
        }
        // The last 100 are kept: 3 to 102.
        for (offset, recovered) in [(2, true), (1, false), (102, true), (103, false)] {
            let mut again = Socket::connect(server.address(), MAIN.key).await;
            let recover = json!({"epoch": at["epoch"], "offset": offset});
            again.send_subscribe(json!({"channel": "missed", "recover": recover})).await;
            again.expect_event("pusher_internal:subscription_succeeded").await;
            assert_eq!(again.expect_event("kabar:position").await["recovered"], recovered, "recovery from {offset}");
            for offset in if recovered { offset + 1..103 } else { 0..0 } {
                assert_eq!(again.expect_event("e").await.frame["offset"], offset, "recovery");
            }
            again.expect_quiet().await;
        }
    });
}
