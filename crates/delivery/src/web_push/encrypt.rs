//! What a push says, readable by its browser alone: aes128gcm (RFC 8188) with keys as of RFC 8291.

use hkdf::Hkdf;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;

use crate::address::Subscription;

/// The size of the one record there is, as its header says; push services take no more (RFC 8030, 7.2).
const RECORD_BYTES: usize = 4096;
/// Salt, record size, length of the key, the key.
const HEADER_BYTES: usize = 16 + 4 + 1 + 65;
/// The delimiter of the last record and the authentication tag.
const OVERHEAD_BYTES: usize = 1 + 16;
/// The most bytes that can be said.
pub(crate) const PLAIN_BYTES_MAX: usize = RECORD_BYTES - HEADER_BYTES - OVERHEAD_BYTES;

/// It could not be encrypted: over [`PLAIN_BYTES_MAX`], or no random bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotEncrypted;

/// `plain` for `to`, under a key pair and a salt that are used this once.
pub(crate) fn encrypt(to: &Subscription, plain: &[u8]) -> Result<Vec<u8>, NotEncrypted> {
    let (mut salt, mut secret) = ([0; 16], [0; 32]);
    getrandom::fill(&mut salt).map_err(|_| NotEncrypted)?;
    for _ in 0..16 {
        getrandom::fill(&mut secret).map_err(|_| NotEncrypted)?;
        // Almost every number is a key.
        if let Ok(secret) = SecretKey::from_slice(&secret) {
            return seal(to, plain, salt, &secret);
        }
    }
    Err(NotEncrypted)
}

fn seal(to: &Subscription, plain: &[u8], salt: [u8; 16], own: &SecretKey) -> Result<Vec<u8>, NotEncrypted> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(NotEncrypted);
    }
    let own_public = own.public_key().to_encoded_point(false);
    let their_public = to.key.to_encoded_point(false);
    let shared = p256::ecdh::diffie_hellman(own.to_nonzero_scalar(), to.key.as_affine());

    let info = [b"WebPush: info\0".as_slice(), their_public.as_bytes(), own_public.as_bytes()].concat();
    let mut input = [0; 32];
    expand(&to.auth, shared.raw_secret_bytes(), &info, &mut input)?;
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    expand(&salt, &input, b"Content-Encoding: aes128gcm\0", &mut key)?;
    expand(&salt, &input, b"Content-Encoding: nonce\0", &mut nonce)?;

    let mut record = [plain, &[2]].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(|_| NotEncrypted)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)
        .map_err(|_| NotEncrypted)?;

    let mut body = Vec::with_capacity(HEADER_BYTES + record.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&(RECORD_BYTES as u32).to_be_bytes());
    body.push(65);
    body.extend_from_slice(own_public.as_bytes());
    body.append(&mut record);
    Ok(body)
}

fn expand(salt: &[u8], input: &[u8], info: &[u8], output: &mut [u8]) -> Result<(), NotEncrypted> {
    Hkdf::<Sha256>::new(Some(salt), input).expand(info, output).map_err(|_| NotEncrypted)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_rfc_comes_out_byte_for_byte() {
        let to = Subscription::parse("https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV", P256DH, AUTH);
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let own = SecretKey::from_slice(&decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let body = seal(&to.unwrap(), b"When I grow up, I want to be a watermelon", salt, &own).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6P\
             Bru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn a_record_is_never_over_its_size_and_never_the_same_twice() {
        let to = Subscription::parse("https://push.example.net/x", P256DH, AUTH).unwrap();
        let (one, two) = (encrypt(&to, &[7; PLAIN_BYTES_MAX]).unwrap(), encrypt(&to, &[7; PLAIN_BYTES_MAX]).unwrap());
        assert_eq!(one.len(), RECORD_BYTES);
        assert_ne!(one[..16], two[..16]);
        assert_ne!(one[21..86], two[21..86]);
        assert_eq!(encrypt(&to, &[7; PLAIN_BYTES_MAX + 1]), Err(NotEncrypted));
    }
}
