//! What may be kept of what a provider said: providers like to repeat keys, addresses and whole messages.

use crate::provider::TEXT_CHARS_MAX;

/// How long a run without space may be before it is taken for a token.
const WORD_CHARS_MAX: usize = 32;
/// How many digits make a telephone number.
const PHONE_DIGITS_MIN: usize = 8;
const HIDDEN: &str = "[…]";

/// `text` as one line of at most [`TEXT_CHARS_MAX`] characters, without `secrets` (compared without case), email
/// addresses, telephone numbers, and long runs that may be tokens or URLs that hold them.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    // Of all of it, before anything is cut: half a secret would not be found.
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = without(&text, secret);
    }
    let plain: String =
        text.chars().take(4 * TEXT_CHARS_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect();
    let words: Vec<_> = plain.split_whitespace().map(word).collect();
    crate::outgoing::cut(&words.join(" "), TEXT_CHARS_MAX)
}

fn without(text: &str, secret: &str) -> String {
    let (lower, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    // ASCII case changes no lengths: places in `lower` are places in `text`.
    while let Some(at) = lower[from..].find(&secret) {
        left.push_str(&text[from..from + at]);
        left.push_str(HIDDEN);
        from += at + secret.len();
    }
    left + &text[from..]
}

fn word(word: &str) -> String {
    // JSON without spaces is many words.
    let separators = ['"', '\'', ',', ';', '{', '}', '[', ']', '(', ')', '<', '>', '=', '|'];
    word.split_inclusive(separators)
        .map(|part| {
            let bare = part.trim_end_matches(separators);
            let digits = bare.chars().filter(char::is_ascii_digit).count();
            let phone = digits >= PHONE_DIGITS_MIN && !bare.contains(|char: char| char.is_alphabetic());
            let hide = bare.contains('@') || phone || bare.chars().count() > WORD_CHARS_MAX;
            if hide { format!("{HIDDEN}{}", &part[bare.len()..]) } else { part.to_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_people_or_opens_doors_is_left_out() {
        for (text, expected) in [
            ("No Credits, Please Top Up", "No Credits, Please Top Up"),
            ("550 5.1.1 <ada@b.example>: unknown", "550 5.1.1 <[…]>: unknown"),
            (r#"{"to":"6281234567890","code":131026}"#, r#"{"to":"[…]","code":131026}"#),
            ("to +62-812-3456-7890 failed", "to […] failed"),
            ("token sec-RET-1 is bad: SEC-ret-1", "token […] is bad: […]"),
            ("a\r\n{\"level\":\"error\"}\u{1b}[2J", "a {\"level\":\"error\"} [2J"),
            ("at https://push.example/send/abcdefghijklmnopqrstuvwxyz", "at […]"),
        ] {
            assert_eq!(redact(text, &["sec-ret-1", ""]), expected);
        }
        let far = format!("{}sec-RET-1", " ".repeat(4 * TEXT_CHARS_MAX - 5));
        assert!(!redact(&far, &["sec-ret-1"]).contains("sec"));
        assert_eq!(redact(&"word ".repeat(20_000), &[]).chars().count(), TEXT_CHARS_MAX);
    }
}
