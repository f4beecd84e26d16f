//! Checks a DKIM signature as a receiving server does, written from RFC 6376 (relaxed/relaxed) and RFC 8463 (Ed25519).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// The signature's tags, if what it covers is as it was signed by this key.
pub(crate) fn verify(raw: &str, public_key: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap();
    let headers: Vec<(String, String)> =
        head.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n").map(relaxed).collect();
    let (_, signature) = headers.iter().find(|(name, _)| name == "dkim-signature").unwrap();
    let tag =
        |part: &str| part.trim().split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    let tags: Vec<_> = signature.split(';').filter_map(tag).collect();
    let find = |key: &str| tags.iter().find(|(name, _)| name == key).map(|(_, value)| value.replace(' ', "")).unwrap();

    let body: Vec<_> = body.split("\r\n").map(|line| words(line).trim_end_matches(' ').to_owned()).collect();
    let body = format!("{}\r\n", body.join("\r\n").trim_end_matches("\r\n"));
    if STANDARD.encode(Sha256::digest(body)) != find("bh") {
        return Err("the body is another one");
    }
    let mut signed = String::new();
    for name in find("h").to_lowercase().split(':') {
        let (_, value) = headers.iter().rev().find(|(key, _)| key == name).unwrap();
        signed.push_str(&format!("{name}:{value}\r\n"));
    }
    let unsigned = signature.rsplit_once("; b=").unwrap().0;
    signed.push_str(&format!("dkim-signature:{unsigned}; b="));
    let key = UnparsedPublicKey::new(&ED25519, public_key);
    key.verify(&Sha256::digest(signed), &STANDARD.decode(find("b")).unwrap()).map_err(|_| "a header is another one")?;
    Ok(tags)
}

fn relaxed(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap();
    (name.trim().to_lowercase(), words(value).trim().to_owned())
}

/// Each run of space as one, also where it ends or begins.
fn words(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars().map(|char| if char == '\t' { ' ' } else { char }) {
        if char != ' ' || !out.ends_with(' ') {
            out.push(char);
        }
    }
    out
}
