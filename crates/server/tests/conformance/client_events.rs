//! 2.9 client events, and 2.13 that encrypted payloads are relayed as they are.

use serde_json::json;
use testkit::Socket;

use crate::script::run;
use crate::server::{DEFAULTS, MAIN};

#[test]
fn a_client_event_goes_to_all_others_on_a_private_or_presence_channel_and_to_nobody_else() {
    run(
        &DEFAULTS,
        r##"
# 2.9 on a private channel, to all but the sender
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth B private-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
C > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth C private-a~)}}
C < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"private-a~","data":"text"}
B < {"event":"client-x","channel":"private-a~","data":"text"}
C < {"event":"client-x","channel":"private-a~","data":"text"}
A .
# 2.2 data that is no string goes out as a string
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth B private-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"private-a~","data":{"a": [1,"é"]}}
B < {"event":"client-x","channel":"private-a~","data":"{\"a\": [1,\"é\"]}"}
A > {"event":"client-x","channel":"private-a~","data":7}
B < {"event":"client-x","channel":"private-a~","data":"7"}
A > {"event":"client-x","channel":"private-a~","data":null}
B < {"event":"client-x","channel":"private-a~","data":"null"}
A > {"event":"client-x","channel":"private-a~"}
B < {"event":"client-x","channel":"private-a~","data":"null"}
A > {"event":"client-","channel":"private-a~","data":""}
B < {"event":"client-","channel":"private-a~","data":""}
# 2.9 on a presence channel, with the sender's proven id and never the one that it claims
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth B presence-a~ {"user_id":2})}}
B < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:member_added",…
A > {"event":"client-x","channel":"presence-a~","data":"{}","user_id":"2"}
B < {"event":"client-x","channel":"presence-a~","data":"{}","user_id":"1"}
B > {"event":"client-x","channel":"presence-a~","data":"{}"}
A < {"event":"client-x","channel":"presence-a~","data":"{}","user_id":"2"}
# 2.9 on a private channel there is no user_id, whatever was signed or sent
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth B private-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"private-a~","data":"1","user_id":"1"}
B < {"event":"client-x","channel":"private-a~","data":"1"}
# 2.9 not on public channels
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"a~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"Client event rejected - only supported on private and presence channels"}}
# 2.9 not where the sender is not subscribed
A > {"event":"client-x","channel":"private-a~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"Client event rejected - not subscribed to channel private-a~"}}
# 2.9 not where the sender is no longer subscribed
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"pusher:unsubscribe","data":{"channel":"private-a~"}}
A > {"event":"client-x","channel":"private-a~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"Client event rejected - not subscribed to channel private-a~"}}
# 2.9 not in an app that has not enabled them
app plain
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"private-a~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"To send client events, you must enable this feature for the app"}}
# 2.9 a channel is needed
A > {"event":"client-x","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid message: a client event needs a channel"}}
# 2.9 names of the protocol's own are prohibited
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"pusher:x","channel":"private-a~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: pusher:x"}}
A > {"event":"pusher_internal:member_added","channel":"private-a~","data":"{}"}
A < {"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: pusher_internal:member_added"}}
# 2.5 the name and the data of a client event
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth B private-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-$(x 193)","channel":"private-a~","data":"$(x 10240)"}
B < {"event":"client-$(x 193)","channel":"private-a~","data":"$(x 10240)"}
A > {"event":"client-$(x 194)","channel":"private-a~","data":"1"}
A < {"event":"pusher:error","data":{"code":null,"message":"An event name may have at most 200 characters"}}
A > {"event":"client-x","channel":"private-a~","data":"$(x 10241)"}
A < {"event":"pusher:error","data":{"code":null,"message":"The data of a client event may have at most 10240 bytes"}}
A > {"event":"client-last","channel":"private-a~","data":"1"}
B < {"event":"client-last","channel":"private-a~","data":"1"}
# 2.5 the data of a client event, as the policy has it
app small
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
B > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth B private-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
A > {"event":"client-x","channel":"private-a~","data":"$(x 21)"}
A < {"event":"pusher:error","data":{"code":null,"message":"The data of a client event may have at most 20 bytes"}}
A > {"event":"client-x","channel":"private-a~","data":"$(x 20)"}
B < {"event":"client-x","channel":"private-a~","data":"$(x 20)"}
# 2.13 encrypted payloads are relayed byte for byte, to sockets and from backends
A > {"event":"pusher:subscribe","data":{"channel":"private-encrypted-a~",$(auth A private-encrypted-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-encrypted-a~","data":"{}"}
POST events {"name":"e","channel":"private-encrypted-a~","data":"{\"nonce\":\"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9\",\"ciphertext\":\"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A=\"}"}
= 200 {}
A < {"event":"e","channel":"private-encrypted-a~","data":"{\"nonce\":\"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9\",\"ciphertext\":\"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A=\"}"}
"##,
    );
}

/// Sends so many client events at once; how many came, and how many were refused.
async fn burst(from: &mut Socket, to: &mut Socket, channel: &str, count: usize) -> (usize, usize) {
    for number in 0..count {
        from.send_event(channel, "client-x", json!(number)).await;
    }
    from.send_json(json!({"event": "pusher:ping", "data": {}})).await;
    let mut refused = 0;
    loop {
        let event = from.next().await;
        if event.event == "pusher:pong" {
            break;
        }
        assert_eq!((&event.event[..], &event["code"]), ("pusher:error", &json!(4301)), "2.9");
        refused += 1;
    }
    for number in 0..count - refused {
        assert_eq!(to.expect_event("client-x").await.data, json!(number), "2.9");
    }
    (count - refused, refused)
}

#[test]
fn the_eleventh_client_event_of_a_second_is_dropped_with_4301_and_the_connection_stays() {
    DEFAULTS.run(async |server| {
        let (mut from, mut to) =
            (Socket::connect(server.0.address(), MAIN.key).await, Socket::connect(server.0.address(), MAIN.key).await);
        for socket in [&mut from, &mut to] {
            socket.subscribe_private("private-burst", MAIN.key, MAIN.secret).await;
        }
        // A burst may lie in two seconds: it is repeated until one lies in one.
        for _ in 0..20 {
            match burst(&mut from, &mut to, "private-burst", 11).await {
                (10, 1) => return,
                (relayed, _) => assert!(relayed < 12, "2.9"),
            }
        }
        panic!("2.9: 11 client events were relayed in each of 20 bursts");
    });
}

#[test]
fn a_message_has_64_kib_and_a_second_1000_frames() {
    DEFAULTS.run(async |server| {
        let ping = |bytes: usize| format!(r#"{{"event":"pusher:ping","data":"{}"}}"#, "x".repeat(bytes - 33));
        let mut socket = Socket::connect(server.0.address(), MAIN.key).await;
        assert_eq!(ping(65_536).len(), 65_536);
        socket.send_text(&ping(65_536)).await;
        socket.expect_event("pusher:pong").await;
        socket.send_text(&ping(65_537)).await;
        assert_eq!(socket.expect_close_with().await, (1009, "message too big".into()), "docs/protocol.md, close codes");

        let mut socket = Socket::connect(server.0.address(), MAIN.key).await;
        let frames = |count: usize| -> Vec<u8> {
            (0..count).flat_map(|_| testkit::masked_frame(0x81, br#"{"event":"pusher:pong"}"#)).collect()
        };
        // A close is a frame as well. In however many seconds they lie, 1000 are within the limit.
        socket.send_raw(&frames(999)).await;
        assert_eq!(socket.close(1000).await, 1000, "docs/protocol.md, close codes");
        // And so many are not, should they lie in two.
        let mut socket = Socket::connect(server.0.address(), MAIN.key).await;
        socket.send_raw(&frames(2001)).await;
        assert_eq!(socket.expect_close_with().await, (4101, "Too many frames".into()), "docs/protocol.md, close codes");
    });
}
