//! Functions and collations that users of MySQL and PostgreSQL expect to find (spec: queries §16).
//!
//! Times are UTC. `STD` is MySQL's population deviation; `STDDEV` is PostgreSQL's, of a sample.

use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use jiff::Unit;
use jiff::civil::{DateTime, DateTimeDifference};
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, Error, Result};

use super::bind;
use crate::definition::{CoreType, StorageType};
use crate::sql::convert;
use crate::value::Value;

/// Registers everything on a new connection.
pub(super) fn register(connection: &Connection) -> Result<()> {
    let pure = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let clock = FunctionFlags::SQLITE_UTF8;
    connection.create_collation("decimal", compare_decimals)?;

    type Part = fn(&DateTime) -> i64;
    let parts: [(&str, Part); 3] = [
        ("YEAR", |d| d.year().into()),
        ("MONTH", |d| d.month().into()),
        ("DAY", |d| d.day().into()),
    ];
    for (name, part) in parts {
        connection
            .create_scalar_function(name, 1, pure, move |c| Ok(moment(c, 0)?.map(|d| part(&d))))?;
    }
    connection.create_scalar_function("CURDATE", 0, clock, |_| {
        Ok(convert::date_text(now().date()))
    })?;
    for name in ["NOW", "UTC_TIMESTAMP"] {
        connection.create_scalar_function(name, 0, clock, |_| {
            Ok(convert::datetime_text(now(), Some(0)))
        })?;
    }
    connection.create_scalar_function("TIMESTAMPDIFF", 3, pure, timestampdiff)?;
    connection.create_scalar_function("LEFT", 2, pure, |c| {
        Ok(cut(c)?.map(|(s, n)| s.chars().take(n).collect::<String>()))
    })?;
    connection.create_scalar_function("RIGHT", 2, pure, |c| {
        Ok(cut(c)?.map(|(s, n)| {
            s.chars()
                .skip(s.chars().count().saturating_sub(n))
                .collect::<String>()
        }))
    })?;
    connection.create_scalar_function("GREATEST", -1, pure, |c| extreme(c, Ordering::Greater))?;
    connection.create_scalar_function("LEAST", -1, pure, |c| extreme(c, Ordering::Less))?;
    connection.create_scalar_function("regexp", 2, pure, regexp)?;
    connection.create_scalar_function("lode_convert", 3, pure, convert_value)?;
    for (name, sample) in [
        ("STD", false),
        ("STDDEV_POP", false),
        ("STDDEV", true),
        ("STDDEV_SAMP", true),
    ] {
        connection.create_aggregate_function(name, 1, pure, Deviation { sample })?;
    }
    connection.create_aggregate_function("decimal_sum", 1, pure, DecimalSum { mean: false })?;
    connection.create_aggregate_function("decimal_avg", 1, pure, DecimalSum { mean: true })?;
    Ok(())
}

fn fail(message: impl Into<String>) -> Error {
    Error::UserFunctionError(message.into().into())
}

fn now() -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now())
}

fn moment(context: &Context<'_>, argument: usize) -> Result<Option<DateTime>> {
    match context.get_raw(argument) {
        ValueRef::Null => Ok(None),
        ValueRef::Text(t) => {
            let text = std::str::from_utf8(t).map_err(|_| fail("a date is expected"))?;
            convert::parse_datetime(text)
                .map(Some)
                .ok_or_else(|| fail(format!("\"{text}\" is not a date")))
        }
        _ => Err(fail("a date is expected")),
    }
}

