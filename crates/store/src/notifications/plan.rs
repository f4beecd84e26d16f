//! How one notification reaches one user: which transports and when. Pure, so that every rule can be read and tested.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::notification::{Category, Transport};

use super::QuietHours;

/// What holds for every app of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Transports that are on unless somebody says otherwise.
    pub transports: Vec<Transport>,
    /// The same for some categories, in the place of [`Rules::transports`].
    pub categories: Vec<(Category, Vec<Transport>)>,
    /// How long a chat message waits before it leaves the house: who reads it meanwhile is not disturbed.
    pub chat_grace: TimeDelta,
    /// How long something is worth sending where nobody says.
    pub lifetime: TimeDelta,
    /// The same for chat messages, of which tomorrow nobody wants to hear.
    pub chat_lifetime: TimeDelta,
}

impl Rules {
    /// Whether the category goes by the transport where the user has said nothing.
    pub fn is_on(&self, category: &Category, transport: Transport) -> bool {
        let own = self.categories.iter().find(|(name, _)| name == category).map(|(_, transports)| transports);
        own.unwrap_or(&self.transports).contains(&transport)
    }

    pub(super) fn lifetime_of(&self, category: &Category) -> TimeDelta {
        if is_chat(category) { self.chat_lifetime } else { self.lifetime }
    }
}

impl Default for Rules {
    /// Everything but WhatsApp, and no email for chat messages; 10 s of grace; 3 days, chat half an hour.
    fn default() -> Self {
        let chat = Category::try_from("chat").expect("a category");
        Self {
            transports: vec![Transport::InApp, Transport::Push, Transport::Email],
            categories: vec![(chat, vec![Transport::InApp, Transport::Push])],
            chat_grace: TimeDelta::seconds(10),
            lifetime: TimeDelta::days(3),
            chat_lifetime: TimeDelta::minutes(30),
        }
    }
}

/// What is known of whom it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// What the user said of this category, or of all: transport and whether it is on.
    pub said: Vec<(Transport, bool)>,
    /// Transports that have somewhere to go: a device, an email address, a phone number.
    pub reachable: Vec<Transport>,
    /// When not to disturb.
    pub quiet: Option<QuietHours>,
}

/// What is to be told.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// What the user has preferences for.
    pub category: &'a Category,
    /// The transports that the sender asked for.
    pub transports: &'a [Transport],
    /// Quiet hours do not hold it up.
    pub urgent: bool,
    /// When it is told.
    pub now: DateTime<Utc>,
    /// When it is worth nothing any more.
    pub expires_at: DateTime<Utc>,
}

/// How it reaches them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether it stands in their list.
    pub in_app: bool,
    /// What leaves the house, and when.
    pub deliveries: Vec<(Transport, DateTime<Utc>)>,
}

/// Requested transports, less those that are off, less those that lead nowhere; after the grace period of chat and the
/// user's quiet hours. What could go only after its end does not go at all.
pub fn plan(rules: &Rules, asked: &Asked<'_>, recipient: &Recipient) -> Plan {
    let on = |transport: Transport| {
        let said = recipient.said.iter().find(|(of, _)| *of == transport);
        said.map_or_else(|| rules.is_on(asked.category, transport), |(_, on)| *on)
    };
    let grace = if is_chat(asked.category) { rules.chat_grace } else { TimeDelta::zero() };
    let due = asked.now + grace;
    let run_at = match recipient.quiet.filter(|_| !asked.urgent) {
        Some(quiet) => quiet.defer(due),
        None => due,
    };
    let wanted = |transport: Transport| asked.transports.contains(&transport) && on(transport);
    let leaves = |transport: &Transport| {
        *transport != Transport::InApp && wanted(*transport) && recipient.reachable.contains(transport)
    };
    let outside = Transport::ALL.into_iter().filter(|_| run_at < asked.expires_at).filter(leaves);
    Plan { in_app: wanted(Transport::InApp), deliveries: outside.map(|transport| (transport, run_at)).collect() }
}

fn is_chat(category: &Category) -> bool {
    category.as_str() == "chat"
}

#[cfg(test)]
mod tests {
    use super::*;
    use Transport::{Email, InApp, Push, Whatsapp};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn planned(category: &str, transports: &[Transport], recipient: &Recipient) -> (bool, Vec<Transport>) {
        let plan = plan_at("2026-03-01T03:00:00Z", category, transports, false, recipient);
        (plan.in_app, plan.deliveries.into_iter().map(|(transport, _)| transport).collect())
    }

    fn plan_at(now: &str, category: &str, transports: &[Transport], urgent: bool, recipient: &Recipient) -> Plan {
        let category = Category::try_from(category).unwrap();
        let rules = Rules::default();
        let expires_at = at(now) + rules.lifetime_of(&category);
        plan(&rules, &Asked { category: &category, transports, urgent, now: at(now), expires_at }, recipient)
    }

    fn reachable() -> Recipient {
        Recipient { reachable: vec![Push, Email, Whatsapp], ..Recipient::default() }
    }

    #[test]
    fn what_was_asked_for_goes_where_it_is_on_and_leads_somewhere() {
        let said = |said: &[(Transport, bool)]| Recipient { said: said.to_vec(), ..reachable() };
        let nowhere = Recipient { reachable: vec![Email], ..Recipient::default() };
        // Category, asked for, recipient, in the list, leaving the house.
        type Line = (&'static str, &'static [Transport], Recipient, bool, &'static [Transport]);
        let table: &[Line] = &[
            ("course", &Transport::ALL, reachable(), true, &[Push, Email]),
            ("course", &[InApp], reachable(), true, &[]),
            ("course", &[Push], reachable(), false, &[Push]),
            ("course", &Transport::ALL, nowhere, true, &[Email]),
            ("course", &Transport::ALL, said(&[(Whatsapp, true), (Push, false)]), true, &[Email, Whatsapp]),
            ("course", &[InApp, Push], said(&[(InApp, false)]), false, &[Push]),
            ("course", &[], reachable(), false, &[]),
            ("chat", &Transport::ALL, reachable(), true, &[Push]),
            ("chat", &Transport::ALL, said(&[(Email, true)]), true, &[Push, Email]),
        ];
        for (category, asked, recipient, in_app, outside) in table {
            assert_eq!(
                planned(category, asked, recipient),
                (*in_app, outside.to_vec()),
                "{category} {asked:?} {recipient:?}"
            );
        }
    }

    #[test]
    fn chat_waits_for_its_grace_period() {
        let plan = plan_at("2026-03-01T03:00:00Z", "chat", &[Push], false, &reachable());
        assert_eq!(plan.deliveries, [(Push, at("2026-03-01T03:00:10Z"))]);
    }

    #[test]
    fn quiet_hours_hold_up_what_is_not_urgent_and_end_what_cannot_wait() {
        let (from, until) = ("22:00:00".parse().unwrap(), "07:00:00".parse().unwrap());
        let quiet = Some(QuietHours { from, until, zone: chrono_tz::Asia::Jakarta });
        let recipient = Recipient { quiet, ..reachable() };
        let night = "2026-03-01T17:00:00Z";
        let plan = |category, urgent| plan_at(night, category, &Transport::ALL, urgent, &recipient);
        let morning = at("2026-03-02T00:00:00Z");
        assert_eq!(plan("course", false), Plan { in_app: true, deliveries: vec![(Push, morning), (Email, morning)] });
        assert_eq!(plan("course", true).deliveries, [(Push, at(night)), (Email, at(night))]);
        assert_eq!(
            plan("chat", false),
            Plan { in_app: true, deliveries: vec![] },
            "no push about a chat of last night"
        );
    }
}
