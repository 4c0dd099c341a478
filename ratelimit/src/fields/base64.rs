//! Base 64 (RFC 4648, section 4), as byte sequences of RFC 9651 have it.

use std::fmt::{self, Write};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn write(to: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for three in bytes.chunks(3) {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let is_used = digit <= three.len();
            to.write_char(if is_used {
                char::from(DIGITS[value as usize])
            } else {
                '='
            })?;
        }
    }
    Ok(())
}

/// Also without padding, and with bits set that nothing uses: section 4.2.7 of RFC 9651 asks for that.
pub(super) fn read(text: &[u8]) -> Option<Vec<u8>> {
    let length = text
        .iter()
        .rposition(|&byte| byte != b'=')
        .map_or(0, |last| last + 1);
    if text.len() - length > 2 || length % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(length / 4 * 3 + 2);
    for four in text[..length].chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let value = match four.get(place) {
                Some(digit) => DIGITS.iter().position(|known| known == digit)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&three[..four.len() - 1]);
    }
    Some(bytes)
}
