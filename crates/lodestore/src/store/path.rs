//! Where objects lie: paths from keys and hashes, and the checks on paths from outside (spec: stores §3-§5). No I/O.

use std::fmt;

use rand::Rng;

use super::spec::{OWN_SECTION, StoreSpec, within};
use crate::codec::content_hash;
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Row, Value};

/// The longest name of a file or folder that file systems and object stores take everywhere, in bytes.
const MAX_NAME: usize = 255;

/// A path inside a store: relative, `/`-separated, without empty, `.` and `..` parts and without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// Checks a path. Empty and `.` parts are dropped; absolute paths, `..` and NUL are refused ([`ErrorKind::Value`]).
    pub fn new(path: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(Error::new(ErrorKind::Value, format!("the path {path:?} {why}")).path(path))
        };
        if path.starts_with('/') {
            return refuse("is absolute; paths in a store are relative to its location");
        }
        if path.contains('\0') {
            return refuse("contains a NUL character");
        }
        let parts: Vec<&str> = path
            .split('/')
            .filter(|p| !p.is_empty() && *p != ".")
            .collect();
        if parts.contains(&"..") {
            return refuse("leaves the store (`..`)");
        }
        if parts.is_empty() {
            return refuse("is empty");
        }
        Ok(ObjectPath(parts.join("/")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses names that a file system would refuse when it is too late, after other objects are written
    /// ([`ErrorKind::Value`]).
    pub fn check_names(&self) -> Result<()> {
        for part in self.0.split('/') {
            if part.len() > MAX_NAME {
                let shown: String = part.chars().take(40).collect();
                return Err(Error::new(
                    ErrorKind::Value,
                    format!("the name `{shown}…` would have {} bytes; file systems take at most {MAX_NAME}", part.len()),
                )
                .path(&self.0)
                .hint("Shorten the key value that is part of the object's path."));
            }
        }
        Ok(())
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `{hash_prefix}/{schema}/{folds}{hash}`.
pub fn hash_path(spec: &StoreSpec, schema: &str, hash: &str) -> Result<String> {
    if hash.len() != 26 || !hash.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')) {
        return Err(Error::new(
            ErrorKind::Value,
            format!("`{hash}` is no content hash"),
        ));
    }
    let mut parts = vec![spec.hash_prefix.as_str(), schema];
    let mut start = 0;
    for fold in &spec.subfolding {
        parts.push(&hash[start..start + fold]);
        start += fold;
    }
    parts.push(hash);
    joined(&parts)
}

/// `{schema_prefix}/{partition}/{schema}/{table}/{key}/{attribute}_{token}{ext}` with a fresh token.
pub fn schema_path(
    spec: &StoreSpec,
    schema: &str,
    table: &str,
    key: &Row,
    attribute: &str,
    ext: &str,
) -> Result<String> {
    schema_path_with(
        spec,
        schema,
        table,
        key,
        attribute,
        ext,
        &token(spec.token_length),
    )
}

fn schema_path_with(
    spec: &StoreSpec,
    schema: &str,
    table: &str,
    key: &Row,
    attribute: &str,
    ext: &str,
    token: &str,
) -> Result<String> {
    let mut front = Vec::new();
    for name in &spec.partition {
        if let Some(value) = key.get(name) {
            front.push(format!(
                "{name}={}",
                key_part(value).map_err(|e| e.attribute(name))?
            ));
        }
    }
    let mut back = Vec::new();
    for (name, value) in key.iter() {
        if !spec.partition.iter().any(|p| p == name) {
            back.push(format!(
                "{name}={}",
                key_part(value).map_err(|e| e.attribute(name))?
            ));
        }
    }
    let dot = if ext.is_empty() || ext.starts_with('.') {
        ""
    } else {
        "."
    };
    if ext.contains(['/', '\\', '\0']) {
        return Err(Error::new(
            ErrorKind::Value,
            format!("`{ext}` is no file name extension"),
        ));
    }
    let name = format!("{attribute}_{token}{dot}{ext}");
    let mut parts = vec![spec.schema_prefix.as_str()];
    parts.extend(front.iter().map(String::as_str));
    parts.extend([schema, table]);
    parts.extend(back.iter().map(String::as_str));
    parts.push(&name);
    joined(&parts)
}

fn joined(parts: &[&str]) -> Result<String> {
    let text = parts
        .iter()
        .filter(|p| !p.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("/");
    let path = ObjectPath::new(&text)?;
    path.check_names()?;
    Ok(path.0)
}

/// A random token.
fn token(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[rng.random_range(0..64)]))
        .collect()
}

/// A key value as a part of a path (spec: stores §4 "Value encoding").
pub fn key_part(value: &Value) -> Result<String> {
    Ok(match value {
        // These never hold a character that needs care, or keep it (the colon of a time).
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => python_float(*x),
        Value::Date(d) => d.to_string(),
        Value::Time(t) => match t.subsec_nanosecond() / 1000 {
            0 => t.strftime("%H:%M:%S").to_string(),
            _ => t.strftime("%H:%M:%S%.6f").to_string(),
        },
        Value::DateTime(dt) => dt.strftime("%Y-%m-%dT%H-%M-%S").to_string(),
        Value::Null => "None".into(),
        Value::Text(text) | Value::Decimal(text) => text_part(text),
        Value::Uuid(uuid) => text_part(&uuid.to_string()),
        Value::Bytes(bytes) => text_part(&python_bytes(bytes)),
        Value::Json(json) => text_part(json.as_str()),
        Value::Path(path) => text_part(&path.to_string_lossy()),
        other => {
            return Err(Error::new(
                ErrorKind::Type,
                format!(
                    "a value of type {} cannot be part of an object's path",
                    other.type_name()
                ),
            ));
        }
    })
}

fn text_part(text: &str) -> String {
    const CAREFUL: [char; 9] = ['/', '\\', ':', '*', '?', '"', '<', '>', '|'];
    let long = text.chars().count() > 100;
    if !long && !text.contains(CAREFUL) {
        // NUL cannot be in any path; the reference would fail in the system call. Escaped like the rest.
        return if text.contains('\0') {
            percent(text)
        } else {
            text.to_owned()
        };
    }
    if long {
        let head: String = text.chars().take(50).collect();
        percent(&format!("{head}_{}", &md5_hex(text.as_bytes())[..8]))
    } else {
        percent(text)
    }
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn md5_hex(bytes: &[u8]) -> String {
    use md5::Digest;
    data_encoding::HEXLOWER.encode(&md5::Md5::digest(bytes))
}

/// `str()` of a Python float: shortest digits, exponent form below 1e-4 and from 1e16.
pub fn python_float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if x != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let text = format!("{x}");
    if text.contains('.') {
        text
    } else {
        format!("{text}.0")
    }
}

/// `str()` of Python bytes: `b'…'`.
fn python_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut out = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(b) == quote => out.push_str(&format!("\\{quote}")),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
    out
}

