//! Values against column types: what every backend checks alike before any SQL (spec: manipulation §12.6).
//!
//! [`check`] answers with the value in the type's own terms (an `Int` for integers, canonical decimal text, a
//! `DateTime` rounded to the declared digits). How that is spelled in a particular database is the dialect's business.

use std::borrow::Cow;

use jiff::Unit;
use jiff::civil::{Date, DateTime, DateTimeRound, Time};
use uuid::Uuid;

use crate::definition::{CoreType, NativeKind, NativeType, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Json, Value};

/// Checks a value against a column type.
///
/// Missing-value spellings become [`Value::Null`]: NaN everywhere. Nothing is truncated: what does not fit is an error
/// of kind [`ErrorKind::Data`]. Rounded are only decimals, float32 and fractions of seconds, as servers do.
pub fn check<'a>(storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>> {
    if let Value::Null = value {
        return Ok(Cow::Borrowed(value));
    }
    if is_missing(value) {
        return Ok(Cow::Owned(Value::Null));
    }
    match storage {
        StorageType::Core(core) => check_core(core, value),
        StorageType::Native(native) => check_native(native, value),
    }
}

/// Fractional digits of a temporal type, `None` if any number is kept (plain `datetime`).
pub fn fraction_digits(storage: &StorageType) -> Option<u8> {
    match storage {
        StorageType::Core(CoreType::DateTime(n)) => *n,
        StorageType::Native(n) if matches!(n.kind, NativeKind::Time | NativeKind::Timestamp) => {
            Some(written_digits(&n.text).unwrap_or(0))
        }
        _ => None,
    }
}

/// The number in the parentheses of a native type's text.
fn written_digits(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once('(')?;
    rest.split_once(')')?
        .0
        .trim()
        .parse()
        .ok()
        .filter(|n| *n <= 6)
}

/// NaN and what stands for it.
fn is_missing(value: &Value) -> bool {
    match value {
        Value::Float(f) => f.is_nan(),
        Value::Decimal(d) => {
            let d = d.trim_start_matches(['+', '-']);
            d.eq_ignore_ascii_case("nan") || d.eq_ignore_ascii_case("snan")
        }
        _ => false,
    }
}

fn check_core<'a>(core: &CoreType, value: &'a Value) -> Result<Cow<'a, Value>> {
    match core {
        CoreType::Int8 => integer(value, i8::MIN.into(), i8::MAX.into(), "int8"),
        CoreType::Int16 => integer(value, i16::MIN.into(), i16::MAX.into(), "int16"),
        CoreType::Int32 => integer(value, i32::MIN.into(), i32::MAX.into(), "int32"),
        CoreType::Int64 => integer(value, i64::MIN, i64::MAX, "int64"),
        CoreType::Float32 => float(value, true, "float32"),
        CoreType::Float64 => float(value, false, "float64"),
        CoreType::Bool => boolean(value),
        CoreType::Decimal { precision, scale } => decimal(value, *precision, *scale),
        CoreType::Char(n) => text(value, Some(*n), true),
        CoreType::Varchar(n) => text(value, Some(*n), false),
        CoreType::Enum(values) => enumeration(value, values),
        CoreType::Date => date(value),
        CoreType::DateTime(digits) => datetime(value, *digits),
        CoreType::Json => json(value),
        CoreType::Uuid => uuid(value),
        CoreType::Bytes => bytes(value),
    }
}

