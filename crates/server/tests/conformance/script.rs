//! Rows as text: who sends what, and what must come, byte for byte.
//!
//! | line | means |
//! |---|---|
//! | `# 2.6 a sentence` | begins a row; the sockets of the row before are gone |
//! | `app KEY` | the row's app, where it is not [`MAIN`] |
//! | `A > text` | socket A sends; a socket connects when it is first named |
//! | `A < text` | the next frame that A gets is exactly this; `…` stands for anything |
//! | `A .` | nothing is on its way to A |
//! | `A ×  4009 reason` | the server closes A |
//! | `A bye` | A closes |
//! | `POST path body`, `GET path` | a signed request; the path is below `/apps/{id}/` |
//! | `= 200 body` | its answer: JSON by value, other text exactly |
//!
//! A row ends with the proof that none of its sockets has got anything else. `~` is a number of the row's own, which
//! keeps names apart. `$(word arguments)` is expanded, inner ones first: see [`Row::word`].

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use serde_json::{Value, json};
use testkit::Socket;

use crate::request::Request;
use crate::server::{App, MAIN, Server, Shared};

/// Runs every row; fails with the names of all that failed.
pub(crate) fn run(server: &Shared, rows: &str) {
    server.run(async |server| {
        let mut failed = Vec::new();
        for row in split(rows) {
            let title = row[0];
            let played = AssertUnwindSafe(Row::new(&server.0).play(&row[1..])).catch_unwind().await;
            if let Err(panic) = played {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it failed");
                failed.push(format!("{title}\n    {text}"));
            }
        }
        assert!(failed.is_empty(), "{} rows failed:\n{}", failed.len(), failed.join("\n"));
    });
}

/// Lines of each row, its title first.
fn split(rows: &str) -> Vec<Vec<&str>> {
    let mut split: Vec<Vec<&str>> = Vec::new();
    for line in rows.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match (line.starts_with("# "), split.last_mut()) {
            (true, _) => split.push(vec![line]),
            (false, row) => row.expect("a title comes first").push(line),
        }
    }
    split
}

/// Whether the text is this, where `…` stands for anything.
pub(crate) fn fits(text: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            let Some(at) = rest.find(middle) else { return false };
            rest = &rest[at + middle.len()..];
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

struct Row<'s> {
    server: &'s Server,
    number: String,
    app: App,
    sockets: BTreeMap<char, Socket>,
    answer: Option<(u16, String)>,
}

impl<'s> Row<'s> {
    fn new(server: &'s Server) -> Self {
        static ROWS: AtomicU32 = AtomicU32::new(1);
        let number = ROWS.fetch_add(1, Ordering::Relaxed).to_string();
        Self { server, number, app: MAIN, sockets: BTreeMap::new(), answer: None }
    }

    async fn play(mut self, lines: &[&str]) {
        for line in lines {
            let done = AssertUnwindSafe(self.step(line)).catch_unwind().await;
            if let Err(panic) = done {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("{line:.300}\n    {text}");
            }
        }
        for (name, socket) in &mut self.sockets {
            let done = AssertUnwindSafe(socket.expect_quiet()).catch_unwind().await;
            assert!(done.is_ok(), "something more came to {name}");
        }
    }

    async fn step(&mut self, line: &str) {
        let (first, rest) = line.split_once(' ').expect("two words at least");
        match first {
            "app" => self.app = App::named(rest),
            "=" => self.answered(rest),
            "GET" => self.request("GET", rest).await,
            "POST" => self.request("POST", rest).await,
            name => {
                let name = name.parse().expect("a socket is one letter");
                self.connected(name).await;
                self.socket_step(name, rest).await;
            }
        }
    }

    async fn connected(&mut self, name: char) {
        if !self.sockets.contains_key(&name) {
            self.sockets.insert(name, Socket::connect(self.server.address(), self.app.key).await);
        }
    }

