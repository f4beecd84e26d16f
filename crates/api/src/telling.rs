//! What a backend wants told, checked, and to whom.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::chat::MessageContent;
use protocol::notification::{NotificationId, Transport};
use protocol::{AppId, UserId};
use store::PgConnection;
use store::notifications::{BULK, NORMAL, NewNotification, Target, URGENT};

use crate::auth::is_shown;
use crate::body::notifications::SendNotification;
use crate::config::Notifications;
use crate::error::ApiError;
use crate::routes::chat::is_web_url;
use crate::routes::subscriptions::target;

const BODY_CHARS_MAX: usize = 4000;
const DATA_BYTES_MAX: usize = 8192;
const COLLAPSE_KEY_CHARS_MAX: usize = 64;
const TTL_SECONDS_MAX: i64 = 366 * 24 * 3600;

/// Something to be told, and to whom.
pub(crate) struct Telling {
    to: To,
    exclude: HashSet<UserId>,
    /// For somebody; each recipient gets a copy.
    what: NewNotification,
    recipients_max: usize,
}

enum To {
    Users(Vec<UserId>),
    Subscribers(Target),
}

impl Telling {
    /// What was asked for, if it is whole and within its limits.
    pub(crate) fn new(asked: SendNotification, settings: &Notifications) -> Result<Self, ApiError> {
        let to = to(&asked, settings.recipients_max)?;
        let category = match asked.category.clone().or_else(|| settings.category_of(&asked.r#type)) {
            // What users cannot set preferences for, nobody can be asked about.
            Some(category) if settings.categories().contains(&category) => category,
            Some(_) => return Err(ApiError::field("category", "there is no such category")),
            None => return Err(ApiError::field("category", "the type is not known: say its category")),
        };
        let title = asked.title.trim();
        shown("title", Some(title))?;
        shown("sourceEvent", asked.source_event.as_deref())?;
        if let Some(key) = &asked.collapse_key {
            let fits = (1..=COLLAPSE_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
            fits.then_some(()).ok_or_else(|| {
                ApiError::field("collapseKey", "collapseKey must have 1 to 64 visible ASCII characters")
            })?;
        }
        let body = MessageContent::parse_caption(&asked.body, BODY_CHARS_MAX);
        let body = body.map_err(|error| ApiError::field("body", error.to_string().replace("content", "body")))?;
        if asked.image_url.as_ref().is_some_and(|url| !is_web_url(url)) {
            return Err(ApiError::field("imageUrl", "imageUrl must be an http or https URL"));
        }
        if let Some(actor) = &asked.actor {
            shown("actor.name", Some(&actor.name))?;
            if actor.avatar_url.as_ref().is_some_and(|url| !is_web_url(url)) {
                return Err(ApiError::field("actor.avatarUrl", "avatarUrl must be an http or https URL"));
            }
        }
        data(&asked.data)?;
        let link = asked.link.as_deref().map(|link| absolute(link, settings.link_base.as_deref())).transpose()?;
        let mut what = NewNotification::new(
            UserId::try_from("-").expect("a user id"),
            asked.r#type,
            category,
            title,
            body.as_str(),
        );
        what.link = link;
        what.image_url = asked.image_url;
        what.actor = asked.actor;
        what.data = asked.data;
        what.source_event = asked.source_event;
        what.collapse_key = asked.collapse_key;
        if let Some(transports) = asked.transports {
            what.transports = transports;
        }
        what.priority = priority(asked.priority.as_deref(), matches!(to, To::Subscribers(_)))?;
        what.send_at = send_at(asked.send_at, settings)?;
        what.lifetime = lifetime(asked.ttl_seconds)?;
        let exclude = asked.exclude.into_iter().collect();
        Ok(Self { to, exclude, what, recipients_max: settings.recipients_max })
    }

    /// One for each recipient.
    pub(crate) fn notifications(&self, conn: &mut PgConnection, app: &AppId) -> Result<Vec<NewNotification>, ApiError> {
        let to = |user: UserId, transports: Vec<Transport>| NewNotification {
            id: NotificationId::mint(),
            user,
            transports,
            ..self.what.clone()
        };
        match &self.to {
            To::Users(users) => {
                let users = users.iter().filter(|user| !self.exclude.contains(*user));
                Ok(users.map(|user| to(user.clone(), self.what.transports.clone())).collect())
            }
            To::Subscribers(target) => {
                let exclude: Vec<UserId> = self.exclude.iter().cloned().collect();
                // One more than allowed shows that there are too many.
                let limit = i64::try_from(self.recipients_max).unwrap_or(i64::MAX - 1) + 1;
                let found = store::notifications::subscribers(conn, app, target, &exclude, None, limit)?;
                if found.len() > self.recipients_max {
                    let message = format!("more than {} users subscribed to it", self.recipients_max);
                    return Err(ApiError::field("targetId", message));
                }
                let wanted = |own: Option<Vec<Transport>>| {
                    let asked = self.what.transports.iter().copied();
                    asked.filter(|one| own.as_ref().is_none_or(|own| own.contains(one))).collect()
                };
                Ok(found.into_iter().map(|(user, own)| to(user, wanted(own))).collect())
            }
        }
    }
}

fn to(asked: &SendNotification, recipients_max: usize) -> Result<To, ApiError> {
    let SendNotification { user_id, user_ids, target_type, target_id, .. } = asked;
    match (user_id, user_ids, target_type, target_id) {
        (Some(user), None, None, None) => Ok(To::Users(vec![user.clone()])),
        (None, Some(users), None, None) => {
            let mut users = users.clone();
            users.sort();
            users.dedup();
            match (1..=recipients_max).contains(&users.len()) {
                true => Ok(To::Users(users)),
                false => Err(ApiError::field("userIds", format!("userIds must name 1 to {recipients_max} users"))),
            }
        }
        (None, None, Some(r#type), Some(id)) => Ok(To::Subscribers(target(r#type.clone(), id.clone())?)),
        _ => Err(ApiError::field("userId", "send one of userId, userIds, or targetType with targetId")),
    }
}

fn shown(field: &str, text: Option<&str>) -> Result<(), ApiError> {
    match text.is_none_or(is_shown) {
        true => Ok(()),
        false => Err(ApiError::field(field, format!("{field} must have 1 to 200 plain characters"))),
    }
}

fn data(data: &serde_json::Map<String, serde_json::Value>) -> Result<(), ApiError> {
    let text = serde_json::to_string(data).map_err(|error| ApiError::field("data", error))?;
    if text.len() > DATA_BYTES_MAX {
        return Err(ApiError::field("data", format!("data may have at most {DATA_BYTES_MAX} bytes")));
    }
    // Postgres keeps no NUL in JSON.
    match text.contains("\\u0000") {
        true => Err(ApiError::field("data", "data may not hold NUL")),
        false => Ok(()),
    }
}

/// Links leave the house absolute: a path leads nowhere in an email.
fn absolute(link: &str, base: Option<&str>) -> Result<String, ApiError> {
    let full = match (link.starts_with('/') && !link.starts_with("//"), base) {
        (false, _) => link.to_owned(),
        (true, Some(base)) => format!("{}{link}", base.trim_end_matches('/')),
        (true, None) => {
            return Err(ApiError::field("link", "a path needs the setting notifications.link_base; send a whole URL"));
        }
    };
    match is_web_url(&full) {
        true => Ok(full),
        false => Err(ApiError::field("link", "link must be an http or https URL, or a path that begins with /")),
    }
}

fn priority(name: Option<&str>, to_many: bool) -> Result<i16, ApiError> {
    match name {
        None if to_many => Ok(BULK),
        None | Some("normal") => Ok(NORMAL),
        Some("urgent") => Ok(URGENT),
        Some("bulk") => Ok(BULK),
        Some(_) => Err(ApiError::field("priority", "priority must be urgent, normal or bulk")),
    }
}

fn send_at(at: Option<DateTime<Utc>>, settings: &Notifications) -> Result<Option<DateTime<Utc>>, ApiError> {
    let ahead = TimeDelta::from_std(settings.ahead_max).unwrap_or(TimeDelta::MAX);
    let latest = Utc::now().checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC);
    match at.is_some_and(|at| at > latest) {
        true => Err(ApiError::field("sendAt", format!("sendAt may be at most {} days ahead", ahead.num_days()))),
        false => Ok(at),
    }
}

fn lifetime(seconds: Option<i64>) -> Result<Option<TimeDelta>, ApiError> {
    match seconds {
        Some(seconds) if !(1..=TTL_SECONDS_MAX).contains(&seconds) => {
            Err(ApiError::field("ttlSeconds", format!("ttlSeconds must be 1 to {TTL_SECONDS_MAX}")))
        }
        seconds => Ok(seconds.and_then(TimeDelta::try_seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_leave_absolute_or_not_at_all() {
        let base = Some("https://example.com/");
        assert_eq!(absolute("/posts/1#c", base).unwrap(), "https://example.com/posts/1#c");
        assert_eq!(absolute("https://other.org/x", None).unwrap(), "https://other.org/x");
        for (link, base) in [("/posts/1", None), ("//evil.org", base), ("javascript:alert(1)", base), ("posts/1", base)]
        {
            assert!(absolute(link, base).is_err(), "{link}");
        }
    }

    #[test]
    fn what_goes_to_many_goes_last_unless_somebody_says_otherwise() {
        assert_eq!(priority(None, true).unwrap(), BULK);
        assert_eq!(priority(None, false).unwrap(), NORMAL);
        assert_eq!(priority(Some("urgent"), true).unwrap(), URGENT);
        assert!(priority(Some("high"), false).is_err());
    }
}
