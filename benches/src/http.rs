//! Requests ready to be written, and the end of answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use protocol::{Signer, signature};

use crate::wire;

/// A POST of JSON over a connection that is kept alive.
pub(crate) fn post(path: &str, bearer: Option<&str>, body: &str) -> Vec<u8> {
    request("POST", path, bearer, body)
}

fn request(method: &str, path: &str, bearer: Option<&str>, body: &str) -> Vec<u8> {
    let authorization = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}Content-Length: \
         {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A signed `POST /apps/{id}/events`.
pub(crate) fn publish(app_id: &str, key: &str, signer: &Signer, channel: &str, data: &str) -> Vec<u8> {
    let body = format!(r#"{{"name":"load","channels":["{channel}"],"data":"{data}"}}"#);
    let path = format!("/apps/{app_id}/events");
    let query = signature::sign_request(key, signer, "POST", &path, body.as_bytes(), now());
    post(&format!("{path}?{query}"), None, &body)
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

/// The status of a whole answer at the start of `bytes`, its body and how long it is; none while it is not whole.
pub(crate) fn answer(bytes: &[u8]) -> anyhow::Result<Option<(u16, &[u8], usize)>> {
    let Some(end) = wire::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no HTTP answer")?;
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths =
        lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    let length: usize = lengths.next().map_or(Ok(0), str::parse)?;
    Ok(bytes.get(end + 4..end + 4 + length).map(|body| (status, body, end + 4 + length)))
}

/// One call over a connection of its own: for what has to be set up before a load.
pub(crate) fn call(
    to: SocketAddr,
    method: &str,
    path: &str,
    bearer: &str,
    body: &str,
) -> anyhow::Result<serde_json::Value> {
    let mut stream = wire::connect(to, 0)?;
    stream.write_all(&request(method, path, Some(bearer), body))?;
    read_answer(&mut stream).with_context(|| format!("{method} {path}"))
}

fn read_answer(stream: &mut TcpStream) -> anyhow::Result<serde_json::Value> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some((status, body, _)) = answer(&bytes)? {
            ensure!((200..300).contains(&status), "status {status}: {}", String::from_utf8_lossy(body));
            return Ok(serde_json::from_slice(body).unwrap_or_default());
        }
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server ended the connection");
        bytes.extend_from_slice(&buffer[..read]);
    }
}
