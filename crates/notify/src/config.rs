//! What an app configures: where its links lead, its own types, its rules.

use std::collections::BTreeMap;

use protocol::notification::Transport;
use serde::Deserialize;
use serde_json::Value;

use crate::Locale;

/// Bounds of templates and texts; of the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Steps that one template may take.
    pub fuel: u64,
    /// Bytes that one template may write.
    pub output_bytes_max: usize,
    /// Characters of a title, and of an email's subject; more are cut.
    pub title_chars_max: usize,
    /// Characters of a text in the app and in an email; more are cut.
    pub text_chars_max: usize,
    /// Characters of a push's title; more are cut.
    pub push_title_chars_max: usize,
    /// Characters of a push's text; more are cut.
    pub push_text_chars_max: usize,
    /// Bytes of a push's title, text and link together; the text is cut to it. FCM and Web Push take 4,096 with all
    /// that comes around them.
    pub push_bytes_max: usize,
    /// Characters of a WhatsApp text with its title and link; the text is cut to it. WhatsApp takes 4,096.
    pub whatsapp_chars_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000,
            output_bytes_max: 128 * 1024,
            title_chars_max: 150,
            text_chars_max: 4000,
            push_title_chars_max: 80,
            push_text_chars_max: 240,
            push_bytes_max: 3000,
            whatsapp_chars_max: 4096,
        }
    }
}

/// The triggers of one app.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggersConfig {
    /// Where the app is: links of rules are paths below it. `http` or `https`.
    pub base_url: String,
    /// The language of readers who have not said theirs.
    #[serde(default = "indonesian")]
    pub locale: Locale,
    /// The time zone of readers who have not said theirs: an IANA name.
    #[serde(default = "jakarta")]
    pub time_zone: String,
    /// The app's own types, with the category of each.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// Names of built-in rules that the app does not want.
    #[serde(default)]
    pub without: Vec<String>,
    /// The app's own rules; one with the name of a built-in one replaces it.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,
}

fn indonesian() -> Locale {
    Locale::Id
}

fn jakarta() -> String {
    "Asia/Jakarta".to_owned()
}

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Names it: `a-z`, `0-9`, `_` and dots, 64 characters at most.
    pub name: String,
    /// The event that it is for.
    pub event: String,
    /// Where in the event the recipients' ids stand. One of this, `subscribers` and `members`.
    pub recipients: Option<String>,
    /// Whose subscribers are the recipients.
    pub subscribers: Option<SubscribersConfig>,
    /// Where the id of the room stands whose members are the recipients, but for those who muted it.
    pub members: Option<String>,
    /// Where ids stand of those who are not told.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The rule holds only if at each of these paths stands this value.
    #[serde(default)]
    pub equals: BTreeMap<String, Value>,
    /// The rule holds only if this expression does.
    pub when: Option<String>,
    /// The notification's type.
    pub r#type: String,
    /// Where a click leads: a template of a path below `base_url`, or of a whole URL.
    pub link: Option<String>,
    /// How they are told.
    pub transports: Vec<Transport>,
    /// Seconds that a transport waits, within which reading it in the app makes it needless.
    #[serde(default)]
    pub delay_seconds: BTreeMap<Transport, u32>,
    /// Seconds after which sending it is worth nothing any more. Default never.
    pub expires_seconds: Option<u32>,
    /// A template: a later delivery with the same key replaces an earlier one, where the provider can.
    pub collapse: Option<String>,
    /// That they are told before something begins, not now.
    pub reminders: Option<RemindersConfig>,
    /// The texts by language; one language at least.
    pub texts: TextsConfig,
}

/// Whose subscribers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribersConfig {
    /// What they subscribed to: `GROUP`, `COURSE`, `EVENT` and so on.
    pub target_type: String,
    /// Where its id stands in the event.
    pub target_id: String,
}

/// When to remind, and what changes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemindersConfig {
    /// Where the time stands at which it begins.
    pub at: String,
    /// How long before, in minutes.
    pub minutes_before: Vec<u32>,
    /// A template of the key under which they can be planned anew or cancelled.
    pub key: String,
    /// Events that plan them anew.
    #[serde(default)]
    pub replan_on: Vec<String>,
    /// Events that cancel them.
    #[serde(default)]
    pub cancel_on: Vec<String>,
}

/// The texts of a rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextsConfig {
    /// Indonesian.
    pub id: Option<TextConfig>,
    /// English.
    pub en: Option<TextConfig>,
}

/// The texts of a rule in one language: templates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// The short line; the subject of an email.
    pub title: String,
    /// What it says.
    pub text: String,
    /// What it says in the app instead.
    pub in_app: Option<OtherText>,
    /// What it says in a push instead.
    pub push: Option<OtherText>,
    /// What it says in an email instead.
    pub email: Option<OtherText>,
    /// What it says on WhatsApp instead.
    pub whatsapp: Option<OtherText>,
}

/// What one transport says instead.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherText {
    /// Instead of the title.
    pub title: Option<String>,
    /// Instead of the text.
    pub text: Option<String>,
}

impl TextsConfig {
    pub(crate) fn of(&self, locale: Locale) -> Option<&TextConfig> {
        match locale {
            Locale::Id => self.id.as_ref(),
            Locale::En => self.en.as_ref(),
        }
    }
}

impl TextConfig {
    pub(crate) fn other(&self, transport: Transport) -> Option<&OtherText> {
        match transport {
            Transport::InApp => self.in_app.as_ref(),
            Transport::Push => self.push.as_ref(),
            Transport::Email => self.email.as_ref(),
            Transport::Whatsapp => self.whatsapp.as_ref(),
        }
    }
}