/// Whole units from the second argument to the third.
fn timestampdiff(context: &Context<'_>) -> Result<Option<i64>> {
    let unit: String = context.get(0)?;
    let (Some(from), Some(to)) = (moment(context, 1)?, moment(context, 2)?) else {
        return Ok(None);
    };
    let (largest, divisor) = match unit.to_ascii_uppercase().as_str() {
        "YEAR" => (Unit::Month, 12),
        "QUARTER" => (Unit::Month, 3),
        "MONTH" => (Unit::Month, 1),
        "WEEK" => (Unit::Day, 7),
        "DAY" => (Unit::Day, 1),
        "HOUR" => (Unit::Hour, 1),
        "MINUTE" => (Unit::Minute, 1),
        "SECOND" => (Unit::Second, 1),
        "MICROSECOND" => (Unit::Microsecond, 1),
        _ => return Err(fail(format!("TIMESTAMPDIFF: unknown unit {unit}"))),
    };
    let span = from
        .until(DateTimeDifference::new(to).largest(largest))
        .map_err(|e| fail(e.to_string()))?;
    let count = match largest {
        Unit::Month => i64::from(span.get_months()),
        Unit::Day => i64::from(span.get_days()),
        Unit::Hour => i64::from(span.get_hours()),
        Unit::Minute => span.get_minutes(),
        Unit::Second => span.get_seconds(),
        _ => span.get_microseconds(),
    };
    Ok(Some(count / divisor))
}

/// A stored value of one type as the stored value of another (`value, from, to`).
fn convert_value(context: &Context<'_>) -> Result<SqlValue> {
    type Failure = Box<dyn std::error::Error + Send + Sync>;
    let type_at = |n| {
        context.get_or_create_aux(n, |text: ValueRef<'_>| -> std::result::Result<_, Failure> {
            Ok(StorageType::parse(text.as_str()?)?)
        })
    };
    let (from, to) = (type_at(1)?, type_at(2)?);
    let value = match context.get_raw(0) {
        ValueRef::Null => return Ok(SqlValue::Null),
        ValueRef::Integer(i) => Value::Int(i),
        ValueRef::Real(f) => Value::Float(f),
        ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => match (&*from, uuid::Uuid::from_slice(b)) {
            (StorageType::Core(CoreType::Uuid), Ok(uuid)) => Value::Uuid(uuid),
            _ => Value::Bytes(b.to_vec().into()),
        },
    };
    let as_text = match &value {
        Value::Int(i) => Some(i.to_string()),
        Value::Float(f) => Some(f.to_string()),
        Value::Uuid(u) => Some(u.to_string()),
        _ => None,
    };
    let stored = bind::stored(&to, &value)
        .map(std::borrow::Cow::into_owned)
        .or_else(|error| match as_text {
            Some(text) => bind::stored(&to, &Value::Text(text))
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| error),
            None => Err(error),
        })
        .map_err(|e| fail(e.message()))?;
    Ok(
        match bind::parameter(&stored).map_err(|e| fail(e.message()))? {
            ToSqlOutput::Owned(value) => value,
            ToSqlOutput::Borrowed(value) => value.try_into().map_err(|_| fail("not UTF-8"))?,
            _ => SqlValue::Null,
        },
    )
}

fn cut(context: &Context<'_>) -> Result<Option<(String, usize)>> {
    let text = match context.get_raw(0) {
        ValueRef::Null => return Ok(None),
        ValueRef::Integer(i) => i.to_string(),
        ValueRef::Real(f) => f.to_string(),
        ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned(),
        ValueRef::Blob(_) => return Err(fail("text is expected")),
    };
    match context.get_raw(1) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(n) => Ok(Some((text, usize::try_from(n).unwrap_or(0)))),
        _ => Err(fail("a number of characters is expected")),
    }
}

/// The greatest or least argument; NULLs are ignored, as on PostgreSQL.
fn extreme(context: &Context<'_>, wanted: Ordering) -> Result<ToSqlOutput<'static>> {
    let mut best: Option<ValueRef<'_>> = None;
    for i in 0..context.len() {
        let value = context.get_raw(i);
        if matches!(value, ValueRef::Null) {
            continue;
        }
        if best.is_none_or(|b| compare(value, b) == wanted) {
            best = Some(value);
        }
    }
    let best = best.unwrap_or(ValueRef::Null);
    Ok(ToSqlOutput::Owned(
        SqlValue::try_from(best).map_err(|e| fail(e.to_string()))?,
    ))
}

fn compare(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    let number = |v: ValueRef<'_>| match v {
        ValueRef::Integer(i) => Some(i as f64),
        ValueRef::Real(f) => Some(f),
        _ => None,
    };
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(&b),
        (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => matches!(a, ValueRef::Blob(_)).cmp(&matches!(b, ValueRef::Blob(_))),
        },
    }
}