fn check_native<'a>(native: &NativeType, value: &'a Value) -> Result<Cow<'a, Value>> {
    match &native.kind {
        NativeKind::Int { min, max, .. } => integer(value, *min, *max, &native.text),
        NativeKind::UnsignedBig { .. } => integer(value, 0, i64::MAX, &native.text),
        NativeKind::Float => float(value, native.text.starts_with("float"), &native.text),
        NativeKind::Decimal {
            precision,
            scale,
            unsigned,
        } => {
            let checked = decimal(value, *precision, *scale)?;
            match &*checked {
                Value::Decimal(d) if *unsigned && d.starts_with('-') => Err(data(format!(
                    "{d} is negative, but the type is `{}`",
                    native.text
                ))),
                _ => Ok(checked),
            }
        }
        NativeKind::Text { max_chars } => text(value, *max_chars, native.text.starts_with("char")),
        NativeKind::Blob => bytes(value),
        NativeKind::Time => time(value, written_digits(&native.text).unwrap_or(0)),
        NativeKind::Timestamp => datetime(value, Some(written_digits(&native.text).unwrap_or(0))),
        NativeKind::Year => integer(value, 1901, 2155, "year"),
    }
}

fn data(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, message)
}

fn wrong(value: &Value, expected: &str) -> Error {
    data(format!("{} is not {expected}", show(value)))
}

/// A value for a message: its type, and its text if that is short.
fn show(value: &Value) -> String {
    let text = match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Text(s) => format!("\"{s}\""),
        Value::Date(d) => d.to_string(),
        Value::Time(t) => t.to_string(),
        Value::DateTime(d) => d.to_string(),
        Value::Decimal(d) => d.clone(),
        Value::Uuid(u) => u.to_string(),
        Value::Json(j) => j.to_string(),
        other => return format!("a value of type {}", other.type_name()),
    };
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn integer<'a>(value: &'a Value, min: i64, max: i64, type_: &str) -> Result<Cow<'a, Value>> {
    let n = match value {
        Value::Int(i) => *i,
        Value::Bool(b) => i64::from(*b),
        Value::Float(f) => {
            if f.fract() != 0.0 || !f.is_finite() {
                return Err(
                    wrong(value, &format!("an integer (`{type_}`)")).hint("Round it first.")
                );
            }
            // 2^63 is exactly representable, so the comparison is exact.
            if *f < -9_223_372_036_854_775_808.0 || *f >= 9_223_372_036_854_775_808.0 {
                return Err(out_of_range(value, min, max, type_));
            }
            *f as i64
        }
        Value::BigInt(_) => {
            return Err(data(format!(
                "the integer is out of range of `{type_}` ({min} to {max})"
            )));
        }
        Value::Text(s) | Value::Decimal(s) => match parse_integer(s) {
            Some(n) => n,
            None => return Err(wrong(value, &format!("an integer (`{type_}`)"))),
        },
        _ => return Err(wrong(value, &format!("an integer (`{type_}`)"))),
    };
    if n < min || n > max {
        return Err(out_of_range(value, min, max, type_));
    }
    Ok(match value {
        Value::Int(_) => Cow::Borrowed(value),
        _ => Cow::Owned(Value::Int(n)),
    })
}

fn out_of_range(value: &Value, min: i64, max: i64, type_: &str) -> Error {
    data(format!(
        "{} is out of range of `{type_}` ({min} to {max})",
        show(value)
    ))
}

fn parse_integer(s: &str) -> Option<i64> {
    let s = s.trim();
    if let Ok(n) = s.parse() {
        return Some(n);
    }
    let (number, rounded) = canonical_decimal(s, 19, 0)?;
    if rounded { None } else { number.parse().ok() }
}

fn float<'a>(value: &'a Value, single: bool, type_: &str) -> Result<Cow<'a, Value>> {
    let f = match value {
        Value::Float(f) => *f,
        Value::Int(i) => *i as f64,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Text(s) | Value::Decimal(s) => match s.trim().parse::<f64>() {
            Ok(f) if f.is_nan() => return Ok(Cow::Owned(Value::Null)),
            Ok(f) => f,
            Err(_) => return Err(wrong(value, &format!("a number (`{type_}`)"))),
        },
        _ => return Err(wrong(value, &format!("a number (`{type_}`)"))),
    };
    let f = if single {
        let short = f as f32;
        if short.is_infinite() && f.is_finite() {
            return Err(data(format!(
                "{} is out of range of `{type_}`",
                show(value)
            )));
        }
        f64::from(short)
    } else {
        f
    };
    Ok(Cow::Owned(Value::Float(f)))
}

