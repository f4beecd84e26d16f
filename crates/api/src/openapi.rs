//! The OpenAPI description, made from the handlers. Each list below both registers and describes its handlers, so
//! neither can have what the other lacks.

use std::sync::LazyLock;

use actix_web::web::ServiceConfig;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::{channels, chat, devices, internal, notifications, notify, preferences, subscriptions, tickets};
use crate::signed::{channels as signed, events};

macro_rules! handlers {
    ($(#[$doc:meta])* $document:ident, $register:ident: $($module:ident::$handler:ident,)+) => {
        #[derive(OpenApi)]
        #[openapi(paths($($module::$handler),+))]
        struct $document;

        $(#[$doc])*
        pub(crate) fn $register(cfg: &mut ServiceConfig) {
            $(cfg.service($module::$handler);)+
        }
    };
}

handlers! {
    /// `/api`: for users.
    UserDocument, user_handlers:
    chat::list_rooms, chat::list_messages, chat::send_message, chat::start_room, chat::set_typing, chat::mark_read,
    chat::mark_delivered, notifications::list_notifications, notifications::mark_notifications,
    preferences::get_preferences, preferences::put_preferences, subscriptions::list_subscriptions,
    subscriptions::put_subscription, subscriptions::remove_subscription, devices::put_device, devices::remove_device,
    channels::authorize, channels::authenticate, tickets::issue_ticket, tickets::get_openapi,
}

/// `/apps`: Pusher's HTTP API. A test in `signed::route` holds its router against this list.
#[derive(OpenApi)]
#[openapi(paths(
    events::publish_event,
    events::publish_batch,
    events::publish_to_channel,
    signed::list_channels,
    signed::get_channel,
    signed::list_users,
    signed::get_stats,
    signed::get_history,
    signed::terminate,
    signed::terminate_by_key,
))]
struct PublishDocument;

handlers! {
    /// `/internal`: for backends.
    InternalDocument, internal_handlers:
    internal::put_user, internal::mint_token, internal::make_room, internal::get_room, internal::patch_room,
    internal::delete_room, internal::add_members, internal::remove_member, notify::send_notification,
    notify::get_notification, notify::cancel_notification, internal::get_openapi,
}

#[derive(OpenApi)]
#[openapi(info(title = "kabar", description = "A self-hosted realtime hub: chat, notifications, channel auth, publishing"),
    modifiers(&Schemes))]
struct PublicDocument;

#[derive(OpenApi)]
#[openapi(info(title = "kabar, internal", description = "Users, tokens, rooms and notifications, for backends"), modifiers(&Schemes))]
struct BackendDocument;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |format: &str, about: &str| {
            let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(http.description(Some(about)).build())
        };
        components.add_security_scheme("user", bearer("JWT", "a user's token"));
        components.add_security_scheme("backend", bearer("API key", "an API key of the app"));
        let signature = ApiKeyValue::with_description("auth_signature", "signed as Pusher's HTTP API wants it");
        components.add_security_scheme("signature", SecurityScheme::ApiKey(ApiKey::Query(signature)));
    }
}

fn public_document() -> utoipa::openapi::OpenApi {
    PublicDocument::openapi().merge_from(UserDocument::openapi()).merge_from(PublishDocument::openapi())
}

fn internal_document() -> utoipa::openapi::OpenApi {
    BackendDocument::openapi().merge_from(InternalDocument::openapi())
}

/// The public routes as OpenAPI 3.1, JSON.
pub fn openapi() -> String {
    static TEXT: LazyLock<String> = LazyLock::new(|| text(public_document()));
    TEXT.clone()
}

/// The internal routes as OpenAPI 3.1, JSON.
pub fn internal_openapi() -> String {
    text(internal_document())
}

fn text(document: utoipa::openapi::OpenApi) -> String {
    document.to_json().expect("the description has string keys and no fallible parts")
}

/// The methods that a path takes; none if there is nothing.
pub(crate) fn methods(path: &str) -> Vec<&'static str> {
    static ROUTES: LazyLock<Vec<(String, Vec<&'static str>)>> = LazyLock::new(|| {
        let paths = [public_document(), internal_document()].into_iter().flat_map(|document| document.paths.paths);
        let routes = paths.map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                ("POST", item.post.is_some()),
                ("PUT", item.put.is_some()),
                ("PATCH", item.patch.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            (path, methods.into_iter().filter(|(_, taken)| *taken).map(|(method, _)| method).collect())
        });
        routes.collect()
    });
    let fits = |template: &str| {
        let (mut given, mut wanted) = (path.split('/'), template.split('/'));
        loop {
            match (given.next(), wanted.next()) {
                (None, None) => return true,
                (Some(given), Some(wanted)) if given == wanted || (wanted.starts_with('{') && !given.is_empty()) => {}
                _ => return false,
            }
        }
    };
    ROUTES.iter().find(|(template, _)| fits(template)).map(|(_, methods)| methods.clone()).unwrap_or_default()
}
