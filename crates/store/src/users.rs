//! Users: people of an app, put by its backend or known from their token.

use diesel::prelude::*;
use diesel::upsert::excluded;
use protocol::{AppId, UserId};

use crate::schema::users;
use crate::{Error, PgConnection};

/// A person as the backend describes them.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// The backend's id.
    pub id: UserId,
    /// The name to show; the id until something better is known.
    pub name: String,
    /// A picture.
    pub avatar_url: Option<String>,
    /// The backend's own word, such as `MENTOR`.
    pub role: Option<String>,
    /// Where email goes.
    pub email: Option<String>,
    /// Where WhatsApp goes, as the backend wrote it.
    pub phone: Option<String>,
    /// BCP 47, such as `id`.
    pub locale: Option<String>,
    /// IANA name, such as `Asia/Jakarta`.
    pub time_zone: Option<String>,
}

/// What a backend puts: replaces everything that was known of the user.
#[derive(Clone, Debug, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_null = true)]
pub struct NewUser {
    /// The backend's id.
    pub id: UserId,
    /// The name to show.
    pub name: String,
    /// A picture.
    pub avatar_url: Option<String>,
    /// The backend's own word, such as `MENTOR`.
    pub role: Option<String>,
    /// Where email goes.
    pub email: Option<String>,
    /// Where WhatsApp goes.
    pub phone: Option<String>,
    /// BCP 47, such as `id`.
    pub locale: Option<String>,
    /// IANA name, such as `Asia/Jakarta`.
    pub time_zone: Option<String>,
}

/// Makes the user, or replaces what was known.
pub fn upsert(conn: &mut PgConnection, app: &AppId, user: &NewUser) -> Result<User, Error> {
    Ok(diesel::insert_into(users::table)
        .values((users::app_id.eq(app), user, users::managed.eq(true)))
        .on_conflict((users::app_id, users::id))
        .do_update()
        .set((user, users::managed.eq(true), users::updated_at.eq(diesel::dsl::now)))
        .returning(User::as_returning())
        .get_result(conn)?)
}

/// The user, if known.
pub fn get(conn: &mut PgConnection, app: &AppId, id: &UserId) -> Result<Option<User>, Error> {
    Ok(users::table
        .filter(users::app_id.eq(app).and(users::id.eq(id)))
        .select(User::as_select())
        .first(conn)
        .optional()?)
}

/// Makes sure a row exists for a token's user.
///
/// `name` and `role` are the token's: they are taken over as long as the backend has not put the user itself, and
/// never overwrite what it put.
pub fn ensure(
    conn: &mut PgConnection,
    app: &AppId,
    id: &UserId,
    name: Option<&str>,
    role: Option<&str>,
) -> Result<User, Error> {
    // Nearly always the row is there and says the same: a read takes no lock and leaves no dead row behind.
    let known = users::table
        .filter(users::app_id.eq(app).and(users::id.eq(id)))
        .select((users::managed, User::as_select()))
        .first::<(bool, User)>(conn)
        .optional()?;
    if let Some((managed, user)) = &known {
        let same = name.is_none_or(|name| user.name == name) && (role.is_none() || user.role.as_deref() == role);
        if *managed || same {
            return Ok(user.clone());
        }
    }
    let known = known.map(|(_, user)| user);
    let name = name.or(known.as_ref().map(|user| user.name.as_str())).unwrap_or(id.as_str());
    let role = role.or(known.as_ref().and_then(|user| user.role.as_deref()));
    let put = diesel::insert_into(users::table)
        .values((
            users::app_id.eq(app),
            users::id.eq(id),
            users::name.eq(name),
            users::role.eq(role),
            users::managed.eq(false),
        ))
        .on_conflict((users::app_id, users::id))
        .do_update()
        .set((
            users::name.eq(excluded(users::name)),
            users::role.eq(excluded(users::role)),
            users::updated_at.eq(diesel::dsl::now),
        ));
    // Spelt out: with the trait in scope, `filter` of every query would be ambiguous.
    diesel::query_dsl::methods::FilterDsl::filter(put, users::managed.eq(false)).execute(conn)?;
    get(conn, app, id)?.ok_or_else(|| diesel::result::Error::NotFound.into())
}

/// Makes sure that rows exist, so that they can be members. Somebody whom the backend never put and who was never
/// here is called by their id.
pub(crate) fn ensure_all(conn: &mut PgConnection, app: &AppId, ids: &[UserId]) -> QueryResult<()> {
    // Sorted: two calls with the same people in another order must not wait for each other.
    let mut ids: Vec<&UserId> = ids.iter().collect();
    ids.sort();
    ids.dedup();
    let rows: Vec<_> = ids
        .into_iter()
        .map(|id| (users::app_id.eq(app), users::id.eq(id), users::name.eq(id.as_str()), users::managed.eq(false)))
        .collect();
    diesel::insert_into(users::table).values(rows).on_conflict_do_nothing().execute(conn).map(drop)
}
