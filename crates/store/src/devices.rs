//! Devices: where push goes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::{AppId, UserId};
use uuid::Uuid;

use crate::notifications::lock_user;
use crate::schema::devices as d;
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// Whose push service a device listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A browser, with our own keys.
    WebPush,
    /// Firebase Cloud Messaging.
    Fcm,
    /// OneSignal.
    OneSignal,
}

impl DeviceKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WebPush, Self::Fcm, Self::OneSignal];

    /// As it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebPush => "web_push",
            Self::Fcm => "fcm",
            Self::OneSignal => "onesignal",
        }
    }
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Names it.
    pub id: Uuid,
    /// Whose it is.
    pub user: UserId,
    /// Whose push service it listens to.
    pub kind: DeviceKind,
    /// The endpoint, registration token, or subscription or player id.
    pub address: String,
    /// Of a browser: `p256dh` and `auth`.
    pub keys: Option<serde_json::Value>,
    /// When it first signed in.
    pub created_at: DateTime<Utc>,
    /// When it last did.
    pub last_seen_at: DateTime<Utc>,
}

/// A device that signs in.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Whose push service it listens to.
    pub kind: DeviceKind,
    /// See [`Device::address`].
    pub address: String,
    /// See [`Device::keys`].
    pub keys: Option<serde_json::Value>,
}

type Row = (Uuid, UserId, String, String, Option<serde_json::Value>, DateTime<Utc>, DateTime<Utc>);
type Columns = (d::id, d::user_id, d::kind, d::address, d::keys, d::created_at, d::last_seen_at);
const COLUMNS: Columns = (d::id, d::user_id, d::kind, d::address, d::keys, d::created_at, d::last_seen_at);

/// Makes the device this user's, whoever had it before, and whether it is new to them. Of more than `per_user_max`, the
/// one that was not seen for longest goes.
pub fn put(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    new: &NewDevice,
    per_user_max: i64,
) -> Result<(Device, bool), Error> {
    transaction(conn, |conn| {
        lock_user(conn, app, user)?;
        let same = d::app_id.eq(app).and(d::kind.eq(new.kind.as_str())).and(d::address.eq(&new.address));
        let before: Option<UserId> = d::table.filter(same).select(d::user_id).first(conn).optional()?;
        let row: Row = diesel::insert_into(d::table)
            .values((
                d::app_id.eq(app),
                d::id.eq(Uuid::now_v7()),
                d::user_id.eq(user),
                d::kind.eq(new.kind.as_str()),
                d::address.eq(&new.address),
                d::keys.eq(&new.keys),
            ))
            .on_conflict((d::app_id, d::kind, d::address))
            .do_update()
            .set((
                d::user_id.eq(user),
                d::keys.eq(&new.keys),
                d::last_seen_at.eq(crate::notifications::clock_timestamp()),
            ))
            .returning(COLUMNS)
            .get_result(conn)?;
        let own = d::app_id.eq(app).and(d::user_id.eq(user));
        let surplus: Vec<Uuid> = d::table
            .filter(own)
            .order((d::last_seen_at.desc(), d::id.desc()))
            .offset(per_user_max.max(1))
            .select(d::id)
            .load(conn)?;
        diesel::delete(d::table.filter(own.and(d::id.eq_any(surplus)))).execute(conn)?;
        let device = device(row).ok_or(diesel::result::Error::NotFound)?;
        Ok((device, before.as_ref() != Some(user)))
    })
}

/// Forgets one of the user's devices; whether there was one.
pub fn remove(conn: &mut PgConnection, app: &AppId, user: &UserId, id: Uuid) -> Result<bool, Error> {
    let own = d::app_id.eq(app).and(d::user_id.eq(user)).and(d::id.eq(id));
    Ok(diesel::delete(d::table.filter(own)).execute(conn)? > 0)
}

/// Forgets one of the user's devices by its address; whether there was one.
pub fn remove_address(conn: &mut PgConnection, app: &AppId, user: &UserId, address: &str) -> Result<bool, Error> {
    let own = d::app_id.eq(app).and(d::user_id.eq(user)).and(d::address.eq(address));
    Ok(diesel::delete(d::table.filter(own)).execute(conn)? > 0)
}

/// The user's devices, last seen first.
pub fn list(conn: &mut PgConnection, app: &AppId, user: &UserId) -> Result<Vec<Device>, Error> {
    let rows: Vec<Row> = d::table
        .filter(d::app_id.eq(app).and(d::user_id.eq(user)))
        .order((d::last_seen_at.desc(), d::id.desc()))
        .select(COLUMNS)
        .load(conn)?;
    Ok(rows.into_iter().filter_map(device).collect())
}

fn device((id, user, kind, address, keys, created_at, last_seen_at): Row) -> Option<Device> {
    let kind = DeviceKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some(Device { id, user, kind, address, keys, created_at, last_seen_at })
}