/// Checks and normalises a `<filepath>` value: relative to the location, or absolute below it (`location` is then the
/// absolute directory of a file store). Refuses what leaves the store, the reserved sections, and what is outside
/// `filepath_prefix` ([`ErrorKind::Value`]).
pub fn filepath(spec: &StoreSpec, location: Option<&str>, path: &str) -> Result<String> {
    let refuse = |why: String| {
        Err(Error::new(ErrorKind::Value, why)
            .store(&spec.name)
            .path(path))
    };
    if path.contains('\0') {
        return refuse(format!("the path {path:?} contains a NUL character"));
    }
    let relative = if path.starts_with('/') {
        let target = lexical(path);
        match location.map(lexical) {
            Some(Some(root)) => match target {
                Some(target) if target.len() > root.len() && target.starts_with(&root) => {
                    target[root.len()..].join("/")
                }
                _ => {
                    return refuse(format!(
                        "the path {path} is not below the location of store `{}`",
                        spec.name
                    ));
                }
            },
            _ => path.trim_start_matches('/').to_owned(),
        }
    } else {
        path.to_owned()
    };
    let Some(parts) = lexical(&relative) else {
        return refuse(format!("the path {path} leaves the store `{}`", spec.name));
    };
    let clean = parts.join("/");
    if clean.is_empty() {
        return refuse("the path is empty".into());
    }
    for section in [&*spec.hash_prefix, &*spec.schema_prefix, OWN_SECTION] {
        if !section.is_empty() && within(&clean, section) {
            return refuse(format!(
                "the path {path} lies in `{section}/`, which the store keeps for its own objects"
            ));
        }
    }
    if let Some(prefix) = &spec.filepath_prefix
        && !within(&clean, prefix)
    {
        return refuse(format!(
            "the path {path} is not below `{prefix}/`, the filepath_prefix of store `{}`",
            spec.name
        ));
    }
    Ok(clean)
}

