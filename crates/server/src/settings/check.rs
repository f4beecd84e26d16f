//! Bounds and contradictions: what a type cannot say.

use std::collections::HashSet;
use std::fmt::Display;

use protocol::{AppId, AppKey};
use secrecy::{ExposeSecret, SecretString};

use super::{App, Auth, BadSetting, Settings, policy};

pub(super) type Checked = Result<(), BadSetting>;

pub(super) fn check(settings: &Settings) -> Checked {
    ranges(settings)?;
    settings.tls.check()?;
    if settings.server.parse_unix_socket_mode().is_none() {
        return Err(BadSetting::new("server.unix_socket_mode", "must be an octal number such as \"0660\""));
    }
    settings
        .server
        .parse_trusted_proxies()
        .map_err(|error| BadSetting::new("server.trusted_proxies", error.to_string()))?;
    database(settings)?;
    apps(&settings.apps)?;
    settings.notifications.check()?;
    settings.webhooks.check(&settings.apps)?;
    auth(settings)?;
    tracing_subscriber::EnvFilter::try_new(&settings.log.level)
        .map(drop)
        .map_err(|_| BadSetting::new("log.level", "must be error, warn, info, debug or trace, or filters of them"))
}

fn ranges(settings: &Settings) -> Checked {
    let Settings { server, tls, database, auth, socket, history, chat, http, .. } = settings;
    within("server.workers", server.workers, 0, 1024)?;
    within("server.backlog", server.backlog, 16, 65_535)?;
    within("server.drain_seconds", server.drain_seconds, 0, 600)?;
    within("tls.handshake_timeout_seconds", tls.handshake_timeout_seconds, 1, 120)?;
    within("tls.reload_seconds", tls.reload_seconds, 1, 86_400)?;
    within("database.pool_size", database.pool_size, 1, 1000)?;
    within("database.acquire_timeout_ms", database.acquire_timeout_ms, 10, 60_000)?;
    within("database.statement_timeout_ms", database.statement_timeout_ms, 10, 600_000)?;
    within("auth.leeway_seconds", auth.leeway_seconds, 0, 300)?;
    within("auth.lifetime_max_seconds", auth.lifetime_max_seconds, 60, 31_536_000)?;
    within("auth.ticket_lifetime_seconds", auth.ticket_lifetime_seconds, 5, 600)?;
    within("socket.activity_timeout_seconds", socket.activity_timeout_seconds, 5, 3600)?;
    within("socket.pong_timeout_seconds", socket.pong_timeout_seconds, 1, 600)?;
    within("socket.message_bytes_max", socket.message_bytes_max, 1024, 16_777_216)?;
    within("socket.fragments_max", socket.fragments_max, 1, 65_536)?;
    within("socket.frame_timeout_seconds", socket.frame_timeout_seconds, 1, 600)?;
    within("socket.queue_bytes_max", socket.queue_bytes_max, 4096, 1_073_741_824)?;
    within("socket.stall_timeout_seconds", socket.stall_timeout_seconds, 1, 600)?;
    within("socket.session_timeout_seconds", socket.session_timeout_seconds, 1, 120)?;
    within("socket.session_heartbeat_seconds", socket.session_heartbeat_seconds, 1, 120)?;
    within("socket.inbox_bytes_max", socket.inbox_bytes_max, 65_536, 4_294_967_296)?;
    within("socket.send_buffer_bytes", socket.send_buffer_bytes, 4096, 16_777_216)?;
    within("socket.channels_per_socket_max", socket.channels_per_socket_max, 1, 100_000)?;
    within("socket.frames_per_second_max", socket.frames_per_second_max, 1, 1_000_000)?;
    within("socket.client_events_per_second_max", socket.client_events_per_second_max, 1, 100_000)?;
    within("socket.client_event_bytes_max", socket.client_event_bytes_max, 1, 1_048_576)?;
    within("socket.presence_members_max", socket.presence_members_max, 1, 100_000)?;
    within("socket.presence_info_bytes_max", socket.presence_info_bytes_max, 2, 65_536)?;
    within("socket.token_grace_seconds", socket.token_grace_seconds, 0, 3600)?;
    within("socket.authorization_timeout_seconds", socket.authorization_timeout_seconds, 1, 3600)?;
    within("socket.watchlist_max", socket.watchlist_max, 0, 10_000)?;
    within("history.messages_max", history.messages_max, 0, 100_000)?;
    within("history.seconds", history.seconds, 1, 2_592_000)?;
    within("history.bytes_max", history.bytes_max, 65_536, 1_099_511_627_776)?;
    within("history.cache_seconds", history.cache_seconds, 1, 2_592_000)?;
    within("history.replay_messages_max", history.replay_messages_max, 1, 1_000_000)?;
    within("history.journal_queue_max", history.journal_queue_max, 16, 1_000_000)?;
    within("chat.content_chars_max", chat.content_chars_max, 1, 100_000)?;
    within("chat.typing_seconds", chat.typing_seconds, 1, 60)?;
    within("chat.unread_interval_ms", chat.unread_interval_ms, 10, 60_000)?;
    within("chat.room_members_max", chat.room_members_max, 2, 100_000)?;
    within("http.header_timeout_seconds", http.header_timeout_seconds, 1, 120)?;
    within("http.keep_alive_seconds", http.keep_alive_seconds, 1, 3600)?;
    within("http.connections_per_worker_max", http.connections_per_worker_max, 16, 1_000_000)?;
    within("http.body_bytes_max", http.body_bytes_max, 1024, 16_777_216)?;
    within("http.publish_body_bytes_max", http.publish_body_bytes_max, 1024, 67_108_864)?;
    within("http.event_bytes_max", http.event_bytes_max, 1, 16_777_216)?;
    within("http.idempotency_keys_max", http.idempotency_keys_max, 1, 10_000_000)?;
    within("http.idempotency_seconds", http.idempotency_seconds, 1, 86_400)
}

