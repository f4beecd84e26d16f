use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message_bytes_max: 1000, fragments_max: 4 };
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What comes out when the bytes arrive in pieces; the error ends it.
fn decode(bytes: &[u8], piece: usize) -> (Vec<String>, Option<u16>) {
    super::decode(bytes, piece, LIMITS)
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let bytes = [
        client_frame(0x01, "Hé".as_bytes()),
        client_frame(0x89, b"?"),
        client_frame(0x00, b""),
        client_frame(0x80, b"llo"),
        client_frame(0x81, b"next"),
    ]
    .concat();
    for piece in [1, 2, 3, 7, 1000] {
        let (out, error) = decode(&bytes, piece);
        assert_eq!(error, None);
        assert_eq!(out, ["Ping([63])", "Text(\"Héllo\")", "Text(\"next\")"], "pieces of {piece}");
    }
}

#[test]
fn each_violation_has_its_code_whatever_the_pieces() {
    let mut unmasked = client_frame(0x81, b"x");
    unmasked[1] &= 0x7f;
    let big = client_frame(0x82, &[0; 1001]);
    let two_parts = [client_frame(0x02, &[0; 600]), client_frame(0x80, &[0; 401])].concat();
    let many = [client_frame(0x02, b"x"), client_frame(0x00, b"x").repeat(3), client_frame(0x00, b"x")].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", unmasked, 1002),
        ("reserved bit", client_frame(0xc1, b"x"), 1002),
        ("reserved opcode", client_frame(0x83, b"x"), 1002),
        ("fragmented ping", client_frame(0x09, b"x"), 1002),
        ("long ping", client_frame(0x89, &[0; 126]), 1002),
        ("continuation of nothing", client_frame(0x80, b"x"), 1002),
        ("message within a message", [client_frame(0x01, b"x"), client_frame(0x81, b"y")].concat(), 1002),
        ("close of one byte", client_frame(0x88, b"x"), 1002),
        ("close with 1005", client_frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close with bad reason", client_frame(0x88, &[3, 232, 0xff]), 1007),
        ("bad UTF-8", client_frame(0x81, &[0xff]), 1007),
        ("UTF-8 cut off", client_frame(0x81, &[0xc3]), 1007),
        ("too big", big[..10].to_vec(), 1009),
        ("too big in two parts", two_parts, 1009),
        ("too many fragments", many, 1009),
    ];
    for (name, bytes, code) in cases {
        for piece in [1, 3, bytes.len()] {
            assert_eq!(decode(&bytes, piece).1, Some(code), "{name}, pieces of {piece}");
        }
    }
    assert_eq!(decode(&client_frame(0x82, &[0; 1000]), 100).1, None);
}

#[test]
fn bad_utf8_is_found_before_its_frame_has_ended() {
    let bytes = client_frame(0x81, b"ab\xffcdefghij");
    assert_eq!(decode(&bytes[..bytes.len() - 4], 1).1, Some(1007));
}

#[test]
fn a_decoder_keeps_nothing_between_messages() {
    let mut decoder = Decoder::default();
    for bytes in [client_frame(0x81, b"x"), client_frame(0x81, &[b'x'; 500])] {
        for byte in bytes {
            let mut one = [byte];
            decoder.next(&mut one.as_mut_slice(), LIMITS).unwrap();
        }
        assert!(decoder.half.is_none());
    }
}

proptest! {
    #[test]
    fn what_comes_out_does_not_depend_on_the_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
        prop_assert_eq!(decode(&bytes, piece), decode(&bytes, 300));
    }

    #[test]
    fn texts_survive_any_fragmentation(text in ".{0,80}", cuts in proptest::collection::vec(0_usize..80, 0..3), piece in 1_usize..40) {
        let payload = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(payload.len())).collect();
        cuts.sort_unstable();
        let mut bytes = Vec::new();
        let mut from = 0;
        for (index, cut) in cuts.iter().enumerate() {
            bytes.extend(client_frame(if index == 0 { 0x01 } else { 0x00 }, &payload[from..*cut]));
            from = *cut;
        }
        bytes.extend(client_frame(if cuts.is_empty() { 0x81 } else { 0x80 }, &payload[from..]));
        prop_assert_eq!(decode(&bytes, piece).0, vec![format!("Text({text:?})")]);
    }
}
