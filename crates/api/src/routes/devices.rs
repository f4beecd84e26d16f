//! A user's devices: where push goes.

use actix_web::{HttpResponse, delete, post, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::ErrorBody;
use serde_json::json;
use store::devices::{DeviceKind, NewDevice};

use crate::Api;
use crate::api::Caller;
use crate::body::notifications::{Device, DeviceAnswer, DeviceKeys, PutDevice, RemoveDevice};
use crate::error::ApiError;
use crate::request::Body;
use crate::routes::chat::is_web_url;

const ADDRESS_CHARS_MAX: usize = 2048;
/// An uncompressed point of P-256.
const P256DH_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;

/// Makes a device the caller's, whoever signed in on it before.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])), request_body = PutDevice,
    responses((status = 201, body = DeviceAnswer), (status = 200, description = "was theirs", body = DeviceAnswer),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[post("/notifications/devices")]
pub(crate) async fn put_device(
    caller: Caller,
    Body(put): Body<PutDevice>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let (new, max) = (valid(put)?, api.config().notifications.devices_max);
    let stored = api.store(move |conn| store::devices::put(conn, &caller.app.id, caller.user(), &new, max));
    let (device, new) = stored.await?;
    let mut answer = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(DeviceAnswer {
        device: Device {
            id: device.id,
            kind: device.kind.as_str(),
            address: device.address,
            created_at: device.created_at,
            last_seen_at: device.last_seen_at,
        },
    }))
}

/// Forgets a device of the caller's, by its id or its address.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])), request_body = RemoveDevice,
    responses((status = 204), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
#[delete("/notifications/devices")]
pub(crate) async fn remove_device(
    caller: Caller,
    // Not in the URL: URLs end up in logs, and an address is a secret.
    Body(remove): Body<RemoveDevice>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let removed = match (remove.id, remove.address) {
        (Some(id), None) => {
            api.store(move |conn| store::devices::remove(conn, &caller.app.id, caller.user(), id)).await?
        }
        (None, Some(address)) if !address.contains('\0') => {
            let remove = move |conn: &mut store::PgConnection| {
                store::devices::remove_address(conn, &caller.app.id, caller.user(), &address)
            };
            api.store(remove).await?
        }
        _ => return Err(ApiError::field("id", "send either id or address")),
    };
    match removed {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiError::DeviceNotFound),
    }
}

fn valid(put: PutDevice) -> Result<NewDevice, ApiError> {
    let kind = match put.kind.as_deref() {
        None => Some(DeviceKind::WebPush),
        Some(name) => DeviceKind::ALL.into_iter().find(|kind| kind.as_str() == name),
    };
    let kind = kind.ok_or_else(|| ApiError::field("kind", "kind must be web_push, fcm or onesignal"))?;
    let address = put.address;
    let plain = |c: char| c.is_ascii_graphic();
    if !(1..=ADDRESS_CHARS_MAX).contains(&address.len()) || !address.chars().all(plain) {
        let message = format!("address must have 1 to {ADDRESS_CHARS_MAX} visible ASCII characters");
        return Err(ApiError::field("address", message));
    }
    let keys = match (kind, put.keys) {
        (DeviceKind::WebPush, Some(keys)) => {
            if !(is_web_url(&address) && address.starts_with("https://")) {
                return Err(ApiError::field("address", "a push subscription's endpoint must be an https URL"));
            }
            check(&keys)?;
            Some(json!(keys))
        }
        (DeviceKind::WebPush, None) => return Err(ApiError::field("keys", "a push subscription has keys")),
        (_, _) => None,
    };
    Ok(NewDevice { kind, address, keys })
}

fn check(keys: &DeviceKeys) -> Result<(), ApiError> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_or(0, |bytes| bytes.len());
    for (field, text, expected) in [("p256dh", &keys.p256dh, P256DH_BYTES), ("auth", &keys.auth, AUTH_BYTES)] {
        if bytes(text) != expected {
            return Err(ApiError::field(
                format!("keys.{field}"),
                format!("{field} must be {expected} bytes in base64url"),
            ));
        }
    }
    Ok(())
}
