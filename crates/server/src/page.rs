//! The demo page: a few files that the binary holds, under a policy that lets nothing else in.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use actix_web::http::header::{ETAG, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

/// Stock pusher-js, empty where the binary was built without it.
const PUSHER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pusher.min.js"));
const INDEX: &str = include_str!("../page/index.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ASSETS: [(&str, &str, &[u8]); 6] = [
    ("page.css", "text/css; charset=utf-8", include_bytes!("../page/page.css")),
    ("page.js", SCRIPT, include_bytes!("../page/page.js")),
    ("chat.js", SCRIPT, include_bytes!("../page/chat.js")),
    ("strings.js", SCRIPT, include_bytes!("../page/strings.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../page/icon.svg")),
    ("pusher.min.js", SCRIPT, PUSHER),
];
/// `connect-src 'self'` covers ws: and wss: of the page's own host and port (CSP level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether stock pusher-js is in the binary; the page cannot do without.
pub(crate) fn has_pusher_js() -> bool {
    !PUSHER.is_empty()
}

/// `/` and `/assets/…`.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/", web::get().to(index)).route("/assets/{name}", web::get().to(asset));
}

async fn index() -> HttpResponse {
    guarded(HttpResponse::Ok())
        .insert_header(("cache-control", "no-store"))
        .content_type("text/html; charset=utf-8")
        .body(INDEX)
}

async fn asset(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let found = ASSETS.iter().find(|(known, _, bytes)| *known == name.as_str() && !bytes.is_empty());
    let Some((_, kind, bytes)) = found else { return HttpResponse::NotFound().finish() };
    let tag = EntityTag::new_strong(etag(bytes));
    // Revalidated each time: a new binary's script must never meet an old one's style.
    let known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|other| other.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut answer = guarded(if known { HttpResponse::NotModified() } else { HttpResponse::Ok() });
    answer.insert_header((ETAG, tag.to_string())).insert_header(("cache-control", "no-cache"));
    match known {
        true => answer.finish(),
        false => answer.content_type(*kind).body(*bytes),
    }
}

fn guarded(mut answer: HttpResponseBuilder) -> HttpResponseBuilder {
    answer
        .insert_header(("content-security-policy", POLICY))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("referrer-policy", "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"));
    answer
}

fn etag(bytes: &[u8]) -> String {
    // Told apart from other builds' files, not protected against anybody: any hash will do.
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
