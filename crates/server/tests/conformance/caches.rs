//! 2.10 cache channels and 2.11 subscription counts.

use testkit::Socket;

use crate::script::run;
use crate::server::{COUNTS, DEFAULTS};

#[test]
fn a_cache_channel_of_each_kind_gives_its_last_event_or_says_that_there_is_none() {
    run(
        &DEFAULTS,
        r##"
# 2.10 cache-: a miss, then what was published last
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"pusher:cache_miss","channel":"cache-a~"}
POST events {"name":"one","channel":"cache-a~","data":"1"}
= 200 {}
POST events {"name":"two","channel":"cache-a~","data":"{\"b\":2}"}
= 200 {}
A < {"event":"one","channel":"cache-a~","data":"1"}
A < {"event":"two","channel":"cache-a~","data":"{\"b\":2}"}
B > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
B < {"event":"two","channel":"cache-a~","data":"{\"b\":2}"}
# 2.10 private-cache-
A > {"event":"pusher:subscribe","data":{"channel":"private-cache-a~",$(auth A private-cache-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-cache-a~","data":"{}"}
A < {"event":"pusher:cache_miss","channel":"private-cache-a~"}
POST events {"name":"one","channel":"private-cache-a~","data":"1"}
= 200 {}
A < {"event":"one","channel":"private-cache-a~","data":"1"}
B > {"event":"pusher:subscribe","data":{"channel":"private-cache-a~",$(auth B private-cache-a~)}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"private-cache-a~","data":"{}"}
B < {"event":"one","channel":"private-cache-a~","data":"1"}
# 2.10 private-encrypted-cache-
A > {"event":"pusher:subscribe","data":{"channel":"private-encrypted-cache-a~",$(auth A private-encrypted-cache-a~)}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-encrypted-cache-a~","data":"{}"}
A < {"event":"pusher:cache_miss","channel":"private-encrypted-cache-a~"}
POST events {"name":"one","channel":"private-encrypted-cache-a~","data":"{\"nonce\":\"x\",\"ciphertext\":\"y\"}"}
= 200 {}
A < {"event":"one","channel":"private-encrypted-cache-a~","data":"{\"nonce\":\"x\",\"ciphertext\":\"y\"}"}
B > {"event":"pusher:subscribe","data":{"channel":"private-encrypted-cache-a~",$(auth B private-encrypted-cache-a~)}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"private-encrypted-cache-a~","data":"{}"}
B < {"event":"one","channel":"private-encrypted-cache-a~","data":"{\"nonce\":\"x\",\"ciphertext\":\"y\"}"}
# 2.10 presence-cache-
A > {"event":"pusher:subscribe","data":{"channel":"presence-cache-a~",$(auth A presence-cache-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"presence-cache-a~","data":"{\"presence\":{\"ids\":[\"1\"],\"hash\":{\"1\":{}},\"count\":1}}"}
A < {"event":"pusher:cache_miss","channel":"presence-cache-a~"}
POST events {"name":"one","channel":"presence-cache-a~","data":"1"}
= 200 {}
A < {"event":"one","channel":"presence-cache-a~","data":"1"}
B > {"event":"pusher:subscribe","data":{"channel":"presence-cache-a~",$(auth B presence-cache-a~ {"user_id":"1"})}}
B < {"event":"pusher_internal:subscription_succeeded",…
B < {"event":"one","channel":"presence-cache-a~","data":"1"}
# 2.10 what was published before anybody came, and after all have left, is kept
POST events {"name":"one","channels":["cache-a~","other~"],"data":"1"}
= 200 {}
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"one","channel":"cache-a~","data":"1"}
A bye
B > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
B < {"event":"one","channel":"cache-a~","data":"1"}
# 2.10 an event that excluded a socket is kept as any other
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"pusher:cache_miss","channel":"cache-a~"}
POST events {"name":"one","channel":"cache-a~","data":"1","socket_id":"$(A)"}
= 200 {}
A > {"event":"pusher:unsubscribe","data":{"channel":"cache-a~"}}
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"one","channel":"cache-a~","data":"1"}
# 2.10 of a batch the last is kept
POST batch_events {"batch":[{"name":"one","channel":"cache-a~","data":"1"},{"name":"two","channel":"cache-a~","data":"2"}]}
= 200 {}
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"two","channel":"cache-a~","data":"2"}
# 2.10 client events are not kept
A > {"event":"pusher:subscribe","data":{"channel":"private-cache-a~",$(auth A private-cache-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher:cache_miss","channel":"private-cache-a~"}
A > {"event":"client-x","channel":"private-cache-a~","data":"1"}
A .
B > {"event":"pusher:subscribe","data":{"channel":"private-cache-a~",$(auth B private-cache-a~)}}
B < {"event":"pusher_internal:subscription_succeeded",…
B < {"event":"pusher:cache_miss","channel":"private-cache-a~"}
# 2.10 a name that only looks like a cache channel's is none
A > {"event":"pusher:subscribe","data":{"channel":"cachea~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cachea~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"my-cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"my-cache-a~","data":"{}"}
# 2.10 a refused subscriber is told nothing of it
POST events {"name":"one","channel":"private-cache-a~","data":"1"}
= 200 {}
A > {"event":"pusher:subscribe","data":{"channel":"private-cache-a~"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error",…
"##,
    );
}

#[test]
fn subscribers_of_an_app_that_wants_it_are_told_how_many_they_are() {
    run(
        &DEFAULTS,
        r##"
# 2.11 at each change, to all of them
app counts
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A < {"event":"pusher_internal:subscription_count","channel":"a~","data":"{\"subscription_count\":1}"}
B > {"event":"pusher:subscribe","data":{"channel":"a~"}}
B < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
B < {"event":"pusher_internal:subscription_count","channel":"a~","data":"{\"subscription_count\":2}"}
A < {"event":"pusher_internal:subscription_count","channel":"a~","data":"{\"subscription_count\":2}"}
A > {"event":"pusher:unsubscribe","data":{"channel":"a~"}}
A .
B < {"event":"pusher_internal:subscription_count","channel":"a~","data":"{\"subscription_count\":1}"}
# 2.11 on private, encrypted and cache channels too
app counts
A > {"event":"pusher:subscribe","data":{"channel":"private-a~",$(auth A private-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:subscription_count","channel":"private-a~","data":"{\"subscription_count\":1}"}
A > {"event":"pusher:subscribe","data":{"channel":"private-encrypted-a~",$(auth A private-encrypted-a~)}}
A < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:subscription_count","channel":"private-encrypted-a~","data":"{\"subscription_count\":1}"}
# 2.11 not on presence channels
app counts
A > {"event":"pusher:subscribe","data":{"channel":"presence-a~",$(auth A presence-a~ {"user_id":"1"})}}
A < {"event":"pusher_internal:subscription_succeeded",…
A .
# 2.11 a disconnect counts as well
app counts
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded",…
A < {"event":"pusher_internal:subscription_count",…"{\"subscription_count\":1}"}
B > {"event":"pusher:subscribe","data":{"channel":"a~"}}
B < {"event":"pusher_internal:subscription_succeeded",…
B < {"event":"pusher_internal:subscription_count",…"{\"subscription_count\":2}"}
A < {"event":"pusher_internal:subscription_count",…"{\"subscription_count\":2}"}
B bye
A < {"event":"pusher_internal:subscription_count",…"{\"subscription_count\":1}"}
# 2.10 on a cache channel the event that is kept stays the first
app counts
A > {"event":"pusher:subscribe","data":{"channel":"cache-a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"cache-a~","data":"{}"}
A < {"event":"pusher:cache_miss","channel":"cache-a~"}
A < {"event":"pusher_internal:subscription_count","channel":"cache-a~","data":"{\"subscription_count\":1}"}
"##,
    );
}

#[test]
fn above_100_subscribers_counts_come_every_five_seconds_where_they_have_changed() {
    DEFAULTS.run(async |server| {
        let join = async || {
            let mut socket = Socket::connect(server.0.address(), COUNTS.key).await;
            socket.subscribe("crowd").await;
            socket
        };
        let mut first = join().await;
        let mut others = Vec::new();
        for count in 1..=100 {
            let told = first.expect_event("pusher_internal:subscription_count").await;
            assert_eq!(told["subscription_count"], count, "2.11 up to 100 at each change");
            others.push(join().await);
        }
        others.push(join().await);
        others.push(join().await);
        first.expect_quiet().await;
        let told = first.expect_event("pusher_internal:subscription_count").await;
        assert_eq!(told["subscription_count"], 103, "2.11 above 100 the newest, once");
        first.expect_quiet().await;
    });
}
