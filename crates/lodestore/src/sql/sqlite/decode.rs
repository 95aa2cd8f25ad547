//! Rows into Arrow builders, one per column, without a value in between. This is the hot path of every fetch.
//!
//! A database file may be damaged or written by others: what does not have the form its column says is an error that
//! names the column and the row.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder,
    LargeBinaryBuilder, LargeStringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use bytes::Bytes;
use rusqlite::types::ValueRef;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::OutputColumn;
use crate::value::{Batch, Column, ColumnKind, Value};

/// Collects rows of a running query.
pub(super) struct Decoder {
    names: Arc<[Arc<str>]>,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    /// Rows of earlier batches, for messages.
    before: usize,
}

impl Decoder {
    pub(super) fn new(columns: &[OutputColumn]) -> Decoder {
        Decoder {
            names: columns.iter().map(|c| c.name.clone()).collect(),
            columns: columns.iter().map(|c| ColumnBuilder::new(c.kind)).collect(),
            rows: 0,
            before: 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn push(&mut self, row: &rusqlite::Row<'_>) -> Result<()> {
        for (i, column) in self.columns.iter_mut().enumerate() {
            let value = row.get_ref(i).map_err(|e| super::errors::map(e, ""))?;
            if let Err(found) = column.push(value) {
                return Err(self.mismatch(i, found));
            }
        }
        self.rows += 1;
        Ok(())
    }

    #[cold]
    fn mismatch(&self, column: usize, found: Mismatch) -> Error {
        Error::new(
            ErrorKind::Data,
            format!(
                "the database holds {found}, where {} is expected",
                self.columns[column].expects()
            ),
        )
        .attribute(&*self.names[column])
        .row(self.before + self.rows)
    }

    /// The rows so far as a batch; the decoder is empty again.
    pub(super) fn finish(&mut self) -> Batch {
        let rows = std::mem::take(&mut self.rows);
        self.before += rows;
        Batch {
            names: self.names.clone(),
            columns: self.columns.iter_mut().map(ColumnBuilder::finish).collect(),
            rows,
        }
    }
}

enum ColumnBuilder {
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Text(ColumnKind, LargeStringBuilder),
    Bytes(LargeBinaryBuilder),
    Date(Date32Builder),
    DateTime(TimestampMicrosecondBuilder),
    Time(Time64MicrosecondBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Any(Vec<Value>),
}

/// What was found instead, for the message.
type Mismatch = String;

impl ColumnBuilder {
    fn new(kind: ColumnKind) -> ColumnBuilder {
        match kind {
            ColumnKind::Int => ColumnBuilder::Int(Int64Builder::new()),
            ColumnKind::Float => ColumnBuilder::Float(Float64Builder::new()),
            ColumnKind::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnKind::Text | ColumnKind::Decimal | ColumnKind::Json => {
                ColumnBuilder::Text(kind, LargeStringBuilder::new())
            }
            ColumnKind::Bytes => ColumnBuilder::Bytes(LargeBinaryBuilder::new()),
            ColumnKind::Date => ColumnBuilder::Date(Date32Builder::new()),
            ColumnKind::DateTime => ColumnBuilder::DateTime(TimestampMicrosecondBuilder::new()),
            ColumnKind::Time => ColumnBuilder::Time(Time64MicrosecondBuilder::new()),
            ColumnKind::Uuid => ColumnBuilder::Uuid(FixedSizeBinaryBuilder::new(16)),
            ColumnKind::Any => ColumnBuilder::Any(Vec::new()),
        }
    }

    fn expects(&self) -> &'static str {
        match self {
            ColumnBuilder::Int(_) => "an integer",
            ColumnBuilder::Float(_) => "a number",
            ColumnBuilder::Bool(_) => "0 or 1",
            ColumnBuilder::Text(ColumnKind::Decimal, _) => "a decimal",
            ColumnBuilder::Text(..) => "text",
            ColumnBuilder::Bytes(_) => "bytes",
            ColumnBuilder::Date(_) => "a date (YYYY-MM-DD)",
            ColumnBuilder::DateTime(_) => "a date and time (YYYY-MM-DD HH:MM:SS)",
            ColumnBuilder::Time(_) => "a time (HH:MM:SS)",
            ColumnBuilder::Uuid(_) => "a UUID of 16 bytes",
            ColumnBuilder::Any(_) => "a value",
        }
    }

    #[inline]
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Mismatch> {
        match (self, value) {
            (ColumnBuilder::Int(b), ValueRef::Integer(i)) => b.append_value(i),
            (ColumnBuilder::Int(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Text(_, b), ValueRef::Text(t)) => b.append_value(utf8(t)?),
            (ColumnBuilder::Text(_, b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Float(b), ValueRef::Real(f)) => b.append_value(f),
            (ColumnBuilder::Float(b), ValueRef::Integer(i)) => b.append_value(i as f64),
            (ColumnBuilder::Float(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::DateTime(b), ValueRef::Text(t)) => {
                b.append_value(micros(t).ok_or_else(|| shown(value))?)
            }
            (ColumnBuilder::DateTime(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Date(b), ValueRef::Text(t)) => {
                b.append_value(days(t).ok_or_else(|| shown(value))?)
            }
            (ColumnBuilder::Date(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Bytes(b), ValueRef::Blob(bytes)) => b.append_value(bytes),
            (ColumnBuilder::Bytes(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Bool(b), ValueRef::Integer(i @ (0 | 1))) => b.append_value(i == 1),
            (ColumnBuilder::Bool(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Uuid(b), ValueRef::Blob(bytes)) => {
                b.append_value(bytes).map_err(|_| shown(value))?
            }
            (ColumnBuilder::Uuid(b), ValueRef::Null) => b.append_null(),
            (ColumnBuilder::Time(b), ValueRef::Text(t)) => {
                b.append_value(time_micros(t).ok_or_else(|| shown(value))?)
            }
            (ColumnBuilder::Time(b), ValueRef::Null) => b.append_null(),
            // An expression over a decimal column, such as an aggregate, may be a number.
            (ColumnBuilder::Text(ColumnKind::Decimal, b), ValueRef::Integer(i)) => {
                b.append_value(i.to_string())
            }
            (ColumnBuilder::Text(ColumnKind::Decimal, b), ValueRef::Real(f)) => {
                b.append_value(f.to_string())
            }
            (ColumnBuilder::Any(values), value) => values.push(any(value)?),
            (_, value) => return Err(shown(value)),
        }
        Ok(())
    }

    fn finish(&mut self) -> Column {
        let array: (ColumnKind, ArrayRef) = match self {
            ColumnBuilder::Int(b) => (ColumnKind::Int, Arc::new(b.finish())),
            ColumnBuilder::Float(b) => (ColumnKind::Float, Arc::new(b.finish())),
            ColumnBuilder::Bool(b) => (ColumnKind::Bool, Arc::new(b.finish())),
            ColumnBuilder::Text(kind, b) => (*kind, Arc::new(b.finish())),
            ColumnBuilder::Bytes(b) => (ColumnKind::Bytes, Arc::new(b.finish())),
            ColumnBuilder::Date(b) => (ColumnKind::Date, Arc::new(b.finish())),
            ColumnBuilder::DateTime(b) => (ColumnKind::DateTime, Arc::new(b.finish())),
            ColumnBuilder::Time(b) => (ColumnKind::Time, Arc::new(b.finish())),
            ColumnBuilder::Uuid(b) => (ColumnKind::Uuid, Arc::new(b.finish())),
            ColumnBuilder::Any(values) => return Column::Values(std::mem::take(values)),
        };
        Column::Arrow(array.0, array.1)
    }
}

fn utf8(text: &[u8]) -> Result<&str, Mismatch> {
    std::str::from_utf8(text).map_err(|_| "text that is not UTF-8".to_owned())
}

fn any(value: ValueRef<'_>) -> Result<Value, Mismatch> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Int(i),
        ValueRef::Real(f) => Value::Float(f),
        ValueRef::Text(t) => Value::Text(utf8(t)?.to_owned()),
        ValueRef::Blob(b) => Value::Bytes(Bytes::copy_from_slice(b)),
    })
}

#[cold]
fn shown(value: ValueRef<'_>) -> Mismatch {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(i) => format!("the integer {i}"),
        ValueRef::Real(f) => format!("the number {f}"),
        ValueRef::Text(t) => format!(
            "the text \"{}\"",
            String::from_utf8_lossy(&t[..t.len().min(40)])
        ),
        ValueRef::Blob(b) => format!("{} bytes", b.len()),
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    let mut n = 0_i64;
    for d in digits {
        if !d.is_ascii_digit() {
            return None;
        }
        n = n * 10 + i64::from(d - b'0');
    }
    Some(n)
}

/// Days since 1970-01-01 of exactly `YYYY-MM-DD`; none if there is no such day.
fn days(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (
        number(&text[..4])?,
        number(&text[5..7])?,
        number(&text[8..])?,
    );
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day < 1 || day > last {
        return None;
    }
    // Howard Hinnant's days_from_civil: years begin in March, so that the leap day is the last one.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// Microseconds since midnight of `HH:MM:SS` with up to six digits after a point.
fn time_micros(text: &[u8]) -> Option<i64> {
    if text.len() < 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (
        number(&text[..2])?,
        number(&text[3..5])?,
        number(&text[6..8])?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match &text[8..] {
        [] => 0,
        [b'.', digits @ ..] if !digits.is_empty() && digits.len() <= 6 => {
            number(digits)? * 10_i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

/// Microseconds since the epoch of a date and time, or of a date alone.
fn micros(text: &[u8]) -> Option<i64> {
    let day = i64::from(days(text.get(..10)?)?) * 86_400_000_000;
    match text.get(10) {
        None => Some(day),
        Some(b' ' | b'T') => Some(day + time_micros(&text[11..])?),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use jiff::civil::{Date, DateTime};
    use proptest::prelude::*;

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for bad in [
            "2023-02-29",
            "2024-02-30",
            "2024-13-01",
            "2024-00-10",
            "2024-04-31",
            "24-01-01",
            "2024-1-01x",
            "",
        ] {
            assert_eq!(days(bad.as_bytes()), None, "{bad}");
        }
        for bad in [
            "2024-01-01 24:00:00",
            "2024-01-01 10:00",
            "2024-01-01 10:00:00.",
            "2024-01-01 10:00:00.1234567",
            "2024-01-01x10:00:00",
        ] {
            assert_eq!(micros(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn decoding_reverses_the_stored_text(day in -700_000i32..2_900_000, micro in 0i64..86_400_000_000) {
            let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            prop_assert_eq!(days(crate::sql::convert::date_text(date).as_bytes()), Some(day));
            let time: DateTime = date.to_datetime(jiff::civil::Time::midnight()) .checked_add(jiff::Span::new().microseconds(micro)).unwrap();
            let text = crate::sql::convert::datetime_text(time, None);
            prop_assert_eq!(micros(text.as_bytes()), Some(i64::from(day) * 86_400_000_000 + micro));
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = (days(&text), micros(&text), time_micros(&text));
        }
    }
}
