//! Whether this process lives, and whether it should be sent work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::json;
use store::Store;
use tokio::sync::Notify;

/// How the process is doing. Clones share it.
#[derive(Clone)]
pub(crate) struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    prepared: AtomicBool,
    draining: AtomicBool,
    requests: AtomicUsize,
    idle: Notify,
}

/// Counts a public request as long as it lives.
pub(crate) struct Request(Health);

impl Health {
    /// Of a process that is starting.
    pub(crate) fn new(store: Store) -> Self {
        let inner = Inner {
            store,
            prepared: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            idle: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The schema is there, and the apps are known.
    pub(crate) fn prepared(&self) {
        self.inner.prepared.store(true, Ordering::Release);
    }

    /// The process is about to stop.
    pub(crate) fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Whether the process is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    /// A request has come.
    pub(crate) fn request(&self) -> Request {
        self.inner.requests.fetch_add(1, Ordering::AcqRel);
        Request(self.clone())
    }

    /// Waits until no request is under way, `patience` at most.
    pub(crate) async fn requests_done(&self, patience: Duration) {
        let done = async {
            loop {
                let idle = self.inner.idle.notified();
                if self.inner.requests.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle.await;
            }
        };
        let _ = tokio::time::timeout(patience, done).await;
    }

    /// Why no work should be sent here now.
    async fn trouble(&self) -> Option<&'static str> {
        if self.is_draining() {
            return Some("draining");
        }
        if !self.inner.prepared.load(Ordering::Acquire) {
            return Some("starting");
        }
        self.inner.store.ping().await.err().map(|_| "database unavailable")
    }
}

impl Request {
    /// Whether the process is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.0.inner.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.inner.idle.notify_one();
        }
    }
}

/// `/health/live`: 200 as long as the process answers. `/health/ready`: 200, or 503 that says why.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/health/live", web::get().to(live)).route("/health/ready", web::get().to(ready));
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let (code, status) = match health.trouble().await {
        None => (StatusCode::OK, "ready"),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    HttpResponse::build(code).insert_header(("cache-control", "no-store")).json(json!({"status": status}))
}
