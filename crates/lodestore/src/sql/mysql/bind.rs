//! Values into statements: what a column stores, how a value is bound, and numbered placeholders.

use std::borrow::Cow;

use mysql::Value as SqlValue;

use super::MySqlDialect;
use crate::definition::{CoreType, NativeKind, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{Dialect, Statement, convert};
use crate::value::Value;

/// Parameters that one statement takes.
pub(super) const MAX_PARAMETERS: usize = 65_535;

/// The stored form of a value in a column. Borrowed wherever the value is that already.
pub(super) fn stored<'a>(storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>> {
    // A plain `datetime` keeps whole seconds here (spec: definition §3.1); MySQL rounds and MariaDB truncates what has
    // more, so it is rounded before.
    const SECONDS: StorageType = StorageType::Core(CoreType::DateTime(Some(0)));
    let storage = match storage {
        StorageType::Core(CoreType::DateTime(None)) => &SECONDS,
        other => other,
    };
    let checked = convert::check(storage, value)?;
    match &*checked {
        Value::Float(f) if f.is_infinite() => Err(Error::new(
            ErrorKind::Data,
            format!("{f} is not a number that MySQL can store"),
        )),
        Value::Date(d) if d.year() == 0 => Err(no_such_year()),
        Value::DateTime(d) if d.year() == 0 => Err(no_such_year()),
        // The type has a range of its own, and values outside of it become zero.
        Value::DateTime(d) if is_timestamp(storage) && !(1970..=2037).contains(&d.year()) => {
            Err(Error::new(
                ErrorKind::Data,
                format!("{d} is out of range of `timestamp` (1970 to 2037)"),
            )
            .hint("Declare the attribute as `datetime`."))
        }
        _ => Ok(checked),
    }
}

fn no_such_year() -> Error {
    Error::new(ErrorKind::Data, "MySQL has no year 0")
}

fn is_timestamp(storage: &StorageType) -> bool {
    matches!(storage, StorageType::Native(n) if n.kind == NativeKind::Timestamp)
}

/// A parameter. What has no storage type here (user-written SQL) takes its natural form.
pub(super) fn parameter(value: &Value) -> Result<SqlValue> {
    Ok(match value {
        Value::Null => SqlValue::NULL,
        Value::Bool(b) => SqlValue::Int(i64::from(*b)),
        Value::Int(i) => SqlValue::Int(*i),
        Value::Float(f) if f.is_nan() => SqlValue::NULL,
        Value::Float(f) => SqlValue::Double(*f),
        Value::Text(s) | Value::Decimal(s) => SqlValue::Bytes(s.as_bytes().to_vec()),
        Value::Json(j) => SqlValue::Bytes(j.as_str().as_bytes().to_vec()),
        Value::Bytes(b) => SqlValue::Bytes(b.to_vec()),
        Value::Uuid(u) => SqlValue::Bytes(u.as_bytes().to_vec()),
        Value::Date(d) => {
            SqlValue::Date(year(d.year())?, part(d.month()), part(d.day()), 0, 0, 0, 0)
        }
        Value::DateTime(d) => SqlValue::Date(
            year(d.year())?,
            part(d.month()),
            part(d.day()),
            part(d.hour()),
            part(d.minute()),
            part(d.second()),
            micros(d.subsec_nanosecond()),
        ),
        Value::Time(t) => SqlValue::Time(
            false,
            0,
            part(t.hour()),
            part(t.minute()),
            part(t.second()),
            micros(t.subsec_nanosecond()),
        ),
        other => {
            return Err(Error::new(
                ErrorKind::Type,
                format!(
                    "a value of type {} cannot be a parameter of a statement",
                    other.type_name()
                ),
            ));
        }
    })
}

fn year(year: i16) -> Result<u16> {
    u16::try_from(year)
        .map_err(|_| Error::new(ErrorKind::Data, format!("MySQL has no year {year}")))
}

fn part(number: i8) -> u8 {
    number.unsigned_abs()
}

fn micros(nanoseconds: i32) -> u32 {
    nanoseconds.unsigned_abs() / 1000
}

