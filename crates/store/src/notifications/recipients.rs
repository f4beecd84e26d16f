//! What is known of many recipients at once: the same few queries, however many they are.

use std::collections::{HashMap, HashSet};

use chrono::NaiveTime;
use diesel::prelude::*;
use protocol::notification::{Category, Transport};
use protocol::{AppId, UserId};

use super::{ALL_CATEGORIES, QuietHours, Recipient};
use crate::PgConnection;
use crate::schema::{devices, notification_settings, preferences, users};

/// Preferences, addresses and quiet hours of some users.
pub(super) struct Recipients {
    said: HashMap<UserId, Vec<(String, Transport, bool)>>,
    addresses: HashMap<UserId, Addresses>,
    with_device: HashSet<UserId>,
    quiet: HashMap<UserId, (NaiveTime, NaiveTime, Option<String>)>,
}

#[derive(Default)]
struct Addresses {
    email: bool,
    phone: bool,
    time_zone: Option<String>,
}

/// User, email, phone, time zone.
type AddressRow = (UserId, Option<String>, Option<String>, Option<String>);
/// User, from, until, time zone.
type QuietRow = (UserId, Option<NaiveTime>, Option<NaiveTime>, Option<String>);

impl Recipients {
    pub(super) fn load(conn: &mut PgConnection, app: &AppId, of: &[UserId]) -> QueryResult<Self> {
        let rows: Vec<(UserId, String, String, bool)> = preferences::table
            .filter(preferences::app_id.eq(app).and(preferences::user_id.eq_any(of)))
            .select((preferences::user_id, preferences::category, preferences::transport, preferences::enabled))
            .load(conn)?;
        let mut said: HashMap<UserId, Vec<_>> = HashMap::new();
        for (user, category, transport, enabled) in rows {
            if let Ok(transport) = transport.parse() {
                said.entry(user).or_default().push((category, transport, enabled));
            }
        }
        let rows: Vec<AddressRow> = users::table
            .filter(users::app_id.eq(app).and(users::id.eq_any(of)))
            .select((users::id, users::email, users::phone, users::time_zone))
            .load(conn)?;
        let addresses = rows.into_iter().map(|(user, email, phone, time_zone)| {
            (user, Addresses { email: email.is_some(), phone: phone.is_some(), time_zone })
        });
        let with_device: Vec<UserId> = devices::table
            .filter(devices::app_id.eq(app).and(devices::user_id.eq_any(of)))
            .select(devices::user_id)
            .distinct()
            .load(conn)?;
        let rows: Vec<QuietRow> = notification_settings::table
            .filter(notification_settings::app_id.eq(app).and(notification_settings::user_id.eq_any(of)))
            .filter(notification_settings::quiet_from.is_not_null())
            .select((
                notification_settings::user_id,
                notification_settings::quiet_from,
                notification_settings::quiet_until,
                notification_settings::time_zone,
            ))
            .load(conn)?;
        let quiet = rows.into_iter().filter_map(|(user, from, until, zone)| Some((user, (from?, until?, zone))));
        Ok(Self {
            said,
            addresses: addresses.collect(),
            with_device: with_device.into_iter().collect(),
            quiet: quiet.collect(),
        })
    }

    pub(super) fn of(&self, user: &UserId, category: &Category) -> Recipient {
        let addresses = self.addresses.get(user);
        let reaches = |transport: &Transport| match transport {
            Transport::InApp => false,
            Transport::Push => self.with_device.contains(user),
            Transport::Email => addresses.is_some_and(|of| of.email),
            Transport::Whatsapp => addresses.is_some_and(|of| of.phone),
        };
        let quiet = self.quiet.get(user).map(|(from, until, zone)| {
            let zone = zone.as_deref().or_else(|| addresses?.time_zone.as_deref());
            // A zone that is unknown or was never told: the night is that of UTC.
            let zone = zone.and_then(|name| name.parse().ok()).unwrap_or(chrono_tz::UTC);
            QuietHours { from: *from, until: *until, zone }
        });
        let rows = self.said.get(user).map(Vec::as_slice).unwrap_or_default();
        Recipient { said: said(rows, category), reachable: Transport::ALL.into_iter().filter(reaches).collect(), quiet }
    }
}

/// What a user said of the category, or else of all: from rows of category, transport and whether it is on.
pub(super) fn said(rows: &[(String, Transport, bool)], category: &Category) -> Vec<(Transport, bool)> {
    let of = |name: &str, transport| rows.iter().find(|row| row.0 == name && row.1 == transport).map(|row| row.2);
    let transports = Transport::ALL.into_iter();
    let said = transports.filter_map(|transport| {
        let on = of(category.as_str(), transport).or_else(|| of(ALL_CATEGORIES, transport))?;
        Some((transport, on))
    });
    said.collect()
}
