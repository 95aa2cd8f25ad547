//! The wire form of `numeric`: groups of four decimal digits.

use bytes::{BufMut, BytesMut};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// The text of a wire value, with exactly the digits that its scale says; none if it is damaged.
pub(super) fn text(raw: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_be_bytes(raw.get(at..at + 2)?.try_into().ok()?));
    let (groups, weight) = (usize::from(word(0)?), word(2)? as i16);
    let (sign, scale) = (word(4)?, usize::from(word(6)?));
    match sign {
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        MINUS_INFINITY => return Some("-Infinity".to_owned()),
        _ => {}
    }
    if raw.len() != 8 + groups * 2 {
        return None;
    }
    // The group for 10000 to the power of `at`.
    let group = |at: i32| {
        let index = i32::from(weight) - at;
        match usize::try_from(index).ok().filter(|i| *i < groups) {
            Some(index) => word(8 + index * 2).filter(|g| *g < 10_000),
            None => Some(0),
        }
    };
    let mut out = String::new();
    if sign == NEGATIVE {
        out.push('-');
    }
    let first = i32::from(weight).max(0);
    for at in (0..=first).rev() {
        let digits = group(at)?;
        match at == first {
            true => out.push_str(&digits.to_string()),
            false => out.push_str(&format!("{digits:04}")),
        }
    }
    if scale > 0 {
        out.push('.');
        let mut fraction = String::with_capacity(scale + 4);
        let mut at = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(at)?));
            at -= 1;
        }
        out.push_str(&fraction[..scale]);
    }
    Some(out)
}

/// True if [`encode`] can write the text: digits with at most one point and a sign, or NaN.
pub(super) fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty() && digits.len() < 1000 && numeric(whole) && numeric(fraction) || text == "NaN"
}

/// Appends the wire form of a plain text.
pub(super) fn encode(text: &str, out: &mut BytesMut) {
    if text == "NaN" {
        for word in [0, 0, NAN, 0] {
            out.put_u16(word);
        }
        return;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut padded = "0".repeat((4 - whole.len() % 4) % 4);
    padded.push_str(whole);
    let mut weight = (padded.len() / 4) as i16 - 1;
    padded.push_str(fraction);
    padded.push_str(&"0".repeat((4 - padded.len() % 4) % 4));
    let mut groups: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|c| c.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
        .collect();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|g| **g == 0).count();
    groups.drain(..leading);
    weight -= leading as i16;
    let negative = text.starts_with('-') && !groups.is_empty();
    out.put_u16(groups.len() as u16);
    out.put_i16(if groups.is_empty() { 0 } else { weight });
    out.put_u16(if negative { NEGATIVE } else { 0 });
    out.put_u16(fraction.len() as u16);
    groups.iter().for_each(|g| out.put_u16(*g));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_come_back() {
        for given in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "99999999",
            "0.0001",
            "0.00010",
            "-12.346",
            "NaN",
            "123456789.123456789",
            "1000000000000",
            "0.5",
        ] {
            let mut wire = BytesMut::new();
            encode(given, &mut wire);
            assert_eq!(text(&wire).as_deref(), Some(given));
        }
        for bad in ["", "-", ".5", "1e5", "Infinity", "1.2.3", "+1"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_decimal_comes_back(whole in 0u128.., fraction in "[0-9]{0,20}", negative: bool) {
            let dot = if fraction.is_empty() { "" } else { "." };
            let zero = whole == 0 && fraction.bytes().all(|b| b == b'0');
            let given = format!("{}{whole}{dot}{fraction}", if negative && !zero { "-" } else { "" });
            let mut wire = BytesMut::new();
            encode(&given, &mut wire);
            prop_assert_eq!(text(&wire), Some(given));
        }

        #[test]
        fn no_bytes_make_it_panic(raw: Vec<u8>) {
            let _ = text(&raw);
        }
    }
}