/// The statement as MySQL takes it. Its own placeholders have no numbers: `?1` becomes `?`, and the values stand in the
/// order of the text, once for each place.
///
/// A decimal becomes `CAST(? AS DECIMAL(…))`: compared with a text, MySQL would turn both into doubles.
pub(super) fn resolve(
    dialect: &MySqlDialect,
    statement: &Statement,
) -> Result<(String, Vec<SqlValue>)> {
    let text = &statement.text;
    let given = &statement.params;
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut params = Vec::with_capacity(given.len());
    let mut used = vec![false; given.len()];
    // More values than a statement takes are written out, but for the large ones.
    let inline = given.len() > MAX_PARAMETERS;
    let (mut at, mut copied, mut next) = (0, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' && quote != b'`' {
                        2
                    } else {
                        1
                    };
                }
                at += 1;
            }
            b'#' => at = line_end(bytes, at),
            b'-' if bytes[at..].starts_with(b"-- ") => at = line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text[at + 2..]
                    .find("*/")
                    .map_or(bytes.len(), |n| at + 2 + n + 2);
            }
            b'?' => {
                out.push_str(&text[copied..at]);
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at].is_ascii_digit() {
                    at += 1;
                }
                let number = match text[start..at].parse::<usize>() {
                    Ok(number) => number,
                    Err(_) => {
                        next += 1;
                        next
                    }
                };
                let Some(value) = number.checked_sub(1).and_then(|n| given.get(n)) else {
                    return Err(miscounted(statement));
                };
                used[number - 1] = true;
                copied = at;
                place(dialect, value, inline, &mut out, &mut params)?;
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[copied.min(text.len())..]);
    if used.contains(&false) {
        return Err(miscounted(statement));
    }
    Ok((out, params))
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |n| at + n)
}

fn place(
    dialect: &MySqlDialect,
    value: &Value,
    inline: bool,
    out: &mut String,
    params: &mut Vec<SqlValue>,
) -> Result<()> {
    if inline {
        out.push_str(&dialect.literal(value)?);
        return Ok(());
    }
    params.push(parameter(value)?);
    match value {
        Value::Decimal(text) => match decimal_type(text) {
            Some(type_) => out.push_str(&format!("CAST(? AS {type_})")),
            None => out.push('?'),
        },
        _ => out.push('?'),
    }
    Ok(())
}

/// The smallest decimal type that holds a number in plain digits; none if it has others or too many.
fn decimal_type(text: &str) -> Option<String> {
    let digits = text.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (precision, scale) = (whole.len() + fraction.len(), fraction.len());
    (plain(whole) && plain(fraction) && (1..=65).contains(&precision) && scale <= 30)
        .then(|| format!("DECIMAL({precision},{scale})"))
}

fn miscounted(statement: &Statement) -> Error {
    Error::new(
        ErrorKind::QuerySyntax,
        format!(
            "the statement has other places for values than the {} that were given",
            statement.params.len()
        ),
    )
    .hint(super::errors::statement_hint(&statement.text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn resolved(text: &str, params: &[Value]) -> Result<(String, Vec<SqlValue>)> {
        resolve(
            &MySqlDialect::default(),
            &Statement {
                text: text.into(),
                params: params.to_vec(),
            },
        )
    }

    #[test]
    fn places_may_be_out_of_order_and_repeated() {
        let (text, params) = resolved(
            "SELECT ?2, '?1 \\' ?', `?9`, \"?\" -- ?\n, ?1 # ?\n, ?2 /* ? */",
            &[1.into(), 2.into()],
        )
        .unwrap();
        assert_eq!(
            text,
            "SELECT ?, '?1 \\' ?', `?9`, \"?\" -- ?\n, ? # ?\n, ? /* ? */"
        );
        assert_eq!(
            params,
            [SqlValue::Int(2), SqlValue::Int(1), SqlValue::Int(2)]
        );
        assert!(resolved("SELECT ?1", &[]).is_err());
        assert!(resolved("SELECT ?1", &[1.into(), 2.into()]).is_err());
        assert_eq!(resolved("SELECT 'open ?", &[]).unwrap().0, "SELECT 'open ?");
    }

    #[test]
    fn decimals_are_compared_as_decimals() {
        let (text, _) = resolved("SELECT ?1", &[Value::Decimal("-12.340".into())]).unwrap();
        assert_eq!(text, "SELECT CAST(? AS DECIMAL(5,3))");
        let (text, _) = resolved("SELECT ?1", &[Value::Decimal("1E+3".into())]).unwrap();
        assert_eq!(text, "SELECT ?");
    }

    #[test]
    fn too_many_values_are_written_out() {
        let many: Vec<Value> = (0..70_000).map(Value::from).collect();
        let places: Vec<String> = (1..=70_000).map(|n| format!("?{n}")).collect();
        let (text, params) = resolved(&places.join(","), &many).unwrap();
        assert!(params.is_empty() && text.starts_with("0,1,2,"));
    }
}
