//! Apps that were made at run time; those of the configuration file have no row.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use protocol::{AppId, AppKey, Policy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::schema::{app_api_keys, apps};
use crate::{Error, PgConnection};

mod change;

pub use change::{ChangeError, add_api_key, delete, remove_api_key, rotate_secret, update_policy};

/// Notified whenever an app or an API key was made, changed or deleted; for [`crate::Store::listen`].
pub const CHANGED: &str = "kabar_apps";

/// SHA-256 of an API key: all that is stored of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKeyHash {
    /// The hash of a key as a backend sends it.
    pub fn of(api_key: &str) -> Self {
        Self(Sha256::digest(api_key).into())
    }
}

/// Its first six bytes in hexadecimal: enough to tell the keys of an app apart, nothing to guess a key from.
impl fmt::Display for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A stored app.
#[derive(Clone, Debug)]
pub struct AppRow {
    /// Names the app in paths and in every row.
    pub id: AppId,
    /// Public: clients connect with it.
    pub key: AppKey,
    /// Signs and checks channel auth, sign-in and HTTP requests.
    pub secret: SecretString,
    /// The secret before a rotation, and until when it is taken as well.
    pub previous: Option<(SecretString, DateTime<Utc>)>,
    /// What it may do, and how much.
    pub policy: Policy,
    /// Of the keys for the internal API.
    pub api_keys: Vec<ApiKeyHash>,
}

/// An app to be made: an [`AppRow`] before it is one.
pub type NewApp = AppRow;

/// A stored app whose policy this version cannot read; a newer one may have written it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy of the app {id} cannot be read: {why}")]
pub struct Unreadable {
    /// Of the app.
    pub id: AppId,
    /// Names the key.
    pub why: String,
}

/// Every stored app.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// By id.
    pub apps: Vec<AppRow>,
    /// Left out of `apps`, so that one bad row does not take the others down.
    pub unreadable: Vec<Unreadable>,
}

/// Why an app was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The id, the key or one of the API keys belongs to an app already.
    #[error("an app with this id, key or API key exists already")]
    Taken,
    /// The database's.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<DieselError> for CreateError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Taken,
            error => Self::Store(error.into()),
        }
    }
}

/// Every app, by id.
pub fn list(conn: &mut PgConnection) -> Result<Listed, Error> {
    let (rows, keys) = crate::transaction::snapshot(conn, |conn| {
        let rows: Vec<Row> = apps::table.order(apps::id).select(Row::as_select()).load(conn)?;
        let keys: Vec<(AppId, Vec<u8>)> = app_api_keys::table
            .order((app_api_keys::created_at, app_api_keys::hash))
            .select((app_api_keys::app_id, app_api_keys::hash))
            .load(conn)?;
        Ok((rows, keys))
    })?;
    let mut listed = Listed::default();
    for row in rows {
        let of_row = keys.iter().filter(|(app, _)| *app == row.id);
        let hashes = of_row.filter_map(|(_, hash)| stored_hash(hash)).collect();
        match row.with_keys(hashes) {
            Ok(app) => listed.apps.push(app),
            Err(unreadable) => listed.unreadable.push(unreadable),
        }
    }
    Ok(listed)
}

/// Makes an app with its API keys, or nothing at all. A previous secret is not stored: there was none.
pub fn create(conn: &mut PgConnection, app: &NewApp) -> Result<AppRow, CreateError> {
    conn.transaction(|conn| {
        let row = (
            apps::id.eq(&app.id),
            apps::key.eq(&app.key),
            apps::secret.eq(app.secret.expose_secret()),
            apps::policy.eq(written(&app.policy)?),
        );
        diesel::insert_into(apps::table).values(row).execute(conn)?;
        let keys: Vec<_> = app
            .api_keys
            .iter()
            .map(|hash| (app_api_keys::app_id.eq(&app.id), app_api_keys::hash.eq(hash.0.as_slice())))
            .collect();
        diesel::insert_into(app_api_keys::table).values(keys).execute(conn)?;
        Ok(AppRow { previous: None, ..app.clone() })
    })
}

/// The app that an API key belongs to. One whose policy cannot be read is none, and is logged.
pub fn by_api_key(conn: &mut PgConnection, hash: &ApiKeyHash) -> Result<Option<AppRow>, Error> {
    let row: Option<Row> = app_api_keys::table
        .inner_join(apps::table)
        .filter(app_api_keys::hash.eq(hash.0.as_slice()))
        .select(Row::as_select())
        .first(conn)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let keys: Vec<Vec<u8>> = app_api_keys::table
        .filter(app_api_keys::app_id.eq(&row.id))
        .order((app_api_keys::created_at, app_api_keys::hash))
        .select(app_api_keys::hash)
        .load(conn)?;
    let app = row.with_keys(keys.iter().filter_map(|hash| stored_hash(hash)).collect());
    Ok(app.inspect_err(|unreadable| tracing::error!(app.id = %unreadable.id, "{unreadable}")).ok())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = apps, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: AppId,
    key: AppKey,
    secret: String,
    previous_secret: Option<String>,
    previous_secret_until: Option<DateTime<Utc>>,
    policy: Value,
}

impl Row {
    fn with_keys(self, api_keys: Vec<ApiKeyHash>) -> Result<AppRow, Unreadable> {
        let policy = read(self.policy).map_err(|why| Unreadable { id: self.id.clone(), why })?;
        let previous = self.previous_secret.map(SecretString::from).zip(self.previous_secret_until);
        Ok(AppRow { id: self.id, key: self.key, secret: self.secret.into(), previous, policy, api_keys })
    }
}

fn read(policy: Value) -> Result<Policy, String> {
    serde_path_to_error::deserialize(policy).map_err(|error| error.to_string())
}

fn written(policy: &Policy) -> Result<Value, Error> {
    serde_json::to_value(policy).map_err(|error| Error::Query(error.into()))
}

/// How far ahead a secret's end may lie: what neither Postgres nor the clock can hold is cut to it.
fn overlap(overlap: Duration) -> TimeDelta {
    const LONGEST: TimeDelta = TimeDelta::days(36_500);
    TimeDelta::from_std(overlap).unwrap_or(LONGEST).min(LONGEST)
}

/// The table's CHECK keeps other lengths out.
fn stored_hash(bytes: &[u8]) -> Option<ApiKeyHash> {
    bytes.try_into().ok().map(ApiKeyHash)
}
