//! What may have been meant.

/// What other schedulers call it.
const SYNONYMS: [(&str, &str); 14] = [
    ("retry", "retries"),
    ("zone", "tz"),
    ("timezone", "tz"),
    ("time_zone", "tz"),
    ("concurrency", "overlap"),
    ("deadline", "timeout"),
    ("max_duration", "timeout"),
    ("max_attempts", "retries"),
    ("max_retries", "retries"),
    ("delay", "jitter"),
    ("labels", "only_on"),
    ("label", "only_on"),
    ("crash", "on_crash"),
    ("id", "name"),
];

/// The known word that `word` is at most two slips away from, or means.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == word);
    if let Some((_, meant)) = synonym {
        return Some(meant);
    }
    let slips = known.map(|known| (distance(&word, known), known));
    // A third of it may be wrong: of two letters none, so `to` is not taken for `tz`.
    let near = slips.filter(|(slips, known)| *slips <= 2 && slips * 3 <= known.len());
    near.min_by_key(|(slips, _)| *slips).map(|(_, known)| known)
}

/// Letters to insert, delete or replace (Wagner and Fischer, 1974).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], place + 1);
        for (column, same) in other.iter().map(|known| *known == letter).enumerate() {
            let replaced = corner + usize::from(!same);
            corner = row[column + 1];
            row[column + 1] = replaced.min(corner + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_other_names_are_understood() {
        let known = ["tz", "dst", "misfire", "retries", "timeout", "aliases"];
        for (word, meant) in [
            ("retry", Some("retries")),
            ("time_out", Some("timeout")),
            ("missfire", Some("misfire")),
            ("alias", Some("aliases")),
            ("Timezone", Some("tz")),
            ("to", None),
            ("color", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }
}
