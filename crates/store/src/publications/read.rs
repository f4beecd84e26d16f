//! Reading: one statement each, so that the channel's place and its publications are of the same moment.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Bytea, Integer, Nullable, Text};
use protocol::{AppId, Position};

use super::{Page, StoredPublication, place, position};
use crate::{Error, PgConnection};

/// Everything after a position, oldest first, up to `limit`.
///
/// Whole if nothing of it was trimmed, there are no more than `limit`, and the epoch is the channel's. Where the first of
/// them were trimmed, the rest is given. Of another epoch there is nothing.
pub fn read_after(
    conn: &mut PgConnection,
    app: &AppId,
    channel: &str,
    after: Position,
    limit: u32,
) -> Result<Page, Error> {
    let epoch = after.epoch.0.cast_signed();
    // No channel gets that far: a larger offset is after everything, too.
    let offset = after.offset.min(i64::MAX as u64).cast_signed();
    let query = After { app, channel, epoch, offset, limit: limit.into() };
    let (position, rows) = read(conn, app, channel, |conn| query.load(conn))?;
    let publications = publications(rows)?;
    let missed = position.offset.checked_sub(after.offset).filter(|_| position.epoch == after.epoch);
    Ok(Page { position, whole: missed == Some(publications.len() as u64), publications })
}

/// The newest, oldest of them first: up to `limit`, none older than `seconds`.
///
/// Whole if there would not be more of them, had nothing been trimmed.
pub fn read_newest(
    conn: &mut PgConnection,
    app: &AppId,
    channel: &str,
    limit: u32,
    seconds: Option<u32>,
) -> Result<Page, Error> {
    let seconds = seconds.map(|seconds| seconds.min(i32::MAX as u32).cast_signed());
    let query = Newest { app, channel, limit: limit.into(), seconds };
    let (position, mut rows) = read(conn, app, channel, |conn| query.load(conn))?;
    let kept = rows.len();
    // Also that of a channel that has none, but was published to lately.
    rows.retain(|row| row.7);
    let too_old = rows.len() < kept;
    rows.reverse();
    let publications = publications(rows)?;
    let wanted = u64::from(limit).min(position.offset);
    Ok(Page { position, whole: too_old || publications.len() as u64 == wanted, publications })
}

/// Epoch and top; of each publication the offset, event, data, excluded socket and age in seconds; whether it is young
/// enough. A channel without publications to give has one row, about itself.
type Row = (i64, i64, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Option<String>, Option<i32>, bool);
type RowTypes =
    (BigInt, BigInt, Nullable<BigInt>, Nullable<Bytea>, Nullable<Bytea>, Nullable<Text>, Nullable<Integer>, Bool);

/// Of the row `p`.
const AGE: &str = "CAST(least(extract(epoch FROM now() - p.created_at), 2147483647) AS INTEGER)";

/// Where the channel was when the rows were read, and the rows. A channel that never was begins now, and is read again:
/// somebody else may have been quicker, and published to it.
fn read(
    conn: &mut PgConnection,
    app: &AppId,
    channel: &str,
    query: impl Fn(&mut PgConnection) -> QueryResult<Vec<Row>>,
) -> Result<(Position, Vec<Row>), Error> {
    let mut rows = query(conn)?;
    if rows.is_empty() {
        position(conn, app, channel)?;
        rows = query(conn)?;
    }
    let (epoch, top, ..) = rows.first().ok_or_else(|| Error::Query("a channel was forgotten in use".into()))?;
    Ok((place(*epoch, *top), rows))
}

fn publications(rows: Vec<Row>) -> Result<Vec<StoredPublication>, Error> {
    rows.into_iter().filter_map(publication).collect()
}

fn publication((_, _, offset, event, data, except, age, _): Row) -> Option<Result<StoredPublication, Error>> {
    let text = |bytes: Option<Vec<u8>>| {
        String::from_utf8(bytes.unwrap_or_default()).map_err(|error| Error::Query(error.into()))
    };
    let offset = offset?.cast_unsigned();
    let except = except.and_then(|socket| socket.parse().ok());
    let age_seconds = age.and_then(|age| u32::try_from(age).ok()).unwrap_or(0);
    Some(text(event).and_then(|event| Ok(StoredPublication { offset, event, data: text(data)?, except, age_seconds })))
}

#[derive(Clone, Copy)]
struct After<'a> {
    app: &'a AppId,
    channel: &'a str,
    epoch: i64,
    offset: i64,
    limit: i64,
}

impl QueryFragment<Pg> for After<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(r#"SELECT s.epoch, s.top, p."offset", p.event, p.data, p.except_socket, "#);
        out.push_sql(AGE);
        out.push_sql(
            r#", true FROM streams s LEFT JOIN LATERAL (
            SELECT * FROM publications p
            WHERE p.app_id = s.app_id AND p.channel = s.channel AND s.epoch = "#,
        );
        out.push_bind_param::<BigInt, _>(&self.epoch)?;
        out.push_sql(r#" AND p."offset" > "#);
        out.push_bind_param::<BigInt, _>(&self.offset)?;
        out.push_sql(r#" ORDER BY p."offset" LIMIT "#);
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") p ON true WHERE s.app_id = ");
        out.push_bind_param::<Text, _>(self.app)?;
        out.push_sql(" AND s.channel = ");
        out.push_bind_param::<Text, _>(self.channel)?;
        out.push_sql(r#" ORDER BY p."offset""#);
        Ok(())
    }
}

impl QueryId for After<'_> {
    type QueryId = After<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for After<'_> {
    type SqlType = RowTypes;
}

impl RunQueryDsl<PgConnection> for After<'_> {}

#[derive(Clone, Copy)]
struct Newest<'a> {
    app: &'a AppId,
    channel: &'a str,
    limit: i64,
    seconds: Option<i32>,
}

impl QueryFragment<Pg> for Newest<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Of what is too old only its being there is of interest.
        out.push_sql(
            r#"SELECT s.epoch, s.top, p."offset", p.event, CASE WHEN young THEN p.data END, p.except_socket, "#,
        );
        out.push_sql(AGE);
        out.push_sql(r#", young FROM (SELECT s.*, now() - make_interval(secs => "#);
        out.push_bind_param::<Nullable<Integer>, _>(&self.seconds)?;
        out.push_sql(" ) AS since FROM streams s WHERE app_id = ");
        out.push_bind_param::<Text, _>(self.app)?;
        out.push_sql(" AND channel = ");
        out.push_bind_param::<Text, _>(self.channel)?;
        out.push_sql(
            r#") s LEFT JOIN LATERAL (
            SELECT * FROM publications p WHERE p.app_id = s.app_id AND p.channel = s.channel
            ORDER BY p."offset" DESC LIMIT "#,
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(
            r#") p ON true
            CROSS JOIN LATERAL (SELECT coalesce(coalesce(p.created_at, s.updated_at) >= s.since, true)) y (young)
            ORDER BY p."offset" DESC"#,
        );
        Ok(())
    }
}

impl QueryId for Newest<'_> {
    type QueryId = Newest<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Newest<'_> {
    type SqlType = RowTypes;
}

impl RunQueryDsl<PgConnection> for Newest<'_> {}
