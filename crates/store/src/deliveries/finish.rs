//! Finishing: what became of a claim, written only by whoever still holds it.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};

use super::attempt::{ANSWER_CHARS_MAX, Answer, Begun};
use super::claim::Claimed;
use super::{REASON_CHARS_MAX, State, cut};
use crate::{Error, PgConnection};

/// How a claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A provider took it.
    Sent,
    /// A provider says that it has arrived already.
    Delivered,
    /// A rule said no: read meanwhile, preference, suppressed, no address, …
    Skipped(String),
    /// Once more then; if that is after it expires, it has expired.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// Why this attempt was not enough.
        reason: String,
        /// Whether this attempt may have arrived all the same.
        duplicate_possible: bool,
    },
    /// Only an operator can mend it: once more then, and this attempt does not count.
    Paused {
        /// When.
        until: DateTime<Utc>,
        /// What there is to mend.
        reason: String,
    },
    /// Given up.
    Dead(String),
    /// It may have arrived, and must not twice.
    Unknown(String),
    /// The call's address is dead: nothing more is sent to it.
    PermanentRecipient(String),
}

impl Ended {
    fn state(&self) -> State {
        match self {
            Self::Sent => State::Sent,
            Self::Delivered => State::Delivered,
            Self::Skipped(_) => State::Skipped,
            Self::Retry { .. } | Self::Paused { .. } => State::Ready,
            Self::Dead(_) => State::Dead,
            Self::Unknown(_) => State::Unknown,
            Self::PermanentRecipient(_) => State::Failed,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Sent | Self::Delivered => None,
            Self::Skipped(reason) | Self::Dead(reason) | Self::Unknown(reason) | Self::PermanentRecipient(reason) => {
                Some(reason)
            }
            Self::Retry { reason, .. } | Self::Paused { reason, .. } => Some(reason),
        }
    }

    fn again_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Retry { at, .. } | Self::Paused { until: at, .. } => Some(*at),
            _ => None,
        }
    }
}

/// Ends the claim, and puts the answer of its last call on record: one statement, all of it or nothing. A dead address
/// is suppressed in it.
///
/// `false` if somebody else has taken over, or the delivery was found delivered meanwhile. Then only the call is
/// recorded, and a dead address suppressed: both are true whoever holds the delivery.
pub fn finish(
    conn: &mut PgConnection,
    claimed: &Claimed,
    call: Option<(&Begun, &Answer)>,
    ended: &Ended,
) -> Result<bool, Error> {
    let statement = Finish {
        claimed,
        call: call.map(|(begun, _)| begun.call),
        outcome: call.map(|(_, answer)| answer.outcome.as_str()),
        http_status: call.and_then(|(_, answer)| answer.http_status).map(i32::from),
        message_id: call.and_then(|(_, answer)| answer.message_id.as_deref()),
        answer: call.and_then(|(_, answer)| answer.text.as_deref()).map(|text| cut(text, ANSWER_CHARS_MAX)),
        state: ended.state().as_str(),
        reason: ended.reason().map(|reason| cut(reason, REASON_CHARS_MAX)),
        again_at: ended.again_at(),
        counts: !matches!(ended, Ended::Paused { .. }),
        duplicate_possible: matches!(ended, Ended::Unknown(_) | Ended::Retry { duplicate_possible: true, .. }),
        suppress: matches!(ended, Ended::PermanentRecipient(_)),
    };
    Ok(statement.get_result::<bool>(conn)?)
}

/// The statement; as a type of diesel's it is prepared once per connection.
struct Finish<'a> {
    claimed: &'a Claimed,
    call: Option<i32>,
    outcome: Option<&'static str>,
    http_status: Option<i32>,
    message_id: Option<&'a str>,
    answer: Option<String>,
    state: &'static str,
    reason: Option<String>,
    again_at: Option<DateTime<Utc>>,
    counts: bool,
    duplicate_possible: bool,
    suppress: bool,
}

