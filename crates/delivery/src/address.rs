//! To whom something is sent: each kind of address is a type, parsed where it comes in.
//!
//! None of them is shown by `Debug`, so none of them ends up in a log.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::PublicKey;
use secrecy::{ExposeSecret, SecretString};

/// The most characters of a display name.
pub const NAME_CHARS_MAX: usize = 128;
/// The most characters of a token or an id that a provider has given.
pub const TOKEN_CHARS_MAX: usize = 4096;

/// Text that is no such address. What it was is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no {0}")]
pub struct InvalidAddress(&'static str);

/// Where one delivery goes.
#[derive(Clone, Debug)]
pub enum Address {
    /// A mailbox.
    Email(EmailAddress),
    /// A browser.
    WebPush(Subscription),
    /// An app on a phone, or a browser, that Firebase knows.
    Fcm(Token),
    /// A user, by the id that the app has told OneSignal (`external_id`).
    OneSignalUser(Token),
    /// One of a user's devices, by OneSignal's id of it.
    OneSignalSubscription(Token),
    /// A phone with WhatsApp.
    Phone(PhoneNumber),
}

/// A mailbox and whose it is.
#[derive(Clone)]
pub struct EmailAddress {
    address: lettre::Address,
    name: Option<String>,
}

impl EmailAddress {
    /// Parses an address such as `ada@example.com`; of the name, control characters and what is over
    /// [`NAME_CHARS_MAX`] are left out.
    ///
    /// # Errors
    /// No address of RFC 5321 with a domain.
    pub fn parse(address: &str, name: Option<&str>) -> Result<Self, InvalidAddress> {
        let invalid = InvalidAddress("email address");
        if address.len() > 254 || address.chars().any(|char| char.is_control() || char.is_whitespace()) {
            return Err(invalid);
        }
        let address: lettre::Address = address.parse().map_err(|_| invalid)?;
        Ok(Self { address, name: name.map(display_name).filter(|name| !name.is_empty()) })
    }

    /// Without the name.
    pub fn as_str(&self) -> &str {
        self.address.as_ref()
    }

    /// Of one line, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn address(&self) -> &lettre::Address {
        &self.address
    }
}

/// A name of one line: a line break within it would begin a header of its own, and some mail libraries panic at it.
fn display_name(name: &str) -> String {
    let unseen = |char: char| {
        // Line and paragraph separators, and what turns the reading direction around.
        char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let plain: String = name.chars().map(|char| if unseen(char) { ' ' } else { char }).collect();
    let words: Vec<_> = plain.split_whitespace().collect();
    words.join(" ").chars().take(NAME_CHARS_MAX).collect::<String>().trim_end().to_owned()
}

/// What a browser has handed out to be pushed to (Push API, `PushSubscription`).
#[derive(Clone)]
pub struct Subscription {
    /// Where to; it is checked against the guard when it is called.
    pub(crate) endpoint: SecretString,
    /// The browser's public key.
    pub(crate) key: PublicKey,
    /// What the browser and the sender share beside it.
    pub(crate) auth: [u8; 16],
}

impl Subscription {
    /// Parses `endpoint`, `keys.p256dh` and `keys.auth` as a browser gives them: an https URL, and base64url with or
    /// without padding.
    ///
    /// # Errors
    /// Not https, no point on the curve, or not 16 bytes of `auth`.
    pub fn parse(endpoint: &str, p256dh: &str, auth: &str) -> Result<Self, InvalidAddress> {
        let invalid = InvalidAddress("push subscription");
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| invalid.clone());
        if !endpoint.starts_with("https://") || endpoint.len() > crate::link::LINK_CHARS_MAX {
            return Err(invalid);
        }
        let key = PublicKey::from_sec1_bytes(&bytes(p256dh)?).map_err(|_| invalid.clone())?;
        let auth = bytes(auth)?.try_into().map_err(|_| invalid)?;
        Ok(Self { endpoint: endpoint.into(), key, auth })
    }

    /// The URL that pushes go to. Who has it and the keys can push to this browser.
    pub fn endpoint(&self) -> &str {
        self.endpoint.expose_secret()
    }
}

/// A token or an id that a provider has given: printable ASCII without spaces, or, of a user, what the backend calls them.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// The token as it was given.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }
}

