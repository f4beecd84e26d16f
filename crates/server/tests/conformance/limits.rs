//! 2.5 names, sizes and counts: each at its limit and one past it.

use crate::script::run;
use crate::server::DEFAULTS;

#[test]
fn a_channel_name_has_up_to_200_characters_of_a_few_kinds() {
    run(
        &DEFAULTS,
        r##"
# 2.5 164 characters, as documented, and 200, as SDKs allow
A > {"event":"pusher:subscribe","data":{"channel":"$(x 164)"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"$(x 164)","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"$(x 200)"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"$(x 200)","data":"{}"}
POST events {"name":"e","channel":"$(x 200)","data":"1"}
= 200 {}
A < {"event":"e","channel":"$(x 200)","data":"1"}
# 2.5 201 characters
A > {"event":"pusher:subscribe","data":{"channel":"$(x 201)"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid channel name: a channel name may have at most 200 bytes"}}
A < {"event":"pusher:subscription_error","channel":"$(x 200)","data":{"type":"InvalidChannel","error":"Invalid channel name: a channel name may have at most 200 bytes","status":400}}
POST events {"name":"e","channel":"$(x 201)","data":"1"}
= 400 …at most 200 bytes…
# 2.5 the prefix counts
A > {"event":"pusher:subscribe","data":{"channel":"private-$(x 192)",$(auth A private-$(x 192))}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"private-$(x 192)","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"private-$(x 193)",$(auth A private-$(x 193))}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error",…InvalidChannel…
# 2.5 every character that is allowed
A > {"event":"pusher:subscribe","data":{"channel":"azAZ09_-=@,.;"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"azAZ09_-=@,.;","data":"{}"}
POST events {"name":"e","channel":"azAZ09_-=@,.;","data":"1"}
= 200 {}
A < {"event":"e","channel":"azAZ09_-=@,.;","data":"1"}
GET channels/azAZ09_-=@,.;
= 200 {"occupied":true}
# 2.5 characters that are not
A > {"event":"pusher:subscribe","data":{"channel":"a b"}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid channel name: a channel name may hold only letters, digits and _ - = @ , . ;"}}
A < {"event":"pusher:subscription_error","channel":"a b","data":{"type":"InvalidChannel",…,"status":400}}
A > {"event":"pusher:subscribe","data":{"channel":"a:b"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"a:b",…
A > {"event":"pusher:subscribe","data":{"channel":"a/b"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"a/b",…
A > {"event":"pusher:subscribe","data":{"channel":"é"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"é",…
A > {"event":"pusher:subscribe","data":{"channel":"a\nb"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"a\nb",…
# 2.5 no name at all
A > {"event":"pusher:subscribe","data":{"channel":""}}
A < {"event":"pusher:error","data":{"code":null,"message":"Invalid channel name: a channel name may not be empty"}}
A < {"event":"pusher:subscription_error","channel":"","data":{"type":"InvalidChannel",…
POST events {"name":"e","channel":"","data":"1"}
= 400 …may not be empty…
# 2.5 # is reserved
A > {"event":"pusher:subscribe","data":{"channel":"#private"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"#private","data":{"type":"InvalidChannel",…
A > {"event":"pusher:subscribe","data":{"channel":"a#b"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"a#b","data":{"type":"InvalidChannel",…
A > {"event":"pusher:subscribe","data":{"channel":"#server-to-user-"}}
A < {"event":"pusher:error",…
A < {"event":"pusher:subscription_error","channel":"#server-to-user-",…
POST events {"name":"e","channel":"#else","data":"1"}
= 400 …may hold only…
"##,
    );
}

#[test]
fn an_event_has_a_name_of_200_characters_and_10240_bytes_of_data() {
    run(
        &DEFAULTS,
        r##"
# 2.5 the name of a published event
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
POST events {"name":"$(x 200)","channel":"a~","data":"1"}
= 200 {}
A < {"event":"$(x 200)","channel":"a~","data":"1"}
POST events {"name":"$(é 200)","channel":"a~","data":"1"}
= 200 {}
A < {"event":"$(é 200)","channel":"a~","data":"1"}
POST events {"name":"$(x 201)","channel":"a~","data":"1"}
= 400 …200…
# 2.5 the data of a published event
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
POST events {"name":"e","channel":"a~","data":"$(x 10240)"}
= 200 {}
A < {"event":"e","channel":"a~","data":"$(x 10240)"}
POST events {"name":"e","channel":"a~","data":"$(x 10241)"}
= 413 The data content of this event exceeds the allowed maximum (10240 bytes)…
POST events {"name":"e","channel":"a~","data":"$(é 5120)"}
= 200 {}
A < {"event":"e","channel":"a~","data":"$(é 5120)"}
POST events {"name":"e","channel":"a~","data":"$(é 5120)x"}
= 413 The data content of this event exceeds the allowed maximum (10240 bytes)…
POST batch_events {"batch":[{"name":"e","channel":"a~","data":"1"},{"name":"e","channel":"a~","data":"$(x 10241)"}]}
= 413 The data content of this event exceeds the allowed maximum (10240 bytes)…
# 2.5 the limit is in bytes of the text, not of its escapes
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
POST events {"name":"e","channel":"a~","data":"\u0061$(x 10239)"}
= 200 {}
A < {"event":"e","channel":"a~","data":"a$(x 10239)"}
# 2.5 an app's policy lowers it
app small
POST events {"name":"e","channel":"a~","data":"$(x 20)"}
= 200 {}
POST events {"name":"e","channel":"a~","data":"$(x 21)"}
= 413 The data content of this event exceeds the allowed maximum (20 bytes)…
"##,
    );
}

#[test]
fn an_event_goes_to_100_channels_a_batch_has_10_events_and_nothing_of_what_is_over_is_published() {
    run(
        &DEFAULTS,
        r##"
# 2.5 channels of one event
A > {"event":"pusher:subscribe","data":{"channel":"a~-99"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~-99","data":"{}"}
POST events {"name":"e","channels":[$(list 100 a~-)],"data":"1"}
= 200 {}
A < {"event":"e","channel":"a~-99","data":"1"}
POST events {"name":"e","channels":[$(list 101 a~-)],"data":"2"}
= 400 …100…
POST events {"name":"e","channels":[],"data":"3"}
= 400 …
POST events {"name":"last","channels":["a~-99"],"data":"4"}
= 200 {}
A < {"event":"last","channel":"a~-99","data":"4"}
# 2.5 events of one batch
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
POST batch_events {"batch":[{"name":"0","channel":"a~","data":""},{"name":"1","channel":"a~","data":""},{"name":"2","channel":"a~","data":""},{"name":"3","channel":"a~","data":""},{"name":"4","channel":"a~","data":""},{"name":"5","channel":"a~","data":""},{"name":"6","channel":"a~","data":""},{"name":"7","channel":"a~","data":""},{"name":"8","channel":"a~","data":""},{"name":"9","channel":"a~","data":""}]}
= 200 {}
A < {"event":"0","channel":"a~","data":""}
A < {"event":"1","channel":"a~","data":""}
A < {"event":"2","channel":"a~","data":""}
A < {"event":"3","channel":"a~","data":""}
A < {"event":"4","channel":"a~","data":""}
A < {"event":"5","channel":"a~","data":""}
A < {"event":"6","channel":"a~","data":""}
A < {"event":"7","channel":"a~","data":""}
A < {"event":"8","channel":"a~","data":""}
A < {"event":"9","channel":"a~","data":""}
POST batch_events {"batch":[{"name":"0","channel":"a~","data":""},{"name":"1","channel":"a~","data":""},{"name":"2","channel":"a~","data":""},{"name":"3","channel":"a~","data":""},{"name":"4","channel":"a~","data":""},{"name":"5","channel":"a~","data":""},{"name":"6","channel":"a~","data":""},{"name":"7","channel":"a~","data":""},{"name":"8","channel":"a~","data":""},{"name":"9","channel":"a~","data":""},{"name":"10","channel":"a~","data":""}]}
= 400 …10…
POST events {"name":"last","channel":"a~","data":"4"}
= 200 {}
A < {"event":"last","channel":"a~","data":"4"}
# 2.5 channels of one socket, as the policy has it
app small
A > {"event":"pusher:subscribe","data":{"channel":"a~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"a~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"b~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"b~","data":"{}"}
A > {"event":"pusher:subscribe","data":{"channel":"c~"}}
A < {"event":"pusher:error","data":{"code":null,"message":"A connection may have at most 2 subscriptions"}}
A < {"event":"pusher:subscription_error","channel":"c~","data":{"type":"LimitReached","error":"A connection may have at most 2 subscriptions","status":4100}}
A > {"event":"pusher:unsubscribe","data":{"channel":"a~"}}
A > {"event":"pusher:subscribe","data":{"channel":"c~"}}
A < {"event":"pusher_internal:subscription_succeeded","channel":"c~","data":"{}"}
"##,
    );
}
