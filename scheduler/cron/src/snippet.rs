//! The expression again, with carets under the part that is wrong.

use std::fmt;
use std::ops::Range;

/// Two indented lines: the trimmed expression, and carets under `span` (bytes of `text`).
pub(crate) struct Snippet<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: &'a Range<usize>,
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.text.len() - self.text.trim_start().len();
        f.write_str("  ")?;
        for c in self.text.trim().chars() {
            // A tab or a line break would move the carets away from what they point at.
            let plain = if c.is_whitespace() || c.is_control() {
                ' '
            } else {
                c
            };
            write!(f, "{plain}")?;
        }
        f.write_str("\n  ")?;
        let start = self.span.start.max(from);
        let before = self.text.get(from..start).unwrap_or_default();
        let under = self.text.get(start..self.span.end).unwrap_or_default();
        write!(f, "{:1$}", "", before.chars().count())?;
        // Nothing at all to point at, as in an empty expression, still gets one caret.
        write!(f, "{:^<1$}", "", under.chars().count().max(1))
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
}
