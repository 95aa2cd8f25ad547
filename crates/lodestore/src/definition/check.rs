//! What a type allows: in a primary key, and as a default (spec: definition §2.1, §3.5, §14). Checked before any DDL,
//! so that every database refuses the same definitions.

use jiff::civil::{Date, DateTime};

use super::{CoreType, Default, NativeKind, StorageType};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

impl StorageType {
    /// An error if the type may not stand in a primary key: blobs, JSON, long text. Error kind `Definition`.
    ///
    /// The parser has asked already for types written directly; callers ask for what a codec resolves to.
    pub fn check_key(&self) -> Result<()> {
        let (what, advice) = match self {
            StorageType::Core(CoreType::Json) => {
                ("JSON", "Keys are compared as a whole; use `varchar(n)`.")
            }
            StorageType::Core(CoreType::Bytes) => (
                "bytes",
                "Use `uuid` or `varchar(n)`, or a hash of the bytes.",
            ),
            StorageType::Native(native) => match native.kind {
                NativeKind::Blob => (
                    "a blob",
                    "Use `uuid` or `varchar(n)`, or a hash of the bytes.",
                ),
                NativeKind::Text { .. } => ("text without a limit", "Use `varchar(n)`."),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        Err(Error::new(
            ErrorKind::Definition,
            format!("{what} cannot be part of a primary key"),
        )
        .hint(advice))
    }

    /// An error if the type cannot have the default. Error kind `Definition`. Native types other than blobs are left
    /// to the server.
    pub fn check_default(&self, default: &Default) -> Result<()> {
        let literal = match default {
            Default::Required | Default::Null => return Ok(()),
            Default::CurrentTimestamp(text) => {
                return match self {
                    StorageType::Core(
                        CoreType::Date
                        | CoreType::DateTime(_)
                        | CoreType::Char(_)
                        | CoreType::Varchar(_),
                    ) => Ok(()),
                    StorageType::Native(native)
                        if matches!(
                            native.kind,
                            NativeKind::Time | NativeKind::Timestamp | NativeKind::Text { .. }
                        ) =>
                    {
                        Ok(())
                    }
                    _ => refuse(
                        format!("`{text}` is not a value of type `{self}`"),
                        "It is for `datetime` columns.",
                    ),
                };
            }
            Default::Literal(text) => text.as_str(),
        };
        let wrong = |hint: &str| {
            refuse(
                format!("the default `{literal}` is not a value of type `{self}`"),
                hint,
            )
        };
        let core = match self {
            StorageType::Core(core) => core,
            StorageType::Native(native) if native.kind == NativeKind::Blob => {
                return refuse(format!("`{self}` can have no default but null"), "");
            }
            StorageType::Native(_) => return Ok(()),
        };
        match core {
            CoreType::Int8 => in_range(literal, i8::MIN.into(), i8::MAX.into()),
            CoreType::Int16 => in_range(literal, i16::MIN.into(), i16::MAX.into()),
            CoreType::Int32 => in_range(literal, i32::MIN.into(), i32::MAX.into()),
            CoreType::Int64 => in_range(literal, i64::MIN, i64::MAX),
            CoreType::Float32 | CoreType::Float64 => literal.trim().parse::<f64>().is_ok(),
            CoreType::Bool => truth(literal).is_some(),
            CoreType::Decimal { precision, scale } => fits_decimal(literal, precision - scale),
            CoreType::Char(n) | CoreType::Varchar(n) => literal.chars().count() <= *n as usize,
            CoreType::Enum(values) => {
                if !values.iter().any(|v| v == literal) {
                    let hint = did_you_mean(literal, values.iter().map(String::as_str));
                    return wrong(&hint.unwrap_or_default());
                }
                true
            }
            CoreType::Date => literal.trim().parse::<Date>().is_ok(),
            CoreType::DateTime(_) => literal.trim().parse::<DateTime>().is_ok(),
            CoreType::Uuid => uuid::Uuid::try_parse(literal.trim()).is_ok(),
            CoreType::Json | CoreType::Bytes => {
                return refuse(format!("`{self}` can have no default but null"), "");
            }
        }
        .then_some(())
        .map_or_else(
            || {
                wrong(match core {
                    CoreType::Bool => "Write `true` or `false`.",
                    CoreType::Date => "Write it as `\"2026-02-28\"`.",
                    CoreType::DateTime(_) => {
                        "Write it as `\"2026-02-28 12:30:00\"`, or `CURRENT_TIMESTAMP`."
                    }
                    _ => "",
                })
            },
            Ok,
        )
    }
}

/// The truth value that a literal means.
pub(super) fn truth(literal: &str) -> Option<bool> {
    match literal.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn refuse(message: String, hint: &str) -> Result<()> {
    let error = Error::new(ErrorKind::Definition, message);
    Err(if hint.is_empty() {
        error
    } else {
        error.hint(hint)
    })
}

fn in_range(literal: &str, min: i64, max: i64) -> bool {
    literal
        .trim()
        .parse::<i64>()
        .is_ok_and(|n| (min..=max).contains(&n))
}

/// True for a decimal number with at most so many digits before the point; further digits after it are rounded.
fn fits_decimal(literal: &str, whole_digits: u32) -> bool {
    let number = literal.trim().trim_start_matches(['+', '-']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    (!whole.is_empty() || !fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && whole.trim_start_matches('0').len() <= whole_digits as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn accepts(type_: &str, literal: &str) -> bool {
        StorageType::parse(type_)
            .unwrap()
            .check_default(&Default::Literal(literal.into()))
            .is_ok()
    }

    #[test]
    fn a_default_is_a_value_of_its_type() {
        for (type_, fine, wrong) in [
            (
                "int8",
                vec!["-128", "127", "+5"],
                vec!["128", "1.5", "x", ""],
            ),
            (
                "int64",
                vec!["9223372036854775807"],
                vec!["9223372036854775808"],
            ),
            ("float32", vec!["1", "-1.5e3", "nan"], vec!["x", ""]),
            ("bool", vec!["0", "1", "TRUE", "no"], vec!["2", "maybe"]),
            (
                "decimal(4,2)",
                vec!["0", "-12.345", "099", ".5", "5."],
                vec!["100", "x", "", ".", "1e1"],
            ),
            ("char(2)", vec!["ab", "éé", ""], vec!["abc"]),
            ("enum('left','right')", vec!["left"], vec!["Left", ""]),
            ("date", vec!["2026-02-28"], vec!["2026-02-30", "today"]),
            (
                "datetime(3)",
                vec!["2026-02-28 12:00:00.5", "2026-02-28T12:00:00"],
                vec!["noon"],
            ),
            (
                "uuid",
                vec!["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
                vec!["6ba7"],
            ),
            ("json", vec![], vec!["{}"]),
            ("bytes", vec![], vec!["x"]),
            ("longblob", vec![], vec!["x"]),
            ("int unsigned", vec!["x"], vec![]),
        ] {
            for literal in fine {
                assert!(accepts(type_, literal), "{type_} = {literal:?}");
            }
            for literal in wrong {
                assert!(!accepts(type_, literal), "{type_} = {literal:?}");
            }
        }
    }

    #[test]
    fn blobs_json_and_long_text_are_no_keys() {
        for wrong in ["json", "bytes", "longblob", "text"] {
            assert!(
                StorageType::parse(wrong).unwrap().check_key().is_err(),
                "{wrong}"
            );
        }
        for fine in [
            "int32",
            "float64",
            "uuid",
            "enum('a')",
            "datetime(3)",
            "varchar(9)",
            "int unsigned",
        ] {
            assert!(
                StorageType::parse(fine).unwrap().check_key().is_ok(),
                "{fine}"
            );
        }
    }
}