impl FromStr for Token {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let plain = !text.is_empty() && !text.chars().any(char::is_control) && text.trim().len() == text.len();
        match plain && text.len() <= TOKEN_CHARS_MAX {
            true => Ok(Self(text.into())),
            false => Err(InvalidAddress("token")),
        }
    }
}

/// A telephone number: country code and number, digits alone, such as `6281234567890`.
#[derive(Clone)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Parses what people write: `+62 812-3456-7890`, `6281234567890`, or `0812…`, to which `country` (such as `62`) is
    /// added.
    ///
    /// # Errors
    /// Anything but digits and the usual marks between them, or not 8 to 15 digits (E.164).
    pub fn parse(text: &str, country: &str) -> Result<Self, InvalidAddress> {
        let invalid = InvalidAddress("phone number");
        let text = text.trim();
        let (plus, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        if !rest.chars().all(|char| char.is_ascii_digit() || matches!(char, ' ' | '-' | '.' | '(' | ')')) {
            return Err(invalid);
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        let digits = match digits.strip_prefix('0') {
            // `00` is how some countries write `+`, and not all.
            Some(national) if plus || national.starts_with('0') => return Err(invalid),
            Some(national) => format!("{country}{national}"),
            None => digits,
        };
        match digits.starts_with('0') || !(8..=15).contains(&digits.len()) {
            true => Err(invalid),
            false => Ok(Self(digits)),
        }
    }

    /// Digits alone, the country code first.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! hidden {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}
hidden!(EmailAddress, Subscription, Token, PhoneNumber);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_whatever_is_in_it() {
        for (name, expected) in [
            ("Ada", Some("Ada")),
            ("Ada\r\nBcc: x@y.example", Some("Ada Bcc: x@y.example")),
            ("\u{0}\u{7f}\r\n", None),
            ("A\u{2028}B\u{2029}C\u{202e}D", Some("A B C D")),
            ("  Ada \t  Lovelace ", Some("Ada Lovelace")),
        ] {
            assert_eq!(EmailAddress::parse("a@b.example", Some(name)).unwrap().name(), expected, "{name:?}");
        }
        let long = EmailAddress::parse("a@b.example", Some(&"é".repeat(500))).unwrap();
        assert_eq!(long.name().unwrap().chars().count(), NAME_CHARS_MAX);
    }

    #[test]
    fn an_email_address_holds_nothing_but_itself() {
        for bad in [
            "",
            "a",
            "a@",
            "@b.example",
            "a@b.example\r\nBcc: c@d.example",
            "a@b.example,c@d.example",
            "a@b.example c@d.example",
            "Ada <a@b.example>",
            "a\u{0}@b.example",
            "<a@b.example>",
        ] {
            assert!(EmailAddress::parse(bad, None).is_err(), "{bad:?}");
        }
        assert_eq!(EmailAddress::parse("ada+x@b.example", None).unwrap().as_str(), "ada+x@b.example");
        assert_eq!(format!("{:?}", EmailAddress::parse("ada@b.example", Some("Ada"))), "Ok(EmailAddress(…))");
    }

    #[test]
    fn a_phone_number_becomes_its_digits() {
        for (text, digits) in [
            ("+62 812-3456-7890", "6281234567890"),
            ("0812 3456 7890", "6281234567890"),
            ("6281234567890", "6281234567890"),
            ("+1 (415) 555.0100", "14155550100"),
        ] {
            assert_eq!(PhoneNumber::parse(text, "62").unwrap().as_str(), digits);
        }
        for bad in
            ["", "0", "+0812345678", "1234567", "1234567890123456", "0812;345678", "08123456789@g.us", "00628123456"]
        {
            assert!(PhoneNumber::parse(bad, "62").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_subscription_is_https_and_its_keys_are_keys() {
        let (key, auth) = (
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        );
        assert!(Subscription::parse("https://p.example/x", key, auth).is_ok());
        assert!(Subscription::parse("https://p.example/x", &format!("{key}="), &format!("{auth}==")).is_ok());
        for (endpoint, key, auth) in [
            ("http://p.example/x", key, auth),
            ("https://p.example/x", "", auth),
            ("https://p.example/x", &key[1..], auth),
            ("https://p.example/x", key, "AAAA"),
            ("https://p.example/x", key, "not base64!"),
        ] {
            assert!(Subscription::parse(endpoint, key, auth).is_err());
        }
    }
}
