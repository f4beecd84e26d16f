//! What must hold for any bytes at all, one function for each parser at the edge.
//!
//! Each takes bytes from anywhere and panics where a rule is broken. `cargo test` feeds them random bytes and mutations
//! of good ones for a bounded time; `make fuzz` lets a coverage-guided fuzzer look for worse.

use protocol::frame::{ChannelData, ClientFrame};
use protocol::signature::{SignedQuery, sign_request};
use protocol::{Channel, Signer, SocketId};

/// The frame parser: however the bytes are cut into pieces, the same messages come out and the same error ends them.
pub fn websocket(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let whole = hub::fuzz(stream, stream.len());
    let pieces = hub::fuzz(stream, usize::from(piece) + 1);
    assert_eq!(whole, pieces, "in pieces of {}", usize::from(piece) + 1);
}

/// The protocol's parser: no text breaks it, and what it takes for a channel's name is one.
pub fn frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(ClientFrame::Subscribe(subscribe)) = ClientFrame::parse(text) {
        let _ = subscribe.channel_data.as_deref().map(ChannelData::parse);
        channel(&subscribe.channel);
    }
    let _ = ChannelData::parse(text);
    let _ = text.parse::<SocketId>().map(|id| assert_eq!(id.to_string().parse(), Ok(id)));
    channel(text);
}

fn channel(name: &str) {
    let Ok(channel) = Channel::parse(name) else { return };
    assert_eq!(channel.name(), name);
    let rest = name.strip_prefix("#server-to-user-").unwrap_or(name);
    assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte)));
    if let Some(protected) = channel.protected() {
        assert!(protected.channels().contains(&channel), "{name} is one of its own names");
    }
}

/// The check of signed requests: a query of anybody's making is refused, and a good one is taken only as it is.
pub fn signature(bytes: &[u8]) {
    const NOW: i64 = 1_700_000_000;
    let signer = Signer::new("the secret that the bytes do not know");
    let Some(split) = bytes.iter().position(|byte| *byte == 0) else { return };
    let (query, body) = (&bytes[..split], &bytes[split + 1..]);
    let Ok(query) = std::str::from_utf8(query) else { return };
    let forged = SignedQuery::parse("POST", "/apps/1/events", query);
    assert!(forged.verify(&signer, body, NOW).is_err(), "forged: {query}");
    let good = sign_request("key", &signer, "POST", "/apps/1/events", body, NOW);
    assert_eq!(SignedQuery::parse("POST", "/apps/1/events", &good).verify(&signer, body, NOW), Ok(()));
    if !query.split('&').all(str::is_empty) {
        let more = format!("{good}&{query}");
        let more = SignedQuery::parse("POST", "/apps/1/events", &more);
        assert!(more.verify(&signer, body, NOW).is_err(), "added to a good one: {query}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that look like what each parser wants, so that random changes reach past its first line.
    const SEEDS: [&[u8]; 9] = [
        b"\x03\x81\x85\x00\x00\x00\x00hello",
        b"\x00\x01\x82\x12\x34\x56\x78zQ\x80\x80\x12\x34\x56\x78",
        b"\x07\x89\x80\x00\x00\x00\x00\x88\x82\x00\x00\x00\x00\x03\xe8",
        b"\x01\x81\xfe\x00\x80\x00\x00\x00\x00",
        br#"{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"k:s","channel_data":"{\"user_id\":1}"}}"#,
        br#"{"event":"pusher:subscribe","data":{"channel":"a","recover":{"epoch":"00000000000000ff","offset":1}}}"#,
        br#"{"event":"client-x","channel":"presence-chat-=41","data":{"a":[1,2,{"b":null}]}}"#,
        b"#server-to-user-=41",
        b"auth_key=key&auth_timestamp=1700000000&auth_version=1.0&body_md5=%41+&auth_signature=00\0{\"name\":1}",
    ];

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let seed = prop::sample::select(SEEDS.to_vec());
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 0..6);
        let mutated = (seed, changes).prop_map(|(seed, changes)| {
            let mut bytes = seed.to_vec();
            for (index, byte, how) in changes {
                let at = index.index(bytes.len().max(1));
                match how {
                    0 => bytes.insert(at.min(bytes.len()), byte),
                    1 if at < bytes.len() => drop(bytes.remove(at)),
                    2 => bytes.truncate(at),
                    _ if at < bytes.len() => bytes[at] = byte,
                    _ => {}
                }
            }
            bytes
        });
        prop_oneof![mutated, prop::collection::vec(any::<u8>(), 0..300)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn hostile_bytes_break_no_rule(bytes in hostile()) {
            websocket(&bytes);
            frame(&bytes);
            signature(&bytes);
        }
    }
}
