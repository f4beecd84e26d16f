//! What providers tell later: it arrived, it was opened, it came back.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text, Timestamptz, Uuid as SqlUuid};
use protocol::AppId;
use protocol::notification::DeliveryId;

use super::{State, parsed, suppression};
use crate::transaction::transaction;
use crate::{Error, PgConnection};

/// What happened to a message after a provider took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It arrived.
    Delivered,
    /// It was opened, and so has arrived.
    Read,
    /// It came back for good: nothing more is sent to the address. One that may arrive later is not told here.
    Bounced,
    /// It arrived and was called spam: nothing more is sent to the address.
    Complaint,
}

/// A provider's callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEvent {
    /// Who tells it.
    pub provider: String,
    /// As that provider named the message when it took it.
    pub message_id: String,
    /// What.
    pub event: Event,
    /// When, by its clock.
    pub at: DateTime<Utc>,
}

/// What a callback did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// No call of the app's has brought this message id, or not yet: its answer may still be on its way.
    Unmatched,
    /// Nothing that was not known.
    Known(DeliveryId),
    /// The delivery has changed.
    Changed(DeliveryId),
}

/// Takes in a callback; twice, late or in any order is all the same. A delivery only moves forward: sent, failed,
/// delivered, read. What has arrived is not sent again, even if it was to be.
pub fn provider_event(conn: &mut PgConnection, app: &AppId, told: &ProviderEvent) -> Result<Applied, Error> {
    transaction(conn, |conn| {
        let call: Option<Call> = diesel::sql_query(
            "SELECT d.id, d.transport, d.state, a.address, d.delivered_at, d.read_at
             FROM attempts a JOIN deliveries d ON d.app_id = a.app_id AND d.id = a.delivery_id
             WHERE a.app_id = $1 AND a.provider = $2 AND a.provider_message_id = $3
             ORDER BY a.started_at DESC LIMIT 1 FOR NO KEY UPDATE OF d",
        )
        .bind::<Text, _>(app)
        .bind::<Text, _>(&told.provider)
        .bind::<Text, _>(&told.message_id)
        .get_result(conn)
        .optional()?;
        let Some(call) = call else { return Ok(Applied::Unmatched) };
        if let Some(reason) = told.event.suppresses() {
            let transport = parsed(&call.transport)?;
            suppression::insert(conn, app, transport, &call.address, reason)?;
        }
        let id = call.id;
        let Some(next) = call.after(told)? else { return Ok(Applied::Known(id)) };
        diesel::sql_query(
            "UPDATE deliveries SET state = $3, reason = $4, delivered_at = $5, read_at = $6,
                 lease = NULL, lease_until = NULL, updated_at = now()
             WHERE app_id = $1 AND id = $2",
        )
        .bind::<Text, _>(app)
        .bind::<SqlUuid, _>(id)
        .bind::<Text, _>(next.state.as_str())
        .bind::<Nullable<Text>, _>(next.reason)
        .bind::<Nullable<Timestamptz>, _>(next.delivered_at)
        .bind::<Nullable<Timestamptz>, _>(next.read_at)
        .execute(conn)?;
        Ok(Applied::Changed(id))
    })
}

impl Event {
    fn suppresses(self) -> Option<&'static str> {
        match self {
            Self::Delivered | Self::Read => None,
            Self::Bounced => Some("bounced"),
            Self::Complaint => Some("complaint"),
        }
    }
}

struct Next {
    state: State,
    reason: Option<&'static str>,
    delivered_at: Option<DateTime<Utc>>,
    read_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Call {
    #[diesel(sql_type = SqlUuid)]
    id: DeliveryId,
    #[diesel(sql_type = Text)]
    transport: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    delivered_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    read_at: Option<DateTime<Utc>>,
}

impl Call {
    /// How the delivery is afterwards, if not as before.
    fn after(&self, told: &ProviderEvent) -> QueryResult<Option<Next>> {
        let state: State = parsed(&self.state)?;
        if told.event == Event::Bounced {
            // One that is to be sent again may find another address; whoever sends it looks at the suppressed ones.
            let came_back = matches!(state, State::Sent | State::Unknown | State::Dead);
            let failed = Next { state: State::Failed, reason: Some("bounced"), delivered_at: None, read_at: None };
            return Ok(came_back.then_some(failed));
        }
        let read_at = self.read_at.or((told.event == Event::Read).then_some(told.at));
        if state == State::Delivered && read_at == self.read_at {
            return Ok(None);
        }
        let delivered_at = self.delivered_at.or(Some(told.at));
        let reason = (told.event == Event::Complaint).then_some("complaint");
        Ok(Some(Next { state: State::Delivered, reason, delivered_at, read_at }))
    }
}
