//! Requests that came before: what was answered is answered again, and nothing is done twice.
//!
//! What a request does and what it is answered commit together, so no crash can leave one without the other. A request
//! that failed did nothing, is not kept and may be sent again.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};
use protocol::AppId;
use sha2::{Digest, Sha256};

use crate::schema::idempotency_keys as k;
use crate::{Error, PgConnection};

/// How many keys are forgotten at once.
const FORGET_AT_ONCE: i64 = 1000;

mod sql {
    diesel::define_sql_function! {
        fn pg_try_advisory_xact_lock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool;
    }
}

/// Of what was asked, to tell another request under the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// Of a body.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).to_vec())
    }
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP's, 200 to 299.
    pub status: u16,
    /// The body.
    pub body: serde_json::Value,
}

/// What became of a request with a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Once<T> {
    /// It was done now.
    Done(Answer, T),
    /// It was done before and answered this.
    Before(Answer),
    /// The key was used for another request.
    KeyReused,
    /// It is being done by somebody else right now.
    UnderWay,
}

enum Failed<E> {
    Work(E),
    Store(Error),
}

impl<E> From<diesel::result::Error> for Failed<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Does `work` unless it was done under this key, in one transaction with keeping its answer.
///
/// # Errors
/// Those of `work`, which then did nothing, and the database's.
pub fn once<T, E: From<Error>>(
    conn: &mut PgConnection,
    app: &AppId,
    key: &str,
    fingerprint: &Fingerprint,
    work: impl FnOnce(&mut PgConnection) -> Result<(Answer, T), E>,
) -> Result<Once<T>, E> {
    let done = conn.transaction(|conn| {
        // Ends with the transaction, however that ends. Two keys with one hash only mean that one is tried again.
        if !diesel::select(sql::pg_try_advisory_xact_lock(lock_of(app, key))).get_result::<bool>(conn)? {
            return Ok(Once::UnderWay);
        }
        let before: Option<(Vec<u8>, i16, serde_json::Value)> = k::table
            .filter(k::app_id.eq(app).and(k::key.eq(key)))
            .select((k::fingerprint, k::status, k::answer))
            .first(conn)
            .optional()?;
        match before {
            Some((of, _, _)) if of != fingerprint.0 => return Ok(Once::KeyReused),
            Some((_, status, body)) => return Ok(Once::Before(Answer { status: status.unsigned_abs(), body })),
            None => {}
        }
        let (answer, done) = work(conn).map_err(Failed::Work)?;
        diesel::insert_into(k::table)
            .values((
                k::app_id.eq(app),
                k::key.eq(key),
                k::fingerprint.eq(&fingerprint.0),
                k::status.eq(i16::try_from(answer.status).unwrap_or(200)),
                k::answer.eq(&answer.body),
            ))
            .execute(conn)?;
        Ok(Once::Done(answer, done))
    });
    done.map_err(|failed| match failed {
        Failed::Work(error) => error,
        Failed::Store(error) => error.into(),
    })
}

/// Forgets some of the answers from before `before`; whether there may be more.
pub fn forget(conn: &mut PgConnection, before: DateTime<Utc>) -> Result<bool, Error> {
    let forgotten = diesel::sql_query(
        "DELETE FROM idempotency_keys WHERE (app_id, key) IN (SELECT app_id, key FROM idempotency_keys
         WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(FORGET_AT_ONCE)
    .execute(conn)?;
    Ok(forgotten as i64 == FORGET_AT_ONCE)
}

fn lock_of(app: &AppId, key: &str) -> i64 {
    let hash = Sha256::digest(format!("{app}\u{1f}{key}"));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(bytes)
}
