//! Object keys: `location/path`, byte for byte as the reference writes them, in a form that the client library can hold.
//!
//! The library's paths cannot hold an empty segment (which a slash at the ends of `location` makes), nor control
//! characters (which key values may have). Such parts are escaped here with a character that no text contains, and
//! written out again on the wire (`wire.rs`) or, for stores in memory, never leave it.

use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// A noncharacter: Unicode keeps it for uses like this one.
const ESCAPE: char = '\u{FDD0}';

/// The longest key that S3, GCS and Azure take, in bytes.
pub(super) const MAX_KEY: usize = 1024;

/// A key as the library's path.
pub(super) fn to_path(key: &str) -> Result<Path> {
    Path::parse(escape(key)).map_err(|e| {
        Error::new(
            ErrorKind::Value,
            format!("{key:?} cannot be an object's name: {e}"),
        )
    })
}

/// The key of a path that the library gave.
pub(super) fn from_path(path: &Path) -> String {
    unescape(path.as_ref())
}

/// True if a key can only be had by way of escapes.
pub(super) fn is_escaped(path: &str) -> bool {
    path.contains(ESCAPE)
}

/// Escapes what the library refuses; everything else stays as it is.
pub(super) fn escape(key: &str) -> String {
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && !segment.chars().any(|c| c.is_ascii_control() || c == ESCAPE)
    };
    if key.is_empty() || key.split('/').all(plain) {
        return key.to_owned();
    }
    let mut out = String::with_capacity(key.len() + 16);
    for (i, segment) in key.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        for c in segment.chars() {
            match c {
                ESCAPE => out.extend([ESCAPE, '+', '+']),
                c if c.is_ascii_control() => {
                    out.push(ESCAPE);
                    out.push_str(&format!("{:02x}", c as u32));
                }
                c => out.push(c),
            }
        }
        if segment.is_empty() || segment == "." || segment == ".." {
            out.extend([ESCAPE, '-', '-']);
        }
    }
    out
}

/// The inverse of [`escape`].
pub(super) fn unescape(text: &str) -> String {
    if !is_escaped(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(ESCAPE) {
        out.push_str(&rest[..at]);
        rest = &rest[at + ESCAPE.len_utf8()..];
        let Some(code) = rest.get(..2) else { break };
        match code {
            "--" => {}
            "++" => out.push(ESCAPE),
            code => out.extend(u8::from_str_radix(code, 16).map(char::from)),
        }
        rest = &rest[2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_keys_stay_as_they_are() {
        for key in [
            "a/b c/é日/x%2Fy/k=1/#?&+~'\"<>|*/..a/a..",
            "日本/\u{200b}",
            "\u{f8ff}\u{10ffff}",
        ] {
            assert_eq!(to_path(key).unwrap().as_ref(), key);
        }
    }

    #[test]
    fn what_the_library_refuses_is_escaped_and_comes_back() {
        for key in [
            "/a",
            "a/",
            "a//b",
            "//",
            "a/./b",
            "../a",
            "a\u{1}\n\u{7f}b/\u{FDD0}",
            "\u{FDD0}--",
            "/",
        ] {
            let path = to_path(key).unwrap();
            assert_ne!(path.as_ref(), key);
            assert_eq!(from_path(&path), key);
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in "[a./\u{1}\u{7f}\u{FDD0}é-]{1,12}", any in ".*") {
            prop_assert_eq!(from_path(&to_path(&key).unwrap()), key);
            prop_assert_eq!(unescape(&escape(&any)), any);
        }
    }
}
