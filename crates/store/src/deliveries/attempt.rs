//! Calls of providers: a row before each, its answer after.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Int4, Text, Uuid as SqlUuid};
use protocol::AppId;
use protocol::notification::{DeliveryId, FailureClass};

use super::claim::Claimed;
use super::cut;
use crate::schema::attempts::{self, columns as a};
use crate::{Error, PgConnection};

/// How much of a provider's answer is kept, in characters.
pub(super) const ANSWER_CHARS_MAX: usize = 2_000;

/// A call that is on record and may be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The tenant.
    pub app: AppId,
    /// What is delivered.
    pub delivery: DeliveryId,
    /// The claim that it is made under.
    pub number: i32,
    /// 1, 2, … within the claim.
    pub call: i32,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Sent,
    /// It did not, or nobody knows.
    Failed(FailureClass),
}

impl Outcome {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed(class) => class.as_str(),
        }
    }
}

/// What a provider answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// In a word.
    pub outcome: Outcome,
    /// Of HTTP, where it was spoken.
    pub http_status: Option<u16>,
    /// How the provider calls the message: by it, its callbacks are matched.
    pub message_id: Option<String>,
    /// What it said, without secrets; the first 2,000 characters are kept.
    pub text: Option<String>,
}

/// Puts the next call of the claim on record, before it is made. `None` if the lease is over or somebody else has the
/// delivery: then it must not be made.
pub fn begin_attempt(
    conn: &mut PgConnection,
    claimed: &Claimed,
    provider: &str,
    address: &str,
) -> Result<Option<Begun>, Error> {
    let call = Begin { claimed, provider, address }.get_result::<i32>(conn).optional()?;
    let begun = |call| Begun { app: claimed.app.clone(), delivery: claimed.id, number: claimed.attempt, call };
    Ok(call.map(begun))
}

/// Puts the answer on record, for a call after which the delivery goes on: another device, another provider. The last
/// one's is for [`super::finish`]. `false` if there is one already.
pub fn record(conn: &mut PgConnection, begun: &Begun, answer: &Answer) -> Result<bool, Error> {
    let mine = a::app_id.eq(&begun.app).and(a::delivery_id.eq(begun.delivery)).and(a::number.eq(begun.number));
    let open = attempts::table.filter(mine).filter(a::call.eq(begun.call).and(a::finished_at.is_null()));
    let recorded = diesel::update(open)
        .set((
            a::finished_at.eq(diesel::dsl::now),
            a::outcome.eq(answer.outcome.as_str()),
            a::http_status.eq(answer.http_status.map(i32::from)),
            a::provider_message_id.eq(answer.message_id.as_deref()),
            a::answer.eq(answer.text.as_deref().map(|text| cut(text, ANSWER_CHARS_MAX))),
        ))
        .execute(conn)?;
    Ok(recorded == 1)
}

/// The statement; as a type of diesel's it is prepared once per connection.
struct Begin<'a> {
    claimed: &'a Claimed,
    provider: &'a str,
    address: &'a str,
}

impl QueryFragment<Pg> for Begin<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO attempts (app_id, delivery_id, number, call, provider, address, duplicate_possible)
             SELECT d.app_id, d.id, d.attempt, 1 + (SELECT count(*) FROM attempts a
                 WHERE a.app_id = d.app_id AND a.delivery_id = d.id AND a.number = d.attempt), ",
        );
        out.push_bind_param::<Text, _>(self.provider)?;
        out.push_sql("::text, ");
        out.push_bind_param::<Text, _>(self.address)?;
        out.push_sql("::text, d.duplicate_possible FROM deliveries d WHERE d.app_id = ");
        out.push_bind_param::<Text, _>(&self.claimed.app)?;
        out.push_sql(" AND d.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.claimed.id)?;
        out.push_sql(" AND d.attempt = ");
        out.push_bind_param::<Int4, _>(&self.claimed.attempt)?;
        out.push_sql(" AND d.lease = ");
        out.push_bind_param::<SqlUuid, _>(&self.claimed.worker)?;
        out.push_sql(" AND d.state = 'leased' AND d.lease_until > now() RETURNING call");
        Ok(())
    }
}

impl QueryId for Begin<'_> {
    type QueryId = Begin<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Begin<'_> {
    type SqlType = Int4;
}

impl RunQueryDsl<PgConnection> for Begin<'_> {}
