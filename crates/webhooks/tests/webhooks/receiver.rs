//! A backend that receives webhooks: HTTP over a socket, answering what the test says.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// How a request is answered.
pub(crate) enum Answer {
    /// Nothing more than a status.
    Status(u16),
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// Nothing until the other side has gone; the sender is dropped then.
    Silence(oneshot::Sender<()>),
    /// 200 once the test says so.
    After(oneshot::Receiver<()>),
}

/// What arrived.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["x-kabar-webhook-id"]
    }

    /// `name channel` of each event.
    pub(crate) fn events(&self) -> Vec<String> {
        let body = self.json();
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let events = body["events"].as_array().unwrap();
        events.iter().map(|event| format!("{} {}", text(event, "name"), text(event, "channel"))).collect()
    }
}

pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    requests: mpsc::UnboundedReceiver<Request>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// On a free port of loopback; answers 200 unless told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let answers = Arc::<Mutex<VecDeque<Answer>>>::default();
        let connections = Arc::<AtomicUsize>::default();
        let (script, count) = (Arc::clone(&answers), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, sender.clone(), Arc::clone(&script)));
            }
        });
        Self { addr, requests, answers, connections, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?team=a", self.addr)
    }

    pub(crate) fn will_answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// Back to 200.
    pub(crate) fn forget_answers(&self) {
        self.answers.lock().unwrap().clear();
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The next request; one that does not come fails the test.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::time::timeout(Duration::from_secs(20), self.requests.recv()).await.expect("a request in time").unwrap()
    }

    /// What has arrived by now. Whoever sent it has been answered, so nothing is on its way.
    pub(crate) fn arrived(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, requests: mpsc::UnboundedSender<Request>, answers: Arc<Mutex<VecDeque<Answer>>>) {
    while let Some(request) = read(&mut stream).await {
        let answer = answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
        let _ = requests.send(request);
        let status = match answer {
            Answer::Status(status) => status,
            Answer::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Answer::Silence(_gone) => {
                let _ = stream.read(&mut [0]).await;
                return;
            }
            Answer::After(ready) => {
                let _ = ready.await;
                200
            }
        };
        let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let pairs = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    let headers: HashMap<String, String> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let mut body = bytes[end + 4..].to_vec();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let had = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[had..]).await.ok()?;
    Some(Request { head, headers, body })
}