fn boolean(value: &Value) -> Result<Cow<'_, Value>> {
    let b = match value {
        Value::Bool(_) => return Ok(Cow::Borrowed(value)),
        Value::Int(0) => false,
        Value::Int(1) => true,
        Value::Float(f) if *f == 0.0 => false,
        Value::Float(f) if *f == 1.0 => true,
        Value::Text(s) => match s.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "on" => true,
            "false" | "f" | "0" | "no" | "off" => false,
            _ => return Err(wrong(value, "a truth value (`bool`)")),
        },
        _ => return Err(wrong(value, "a truth value (`bool`)")),
    };
    Ok(Cow::Owned(Value::Bool(b)))
}

fn decimal(value: &Value, precision: u32, scale: u32) -> Result<Cow<'_, Value>> {
    let owned;
    let text = match value {
        Value::Decimal(s) | Value::Text(s) => s.trim(),
        Value::Int(i) => {
            owned = i.to_string();
            &owned
        }
        Value::Bool(b) => {
            if *b {
                "1"
            } else {
                "0"
            }
        }
        // The shortest text that reads back as the same double: what the person typed.
        Value::Float(f) if f.is_finite() => {
            owned = format!("{f:e}");
            &owned
        }
        _ => {
            return Err(wrong(
                value,
                &format!("a number (`decimal({precision},{scale})`)"),
            ));
        }
    };
    match canonical_decimal(text, precision, scale) {
        Some((canonical, _)) => Ok(match value {
            Value::Decimal(s) if *s == canonical => Cow::Borrowed(value),
            _ => Cow::Owned(Value::Decimal(canonical)),
        }),
        None if is_decimal_text(text) => Err(data(format!(
            "{} is out of range of `decimal({precision},{scale})`",
            show(value)
        ))),
        None => Err(wrong(
            value,
            &format!("a number (`decimal({precision},{scale})`)"),
        )),
    }
}

fn is_decimal_text(text: &str) -> bool {
    split_decimal(text).is_some()
}

/// Sign, digits without the point, and the number of digits after the point (may be negative).
fn split_decimal(text: &str) -> Option<(bool, Vec<u8>, i64)> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((
        negative,
        digits,
        fraction.len() as i64 - i64::from(exponent),
    ))
}

/// The canonical text of a decimal with exactly `scale` digits after the point, and whether digits were rounded away
/// (half away from zero). None if it is not a number or has more than `precision` digits.
pub fn canonical_decimal(text: &str, precision: u32, scale: u32) -> Option<(String, bool)> {
    let (negative, digits, places) = split_decimal(text.trim())?;
    let start = digits
        .iter()
        .position(|d| *d != b'0')
        .unwrap_or(digits.len());
    let mut digits: Vec<u8> = digits[start..].to_vec();
    let (precision, scale) = (precision as usize, scale as usize);
    let mut rounded = false;
    if digits.is_empty() {
        digits.push(b'0');
    } else if places > scale as i64 {
        let excess = usize::try_from(places - scale as i64).ok()?;
        if excess > digits.len() {
            rounded = true;
            digits = vec![b'0'];
        } else {
            let keep = digits.len() - excess;
            rounded = digits[keep..].iter().any(|d| *d != b'0');
            let up = digits[keep] >= b'5';
            digits.truncate(keep);
            if up {
                let mut at = keep;
                loop {
                    if at == 0 {
                        digits.insert(0, b'1');
                        break;
                    }
                    at -= 1;
                    if digits[at] == b'9' {
                        digits[at] = b'0';
                    } else {
                        digits[at] += 1;
                        break;
                    }
                }
            }
        }
    } else {
        let missing = usize::try_from(scale as i64 - places).ok()?;
        // Checked before allocating: an exponent may be huge.
        if digits.len().saturating_add(missing) > precision {
            return None;
        }
        digits.resize(digits.len() + missing, b'0');
    }
    let start = digits
        .iter()
        .position(|d| *d != b'0')
        .unwrap_or(digits.len());
    let digits = &digits[start..];
    if digits.len() > precision {
        return None;
    }
    let zero = digits.is_empty();
    let mut out = String::with_capacity(digits.len() + 3);
    if negative && !zero {
        out.push('-');
    }
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.push('0');
    }
    out.extend(digits[..whole].iter().map(|d| char::from(*d)));
    if scale > 0 {
        out.push('.');
        out.extend(std::iter::repeat_n('0', scale - (digits.len() - whole)));
        out.extend(digits[whole..].iter().map(|d| char::from(*d)));
    }
    Some((out, rounded))
}

