//! Where an app wants to be told.

use std::collections::BTreeMap;

use diesel::prelude::*;
use protocol::AppId;
use uuid::Uuid;

use crate::schema::webhook_endpoints::{self, columns as e};
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// An address and what it wants to know. The store keeps what it is given: whoever offers an endpoint checks it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The tenant.
    pub app: AppId,
    /// Minted, or made of app and URL for those of the configuration.
    pub id: Uuid,
    /// Where requests go.
    pub url: String,
    /// Names of the events it wants; empty wants all.
    pub events: Vec<String>,
    /// Wants only channels whose names start with it.
    pub channel_prefix: Option<String>,
    /// Further headers of each request.
    pub headers: BTreeMap<String, String>,
    /// Whether one request may hold several events.
    pub batching: bool,
    /// Whether anything is enqueued or sent.
    pub enabled: bool,
    /// Whether it comes from the configuration.
    pub configured: bool,
}

/// Every endpoint, or those of one app, the oldest first.
pub fn list(conn: &mut PgConnection, app: Option<&AppId>) -> Result<Vec<Endpoint>, Error> {
    let mut query = webhook_endpoints::table.order((e::app_id, e::created_at, e::id)).into_boxed();
    if let Some(app) = app {
        query = query.filter(e::app_id.eq(app.clone()));
    }
    let rows: Vec<Row> = query.select(Row::as_select()).load(conn)?;
    Ok(rows.into_iter().map(Endpoint::from).collect())
}

/// Adds an endpoint; `false` if its app has one with this id.
pub fn create(conn: &mut PgConnection, endpoint: &Endpoint) -> Result<bool, Error> {
    let added = diesel::insert_into(webhook_endpoints::table)
        .values(Row::from(endpoint))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(added == 1)
}

/// Puts the endpoint in the place of that with its app and id; `false` if there is none.
pub fn update(conn: &mut PgConnection, endpoint: &Endpoint) -> Result<bool, Error> {
    let same = webhook_endpoints::table.filter(e::app_id.eq(&endpoint.app).and(e::id.eq(endpoint.id)));
    Ok(diesel::update(same).set(Row::from(endpoint)).execute(conn)? == 1)
}

/// Removes an endpoint with everything that was still to be sent to it; `false` if there is none.
pub fn delete(conn: &mut PgConnection, app: &AppId, id: Uuid) -> Result<bool, Error> {
    let same = webhook_endpoints::table.filter(e::app_id.eq(app).and(e::id.eq(id)));
    Ok(diesel::delete(same).execute(conn)? == 1)
}

/// Makes the configured endpoints these. One that the configuration no longer holds is disabled, not removed: what was
/// still to be sent to it comes back with it.
pub fn sync_configured(conn: &mut PgConnection, endpoints: &[Endpoint]) -> Result<(), Error> {
    transaction(conn, |conn| {
        let ids: Vec<Uuid> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let gone = webhook_endpoints::table.filter(e::configured.and(e::enabled).and(e::id.ne_all(ids)));
        diesel::update(gone).set(e::enabled.eq(false)).execute(conn)?;
        for endpoint in endpoints {
            let row = || Row { configured: true, ..Row::from(endpoint) };
            diesel::insert_into(webhook_endpoints::table)
                .values(row())
                .on_conflict((e::app_id, e::id))
                .do_update()
                .set(row())
                .execute(conn)?;
        }
        Ok(())
    })
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = webhook_endpoints, check_for_backend(diesel::pg::Pg), treat_none_as_null = true)]
struct Row {
    app_id: AppId,
    id: Uuid,
    url: String,
    events: Vec<String>,
    channel_prefix: Option<String>,
    headers: serde_json::Value,
    batching: bool,
    enabled: bool,
    configured: bool,
}

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        Self {
            app: row.app_id,
            id: row.id,
            url: row.url,
            events: row.events,
            channel_prefix: row.channel_prefix,
            headers: headers(row.headers),
            batching: row.batching,
            enabled: row.enabled,
            configured: row.configured,
        }
    }
}

impl From<&Endpoint> for Row {
    fn from(endpoint: &Endpoint) -> Self {
        let headers = endpoint.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        Self {
            app_id: endpoint.app.clone(),
            id: endpoint.id,
            url: endpoint.url.clone(),
            events: endpoint.events.clone(),
            channel_prefix: endpoint.channel_prefix.clone(),
            headers: serde_json::Value::Object(headers.collect()),
            batching: endpoint.batching,
            enabled: endpoint.enabled,
            configured: endpoint.configured,
        }
    }
}

/// Reads the column; what is no string cannot have been written by us and is left out.
pub(super) fn headers(column: serde_json::Value) -> BTreeMap<String, String> {
    let serde_json::Value::Object(headers) = column else { return BTreeMap::new() };
    let text = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(value) => Some((name, value)),
        _ => None,
    };
    headers.into_iter().filter_map(text).collect()
}
