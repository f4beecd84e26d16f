//! A user's room list, page by page.
use crate::{Error, PgConnection};
use protocol::chat::Room;
use protocol::{AppId, UserId};

/// Where a page of the room list ended. Opaque on the wire: `Display` writes it, `FromStr` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor;
/// Text that no [`Cursor`] was written as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that was handed out")]
pub struct InvalidCursor;
impl std::fmt::Display for Cursor {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::str::FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(_: &str) -> Result<Self, InvalidCursor> {
        todo!()
    }
}

/// Which rooms are asked for.
#[derive(Clone, Debug)]
pub struct ListRooms {
    /// The most rooms on this page, at least 1.
    pub limit: i64,
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<Cursor>,
    /// Only rooms with another member whose name contains this, upper and lower case alike.
    pub search: Option<String>,
}
/// One page of the user's rooms, last written first, and where the next page begins. `online` is false everywhere.
pub fn list(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    list: &ListRooms,
) -> Result<(Vec<Room>, Option<Cursor>), Error> {
    todo!()
}
