//! Forgetting: the oldest publications of a channel first, then their ids, last the channel itself. In small steps.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Text};
use protocol::AppId;

use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// Channels looked at in one step.
const STREAMS_PER_STEP: i64 = 100;
/// Publications of one channel that one step deletes at most.
const PER_STREAM_MAX: i32 = 500;
/// Ids that one step deletes at most.
const IDS_PER_STEP: i64 = 5_000;
/// Days after which a channel that nothing is left of is forgotten; when it is used again, it has a new epoch. One that
/// was never published to is forgotten after one day.
pub const STREAM_IDLE_DAYS: i32 = 30;
/// Any number that nobody else takes: who holds it trims, so nodes do not do the same work.
const LOCK: i64 = 0x6b61_6261_725f_7472;

/// How much of a channel is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many.
    pub messages_max: u32,
    /// None stored longer ago.
    pub seconds: u32,
}

/// How far a round over all channels has come: the last one that was looked at.
pub type Cursor = (String, String);

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Publications deleted.
    pub publications: usize,
    /// Where the next step begins; `None` when all channels were looked at, or somebody else is trimming.
    pub next: Option<Cursor>,
}

#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = Text)]
    app_id: String,
    #[diesel(sql_type = Text)]
    channel: String,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    deleted: i64,
    #[diesel(sql_type = Bool)]
    more: bool,
}

/// One step of a round: looks at the next channels, up to 100, and deletes of each up to 500 publications that `keep` does
/// not want. A channel of which more than that is to go is looked at again in the next step.
pub fn trim(
    conn: &mut PgConnection,
    from: Option<&Cursor>,
    keep: impl Fn(&AppId, &str) -> Keep,
) -> Result<Trimmed, Error> {
    transaction(conn, |conn| {
        if !diesel::select(pg_try_advisory_xact_lock(LOCK)).get_result(conn)? {
            return Ok(Trimmed { publications: 0, next: None });
        }
        let (app, channel) = from.map_or(("", ""), |(app, channel)| (app.as_str(), channel.as_str()));
        let looked: Vec<Looked> = diesel::sql_query(
            "SELECT app_id, channel FROM streams WHERE (app_id, channel) > ($1, $2) ORDER BY app_id, channel LIMIT $3",
        )
        .bind::<Text, _>(app)
        .bind::<Text, _>(channel)
        .bind::<BigInt, _>(STREAMS_PER_STEP)
        .load(conn)?;
        let Some(last) = looked.last() else { return Ok(Trimmed { publications: 0, next: None }) };
        let next = (last.app_id.clone(), last.channel.clone());
        let counted = delete(conn, &looked, &keep)?;
        forget_idle(conn, &looked)?;
        let done = !counted.more && (looked.len() as i64) < STREAMS_PER_STEP;
        let next = if counted.more { Some(from.cloned().unwrap_or_default()) } else { Some(next) };
        Ok(Trimmed { publications: counted.deleted as usize, next: next.filter(|_| !done) })
    })
}

/// Deletes the oldest of each channel, never out of their order.
fn delete(conn: &mut PgConnection, looked: &[Looked], keep: &impl Fn(&AppId, &str) -> Keep) -> QueryResult<Counted> {
    let (mut apps, mut channels, mut counts, mut ages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Looked { app_id, channel } in looked {
        // An id that no app can have is nobody's.
        let Ok(app) = AppId::try_from(app_id.as_str()) else { continue };
        let Keep { messages_max, seconds } = keep(&app, channel);
        apps.push(app_id.as_str());
        channels.push(channel.as_str());
        counts.push(i64::from(messages_max));
        ages.push(seconds.min(i32::MAX as u32).cast_signed());
    }
    diesel::sql_query(
        r#"WITH input AS (
            SELECT * FROM unnest($1, $2, $3, $4) AS i (app_id, channel, messages_max, seconds)
        ), cut AS (
            SELECT i.app_id, i.channel, o.through, o.many FROM input i
            JOIN streams s ON s.app_id = i.app_id AND s.channel = i.channel
            CROSS JOIN LATERAL (
                SELECT max(p."offset") AS through, count(*) AS many FROM (
                    SELECT "offset", created_at FROM publications p
                    WHERE p.app_id = i.app_id AND p.channel = i.channel ORDER BY "offset" LIMIT $5
                ) p
                WHERE p."offset" <= s.top - i.messages_max OR p.created_at < now() - make_interval(secs => i.seconds)
            ) o
            WHERE o.through IS NOT NULL
        ), gone AS (
            DELETE FROM publications p USING cut
            WHERE p.app_id = cut.app_id AND p.channel = cut.channel AND p."offset" <= cut.through RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone) AS deleted, EXISTS (SELECT FROM cut WHERE many >= $5) AS more"#,
    )
    .bind::<Array<Text>, _>(apps)
    .bind::<Array<Text>, _>(channels)
    .bind::<Array<BigInt>, _>(counts)
    .bind::<Array<Integer>, _>(ages)
    .bind::<Integer, _>(PER_STREAM_MAX)
    .get_result(conn)
}

/// Deletes the channels that nothing is left of. One that is published to meanwhile has another `updated_at`, which the
/// row's lock makes Postgres look at again; one that is being published to is passed over, so nobody waits for us in a
/// circle.
fn forget_idle(conn: &mut PgConnection, looked: &[Looked]) -> QueryResult<usize> {
    let (apps, channels): (Vec<_>, Vec<_>) =
        looked.iter().map(|looked| (looked.app_id.as_str(), looked.channel.as_str())).unzip();
    diesel::sql_query(
        "DELETE FROM streams USING (
            SELECT s.app_id, s.channel FROM streams s
            JOIN unnest($1, $2) AS i (app_id, channel) ON s.app_id = i.app_id AND s.channel = i.channel
            WHERE s.updated_at < now() - make_interval(days => CASE s.top WHEN 0 THEN 1 ELSE $3 END)
            AND NOT EXISTS (SELECT FROM publications p WHERE p.app_id = s.app_id AND p.channel = s.channel)
            AND NOT EXISTS (SELECT FROM publication_ids k WHERE k.app_id = s.app_id AND k.channel = s.channel)
            FOR UPDATE OF s SKIP LOCKED
        ) idle WHERE streams.app_id = idle.app_id AND streams.channel = idle.channel",
    )
    .bind::<Array<Text>, _>(apps)
    .bind::<Array<Text>, _>(channels)
    .bind::<Integer, _>(STREAM_IDLE_DAYS)
    .execute(conn)
}

/// Forgets publishers' ids that are older than a day, up to 5,000 of them. Whether there may be more.
pub fn trim_ids(conn: &mut PgConnection) -> Result<bool, Error> {
    let deleted = diesel::sql_query(
        "DELETE FROM publication_ids WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM publication_ids WHERE created_at < now() - interval '1 day'
            ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED))",
    )
    .bind::<BigInt, _>(IDS_PER_STEP)
    .execute(conn)?;
    Ok(deleted as i64 >= IDS_PER_STEP)
}

diesel::define_sql_function! {
    fn pg_try_advisory_xact_lock(key: BigInt) -> Bool;
}