/// The input has a row whatever the rest finds, so that there always is an answer.
const STATEMENT: &str = "), recorded AS (
    UPDATE attempts AS a SET finished_at = now(), outcome = i.outcome, http_status = i.http_status,
        provider_message_id = i.message_id, answer = i.answer
    FROM input i
    WHERE a.app_id = i.app_id AND a.delivery_id = i.id AND a.number = i.attempt AND a.call = i.call
        AND a.finished_at IS NULL
    RETURNING a.provider, a.address
), suppressed AS (
    INSERT INTO suppressions (app_id, transport, address, reason)
    SELECT i.app_id, i.transport, r.address, coalesce(i.reason, '') FROM input i CROSS JOIN recorded r WHERE i.suppress
    ON CONFLICT DO NOTHING
), finished AS (
    UPDATE deliveries AS d SET
        state = CASE WHEN i.state <> 'ready' OR i.again_at < d.expires_at THEN i.state
            WHEN d.reason = 'cancelled' THEN 'cancelled' ELSE 'expired' END,
        reason = CASE WHEN i.state = 'ready' AND d.reason = 'cancelled' THEN d.reason ELSE i.reason END,
        run_at = coalesce(i.again_at, d.run_at),
        tries = d.tries - (NOT i.counts)::int,
        duplicate_possible = d.duplicate_possible OR i.duplicate_possible,
        provider = coalesce(r.provider, d.provider),
        provider_message_id = coalesce(i.message_id, d.provider_message_id),
        delivered_at = CASE WHEN i.state = 'delivered' THEN now() END,
        lease = NULL, lease_until = NULL, updated_at = now()
    FROM input i LEFT JOIN recorded r ON true
    WHERE d.app_id = i.app_id AND d.id = i.id AND d.attempt = i.attempt AND d.lease = i.lease AND d.state = 'leased'
    RETURNING d.id
)
SELECT EXISTS (SELECT FROM finished)";

impl QueryFragment<Pg> for Finish<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH input AS MATERIALIZED (SELECT ");
        out.push_bind_param::<Text, _>(&self.claimed.app)?;
        out.push_sql("::text AS app_id, ");
        out.push_bind_param::<SqlUuid, _>(&self.claimed.id)?;
        out.push_sql("::uuid AS id, ");
        out.push_bind_param::<Int4, _>(&self.claimed.attempt)?;
        out.push_sql("::int AS attempt, ");
        out.push_bind_param::<SqlUuid, _>(&self.claimed.worker)?;
        out.push_sql("::uuid AS lease, ");
        out.push_bind_param::<Text, _>(self.claimed.transport.as_str())?;
        out.push_sql("::text AS transport, ");
        out.push_bind_param::<Nullable<Int4>, _>(&self.call)?;
        out.push_sql("::int AS call, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.outcome)?;
        out.push_sql("::text AS outcome, ");
        out.push_bind_param::<Nullable<Int4>, _>(&self.http_status)?;
        out.push_sql("::int AS http_status, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.message_id)?;
        out.push_sql("::text AS message_id, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.answer)?;
        out.push_sql("::text AS answer, ");
        out.push_bind_param::<Text, _>(self.state)?;
        out.push_sql("::text AS state, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.reason)?;
        out.push_sql("::text AS reason, ");
        out.push_bind_param::<Nullable<Timestamptz>, _>(&self.again_at)?;
        out.push_sql("::timestamptz AS again_at, ");
        out.push_bind_param::<Bool, _>(&self.counts)?;
        out.push_sql("::bool AS counts, ");
        out.push_bind_param::<Bool, _>(&self.duplicate_possible)?;
        out.push_sql("::bool AS duplicate_possible, ");
        out.push_bind_param::<Bool, _>(&self.suppress)?;
        out.push_sql("::bool AS suppress");
        out.push_sql(STATEMENT);
        Ok(())
    }
}

impl QueryId for Finish<'_> {
    type QueryId = Finish<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Finish<'_> {
    type SqlType = Bool;
}

impl RunQueryDsl<PgConnection> for Finish<'_> {}
