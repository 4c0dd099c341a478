//! The expression again, with carets under the part that is wrong.

use std::fmt;
use std::ops::Range;

/// Of longer texts only what is around the wrong part is shown, this many characters.
const WIDTH: usize = 100;
/// So many of them before it.
const BEFORE: usize = 40;

/// Two indented lines: the trimmed expression, and carets under `span` (bytes of `text`).
pub(crate) struct Snippet<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: &'a Range<usize>,
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.text.len() - self.text.trim_start().len();
        let start = self.span.start.max(from);
        let before = self.text.get(from..start).unwrap_or_default();
        let before = before.chars().count();
        let under = self.text.get(start..self.span.end).unwrap_or_default();
        let under = under.trim_end().chars().count();

        let text = self.text.trim();
        let (left, first) = match text.chars().nth(WIDTH) {
            Some(_) if before > BEFORE => ("...", before - BEFORE),
            _ => ("", 0),
        };
        let mut rest = text.chars().skip(first);
        write!(f, "  {left}")?;
        for c in rest.by_ref().take(WIDTH) {
            // A tab or a line break would move the carets away from what they point at.
            let plain = if c.is_whitespace() || c.is_control() {
                ' '
            } else {
                c
            };
            write!(f, "{plain}")?;
        }
        f.write_str(if rest.next().is_some() { "..." } else { "" })?;

        let before = before - first;
        write!(f, "\n  {:1$}", "", left.len() + before)?;
        // Nothing at all to point at, as in an empty expression, still gets one caret.
        write!(f, "{:^<1$}", "", under.min(WIDTH - before).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Snippet;

    fn show(text: &str, part: &str) -> String {
        let start = text.find(part).expect("part of the text");
        let span = start..start + part.len();
        Snippet { text, span: &span }.to_string()
    }

    #[test]
    fn carets_stand_under_the_part() {
        assert_eq!(show("* 25 * * *", "25"), "  * 25 * * *\n    ^^");
    }

    #[test]
    fn outer_blanks_are_dropped_and_inner_ones_keep_their_width() {
        assert_eq!(show(" \t*\t25\n* * * ", "25"), "  * 25 * * *\n    ^^");
    }

    #[test]
    fn characters_of_many_bytes_count_once() {
        assert_eq!(
            show("é ü\u{1F600} * * *", "ü\u{1F600}"),
            "  é ü\u{1F600} * * *\n    ^^"
        );
    }

    #[test]
    fn of_a_long_text_what_is_around_the_part_is_shown() {
        let text = format!("{}61{}", "1,".repeat(100), ",2".repeat(100));
        let (left, right) = ("1,".repeat(20), ",2".repeat(29));
        assert_eq!(
            show(&text, "61"),
            format!("  ...{left}61{right}...\n  {:43}^^", "")
        );
        let text = format!("61{}", ",2".repeat(100));
        assert_eq!(
            show(&text, "61"),
            format!("  61{}...\n  ^^", ",2".repeat(49))
        );
        let text = "1".repeat(1_000);
        assert_eq!(
            show(&text, &text),
            format!("  {}...\n  {}", "1".repeat(100), "^".repeat(100))
        );
    }
}