/// The parts of a path with `.` and `..` resolved by text; none if it climbs above its start.
fn lexical(path: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

/// True if a file name is a content hash, as the collector recognises them.
pub fn is_hash_name(name: &str) -> bool {
    name.len() == 26 && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// The content hash of bytes; here so that callers above need not know where it is made.
pub fn hash_of(bytes: &[u8]) -> String {
    content_hash([bytes])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::row;
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    fn part(value: impl Into<Value>) -> String {
        key_part(&value.into()).unwrap()
    }

    #[test]
    fn every_row_of_the_value_table() {
        assert_eq!(part(7_i64), "7");
        assert_eq!(part(-3_i64), "-3");
        assert_eq!(part(true), "True");
        assert_eq!(part(false), "False");
        for (x, text) in [
            (0.25, "0.25"),
            (1e-7, "1e-07"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            (7.0, "7.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
            (123456789.125, "123456789.125"),
        ] {
            assert_eq!(part(x), text);
        }
        assert_eq!(
            part(date(2024, 1, 5).at(3, 4, 5, 999_999_000)),
            "2024-01-05T03-04-05"
        );
        assert_eq!(part(date(2024, 1, 5)), "2024-01-05");
        assert_eq!(part(time(3, 4, 5, 0)), "03:04:05");
        assert_eq!(part(time(3, 4, 5, 4_000)), "03:04:05.000004");
        assert_eq!(part("sub/ü 日?"), "sub%2F%C3%BC%20%E6%97%A5%3F");
        assert_eq!(part("2024-01-05 03:04:05"), "2024-01-05%2003%3A04%3A05");
        assert_eq!(part("100% é=#.."), "100% é=#..");
        assert_eq!(part(""), "");
        assert_eq!(part(Value::Decimal("1.5".into())), "1.5");
        assert_eq!(
            part(uuid::Uuid::nil()),
            "00000000-0000-0000-0000-000000000000"
        );
        assert_eq!(part(vec![0_u8, b'a']), "b%27%5Cx00a%27");
        assert_eq!(part(vec![b'a', b'b']), "b'ab'");
        assert!(key_part(&Value::List(vec![])).is_err());
    }

    #[test]
    fn long_text_is_cut_and_told_apart_by_its_hash() {
        let text = "x".repeat(101);
        // hashlib.md5(b"x" * 101).hexdigest()[:8]
        assert_eq!(
            part(&*text),
            format!("{}_{}", "x".repeat(50), &md5_hex(text.as_bytes())[..8])
        );
        assert_eq!(part(&*"x".repeat(100)), "x".repeat(100));
        let emoji = "😀".repeat(101);
        assert!(part(&*emoji).starts_with("%F0%9F%98%80"));
    }

    #[test]
    fn names_too_long_for_a_file_system_are_refused_before_anything_is_written() {
        let spec = StoreSpec::file("main", "/d");
        let key = row! { k: "😀".repeat(100) };
        let error = schema_path(&spec, "lab", "rec", &key, "wave", ".npy").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("402 bytes"), "{error}");
    }

    #[test]
    fn paths_are_those_of_the_listing() {
        let spec = StoreSpec::file("main", "/d");
        let key = row! { k_str: "plain", k_date: date(2024, 1, 5), k_int: 7, k_bool: true, k_dec: Value::Decimal("1.5".into()) };
        let at =
            |spec: &StoreSpec, table: &str, key: &Row, attribute: &str, ext: &str, token: &str| {
                schema_path_with(spec, "lab", table, key, attribute, ext, token).unwrap()
            };
        assert_eq!(
            at(&spec, "rec_thing", &key, "wave", ".npy", "kBYzUSGB"),
            "_schema/lab/rec_thing/k_str=plain/k_date=2024-01-05/k_int=7/k_bool=True/k_dec=1.5/wave_kBYzUSGB.npy"
        );
        assert_eq!(
            at(&spec, "#look_thing", &row! { a: 1 }, "w", "npy", "UNewHah5"),
            "_schema/lab/#look_thing/a=1/w_UNewHah5.npy"
        );
        assert_eq!(
            at(
                &spec,
                "__comp_thing",
                &row! { a: 1 },
                "w",
                ".npy",
                "IeRZSZ5G"
            ),
            "_schema/lab/__comp_thing/a=1/w_IeRZSZ5G.npy"
        );
        assert_eq!(
            at(&spec, "t", &row! {}, "n", ".npy", "B8AstMYx"),
            "_schema/lab/t/n_B8AstMYx.npy"
        );
        let partitioned = StoreSpec {
            schema_prefix: "s2".into(),
            partition: vec!["k_date".into(), "absent".into(), "k_str".into()],
            ..spec.clone()
        };
        let key = row! { k_str: "plain", k_date: date(2024, 1, 5), k_int: 7 };
        assert_eq!(
            at(&partitioned, "rec_thing", &key, "wave2", ".npy", "g0XP"),
            "s2/k_date=2024-01-05/k_str=plain/lab/rec_thing/k_int=7/wave2_g0XP.npy"
        );
        let bare = StoreSpec {
            schema_prefix: String::new(),
            ..spec.clone()
        };
        assert_eq!(
            at(&bare, "t", &row! { a: 1 }, "o", "", "12345678"),
            "lab/t/a=1/o_12345678"
        );
    }

    #[test]
    fn hash_paths_fold_where_the_store_says_so() {
        let hash = hash_of(b"hello");
        assert_eq!(hash, "lvauakv4jmvhnolrtwiraf6fsi");
        assert_eq!(hash_of(b""), "2qoyzwmpaczaj2mabgmoz6ccpy");
        let spec = StoreSpec::file("main", "/d");
        assert_eq!(
            hash_path(&spec, "lab", &hash).unwrap(),
            "_hash/lab/lvauakv4jmvhnolrtwiraf6fsi"
        );
        let folded = StoreSpec {
            subfolding: vec![2, 2],
            hash_prefix: "h2".into(),
            ..spec.clone()
        };
        assert_eq!(
            hash_path(&folded, "lab", "sf2bjx2a4n3e65fjwae2k3haam").unwrap(),
            "h2/lab/sf/2b/sf2bjx2a4n3e65fjwae2k3haam"
        );
        assert!(hash_path(&spec, "lab", "../../../../etc/passwd/12").is_err());
    }

    #[test]
    fn tokens_are_random_and_of_the_configured_length() {
        let spec = StoreSpec {
            token_length: 16,
            ..StoreSpec::file("main", "/d")
        };
        let make = || schema_path(&spec, "s", "t", &row! { id: 1 }, "o", "").unwrap();
        let (a, b) = (make(), make());
        assert_ne!(a, b);
        assert_eq!(a.len(), "_schema/s/t/id=1/o_".len() + 16);
        assert!(schema_path(&spec, "s", "t", &row! { id: 1 }, "o", "/../x").is_err());
    }

    #[test]
    fn a_filepath_stays_inside_the_store_and_outside_its_sections() {
        let spec = StoreSpec::file("main", "/data/store");
        let check = |p: &str| filepath(&spec, Some("/data/store"), p);
        assert_eq!(check("raw/x.dat").unwrap(), "raw/x.dat");
        assert_eq!(check("./raw//a/../x.dat").unwrap(), "raw/x.dat");
        assert_eq!(check("/data/store/raw/x.dat").unwrap(), "raw/x.dat");
        assert_eq!(check("_hashes/x").unwrap(), "_hashes/x");
        for bad in [
            "../outside",
            "a/../../x",
            "/etc/passwd",
            "/data/store",
            "/data/store2/x",
            "_hash/x",
            "./_hash/x",
            "d/../_hash/x",
            "_hash",
            "_schema/a",
            "/data/store/_schema/a",
            "_lode/tmp/x",
            "",
            ".",
            "a\0b",
        ] {
            assert_eq!(
                check(bad).map_err(|e| e.kind()),
                Err(ErrorKind::Value),
                "{bad:?}"
            );
        }
        let raw = StoreSpec {
            filepath_prefix: Some("raw".into()),
            ..spec
        };
        assert!(filepath(&raw, None, "raw/x").is_ok());
        assert!(filepath(&raw, None, "rawer/x").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_path_that_leaves_its_folder(text in ".{0,120}", table in "[a-z_#]{1,8}") {
            let spec = StoreSpec::file("main", "/d");
            if let Ok(path) = schema_path(&spec, "lab", &table, &row! { k: text }, "o", "") {
                let start = format!("_schema/lab/{table}/k=");
                prop_assert!(path.starts_with(&start));
                prop_assert_eq!(path.split('/').count(), 5);
                prop_assert!(ObjectPath::new(&path).is_ok());
            }
        }

        #[test]
        fn a_checked_path_never_climbs(text in "[a./\\\\]{0,20}") {
            if let Ok(path) = ObjectPath::new(&text) {
                prop_assert!(path.as_str().split('/').all(|p| !p.is_empty() && p != "." && p != ".."));
            }
        }
    }
}