fn text(value: &Value, max: Option<u32>, strip: bool) -> Result<Cow<'_, Value>> {
    let checked: Cow<'_, Value> = match value {
        Value::Text(s) if strip && s.ends_with(' ') => {
            Cow::Owned(Value::Text(s.trim_end_matches(' ').to_owned()))
        }
        Value::Text(_) => Cow::Borrowed(value),
        Value::Int(i) => Cow::Owned(Value::Text(i.to_string())),
        Value::Float(f) => Cow::Owned(Value::Text(float_text(*f))),
        Value::Decimal(d) => Cow::Owned(Value::Text(d.clone())),
        Value::Date(d) => Cow::Owned(Value::Text(date_text(*d))),
        Value::DateTime(d) => Cow::Owned(Value::Text(datetime_text(*d, None))),
        Value::Time(t) => Cow::Owned(Value::Text(time_text(*t, None))),
        Value::Uuid(u) => Cow::Owned(Value::Text(u.to_string())),
        Value::Json(j) => Cow::Owned(Value::Text(j.as_str().to_owned())),
        Value::Path(p) => Cow::Owned(Value::Text(p.display().to_string())),
        _ => return Err(wrong(value, "text")),
    };
    if let Value::Text(s) = &*checked {
        if let Some(max) = max.map(|m| m as usize)
            && s.len() > max
        {
            let length = s.chars().count();
            if length > max {
                return Err(data(format!(
                    "{} has {length} characters, the limit is {max}",
                    show(value)
                )));
            }
        }
        if s.contains('\0') {
            return Err(data("text may not hold the character NUL"));
        }
    }
    Ok(checked)
}

fn float_text(f: f64) -> String {
    // As Python's `str` does: a float always shows that it is one.
    format!("{f:?}")
}

fn enumeration<'a>(value: &'a Value, values: &[String]) -> Result<Cow<'a, Value>> {
    let checked = text(value, None, false)?;
    if let Value::Text(s) = &*checked
        && !values.contains(s)
    {
        let error = data(format!(
            "{} is not one of the values {}",
            show(value),
            values.join(", ")
        ));
        return Err(
            match crate::error::did_you_mean(s, values.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error,
            },
        );
    }
    Ok(checked)
}

fn date(value: &Value) -> Result<Cow<'_, Value>> {
    let d = match value {
        Value::Date(d) if d.year() >= 0 => return Ok(Cow::Borrowed(value)),
        Value::DateTime(d) if d.time() == Time::midnight() => d.date(),
        Value::DateTime(_) => return Err(wrong(value, "a date: it has a time of day")),
        Value::Text(s) => match parse_datetime(s) {
            Some(d) if d.time() == Time::midnight() => d.date(),
            _ => return Err(wrong(value, "a date (YYYY-MM-DD)")),
        },
        _ => return Err(wrong(value, "a date")),
    };
    Ok(Cow::Owned(Value::Date(d)))
}

