//! One-time tickets that open a socket: short-lived, single use, stored only as a hash.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use protocol::{AppId, UserId};
use sha2::{Digest, Sha256};

use crate::schema::socket_tickets::{self, columns as t};
use crate::{Error, PgConnection};

/// What a ticket stood for.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = socket_tickets, check_for_backend(diesel::pg::Pg))]
pub struct Redeemed {
    /// Whom the socket is bound to.
    #[diesel(column_name = user_id)]
    pub user: UserId,
    /// JSON `{"id","user_info"}`, as it was given to [`issue`].
    pub user_data: String,
    /// When the session that the ticket was issued from ends.
    pub session_expires_at: Option<DateTime<Utc>>,
}

/// The most expired tickets that one issue clears away, so that it stays quick.
const CLEARED_PER_ISSUE_MAX: i64 = 100;

/// A new ticket: 64 hexadecimal digits that nobody can guess, good for `ttl` and for one [`redeem`].
pub fn issue(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    user_data: &str,
    session_expires_at: Option<DateTime<Utc>>,
    ttl: Duration,
) -> Result<String, Error> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|error| Error::Query(error.into()))?;
    let ticket: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash: [u8; 32] = Sha256::digest(&ticket).into();
    let now = Utc::now();
    let expired = socket_tickets::table
        .filter(t::expires_at.lt(now))
        .order(t::expires_at)
        .limit(CLEARED_PER_ISSUE_MAX)
        .select(t::hash)
        .for_update()
        .skip_locked();
    let expired: Vec<Vec<u8>> = conn.transaction(|conn| {
        let expired = expired.load::<Vec<u8>>(conn)?;
        if !expired.is_empty() {
            diesel::delete(socket_tickets::table.filter(t::hash.eq_any(&expired).and(t::expires_at.lt(now))))
                .execute(conn)?;
        }
        diesel::insert_into(socket_tickets::table)
            .values((
                t::app_id.eq(app),
                t::hash.eq(&hash[..]),
                t::user_id.eq(user),
                t::user_data.eq(user_data),
                t::session_expires_at.eq(session_expires_at),
                t::expires_at.eq(now + ttl),
            ))
            .execute(conn)?;
        QueryResult::Ok(expired)
    })?;
    tracing::debug!(tickets = expired.len(), "cleared expired tickets");
    Ok(ticket)
}

/// What the ticket stood for; `None` if it is unknown, of another app, expired or was redeemed before.
pub fn redeem(conn: &mut PgConnection, app: &AppId, ticket: &str) -> Result<Option<Redeemed>, Error> {
    // Deleting is what makes it single use: of two at once, the second finds the row gone.
    let hash: [u8; 32] = Sha256::digest(ticket).into();
    let redeemed: Option<(DateTime<Utc>, Redeemed)> =
        diesel::delete(socket_tickets::table.filter(t::app_id.eq(app).and(t::hash.eq(&hash[..]))))
            .returning((t::expires_at, Redeemed::as_returning()))
            .get_result(conn)
            .optional()?;
    Ok(redeemed.filter(|(expires_at, _)| *expires_at > Utc::now()).map(|(_, redeemed)| redeemed))
}
