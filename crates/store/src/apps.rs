//! Apps that were made at run time; those of the configuration file have no row.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use protocol::{AppId, AppKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::schema::{app_api_keys, apps};
use crate::{Error, PgConnection};

/// SHA-256 of an API key: all that is stored of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKeyHash {
    /// The hash of a key as a backend sends it.
    pub fn of(api_key: &str) -> Self {
        Self(Sha256::digest(api_key).into())
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
    /// Whether clients may send `client-…` events.
    pub client_events: bool,
    /// Whether `user-…` and `chat-…` are protected.
    pub protected_channels: bool,
    /// Of the keys for the internal API.
    pub api_keys: Vec<ApiKeyHash>,
}

/// An app to be made: an [`AppRow`] before it is one.
pub type NewApp = AppRow;

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
pub fn list(conn: &mut PgConnection) -> Result<Vec<AppRow>, Error> {
    let rows: Vec<Row> = apps::table.order(apps::id).select(Row::as_select()).load(conn)?;
    let keys: Vec<(AppId, Vec<u8>)> = app_api_keys::table
        .order((app_api_keys::created_at, app_api_keys::hash))
        .select((app_api_keys::app_id, app_api_keys::hash))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let of_row = keys.iter().filter(|(app, _)| *app == row.id);
            let hashes = of_row.filter_map(|(_, hash)| stored_hash(hash)).collect();
            row.with_keys(hashes)
        })
        .collect())
}

/// Makes an app with its API keys, or nothing at all.
pub fn create(conn: &mut PgConnection, app: &NewApp) -> Result<AppRow, CreateError> {
    conn.transaction(|conn| {
        let row = Row {
            id: app.id.clone(),
            key: app.key.clone(),
            secret: app.secret.expose_secret().to_owned(),
            client_events: app.client_events,
            protected_channels: app.protected_channels,
        };
        diesel::insert_into(apps::table).values(&row).execute(conn)?;
        let keys: Vec<_> = app
            .api_keys
            .iter()
            .map(|hash| (app_api_keys::app_id.eq(&app.id), app_api_keys::hash.eq(hash.0.as_slice())))
            .collect();
        diesel::insert_into(app_api_keys::table).values(keys).execute(conn)?;
        Ok(app.clone())
    })
}

/// The app that an API key belongs to.
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
    Ok(Some(row.with_keys(keys.iter().filter_map(|hash| stored_hash(hash)).collect())))
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = apps, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: AppId,
    key: AppKey,
    secret: String,
    client_events: bool,
    protected_channels: bool,
}

impl Row {
    fn with_keys(self, api_keys: Vec<ApiKeyHash>) -> AppRow {
        AppRow {
            id: self.id,
            key: self.key,
            secret: self.secret.into(),
            client_events: self.client_events,
            protected_channels: self.protected_channels,
            api_keys,
        }
    }
}

/// The table's CHECK keeps other lengths out.
fn stored_hash(bytes: &[u8]) -> Option<ApiKeyHash> {
    bytes.try_into().ok().map(ApiKeyHash)
}