fn datetime(value: &Value, digits: Option<u8>) -> Result<Cow<'_, Value>> {
    let given = match value {
        Value::DateTime(d) => *d,
        Value::Date(d) => d.to_datetime(Time::midnight()),
        Value::Text(s) => parse_datetime(s)
            .ok_or_else(|| wrong(value, "a date and time (YYYY-MM-DD HH:MM:SS)"))?,
        _ => return Err(wrong(value, "a date and time")),
    };
    if given.year() < 0 {
        return Err(wrong(value, "a date in the years 0 to 9999"));
    }
    let rounded = round(given, digits.unwrap_or(6))
        .map_err(|_| wrong(value, "a date in the years 0 to 9999"))?;
    Ok(match value {
        Value::DateTime(d) if *d == rounded => Cow::Borrowed(value),
        _ => Cow::Owned(Value::DateTime(rounded)),
    })
}

fn round(given: DateTime, digits: u8) -> Result<DateTime, jiff::Error> {
    let unit = 10_i32.pow(9 - u32::from(digits.min(6)));
    if given.subsec_nanosecond() % unit == 0 {
        return Ok(given);
    }
    let (smallest, increment) = match digits {
        0 => (Unit::Second, 1),
        1..=3 => (Unit::Millisecond, 10_i64.pow(3 - u32::from(digits))),
        _ => (Unit::Microsecond, 10_i64.pow(6 - u32::from(digits.min(6)))),
    };
    given.round(DateTimeRound::new().smallest(smallest).increment(increment))
}

fn time(value: &Value, digits: u8) -> Result<Cow<'_, Value>> {
    let t = match value {
        Value::Time(t) => *t,
        Value::Text(s) => s
            .trim()
            .parse::<Time>()
            .map_err(|_| wrong(value, "a time of day (HH:MM:SS)"))?,
        _ => return Err(wrong(value, "a time of day")),
    };
    // Rounded as a date-time, so that rounding up past midnight is noticed.
    let day = Date::constant(2000, 1, 1);
    let rounded = round(day.to_datetime(t), digits).map_err(|_| wrong(value, "a time of day"))?;
    if rounded.date() != day {
        return Err(wrong(value, "a time of day after rounding"));
    }
    Ok(Cow::Owned(Value::Time(rounded.time())))
}

/// Reads a date or a date and time, with `T` or a blank between, and converts an offset to UTC.
pub fn parse_datetime(s: &str) -> Option<DateTime> {
    let s = s.trim();
    if !s.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    if s.len() == 10 {
        return s
            .parse::<Date>()
            .ok()
            .map(|d| d.to_datetime(Time::midnight()));
    }
    let zoned = s
        .get(10..)
        .is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']));
    if zoned {
        let stamp: jiff::Timestamp = s.parse().ok()?;
        return Some(jiff::tz::Offset::UTC.to_datetime(stamp));
    }
    s.parse().ok()
}

fn json(value: &Value) -> Result<Cow<'_, Value>> {
    match value {
        Value::Json(j) => {
            Json::checked(j.as_str()).map_err(|e| e.with_kind(ErrorKind::Data))?;
            Ok(Cow::Borrowed(value))
        }
        _ => Ok(Cow::Owned(Value::Json(Json::from(to_json(value, 0)?)))),
    }
}

/// A value as JSON document (what Python's `json.dumps` accepts).
fn to_json(value: &Value, depth: usize) -> Result<serde_json::Value> {
    use serde_json::Value as J;
    if depth > 200 {
        return Err(data("the value is nested too deeply for JSON"));
    }
    Ok(match value {
        Value::Null => J::Null,
        Value::Bool(b) => J::Bool(*b),
        Value::Int(i) => J::from(*i),
        Value::Float(f) => match serde_json::Number::from_f64(*f) {
            Some(n) => J::Number(n),
            None => return Err(data(format!("{f} cannot be written as JSON"))),
        },
        Value::Text(s) => J::String(s.clone()),
        Value::Json(j) => j.parse().map_err(|e| e.with_kind(ErrorKind::Data))?,
        Value::List(items) | Value::Tuple(items) => J::Array(
            items
                .iter()
                .map(|v| to_json(v, depth + 1))
                .collect::<Result<_>>()?,
        ),
        Value::Map(entries) => {
            let mut map = serde_json::Map::new();
            for (key, item) in entries {
                let Value::Text(key) = key else {
                    return Err(data(format!(
                        "a JSON object needs text keys, not {}",
                        key.type_name()
                    )));
                };
                map.insert(key.clone(), to_json(item, depth + 1)?);
            }
            J::Object(map)
        }
        other => {
            return Err(data(format!(
                "a value of type {} cannot be written as JSON",
                other.type_name()
            )));
        }
    })
}