/// `value REGEXP pattern`; the compiled pattern is kept while the statement runs.
fn regexp(context: &Context<'_>) -> Result<Option<bool>> {
    let text = match context.get_raw(1) {
        ValueRef::Null => return Ok(None),
        ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned(),
        ValueRef::Integer(i) => i.to_string(),
        _ => return Err(fail("REGEXP compares text")),
    };
    if matches!(context.get_raw(0), ValueRef::Null) {
        return Ok(None);
    }
    let pattern = context.get_or_create_aux(
        0,
        |value| -> std::result::Result<_, Box<dyn std::error::Error + Send + Sync>> {
            Ok(regex_lite::Regex::new(value.as_str()?)?)
        },
    )?;
    Ok(Some(pattern.is_match(&text)))
}

/// Numerical order of canonical decimal texts; any other number compares too, other text as text.
fn compare_decimals(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (plain(a), plain(b)) {
        (Some(a), Some(b)) => compare_plain(a, b),
        _ => match (
            a.trim().parse::<BigDecimal>(),
            b.trim().parse::<BigDecimal>(),
        ) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            _ => a.cmp(b),
        },
    }
}

type Plain<'a> = (bool, &'a [u8], &'a [u8]);

/// Sign, whole digits without leading zeros, fraction without trailing zeros.
fn plain(text: &str) -> Option<Plain<'_>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty()
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let whole = whole.trim_start_matches('0').as_bytes();
    let fraction = fraction.trim_end_matches('0').as_bytes();
    Some((
        negative && !(whole.is_empty() && fraction.is_empty()),
        whole,
        fraction,
    ))
}

fn compare_plain(a: Plain<'_>, b: Plain<'_>) -> Ordering {
    match (a.0, b.0) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (negative, _) => {
            let magnitude =
                a.1.len()
                    .cmp(&b.1.len())
                    .then_with(|| a.1.cmp(b.1))
                    .then_with(|| a.2.cmp(b.2));
            if negative {
                magnitude.reverse()
            } else {
                magnitude
            }
        }
    }
}

/// Standard deviation by Welford's recurrence.
struct Deviation {
    sample: bool,
}

#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Aggregate<Moments, Option<f64>> for Deviation {
    fn init(&self, _: &mut Context<'_>) -> Result<Moments> {
        Ok(Moments::default())
    }

    fn step(&self, context: &mut Context<'_>, m: &mut Moments) -> Result<()> {
        let x = match context.get_raw(0) {
            ValueRef::Null => return Ok(()),
            ValueRef::Integer(i) => i as f64,
            ValueRef::Real(f) => f,
            ValueRef::Text(t) => std::str::from_utf8(t)
                .ok()
                .and_then(|t| t.trim().parse().ok())
                .ok_or_else(|| fail("a number is expected"))?,
            ValueRef::Blob(_) => return Err(fail("a number is expected")),
        };
        m.count += 1.0;
        let delta = x - m.mean;
        m.mean += delta / m.count;
        m.squares += delta * (x - m.mean);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, m: Option<Moments>) -> Result<Option<f64>> {
        let m = m.unwrap_or_default();
        let divisor = if self.sample { m.count - 1.0 } else { m.count };
        Ok((divisor > 0.0).then(|| (m.squares / divisor).sqrt()))
    }
}

/// Exact sum or mean of decimal texts, as text.
struct DecimalSum {
    mean: bool,
}

impl Aggregate<(u64, BigDecimal), Option<String>> for DecimalSum {
    fn init(&self, _: &mut Context<'_>) -> Result<(u64, BigDecimal)> {
        Ok((0, BigDecimal::from(0)))
    }

