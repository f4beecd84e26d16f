//! Rescuing deliveries whose worker is gone: what then depends on whether a provider may have been called already.
//!
//! | the lease ended | | the delivery is |
//! |---|---|---|
//! | before a call was begun, or after each had failed | | ready again |
//! | after a call was taken | | sent |
//! | within a call | the provider knows repeats by a key | ready again, with the same key |
//! | | it drops most repeats (topic, tag, `Message-ID`) | ready again, `duplicate_possible` |
//! | | it does not, at least once | ready again, `duplicate_possible` |
//! | | it does not, at most once | unknown |
//!
//! One that has used up its tries is not ready again: it is dead, or unknown where a call may have been made.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Text, Uuid as SqlUuid};
use protocol::AppId;
use protocol::notification::{Category, DeliveryId};
use uuid::Uuid;

use super::State;
use super::wake::wake;
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// Whether a provider that is called twice for one delivery delivers it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dedup {
    /// No: it knows repeats by their key.
    Key,
    /// Mostly not: what the second replaces, or what the reader's program recognises.
    Soft,
    /// Yes.
    None,
}

/// What becomes of deliveries that may have been sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// By provider; one that is not named is [`Dedup::None`].
    pub providers: BTreeMap<String, Dedup>,
    /// Categories of which it is better that one is not told than told twice; all others are told at least once.
    pub at_most_once: BTreeSet<Category>,
    /// How often a delivery is tried in all, whatever becomes of its workers.
    pub tries_max: u32,
}

/// What becomes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Ready again.
    Again,
    /// Ready again, and it may arrive twice.
    AgainMaybeTwice,
    /// A provider had taken it.
    Sent,
    /// It may have been sent.
    Unknown,
    /// Given up.
    Dead,
}

impl Policy {
    /// What becomes of a delivery of which these providers were called without a known outcome.
    pub fn after_unknown<'a>(&self, category: &Category, providers: impl IntoIterator<Item = &'a str>) -> Fate {
        let dedup = |provider| self.providers.get(provider).copied().unwrap_or(Dedup::None);
        match providers.into_iter().map(dedup).max() {
            None | Some(Dedup::Key) => Fate::Again,
            Some(Dedup::None) if self.at_most_once.contains(category) => Fate::Unknown,
            Some(Dedup::Soft | Dedup::None) => Fate::AgainMaybeTwice,
        }
    }

    fn fate(&self, left: &Left) -> Fate {
        if left.open.is_empty() && left.sent {
            return Fate::Sent;
        }
        match self.after_unknown(&left.category, left.open.iter().map(String::as_str)) {
            Fate::Again | Fate::AgainMaybeTwice if left.tries.unsigned_abs() >= self.tries_max => {
                if left.open.is_empty() { Fate::Dead } else { Fate::Unknown }
            }
            fate => fate,
        }
    }
}

/// A delivery that was taken from its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// The tenant.
    pub app: AppId,
    /// Which.
    pub id: DeliveryId,
    /// What became of it; one that would be ready again but is past its time has expired.
    pub fate: Fate,
}

/// Takes up to `limit` deliveries whose lease has ended from their workers, the longest ended first.
///
/// Whoever had one is fenced off from then on, and learns it from [`super::begin_attempt`] or [`super::finish`].
pub fn rescue_expired(conn: &mut PgConnection, policy: &Policy, limit: u32) -> Result<Vec<Rescued>, Error> {
    transaction(conn, |conn| {
        let left: Vec<Left> = diesel::sql_query(
            "SELECT d.app_id, d.id, d.category, d.tries, c.sent, c.open
             FROM deliveries d CROSS JOIN LATERAL (
                 SELECT coalesce(bool_or(a.outcome = 'sent'), false) AS sent,
                     coalesce(array_agg(a.provider) FILTER (WHERE a.finished_at IS NULL OR a.outcome = 'unknown'), '{}')
                         AS open
                 FROM attempts a WHERE a.app_id = d.app_id AND a.delivery_id = d.id AND a.number = d.attempt
             ) c
             WHERE d.state = 'leased' AND d.lease_until <= now()
             ORDER BY d.lease_until LIMIT $1 FOR UPDATE OF d SKIP LOCKED",
        )
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let fates: Vec<Fate> = left.iter().map(|left| policy.fate(left)).collect();
        settle(conn, &left, &fates)?;
        if fates.iter().any(|fate| matches!(fate, Fate::Again | Fate::AgainMaybeTwice)) {
            wake(conn)?;
        }
        let rescued = left.into_iter().zip(fates).map(|(left, fate)| Rescued { app: left.app_id, id: left.id, fate });
        Ok(rescued.collect())
    })
}

fn settle(conn: &mut PgConnection, left: &[Left], fates: &[Fate]) -> QueryResult<usize> {
    let state = |fate: &Fate| match fate {
        Fate::Again | Fate::AgainMaybeTwice => State::Ready,
        Fate::Sent => State::Sent,
        Fate::Unknown => State::Unknown,
        Fate::Dead => State::Dead,
    };
    let maybe_twice = |fate: &Fate| matches!(fate, Fate::AgainMaybeTwice | Fate::Unknown);
    let provider = |left: &Left| left.open.last().cloned();
    diesel::sql_query(
        "UPDATE deliveries AS d SET
             state = CASE WHEN f.state <> 'ready' OR d.expires_at > now() THEN f.state
                 WHEN d.reason = 'cancelled' THEN 'cancelled' ELSE 'expired' END,
             reason = CASE WHEN f.state = 'ready' AND d.reason = 'cancelled' THEN d.reason
                 WHEN f.state <> 'sent' THEN 'worker_lost' END,
             duplicate_possible = d.duplicate_possible OR f.maybe_twice,
             provider = coalesce(f.provider, s.provider, d.provider),
             provider_message_id = coalesce(s.provider_message_id, d.provider_message_id),
             lease = NULL, lease_until = NULL, updated_at = now()
         FROM unnest($1, $2, $3, $4, $5) AS f (app_id, id, state, maybe_twice, provider)
         LEFT JOIN LATERAL (
             SELECT a.provider, a.provider_message_id FROM attempts a JOIN deliveries o
                 ON o.app_id = a.app_id AND o.id = a.delivery_id AND o.attempt = a.number
             WHERE a.app_id = f.app_id AND a.delivery_id = f.id AND a.outcome = 'sent' ORDER BY a.call DESC LIMIT 1
         ) s ON true
         WHERE d.app_id = f.app_id AND d.id = f.id",
    )
    .bind::<Array<Text>, _>(left.iter().map(|left| left.app_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(left.iter().map(|left| left.id.0).collect::<Vec<Uuid>>())
    .bind::<Array<Text>, _>(fates.iter().map(|fate| state(fate).as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(fates.iter().map(maybe_twice).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(left.iter().map(provider).collect::<Vec<_>>())
    .execute(conn)
}

#[derive(QueryableByName)]
struct Left {
    #[diesel(sql_type = Text)]
    app_id: AppId,
    #[diesel(sql_type = SqlUuid)]
    id: DeliveryId,
    #[diesel(sql_type = Text)]
    category: Category,
    #[diesel(sql_type = Int4)]
    tries: i32,
    #[diesel(sql_type = Bool)]
    sent: bool,
    #[diesel(sql_type = Array<Text>)]
    open: Vec<String>,
}
