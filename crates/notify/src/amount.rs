//! Amounts and numbers, as Indonesian and English write them.

use crate::Locale;

/// The most digits before the decimal point.
const DIGITS_MAX: usize = 18;

/// A decimal number, kept as its digits: no amount goes through floating point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    /// Reads `-1234.5`: an optional minus, 1 to 18 digits, and perhaps a point and digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        (whole.len() <= DIGITS_MAX).then(|| Self {
            negative,
            whole: whole.to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        })
    }

    /// The nearest whole number; a half goes away from zero, as id-ID rounds.
    fn round(&self) -> (bool, String) {
        let up = self.fraction.bytes().next().is_some_and(|digit| digit >= b'5');
        // 18 digits and a carry fit.
        let rounded = self.whole.parse::<u64>().unwrap_or(0) + u64::from(up);
        (self.negative && rounded > 0, rounded.to_string())
    }
}

/// `Rp 1.234.567`: whole rupiah, whatever the reader's language.
pub(crate) fn rupiah(amount: &Decimal) -> String {
    let (negative, whole) = amount.round();
    format!("{}Rp {}", if negative { "-" } else { "" }, grouped(&whole, '.'))
}

/// `1.234,5` in Indonesian, `1,234.5` in English.
pub(crate) fn number(number: &Decimal, locale: Locale) -> String {
    let (group, point) = match locale {
        Locale::Id => ('.', ','),
        Locale::En => (',', '.'),
    };
    let whole = if number.whole.is_empty() { "0" } else { &number.whole };
    let minus = if number.negative && !(number.whole.is_empty() && number.fraction.is_empty()) { "-" } else { "" };
    match number.fraction.is_empty() {
        true => format!("{minus}{}", grouped(whole, group)),
        false => format!("{minus}{}{point}{}", grouped(whole, group), number.fraction),
    }
}

fn grouped(digits: &str, separator: char) -> String {
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rupiah_are_written_as_indonesian_does() {
        for (amount, written) in [
            ("0", "Rp 0"),
            ("5", "Rp 5"),
            ("999", "Rp 999"),
            ("1000", "Rp 1.000"),
            ("1234567", "Rp 1.234.567"),
            ("-1234567", "-Rp 1.234.567"),
            ("1234567.49", "Rp 1.234.567"),
            ("1234567.50", "Rp 1.234.568"),
            ("-0.5", "-Rp 1"),
            ("-0.4", "Rp 0"),
            ("999.999", "Rp 1.000"),
            ("00012", "Rp 12"),
            ("999999999999999999.9", "Rp 1.000.000.000.000.000.000"),
        ] {
            assert_eq!(rupiah(&Decimal::parse(amount).unwrap()), written, "{amount}");
        }
        for bad in ["", "-", ".", "1.", ".5", "1e9", "1,000", " 1", "--1", "١", "1234567890123456789"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_reader_does() {
        for (text, id, en) in [
            ("1234.50", "1.234,5", "1,234.5"),
            ("0.25", "0,25", "0.25"),
            ("-0.0", "0", "0"),
            ("-12", "-12", "-12"),
            ("1000000", "1.000.000", "1,000,000"),
        ] {
            let decimal = Decimal::parse(text).unwrap();
            assert_eq!((number(&decimal, Locale::Id), number(&decimal, Locale::En)), (id.into(), en.into()));
        }
    }

    proptest! {
        #[test]
        fn grouping_changes_no_digit(amount in any::<i32>()) {
            let written = rupiah(&Decimal::parse(&amount.to_string()).unwrap());
            let digits: String = written.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
            prop_assert_eq!(digits, amount.to_string());
        }
    }
}
