//! Durations as people write them: `30s`, `5ms`, `1h 30m`.

use std::time::Duration;

/// Milliseconds of each unit, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads one. The error says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || {
        format!(
            "{text:?} is no duration: write a number and ms, s, m, h or d, as in \"30s\" or \"1h 30m\""
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refused());
    }
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, each) = unit.ok_or_else(refused)?;
        let number: u64 = number.parse().map_err(|_| refused())?;
        let more = number
            .checked_mul(*each)
            .and_then(|more| millis.checked_add(more));
        millis = more.ok_or_else(|| format!("{text:?} is too long"))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_add_up() {
        for (text, millis) in [
            ("5ms", 5),
            ("30s", 30_000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", " ", "30", "s", "-1s", "1.5s", "30 s", "1x", "1sm", "30S", "١s",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("\"30s\""), "{error}");
        }
        let error = parse("999999999999999999d").expect_err("too long");
        assert!(error.ends_with("is too long"), "{error}");
    }
}
