//! What users want to be told, by which transports and when.

use chrono::NaiveTime;
use diesel::prelude::*;
use diesel::upsert::excluded;
use protocol::notification::{Category, Transport};
use protocol::{AppId, UserId};

use super::Rules;
use super::recipients::said;
use crate::schema::{notification_settings as n, preferences as p, users};
use crate::transaction::{snapshot, transaction};
use crate::{Error, PgConnection};

/// Stands for every category that the user said nothing of.
pub const ALL_CATEGORIES: &str = "*";

/// How often what can wait is told together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// Never: each by itself.
    #[default]
    Off,
    /// Once an hour.
    Hourly,
    /// Once a day.
    Daily,
    /// Once a week.
    Weekly,
}

impl Digest {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::Hourly, Self::Daily, Self::Weekly];

    /// As it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }
}

/// What holds for a user: defaults, and what they said, which goes before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Each category with each transport and whether it is on, in the order of [`Transport::ALL`].
    pub categories: Vec<(Category, Vec<(Transport, bool)>)>,
    /// Local times from and until which nothing but what is urgent leaves the house.
    pub quiet: Option<(NaiveTime, NaiveTime)>,
    /// IANA name: the user's own choice, or what the backend knows.
    pub time_zone: Option<String>,
    /// BCP 47: the user's own choice, or what the backend knows.
    pub locale: Option<String>,
    /// How often what can wait is told together.
    pub digest: Digest,
}

/// What is changed; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct PutPreferences {
    /// Category or [`ALL_CATEGORIES`], transport, and on, off or the default again.
    pub said: Vec<(Category, Transport, Option<bool>)>,
    /// Quiet hours, or none any more.
    pub quiet: Option<Option<(NaiveTime, NaiveTime)>>,
    /// Another time zone, or what the backend knows.
    pub time_zone: Option<Option<String>>,
    /// Another language, or what the backend knows.
    pub locale: Option<Option<String>>,
    /// Another rhythm.
    pub digest: Option<Digest>,
}

/// The whole table of what holds for the user, for these categories.
pub fn preferences(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    rules: &Rules,
    categories: &[Category],
) -> Result<Preferences, Error> {
    snapshot(conn, |conn| read(conn, app, user, rules, categories))
}

/// Changes what the user said, and answers with what holds then. Categories are for the caller to check.
pub fn put_preferences(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    rules: &Rules,
    categories: &[Category],
    put: &PutPreferences,
) -> Result<Preferences, Error> {
    transaction(conn, |conn| {
        super::subscriptions::lock_user(conn, app, user)?;
        for (category, transport, on) in &put.said {
            say(conn, app, user, category, *transport, *on)?;
        }
        let old = settings(conn, app, user)?.unwrap_or_default();
        let (from, until) = match put.quiet {
            Some(quiet) => (quiet.map(|quiet| quiet.0), quiet.map(|quiet| quiet.1)),
            None => (old.quiet_from, old.quiet_until),
        };
        let row = (
            n::app_id.eq(app),
            n::user_id.eq(user),
            n::quiet_from.eq(from),
            n::quiet_until.eq(until),
            n::time_zone.eq(put.time_zone.clone().unwrap_or(old.time_zone)),
            n::locale.eq(put.locale.clone().unwrap_or(old.locale)),
            n::digest.eq(put.digest.unwrap_or(digest(&old.digest)).as_str()),
        );
        diesel::insert_into(n::table)
            .values(row)
            .on_conflict((n::app_id, n::user_id))
            .do_update()
            .set((
                n::quiet_from.eq(excluded(n::quiet_from)),
                n::quiet_until.eq(excluded(n::quiet_until)),
                n::time_zone.eq(excluded(n::time_zone)),
                n::locale.eq(excluded(n::locale)),
                n::digest.eq(excluded(n::digest)),
            ))
            .execute(conn)?;
        read(conn, app, user, rules, categories)
    })
}

fn say(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    category: &Category,
    transport: Transport,
    on: Option<bool>,
) -> QueryResult<()> {
    let Some(on) = on else {
        let own = p::app_id.eq(app).and(p::user_id.eq(user));
        let cell = p::category.eq(category.as_str()).and(p::transport.eq(transport.as_str()));
        return diesel::delete(p::table.filter(own.and(cell))).execute(conn).map(drop);
    };
    let row = (
        p::app_id.eq(app),
        p::user_id.eq(user),
        p::category.eq(category.as_str()),
        p::transport.eq(transport.as_str()),
        p::enabled.eq(on),
    );
    let cell = (p::app_id, p::user_id, p::category, p::transport);
    diesel::insert_into(p::table)
        .values(row)
        .on_conflict(cell)
        .do_update()
        .set(p::enabled.eq(on))
        .execute(conn)
        .map(drop)
}

#[derive(Default, Queryable, Selectable)]
#[diesel(table_name = n, check_for_backend(diesel::pg::Pg))]
struct Settings {
    quiet_from: Option<NaiveTime>,
    quiet_until: Option<NaiveTime>,
    time_zone: Option<String>,
    locale: Option<String>,
    digest: String,
}

fn settings(conn: &mut PgConnection, app: &AppId, user: &UserId) -> QueryResult<Option<Settings>> {
    n::table.filter(n::app_id.eq(app).and(n::user_id.eq(user))).select(Settings::as_select()).first(conn).optional()
}

fn read(
    conn: &mut PgConnection,
    app: &AppId,
    user: &UserId,
    rules: &Rules,
    categories: &[Category],
) -> QueryResult<Preferences> {
    let rows: Vec<(String, String, bool)> = p::table
        .filter(p::app_id.eq(app).and(p::user_id.eq(user)))
        .select((p::category, p::transport, p::enabled))
        .load(conn)?;
    let rows: Vec<(String, Transport, bool)> = rows
        .into_iter()
        .filter_map(|(category, transport, on)| Some((category, transport.parse().ok()?, on)))
        .collect();
    let settings = settings(conn, app, user)?.unwrap_or_default();
    let backend: Option<(Option<String>, Option<String>)> = users::table
        .filter(users::app_id.eq(app).and(users::id.eq(user)))
        .select((users::time_zone, users::locale))
        .first(conn)
        .optional()?;
    let (time_zone, locale) = backend.unwrap_or_default();
    let table = categories.iter().map(|category| {
        let said = said(&rows, category);
        let on = |transport| {
            let own = said.iter().find(|(of, _)| *of == transport);
            own.map_or_else(|| rules.is_on(category, transport), |(_, on)| *on)
        };
        (category.clone(), Transport::ALL.into_iter().map(|transport| (transport, on(transport))).collect())
    });
    Ok(Preferences {
        categories: table.collect(),
        quiet: settings.quiet_from.zip(settings.quiet_until),
        time_zone: settings.time_zone.or(time_zone),
        locale: settings.locale.or(locale),
        digest: digest(&settings.digest),
    })
}

fn digest(text: &str) -> Digest {
    Digest::ALL.into_iter().find(|digest| digest.as_str() == text).unwrap_or_default()
}