fn uuid(value: &Value) -> Result<Cow<'_, Value>> {
    match value {
        Value::Uuid(_) => Ok(Cow::Borrowed(value)),
        Value::Text(s) => match Uuid::try_parse(s.trim()) {
            Ok(u) => Ok(Cow::Owned(Value::Uuid(u))),
            Err(_) => Err(wrong(value, "a UUID")),
        },
        _ => Err(wrong(value, "a UUID")),
    }
}

fn bytes(value: &Value) -> Result<Cow<'_, Value>> {
    match value {
        Value::Bytes(_) => Ok(Cow::Borrowed(value)),
        _ => {
            Err(wrong(value, "bytes")
                .hint("Declare the attribute as `<blob>` to store other objects."))
        }
    }
}

/// `YYYY-MM-DD`.
pub fn date_text(d: Date) -> String {
    let mut out = String::with_capacity(10);
    push_date(&mut out, d);
    out
}

/// `HH:MM:SS` with exactly so many digits; without a number, six digits if the fraction is not zero.
pub fn time_text(t: Time, digits: Option<u8>) -> String {
    let mut out = String::with_capacity(15);
    push_time(&mut out, t, digits);
    out
}

/// `YYYY-MM-DD HH:MM:SS` with exactly so many digits; without a number, six digits if the fraction is not zero.
pub fn datetime_text(d: DateTime, digits: Option<u8>) -> String {
    let mut out = String::with_capacity(26);
    push_date(&mut out, d.date());
    out.push(' ');
    push_time(&mut out, d.time(), digits);
    out
}

fn push_date(out: &mut String, d: Date) {
    // The years are 1 to 9999.
    push_digits(out, d.year().unsigned_abs().into(), 4);
    out.push('-');
    push_digits(out, d.month().unsigned_abs().into(), 2);
    out.push('-');
    push_digits(out, d.day().unsigned_abs().into(), 2);
}

fn push_time(out: &mut String, t: Time, digits: Option<u8>) {
    push_digits(out, t.hour().unsigned_abs().into(), 2);
    out.push(':');
    push_digits(out, t.minute().unsigned_abs().into(), 2);
    out.push(':');
    push_digits(out, t.second().unsigned_abs().into(), 2);
    let micros = t.subsec_nanosecond().unsigned_abs() / 1000;
    let digits = u32::from(digits.unwrap_or(if micros == 0 { 0 } else { 6 }).min(6));
    if digits > 0 {
        out.push('.');
        push_digits(out, micros / 10u32.pow(6 - digits), digits);
    }
}