pub(super) fn within<T: PartialOrd + Display>(key: &str, value: T, min: T, max: T) -> Checked {
    match value >= min && value <= max {
        true => Ok(()),
        false => Err(BadSetting::new(key, format!("must be {min} to {max}, not {value}"))),
    }
}

fn database(settings: &Settings) -> Checked {
    let url = settings.database.url.expose_secret();
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) || url.contains("host=");
    if !known && !settings.is_embedded() {
        return Err(BadSetting::new("database.url", "must be \"embedded\" or start with postgres://"));
    }
    match settings.database.data_dir.as_os_str().is_empty() {
        true => Err(BadSetting::new("database.data_dir", "must name a directory")),
        false => Ok(()),
    }
}

fn apps(apps: &[App]) -> Checked {
    let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
    for (index, app) in apps.iter().enumerate() {
        let key = |name: &str| format!("apps.{index}.{name}");
        let id = AppId::try_from(app.id.as_str()).map_err(|error| BadSetting::new(key("id"), error.to_string()))?;
        let app_key =
            AppKey::try_from(app.key.as_str()).map_err(|error| BadSetting::new(key("key"), error.to_string()))?;
        if let Err(error) = protocol::App::new(id, app_key, "") {
            let name = if error.to_string().contains("the id") { "id" } else { "key" };
            return Err(BadSetting::new(key(name), error.to_string()));
        }
        secret(&key("secret"), &app.secret, 16, 256)?;
        if let Some(previous) = &app.previous_secret {
            secret(&key("previous_secret"), previous, 16, 256)?;
        }
        match (&app.previous_secret, app.previous_secret_until) {
            (Some(_), None) => {
                return Err(BadSetting::new(key("previous_secret_until"), "must be set with previous_secret"));
            }
            (None, Some(_)) => {
                return Err(BadSetting::new(key("previous_secret"), "must be set with previous_secret_until"));
            }
            _ => {}
        }
        policy::check(&key("policy."), &app.policy)?;
        for api_key in &app.api_keys {
            secret(&key("api_keys"), api_key, 16, 256)?;
        }
        if !ids.insert(app.id.as_str()) {
            return Err(BadSetting::new(key("id"), "is another app's already"));
        }
        if !keys.insert(app.key.as_str()) {
            return Err(BadSetting::new(key("key"), "is another app's already"));
        }
    }
    Ok(())
}

fn secret(key: &str, secret: &SecretString, min: usize, max: usize) -> Checked {
    match (min..=max).contains(&secret.expose_secret().chars().count()) {
        true => Ok(()),
        false => Err(BadSetting::new(key, format!("must have {min} to {max} characters"))),
    }
}

fn auth(settings: &Settings) -> Checked {
    let Auth { jwt_secret, public_keys, jwks_url, .. } = &settings.auth;
    if let Some(jwt_secret) = jwt_secret {
        secret("auth.jwt_secret", jwt_secret, 32, 512)?;
        if jwks_url.is_some() || !public_keys.is_empty() {
            return Err(BadSetting::new("auth.jwt_secret", "excludes auth.jwks_url and auth.public_keys"));
        }
    }
    if jwks_url.is_some() && !public_keys.is_empty() {
        return Err(BadSetting::new("auth.jwks_url", "excludes auth.public_keys"));
    }
    if let Some(text) = jwks_url {
        let url = url::Url::parse(text).map_err(|_| BadSetting::new("auth.jwks_url", "must be a URL"))?;
        let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !(local && url.scheme() == "http") {
            return Err(BadSetting::new("auth.jwks_url", "must be https"));
        }
    }
    let kids: HashSet<_> = public_keys.iter().map(|key| key.kid.as_deref()).collect();
    if public_keys.len() > 1 && (kids.contains(&None) || kids.len() != public_keys.len()) {
        return Err(BadSetting::new("auth.public_keys", "each needs a kid of its own when there are several"));
    }
    if settings.demo && (jwks_url.is_some() || !public_keys.is_empty()) {
        return Err(BadSetting::new(
            "demo",
            "signs users in by itself: it excludes auth.jwks_url and auth.public_keys",
        ));
    }
    match settings.keeps_own_secret() && !settings.is_embedded() && !settings.demo {
        true => Err(BadSetting::new("auth.jwt_secret", "must be set, or auth.public_keys, or auth.jwks_url")),
        false => Ok(()),
    }
}
