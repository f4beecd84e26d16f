//! Text of strangers: cleaned, cut, and made plain for WhatsApp.

use unicode_segmentation::UnicodeSegmentation;

/// Without what could change the text around it: control characters (a newline stays) and marks that turn the
/// direction of what follows.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\u{2028}' | '\u{2029}' | '\r' | '\u{85}' => clean.push('\n'),
            '\t' => clean.push(' '),
            c if c.is_control() || is_direction(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// On one line, with single spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines without space at their ends, at most one empty one between two, none at the ends.
pub(crate) fn lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    lines.join("\n").trim().to_owned()
}

/// The first `chars_max` characters at most, an ellipsis among them if something was cut. What a reader sees as one
/// character (an emoji of a family, a letter with accents) is not taken apart, unless it alone is too long.
pub(crate) fn truncate(text: &str, chars_max: usize) -> String {
    cut(text, chars_max, |piece| piece.chars().count())
}

/// The same for bytes of UTF-8.
pub(crate) fn truncate_bytes(text: &str, bytes_max: usize) -> String {
    cut(text, bytes_max, str::len)
}

const ELLIPSIS: &str = "…";

fn cut(text: &str, max: usize, measure: impl Fn(&str) -> usize) -> String {
    if measure(text) <= max {
        return text.to_owned();
    }
    let Some(room) = max.checked_sub(measure(ELLIPSIS)) else { return String::new() };
    let (mut end, mut used) = (0, 0);
    for (start, grapheme) in text.grapheme_indices(true) {
        used += measure(grapheme);
        if used > room {
            break;
        }
        end = start + grapheme.len();
    }
    if end == 0 {
        // One endless pile of accents: better its beginning than nothing.
        let mut used = 0;
        for (start, c) in text.char_indices() {
            used += measure(&text[start..start + c.len_utf8()]);
            if used > room {
                break;
            }
            end = start + c.len_utf8();
        }
    }
    format!("{}{ELLIPSIS}", text[..end].trim_end())
}

/// The text with WhatsApp's marks made look-alikes where they could format: `*`, `_`, `~` and backticks at the edge of a
/// word. Within a word (`budi_s`) they format nothing and stay. There is no way to escape them.
pub(crate) fn plain_for_whatsapp(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied();
        let within = [before, after].iter().all(|next| next.is_some_and(char::is_alphanumeric));
        plain.push(match c {
            '*' if !within => '\u{2217}',
            '_' if !within => '\u{2CD}',
            '~' if !within => '\u{223C}',
            '`' => '\u{2CB}',
            c => c,
        });
        before = Some(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_change_the_text_around_it_goes() {
        assert_eq!(clean("a\0b\u{1b}[31m\r\nc\rd\u{202E}e\u{2028}f\u{7f}"), "ab[31m\nc\nde\nf");
        assert_eq!(clean("مرحبا 👨‍👩‍👧"), "مرحبا 👨‍👩‍👧");
        assert_eq!(one_line(" a\n\n b\u{a0}c "), "a b c");
        assert_eq!(lines("\n a \n\n\n\nb\n"), "a\n\nb");
    }

    #[test]
    fn text_is_cut_between_what_a_reader_sees_as_characters() {
        assert_eq!(truncate("halo dunia", 10), "halo dunia");
        assert_eq!(truncate("halo dunia", 9), "halo dun…");
        assert_eq!(truncate("halo dunia", 6), "halo…");
        assert_eq!(truncate("ab👨‍👩‍👧", 4), "ab…");
        assert_eq!(truncate("e\u{301}e\u{301}", 3), "e\u{301}…");
        assert_eq!(truncate(&format!("e{}", "\u{301}".repeat(100)), 4), "e\u{301}\u{301}…");
        assert_eq!(truncate("abc", 0), "");
        assert_eq!(truncate_bytes("ééé", 5), "é…");
    }

    #[test]
    fn strangers_cannot_format_a_whatsapp_text() {
        assert_eq!(plain_for_whatsapp("*tebal* _miring_ ~x~ ```kode```"), "∗tebal∗ ˍmiringˍ ∼x∼ ˋˋˋkodeˋˋˋ");
        assert_eq!(plain_for_whatsapp("budi_s@x.id 2*3"), "budi_s@x.id 2*3");
    }

    proptest! {
        #[test]
        fn what_is_cut_fits_and_begins_the_same(text in ".{0,40}", max in 0usize..50) {
            let cut = truncate(&text, max);
            prop_assert!(cut.chars().count() <= max);
            prop_assert!(text.starts_with(cut.trim_end_matches('…')) || cut == text);
            prop_assert!(truncate_bytes(&text, max).len() <= max);
        }

        #[test]
        fn clean_text_is_clean(text in any::<String>()) {
            let cleaned = clean(&text);
            prop_assert!(cleaned.chars().all(|c| c == '\n' || !(c.is_control() || is_direction(c))));
            prop_assert_eq!(clean(&cleaned), cleaned);
        }
    }
}
