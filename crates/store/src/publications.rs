//! What durable channels said: appended in batches, read by offset, trimmed from the oldest on.
//!
//! A channel's row in `streams` is locked while its publications are written. So offsets are without gap and follow the
//! order of commits, and who reads up to some offset never misses one that becomes visible later.

mod append;
mod durability;
mod read;
mod retention;

use diesel::prelude::*;
use protocol::{AppId, Epoch, Position, SocketId};

use crate::schema::streams;
use crate::{Error, PgConnection};

pub use append::append;
pub use durability::{NotDurable, check_durability};
pub use read::{read_after, read_newest};
pub use retention::{Cursor, Keep, STREAM_IDLE_DAYS, Trimmed, trim, trim_ids};

/// A publication to be stored. Texts may hold any character.
#[derive(Clone, Copy, Debug)]
pub struct NewPublication<'a> {
    /// The tenant.
    pub app: &'a AppId,
    /// The channel's name.
    pub channel: &'a str,
    /// The event's name.
    pub event: &'a str,
    /// The payload.
    pub data: &'a str,
    /// A socket that shall not get it.
    pub except: Option<SocketId>,
    /// The publisher's own id of it, accepted once per channel within at least a day.
    pub id: Option<&'a str>,
}

/// Where a publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub position: Position,
    /// Whether its id was there already: nothing was stored now.
    pub duplicate: bool,
}

/// A publication as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPublication {
    /// Its place.
    pub offset: u64,
    /// The event's name.
    pub event: String,
    /// The payload.
    pub data: String,
    /// A socket that shall not get it.
    pub except: Option<SocketId>,
    /// How long ago it was stored.
    pub age_seconds: u32,
}

/// Part of a channel's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the channel was when it was read.
    pub position: Position,
    /// Whether `publications` are all that was asked for.
    pub whole: bool,
    /// Oldest first, without a gap.
    pub publications: Vec<StoredPublication>,
}

/// Where the channel is. One that never was begins now, with a random epoch and offset 0.
pub fn position(conn: &mut PgConnection, app: &AppId, channel: &str) -> Result<Position, Error> {
    let found: Option<(i64, i64)> =
        streams::table.find((app, channel)).select((streams::epoch, streams::top)).first(conn).optional()?;
    let (epoch, top) = match found {
        Some(found) => found,
        None => diesel::insert_into(streams::table)
            .values((streams::app_id.eq(app), streams::channel.eq(channel)))
            .on_conflict((streams::app_id, streams::channel))
            .do_update()
            // Somebody else was quicker: an update that changes nothing, to be given the row.
            .set(streams::top.eq(streams::top))
            .returning((streams::epoch, streams::top))
            .get_result(conn)?,
    };
    Ok(place(epoch, top))
}

/// The database has no unsigned numbers: an epoch is the same 64 bits, an offset is never negative.
fn place(epoch: i64, offset: i64) -> Position {
    Position { epoch: Epoch(epoch.cast_unsigned()), offset: offset.cast_unsigned() }
}
