//! How a set of numbers is said in the fewest words.

/// Lists of more pieces than this are summed up.
const MOST_PIECES: usize = 12;

/// What an ascending list of numbers looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One(u16),
    /// Three or more in a row.
    Run {
        from: u16,
        to: u16,
    },
    /// Three or more, equally far apart: two or more.
    Steps {
        from: u16,
        to: u16,
        step: u16,
    },
    Other,
}

impl Shape {
    pub(super) fn of(values: &[u16]) -> Self {
        match *values {
            [only] => Self::One(only),
            [from, second, .., to] => {
                let step = second - from;
                let is_even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
                match step {
                    _ if !is_even => Self::Other,
                    1 => Self::Run { from, to },
                    _ => Self::Steps { from, to, step },
                }
            }
            _ => Self::Other,
        }
    }
}

/// `1, 3 and 5 to 9`: runs of three or more are drawn together.
pub(super) fn list(values: &[u16], last_word: &str, word: impl Fn(u16) -> String) -> String {
    let mut pieces = Vec::new();
    let mut rest = values;
    while let [first, ..] = rest {
        let run = (*first..).zip(rest).take_while(|(a, b)| a == *b).count();
        let taken = if run >= 3 { run } else { 1 };
        pieces.push(match taken {
            1 => word(*first),
            _ => format!("{} to {}", word(*first), word(rest[taken - 1])),
        });
        rest = &rest[taken..];
    }
    if let ([first, .., last], true) = (values, pieces.len() > MOST_PIECES) {
        return format!(
            "{} of those from {} to {}",
            values.len(),
            word(*first),
            word(*last)
        );
    }
    joined(&pieces, last_word)
}

/// `a, b and c`.
pub(super) fn joined(pieces: &[String], last_word: &str) -> String {
    match pieces {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} {last_word} {last}", others.join(", ")),
    }
}

/// `2nd`, `3rd`, `11th`.
pub(super) fn ordinal(number: u16) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_drawn_together_and_long_lists_summed_up() {
        let said = |values: &[u16]| list(values, "and", |value| value.to_string());
        assert_eq!(said(&[1]), "1");
        assert_eq!(said(&[1, 2]), "1 and 2");
        assert_eq!(said(&[1, 3, 5, 6, 7, 8]), "1, 3 and 5 to 8");
        let squares: Vec<u16> = (2..20).map(|n| n * n).collect();
        assert_eq!(said(&squares), "18 of those from 4 to 361");
    }

    #[test]
    fn ordinals_have_their_endings() {
        let said: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 22, 111, 1_002]
            .map(ordinal)
            .into();
        assert_eq!(
            said.join(" "),
            "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 111th 1002nd"
        );
    }
}
