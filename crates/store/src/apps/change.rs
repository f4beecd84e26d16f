//! What changes about an app while it is served.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::dsl::now;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use protocol::{AppId, Policy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{ApiKeyHash, overlap, written};
use crate::schema::{app_api_keys, apps};
use crate::{Error, PgConnection};

/// Why an app was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No app has this id.
    #[error("there is no app {0} in the database")]
    UnknownApp(AppId),
    /// The app has no such API key.
    #[error("the app {0} has no such API key")]
    UnknownApiKey(AppId),
    /// The API key belongs to an app already.
    #[error("this API key is in use already")]
    Taken,
    /// The database's.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<DieselError> for ChangeError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Taken,
            error => Self::Store(error.into()),
        }
    }
}

/// Puts what `change` makes of the stored policy in its place. It gets the document as it is, readable or not, so that
/// a bad one can be mended; the row is locked meanwhile, so that two changes do not undo each other.
pub fn update_policy<E>(
    conn: &mut PgConnection,
    app: &AppId,
    change: impl FnOnce(Value) -> Result<Policy, E>,
) -> Result<Policy, E>
where
    E: From<ChangeError>,
{
    let changed = conn.transaction(|conn| {
        let stored: Option<Value> = apps::table.find(app).select(apps::policy).for_update().first(conn).optional()?;
        let stored = stored.ok_or_else(|| Undone(ChangeError::UnknownApp(app.clone()).into()))?;
        let policy = change(stored).map_err(Undone)?;
        let document = written(&policy).map_err(|error| Undone(ChangeError::from(error).into()))?;
        let row = diesel::update(apps::table.find(app));
        row.set((apps::policy.eq(document), apps::updated_at.eq(now))).execute(conn)?;
        Ok(policy)
    });
    changed.map_err(|Undone(error)| error)
}

/// A caller's error on its way out of a transaction, so that callers need not know diesel's.
struct Undone<E>(E);

impl<E: From<ChangeError>> From<DieselError> for Undone<E> {
    fn from(error: DieselError) -> Self {
        Self(ChangeError::from(error).into())
    }
}

/// Gives the app a new secret; the one that it replaces is taken as well for `overlap_for` longer, and until when is
/// returned. There is one previous secret at most: a rotation while another one still overlaps ends the older overlap.
/// Zero ends every overlap at once.
pub fn rotate_secret(
    conn: &mut PgConnection,
    app: &AppId,
    secret: &SecretString,
    overlap_for: Duration,
) -> Result<Option<DateTime<Utc>>, ChangeError> {
    let until = (!overlap_for.is_zero()).then(|| Utc::now() + overlap(overlap_for));
    conn.transaction(|conn| {
        let current: Option<String> = apps::table.find(app).select(apps::secret).for_update().first(conn).optional()?;
        let current = current.ok_or_else(|| ChangeError::UnknownApp(app.clone()))?;
        let row = diesel::update(apps::table.find(app));
        row.set((
            apps::secret.eq(secret.expose_secret()),
            apps::previous_secret.eq(until.map(|_| current)),
            apps::previous_secret_until.eq(until),
            apps::updated_at.eq(now),
        ))
        .execute(conn)?;
        Ok(until)
    })
}

/// Adds a key for the internal API.
pub fn add_api_key(conn: &mut PgConnection, app: &AppId, hash: &ApiKeyHash) -> Result<(), ChangeError> {
    let row = (app_api_keys::app_id.eq(app), app_api_keys::hash.eq(hash.0.as_slice()));
    match diesel::insert_into(app_api_keys::table).values(row).execute(conn) {
        Err(DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) => {
            Err(ChangeError::UnknownApp(app.clone()))
        }
        added => Ok(added.map(drop)?),
    }
}

/// Takes a key for the internal API away.
pub fn remove_api_key(conn: &mut PgConnection, app: &AppId, hash: &ApiKeyHash) -> Result<(), ChangeError> {
    match diesel::delete(app_api_keys::table.find((app, hash.0.as_slice()))).execute(conn)? {
        0 => Err(ChangeError::UnknownApiKey(app.clone())),
        _ => Ok(()),
    }
}

/// Deletes the app and its API keys. Its people, rooms and messages stay: an app that is made again with the same id
/// has them.
pub fn delete(conn: &mut PgConnection, app: &AppId) -> Result<(), ChangeError> {
    match diesel::delete(apps::table.find(app)).execute(conn)? {
        0 => Err(ChangeError::UnknownApp(app.clone())),
        _ => Ok(()),
    }
}
