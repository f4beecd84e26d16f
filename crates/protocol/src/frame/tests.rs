use proptest::prelude::*;

use super::*;

#[test]
fn frames_are_byte_for_byte_what_pusher_js_reads() {
    let socket = "123.456".parse().unwrap();
    assert_eq!(
        connection_established(socket, 120),
        r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"123.456\",\"activity_timeout\":120}"}"#
    );
    assert_eq!(
        subscription_succeeded("a", "{}"),
        r#"{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}"#
    );
    let members = [("1", r#"{"name":"A"}"#), ("2", "{}")];
    assert_eq!(
        presence_data(members.into_iter()),
        r#"{"presence":{"ids":["1","2"],"hash":{"1":{"name":"A"},"2":{}},"count":2}}"#
    );
    assert_eq!(error(None, "x"), r#"{"event":"pusher:error","data":{"code":null,"message":"x"}}"#);
    assert_eq!(
        member_removed("presence-a", "1"),
        r#"{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"1\"}"}"#
    );
    let at = Position { epoch: Epoch(10), offset: 3 };
    assert_eq!(
        position("c", Some(at), Some(true)),
        r#"{"event":"kabar:position","channel":"c","data":"{\"epoch\":\"000000000000000a\",\"offset\":3,\"recovered\":true}"}"#
    );
    assert_eq!(
        watchlist_events(&["u2"], &[]),
        r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u2\"]}]}"}"#
    );
    assert_eq!(
        ChannelEvent { event: "e", channel: "c", data: "{\"a\":1}", user_id: Some("7") }.encode(),
        r#"{"event":"e","channel":"c","data":"{\"a\":1}","user_id":"7"}"#
    );
}

#[test]
fn a_frame_is_told_apart_by_its_event() {
    let parse = ClientFrame::parse;
    assert!(matches!(parse(r#"{"event":"pusher:ping","data":{}}"#), Ok(ClientFrame::Ping)));
    assert!(matches!(parse(r#"{"event":"pusher:ping"}"#), Ok(ClientFrame::Ping)));
    let text = r#"{"event":"pusher:subscribe","data":{"channel":"a","auth":""}}"#;
    let Ok(ClientFrame::Subscribe(subscribe)) = parse(text) else { panic!("no subscribe") };
    assert_eq!((&*subscribe.channel, subscribe.channel_data), ("a", None));
    let text = r#"{"event":"client-x","channel":"private-a","data":{"a": 1}}"#;
    let Ok(ClientFrame::Event(event)) = parse(text) else { panic!("no event") };
    assert_eq!((&*event.channel, event.data), ("private-a", r#"{"a": 1}"#));
    for bad in
        ["", "x", "[]", "{}", "null", r#"{"event":1}"#, r#"{"event":"pusher:subscribe"}"#, r#"{"event":"client-x"}"#]
    {
        assert!(matches!(parse(bad), Err(InvalidFrame::Malformed(_))), "{bad}");
    }
    assert!(matches!(parse(r#"{"event":"pusher_internal:member_added"}"#), Err(InvalidFrame::Unsupported(_))));
}

#[test]
fn recovery_is_asked_for_in_the_subscribe_frame() {
    let recover = |text: &str| -> Result<Option<Recover>, String> {
        let frame = format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"a","recover":{text}}}}}"#);
        match ClientFrame::parse(&frame) {
            Ok(ClientFrame::Subscribe(subscribe)) => Ok(subscribe.recover),
            Ok(_) => panic!("no subscribe"),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(recover("true"), Ok(Some(Recover::Position(true))));
    assert_eq!(recover("null"), Ok(None));
    let after = Recover::After { epoch: Epoch(255), offset: 7, socket_id: None };
    assert_eq!(recover(r#"{"epoch":"00000000000000ff","offset":7}"#), Ok(Some(after)));
    for bad in [r#""x""#, "1", "{}", r#"{"epoch":"ff","offset":7}"#, r#"{"epoch":"00000000000000ff","offset":-1}"#] {
        assert!(recover(bad).unwrap_err().contains("recover must be"), "{bad}");
    }
}

#[test]
fn a_numeric_user_id_becomes_text() {
    let data = ChannelData::parse(r#"{"user_id":10,"user_info":{"name":"x"}}"#).unwrap();
    assert_eq!((data.user_id.as_str(), data.user_info.as_str()), ("10", r#"{"name":"x"}"#));
    assert_eq!(ChannelData::parse(r#"{"user_id":"a"}"#).unwrap().user_info, "{}");
    for bad in ["", "[]", "{}", r#"{"user_id":""}"#, r#"{"user_id":null}"#] {
        assert!(ChannelData::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = ClientFrame::parse(&text);
        let _ = ChannelData::parse(&text);
    }

    #[test]
    fn any_payload_survives_the_envelope(event in ".{0,20}", data in ".{0,100}") {
        let text = ChannelEvent { event: &event, channel: "c", data: &data, user_id: None }.encode();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value["data"].as_str(), Some(data.as_str()));
    }
}