/// A number below `10^width`, with leading zeros. (The formatting machinery takes a tenth of a bulk insert.)
fn push_digits(out: &mut String, number: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10u32.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn core(core: CoreType, value: impl Into<Value>) -> Result<Value> {
        check(&StorageType::Core(core), &value.into()).map(Cow::into_owned)
    }

    #[test]
    fn decimals_are_canonical_text_rounded_half_away_from_zero() {
        let cases = [
            ("0", "0.00"),
            ("-0", "0.00"),
            ("007.5", "7.50"),
            ("1e2", "100.00"),
            ("2.345", "2.35"),
            ("-2.345", "-2.35"),
            ("9.994", "9.99"),
            ("0.005", "0.01"),
            (".5", "0.50"),
            ("-0.004", "0.00"),
            ("1E-400", "0.00"),
            ("99999.994", "99999.99"),
        ];
        for (given, expected) in cases {
            assert_eq!(
                canonical_decimal(given, 7, 2).unwrap().0,
                expected,
                "{given}"
            );
        }
        for bad in [
            "99999.995",
            "1e5",
            "1e999999999",
            "",
            "-",
            ".",
            "1.2.3",
            "abc",
            "0x1",
        ] {
            assert!(canonical_decimal(bad, 7, 2).is_none(), "{bad}");
        }
    }

    #[test]
    fn integers_are_neither_truncated_nor_wrapped() {
        assert!(matches!(core(CoreType::Int8, 127), Ok(Value::Int(127))));
        assert!(matches!(core(CoreType::Int32, "12"), Ok(Value::Int(12))));
        assert!(matches!(core(CoreType::Int32, 3.0), Ok(Value::Int(3))));
        for bad in [
            Value::from(128),
            Value::from(2.7),
            Value::from("x"),
            Value::from(1e300),
            Value::BigInt(vec![0; 9]),
        ] {
            assert_eq!(
                core(CoreType::Int8, bad).unwrap_err().kind(),
                ErrorKind::Data
            );
        }
    }

    #[test]
    fn lengths_count_characters_and_enums_are_exact() {
        assert!(core(CoreType::Varchar(3), "äöü").is_ok());
        assert!(
            core(CoreType::Varchar(3), "abcd")
                .unwrap_err()
                .message()
                .contains("4 characters")
        );
        assert!(matches!(core(CoreType::Char(3), "ab ").unwrap(), Value::Text(s) if s == "ab"));
        let sexes = CoreType::Enum(vec!["M".into(), "F".into()]);
        assert!(core(sexes.clone(), "M").is_ok());
        assert_eq!(core(sexes, "m").unwrap_err().kind(), ErrorKind::Data);
        assert!(core(CoreType::Varchar(9), "a\0b").is_err());
    }

    #[test]
    fn times_are_rounded_to_the_declared_digits() {
        let given = "2024-12-31 23:59:59.9996";
        let Value::DateTime(d) = core(CoreType::DateTime(Some(3)), given).unwrap() else {
            panic!()
        };
        assert_eq!(datetime_text(d, Some(3)), "2025-01-01 00:00:00.000");
        let Value::DateTime(d) = core(CoreType::DateTime(None), given).unwrap() else {
            panic!()
        };
        assert_eq!(datetime_text(d, None), "2024-12-31 23:59:59.999600");
        let Value::DateTime(d) =
            core(CoreType::DateTime(None), "2024-05-01T10:00:00+02:00").unwrap()
        else {
            panic!()
        };
        assert_eq!(datetime_text(d, None), "2024-05-01 08:00:00");
        assert!(core(CoreType::Date, "2024-02-31").is_err());
        assert!(core(CoreType::Date, "2024-02-29 12:00:00").is_err());
    }

    #[test]
    fn missing_numbers_become_null() {
        assert!(core(CoreType::Float64, f64::NAN).unwrap().is_null());
        assert!(core(CoreType::Varchar(4), f64::NAN).unwrap().is_null());
        assert!(
            core(
                CoreType::Decimal {
                    precision: 5,
                    scale: 1
                },
                Value::Decimal("NaN".into())
            )
            .unwrap()
            .is_null()
        );
        assert!(
            matches!(core(CoreType::Float64, f64::INFINITY).unwrap(), Value::Float(f) if f.is_infinite())
        );
    }

    proptest! {
        #[test]
        fn canonical_decimals_do_not_change_again(whole in 0u64..10_000_000, fraction in 0u32..1000, negative: bool) {
            let text = format!("{}{whole}.{fraction:03}", if negative { "-" } else { "" });
            let (once, _) = canonical_decimal(&text, 12, 2).unwrap();
            prop_assert_eq!(canonical_decimal(&once, 12, 2).unwrap(), (once.clone(), false));
            let difference = once.parse::<f64>().unwrap() - text.parse::<f64>().unwrap();
            prop_assert!(difference.abs() < 0.0051);
        }
    }
}
