//! Addresses that nothing is sent to.

use diesel::prelude::*;
use protocol::AppId;
use protocol::notification::Transport;

use super::{REASON_CHARS_MAX, cut};
use crate::schema::suppressions::{self, columns as s};
use crate::{Error, PgConnection};

/// Nothing is sent to the address any more. `false` if that was so before; the first reason stays.
pub fn suppress(
    conn: &mut PgConnection,
    app: &AppId,
    transport: Transport,
    address: &str,
    reason: &str,
) -> Result<bool, Error> {
    Ok(insert(conn, app, transport, address, reason)?)
}

/// As [`suppress`], for transactions.
pub(super) fn insert(
    conn: &mut PgConnection,
    app: &AppId,
    transport: Transport,
    address: &str,
    reason: &str,
) -> QueryResult<bool> {
    let row = (
        s::app_id.eq(app),
        s::transport.eq(transport.as_str()),
        s::address.eq(address),
        s::reason.eq(cut(reason, REASON_CHARS_MAX)),
    );
    let added = diesel::insert_into(suppressions::table).values(row).on_conflict_do_nothing().execute(conn)?;
    Ok(added == 1)
}

/// Why nothing is sent to the address, as it was given; `None` if it may be.
pub fn is_suppressed(
    conn: &mut PgConnection,
    app: &AppId,
    transport: Transport,
    address: &str,
) -> Result<Option<String>, Error> {
    let same = s::app_id.eq(app).and(s::transport.eq(transport.as_str())).and(s::address.eq(address));
    Ok(suppressions::table.filter(same).select(s::reason).first(conn).optional()?)
}

/// The address may be sent to again; `false` if it was not suppressed.
pub fn unsuppress(conn: &mut PgConnection, app: &AppId, transport: Transport, address: &str) -> Result<bool, Error> {
    let same = s::app_id.eq(app).and(s::transport.eq(transport.as_str())).and(s::address.eq(address));
    Ok(diesel::delete(suppressions::table.filter(same)).execute(conn)? == 1)
}