    async fn socket_step(&mut self, name: char, rest: &str) {
        let (verb, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let text = self.expand(text);
        let socket = self.sockets.get_mut(&name).expect("it is connected");
        match verb {
            ">" => socket.send_text(&text).await,
            "<" => {
                let came = socket.next_text().await;
                assert!(fits(&came, &text), "wanted: {text:.1500}\n      came: {came:.1500}");
            }
            "." => socket.expect_quiet().await,
            "×" => {
                let (code, reason) = socket.expect_close_with().await;
                assert_eq!(format!("{code} {reason}"), text);
                self.sockets.remove(&name);
            }
            "bye" => assert_eq!(self.sockets.remove(&name).unwrap().close(1000).await, 1000),
            "here" => {}
            verb => panic!("there is no step {verb}"),
        }
    }

    async fn request(&mut self, method: &'static str, rest: &str) {
        let rest = self.expand(rest);
        let (path, body) = rest.split_once(' ').unwrap_or((&rest, ""));
        self.answer = Some(Request::new(self.app, method, path, body).send(self.server).await);
    }

    fn answered(&mut self, wanted: &str) {
        let wanted = self.expand(wanted);
        let (status, text) = self.answer.take().expect("a request comes first");
        let came = format!("{status} {text}");
        let json = |text: &str| text.get(4..).and_then(|body| serde_json::from_str::<Value>(body).ok());
        let is_same = wanted[..3] == came[..3] && json(&came).is_some() && json(&came) == json(&wanted);
        assert!(is_same || fits(came.trim_end(), &wanted), "wanted: {wanted:.1500}\n      came: {came:.1500}");
    }

    fn expand(&self, text: &str) -> String {
        let mut text = text.replace('~', &self.number);
        while let Some(start) = text.rfind("$(") {
            let end = start + text[start..].find(')').expect("a word ends");
            let word = self.word(&text[start + 2..end]);
            text.replace_range(start..=end, &word);
        }
        text
    }

    /// - `A`: the socket's id
    /// - `sign A CHANNEL [DATA]`: a signature
    /// - `auth A CHANNEL [DATA]`: `"auth":…` and, with data, `"channel_data":…`
    /// - `user A DATA`: `"auth":…,"user_data":…`
    /// - `text DATA`: the string of JSON that holds it, without quotes
    /// - `x N`, `é N`: so many characters
    /// - `list N text`: so many strings, each the text and a number
    fn word(&self, word: &str) -> String {
        let mut words = word.splitn(3, ' ');
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let third = words.next();
        let id = |name: &str| self.sockets[&name.parse().expect("a socket is one letter")].id();
        let (channel, data) = third.and_then(|text| text.split_once(' ')).unzip();
        let channel = channel.or(third).unwrap_or_default();
        let sign = || self.app.signer().sign_channel(id(second), channel, data);
        match (first, third) {
            ("sign", Some(_)) => sign(),
            ("auth", Some(_)) => {
                let signature = sign();
                let data = data.map_or_else(String::new, |data| format!(r#","channel_data":{}"#, json!(data)));
                format!(r#""auth":"{}:{signature}"{data}"#, self.app.key)
            }
            ("user", Some(data)) => {
                let signature = self.app.signer().sign_user(id(second), data);
                format!(r#""auth":"{}:{signature}","user_data":{}"#, self.app.key, json!(data))
            }
            ("text", _) => {
                let quoted = json!(&word[5..]).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            ("x" | "é", _) => first.repeat(second.parse().expect("a number")),
            ("list", Some(text)) => {
                let count: usize = second.parse().expect("a number");
                (0..count).map(|number| format!("\"{text}{number}\"")).collect::<Vec<_>>().join(",")
            }
            (name, None) if name.len() == 1 => id(name).to_string(),
            _ => panic!("there is no word {word}"),
        }
    }
}

#[test]
fn a_wanted_text_fits_only_what_it_says() {
    for (text, wanted) in
        [("abc", "abc"), ("abc", "a…c"), ("abc", "…"), ("abc", "…b…"), ("aXbXc", "a…X…c"), ("ac", "a…c")]
    {
        assert!(fits(text, wanted), "{wanted}");
    }
    for (text, wanted) in [("abc", "ab"), ("abc", "a…d"), ("abc", "b…c"), ("abc", "…d…"), ("a", "a…a"), ("abc", "")]
    {
        assert!(!fits(text, wanted), "{wanted}");
    }
}
