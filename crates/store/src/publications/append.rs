//! Storing: one statement for a whole batch.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, Text};
use sha2::{Digest, Sha256};

use super::{Appended, NewPublication, place};
use crate::transaction::{is_idle, transaction};
use crate::{Error, PgConnection};

/// Stores all of them or none, each at the next offset of its channel, and answers in the same order.
///
/// One whose id its channel had before (see [`super::trim_ids`] for how long that is known) or that stands earlier in
/// the batch is not stored; it is answered with the place of the first.
///
/// Whatever the size of the batch, this is one statement that is its own transaction. Channels are locked in the order
/// of their names, so two batches never wait for each other. Only if somebody else stores the same id at the same time,
/// the batch is tried once more with its channels locked before it looks. Inside a transaction of the caller's they are
/// always locked first.
pub fn append(conn: &mut PgConnection, new: &[NewPublication<'_>]) -> Result<Vec<Appended>, Error> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let batch = Batch::of(new);
    let has_ids = new.iter().any(|new| new.id.is_some());
    let stored = match !has_ids || is_idle(conn) {
        true => (Insert(&batch)).load::<Row>(conn),
        false => locked(conn, &batch),
    };
    let rows = match stored {
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info))
            if info.constraint_name() == Some("publication_ids_pkey") && is_idle(conn) =>
        {
            transaction(conn, |conn| locked(conn, &batch))?
        }
        stored => stored?,
    };
    Ok(rows
        .into_iter()
        .map(|(epoch, offset, duplicate)| Appended { position: place(epoch, offset), duplicate })
        .collect())
}

/// The second statement sees all that was committed before the first one had its locks.
fn locked(conn: &mut PgConnection, batch: &Batch<'_>) -> QueryResult<Vec<Row>> {
    Lock(batch).execute(conn)?;
    Insert(batch).load(conn)
}

/// Epoch, offset, whether it is a duplicate.
type Row = (i64, i64, bool);

/// The batch, column by column.
#[derive(Default)]
struct Batch<'a> {
    apps: Vec<&'a str>,
    channels: Vec<&'a str>,
    events: Vec<&'a [u8]>,
    data: Vec<&'a [u8]>,
    excepts: Vec<Option<String>>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl<'a> Batch<'a> {
    fn of(new: &'a [NewPublication<'a>]) -> Self {
        let mut batch = Self::default();
        for new in new {
            batch.apps.push(new.app.as_str());
            batch.channels.push(new.channel);
            batch.events.push(new.event.as_bytes());
            batch.data.push(new.data.as_bytes());
            batch.excepts.push(new.except.map(|socket| socket.to_string()));
            batch.hashes.push(new.id.map(|id| Sha256::digest(id).to_vec()));
        }
        batch
    }
}

/// Makes the streams that are missing and locks them all.
struct Lock<'a>(&'a Batch<'a>);

impl QueryFragment<Pg> for Lock<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO streams AS s (app_id, channel) SELECT DISTINCT i.app_id, i.channel FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.0.apps)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.0.channels)?;
        out.push_sql(") AS i (app_id, channel) ORDER BY 1, 2 ON CONFLICT (app_id, channel) DO UPDATE SET top = s.top");
        Ok(())
    }
}

impl QueryId for Lock<'_> {
    type QueryId = Lock<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for Lock<'_> {}

/// The statement. Diesel has no data-modifying CTE of its own; as a type of diesel's it is prepared once per connection.
struct Insert<'a>(&'a Batch<'a>);

/// After the input: `first` is the one of several with the same id that counts.
const NUMBERED: &str = r#") WITH ORDINALITY AS u (app_id, channel, event, data, except_socket, hash, n)
), numbered AS (
    SELECT i.*, CASE WHEN i.hash IS NULL THEN i.n
        ELSE min(i.n) OVER (PARTITION BY i.app_id, i.channel, i.hash) END AS first
    FROM input i
), known AS (
    SELECT i.n, s.epoch, k."offset" FROM input i
    JOIN publication_ids k ON k.app_id = i.app_id AND k.channel = i.channel AND k.hash = i.hash
    JOIN streams s ON s.app_id = i.app_id AND s.channel = i.channel
    WHERE i.hash IS NOT NULL
), fresh AS (
    SELECT i.*, row_number() OVER (PARTITION BY i.app_id, i.channel ORDER BY i.n)
        - count(*) OVER (PARTITION BY i.app_id, i.channel) AS rank
    FROM numbered i WHERE i.n = i.first AND (i.hash IS NULL OR NOT EXISTS (SELECT FROM known WHERE known.n = i.n))
), moved AS (
    INSERT INTO streams AS s (app_id, channel, top)
    SELECT app_id, channel, count(*) FROM fresh GROUP BY app_id, channel ORDER BY app_id, channel
    ON CONFLICT (app_id, channel) DO UPDATE
    SET top = s.top + excluded.top, updated_at = greatest(s.updated_at, clock_timestamp())
    RETURNING s.app_id, s.channel, s.epoch, s.top, s.updated_at
), placed AS (
    SELECT f.*, m.epoch, m.top + f.rank AS "offset", m.updated_at
    FROM fresh f JOIN moved m ON m.app_id = f.app_id AND m.channel = f.channel
), stored AS (
    INSERT INTO publications (app_id, channel, "offset", event, data, except_socket, created_at)
    SELECT app_id, channel, "offset", event, data, except_socket, updated_at FROM placed
), ids AS (
    INSERT INTO publication_ids (app_id, channel, hash, "offset", created_at)
    SELECT app_id, channel, hash, "offset", updated_at FROM placed WHERE hash IS NOT NULL
)
SELECT coalesce(p.epoch, k.epoch), coalesce(p."offset", k."offset"), p.n IS DISTINCT FROM i.n
FROM numbered i LEFT JOIN placed p ON p.n = i.first LEFT JOIN known k ON k.n = i.n
ORDER BY i.n"#;

impl QueryFragment<Pg> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(batch) = self;
        out.push_sql("WITH input AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&batch.apps)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&batch.channels)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bytea>, _>(&batch.events)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bytea>, _>(&batch.data)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&batch.excepts)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Bytea>>, _>(&batch.hashes)?;
        out.push_sql(NUMBERED);
        Ok(())
    }
}

impl QueryId for Insert<'_> {
    type QueryId = Insert<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Insert<'_> {
    type SqlType = (BigInt, BigInt, Bool);
}

impl RunQueryDsl<PgConnection> for Insert<'_> {}
