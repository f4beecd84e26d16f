//! A user's list, newest first, page by page.

use diesel::prelude::*;
use protocol::notification::{Category, Notification, NotificationType};
use protocol::{AppId, UserId};

use super::{Row, unread};
use crate::schema::notifications;
use crate::transaction::snapshot;
use crate::{Error, PgConnection};

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After so many. New notifications push everything down, so a page may repeat what the one before had.
    Offset(i64),
    /// Those with a smaller `seq`: following it shows everything once, whatever comes meanwhile.
    Before(i64),
}

/// Which notifications are asked for.
#[derive(Clone, Debug)]
pub struct ListNotifications {
    /// The most on this page, at least 1.
    pub limit: i64,
    /// Where it begins.
    pub start: Start,
    /// Only these types; empty for all.
    pub types: Vec<NotificationType>,
    /// Only this category.
    pub category: Option<Category>,
    /// Only what was not read.
    pub unread_only: bool,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// Where the next page begins, as [`Start::Before`]; none after the last.
    pub next: Option<i64>,
    /// How many there are on all pages; only with [`Start::Offset`].
    pub total: Option<i64>,
    /// What the user has not read, whatever was asked for.
    pub unread: i64,
}

/// One page of what was told and was not put away, snoozed or outlived. All numbers are of the same moment.
pub fn list(conn: &mut PgConnection, app: &AppId, user: &UserId, list: &ListNotifications) -> Result<Listed, Error> {
    let limit = list.limit.max(1);
    let found = || {
        let mut query = notifications::table
            .filter(notifications::app_id.eq(app).and(notifications::user_id.eq(user)))
            .filter(listed!())
            .into_boxed();
        if !list.types.is_empty() {
            query = query.filter(notifications::kind.eq_any(&list.types));
        }
        if let Some(category) = &list.category {
            query = query.filter(notifications::category.eq(category));
        }
        if list.unread_only {
            query = query.filter(notifications::read_at.is_null());
        }
        query
    };
    snapshot(conn, |conn| {
        // One more than asked for shows whether there is another page.
        let page = found().select(Row::as_select()).order(notifications::seq.desc()).limit(limit + 1);
        let (mut rows, total) = match list.start {
            Start::Offset(offset) => (page.offset(offset.max(0)).load(conn)?, Some(found().count().get_result(conn)?)),
            Start::Before(seq) => (page.filter(notifications::seq.lt(seq)).load(conn)?, None),
        };
        let more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        let notifications: Vec<_> = rows.into_iter().map(Row::into_notification).collect();
        let next = notifications.last().filter(|_| more).map(|last| last.seq);
        Ok(Listed { notifications, next, total, unread: unread(conn, app, user)? })
    })
}