    fn step(&self, context: &mut Context<'_>, (count, sum): &mut (u64, BigDecimal)) -> Result<()> {
        let number = match context.get_raw(0) {
            ValueRef::Null => return Ok(()),
            ValueRef::Integer(i) => BigDecimal::from(i),
            // Bounded: an exponent in a damaged file must not make the sum huge.
            ValueRef::Text(t) if t.len() <= 80 => std::str::from_utf8(t)
                .ok()
                .filter(|t| !t.contains(['e', 'E']))
                .and_then(|t| t.trim().parse().ok())
                .ok_or_else(|| fail("a decimal is expected"))?,
            ValueRef::Real(f) => BigDecimal::try_from(f).map_err(|e| fail(e.to_string()))?,
            _ => return Err(fail("a decimal is expected")),
        };
        *count += 1;
        *sum += number;
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        state: Option<(u64, BigDecimal)>,
    ) -> Result<Option<String>> {
        Ok(state
            .filter(|(count, _)| *count > 0)
            .map(|(count, sum)| match self.mean {
                true => (sum / BigDecimal::from(count))
                    .with_prec(30)
                    .normalized()
                    .to_plain_string(),
                false => sum.to_plain_string(),
            }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn one<T: rusqlite::types::FromSql>(sql: &str) -> T {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        connection
            .query_row(&format!("SELECT {sql}"), [], |r| r.get(0))
            .unwrap()
    }

    #[test]
    fn dates_are_taken_apart() {
        assert_eq!(one::<i64>("YEAR('2024-03-05')"), 2024);
        assert_eq!(
            one::<i64>("MONTH('2024-03-05 10:00:00') * 100 + DAY('2024-03-05')"),
            305
        );
        assert_eq!(one::<Option<i64>>("YEAR(NULL)"), None);
        assert_eq!(one::<i64>("length(CURDATE()) + length(NOW())"), 29);
    }

    #[test]
    fn timestampdiff_counts_whole_units() {
        for (unit, from, to, expected) in [
            ("YEAR", "2020-02-29", "2024-02-28", 3),
            ("MONTH", "2024-01-31", "2024-03-01", 1),
            ("DAY", "2024-01-02 00:00:00", "2024-01-01 12:00:00", 0),
            ("DAY", "2024-02-28", "2024-03-01", 2),
            ("HOUR", "2024-01-01", "2024-01-02", 24),
            ("SECOND", "2024-01-01", "2023-12-31", -86400),
        ] {
            assert_eq!(
                one::<i64>(&format!("TIMESTAMPDIFF('{unit}','{from}','{to}')")),
                expected,
                "{unit} {from} {to}"
            );
        }
    }

    #[test]
    fn texts_numbers_and_deviations() {
        assert_eq!(
            one::<String>("LEFT('Grüße', 3) || RIGHT('Grüße', 2)"),
            "Grüße"
        );
        assert_eq!(
            one::<f64>("GREATEST(1, NULL, 3) * 10 + LEAST(5, 2.0, NULL)"),
            32.0
        );
        assert!(one::<bool>("'mouse 12' REGEXP '[0-9]+$'"));
        assert_eq!(one::<f64>("STD(column1) FROM (VALUES (1),(3),(NULL))"), 1.0);
        assert_eq!(one::<f64>("STDDEV(column1) FROM (VALUES (1),(3),(5))"), 2.0);
        assert_eq!(one::<Option<f64>>("STDDEV(1)"), None);
        assert_eq!(
            one::<String>(
                "decimal_sum(column1) FROM (VALUES ('0.10'),('0.20'),('99999999999999999.05'))"
            ),
            "99999999999999999.35"
        );
        assert_eq!(one::<String>("IF(1 > 2, 'a', 'b')"), "b");
        assert_eq!(one::<String>("CONCAT('a', 1, NULL)"), "a1");
    }

    #[test]
    fn decimals_compare_as_numbers() {
        assert!(one::<bool>(
            "'9.50' = '9.5' COLLATE decimal AND '10.00' > '9.4' COLLATE decimal"
        ));
        assert!(one::<bool>(
            "'-10' < '-9.9' COLLATE decimal AND '-0' = '0' COLLATE decimal"
        ));
    }

    proptest! {
        #[test]
        fn the_collation_agrees_with_exact_arithmetic(a in -99999i64..99999, b in -99999i64..99999, places in 0usize..4) {
            let text = |n: i64| format!("{}{}.{:0places$}", if n < 0 { "-" } else { "" }, n.abs() / 1000, n.abs() % 1000, places = 3 + places);
            let (x, y) = (text(a), text(b));
            let exact = x.parse::<BigDecimal>().unwrap().cmp(&y.parse().unwrap());
            prop_assert_eq!(compare_decimals(&x, &y), exact);
        }
    }
}
