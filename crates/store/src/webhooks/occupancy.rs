//! What webhooks have told is there.

use diesel::prelude::*;
use protocol::AppId;

use crate::schema::webhook_occupancy::{self, columns as o};
use crate::{Error, PgConnection};

/// A channel that was told as occupied, or a member that was told as added.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Occupant {
    /// The tenant.
    pub app: AppId,
    /// The channel's name.
    pub channel: String,
    /// The member; `None` is the channel itself.
    pub user: Option<String>,
}

/// All that was told and not taken back; of a channel, its members come before it.
pub fn occupancy(conn: &mut PgConnection) -> Result<Vec<Occupant>, Error> {
    let rows: Vec<(AppId, String, String)> =
        webhook_occupancy::table.order((o::app_id, o::channel, o::user_id.desc())).load(conn)?;
    let occupant = |(app, channel, user): (AppId, String, String)| Occupant {
        app,
        channel,
        user: Some(user).filter(|user| !user.is_empty()),
    };
    Ok(rows.into_iter().map(occupant).collect())
}

/// Forgets what was told of an app, for one that wants no webhooks any more.
pub fn forget_app(conn: &mut PgConnection, app: &AppId) -> Result<usize, Error> {
    Ok(diesel::delete(webhook_occupancy::table.filter(o::app_id.eq(app))).execute(conn)?)
}
