//! What a user wants to be told, by which transports and when.

use actix_web::{HttpResponse, get, put, web};
use chrono::NaiveTime;
use protocol::ErrorBody;
use protocol::notification::Category;
use store::notifications::{ALL_CATEGORIES, Digest, Preferences};

use crate::Api;
use crate::api::Caller;
use crate::body::notifications::{PreferencesAnswer, PutPreferences, QuietHours};
use crate::error::ApiError;
use crate::request::Body;

const LOCALE_CHARS_MAX: usize = 35;

/// What holds for the caller: each category with each transport.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])),
    responses((status = 200, body = PreferencesAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[get("/notifications/preferences")]
pub(crate) async fn get_preferences(caller: Caller, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let settings = api.config().notifications.clone();
    let preferences = api.store(move |conn| {
        store::notifications::preferences(conn, &caller.app.id, caller.user(), &settings.rules, &settings.categories())
    });
    Ok(HttpResponse::Ok().json(answer(preferences.await?)))
}

/// Changes what the caller wants; answers with what holds then.
#[utoipa::path(context_path = "/api", tag = "notifications", security(("user" = [])), request_body = PutPreferences,
    responses((status = 200, body = PreferencesAnswer), (status = "4XX", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
#[put("/notifications/preferences")]
pub(crate) async fn put_preferences(
    caller: Caller,
    Body(put): Body<PutPreferences>,
    api: web::Data<Api>,
) -> Result<HttpResponse, ApiError> {
    let settings = api.config().notifications.clone();
    let categories = settings.categories();
    let put = valid(put, &categories)?;
    let preferences = api.store(move |conn| {
        let (app, user) = (&caller.app.id, caller.user());
        store::notifications::put_preferences(conn, app, user, &settings.rules, &categories, &put)
    });
    Ok(HttpResponse::Ok().json(answer(preferences.await?)))
}

fn valid(put: PutPreferences, known: &[Category]) -> Result<store::notifications::PutPreferences, ApiError> {
    let mut said = Vec::new();
    for (name, transports) in put.categories {
        let unknown = || ApiError::field(format!("categories.{name}"), "there is no such category");
        let category = Category::try_from(name.as_str()).map_err(|_| unknown())?;
        if name != ALL_CATEGORIES && !known.contains(&category) {
            return Err(unknown());
        }
        said.extend(transports.into_iter().map(|(transport, on)| (category.clone(), transport, on)));
    }
    if let Some(zone) = put.time_zone.iter().flatten().find(|zone| !store::notifications::is_time_zone(zone)) {
        return Err(ApiError::field("timeZone", format!("{zone:?} is no IANA time zone, such as Asia/Jakarta")));
    }
    let is_tag = |text: &String| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (2..=LOCALE_CHARS_MAX).contains(&text.len()) && plain
    };
    if !put.locale.iter().flatten().all(is_tag) {
        return Err(ApiError::field("locale", "locale must be a language tag, such as id or en-GB"));
    }
    let digest = |text: String| {
        let found = Digest::ALL.into_iter().find(|digest| digest.as_str() == text);
        found.ok_or_else(|| ApiError::field("digest", "digest must be off, hourly, daily or weekly"))
    };
    let quiet = put.quiet_hours.map(|quiet| quiet.map(|quiet| times(&quiet)).transpose()).transpose()?;
    Ok(store::notifications::PutPreferences {
        said,
        quiet,
        time_zone: put.time_zone,
        locale: put.locale,
        digest: put.digest.map(digest).transpose()?,
    })
}

fn times(quiet: &QuietHours) -> Result<(NaiveTime, NaiveTime), ApiError> {
    let time = |field: &str, text: &str| {
        let wrong = |_| ApiError::field(format!("quietHours.{field}"), format!("{field} must be a time such as 22:00"));
        NaiveTime::parse_from_str(text, "%H:%M").map_err(wrong)
    };
    let (from, until) = (time("from", &quiet.from)?, time("until", &quiet.until)?);
    match from == until {
        true => Err(ApiError::field("quietHours.until", "until must differ from")),
        false => Ok((from, until)),
    }
}

fn answer(preferences: Preferences) -> PreferencesAnswer {
    let time = |time: NaiveTime| time.format("%H:%M").to_string();
    let categories = preferences.categories.into_iter();
    PreferencesAnswer {
        categories: categories.map(|(name, row)| (name.as_str().to_owned(), row.into_iter().collect())).collect(),
        quiet_hours: preferences.quiet.map(|(from, until)| QuietHours { from: time(from), until: time(until) }),
        time_zone: preferences.time_zone,
        locale: preferences.locale,
        digest: preferences.digest.as_str(),
    }
}
