//! One Arrow builder per fetched column, and temporal text in bytes. What a database's decoder appends to.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder,
    LargeBinaryBuilder, LargeStringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};

use crate::value::{Column, ColumnKind, Value};

/// Collects the values of one column.
pub(in crate::sql) enum ColumnBuilder {
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

impl ColumnBuilder {
    pub(in crate::sql) fn new(kind: ColumnKind) -> ColumnBuilder {
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

    /// What it takes, for messages.
    pub(in crate::sql) fn expects(&self) -> &'static str {
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

    /// The column so far; the builder is empty again.
    pub(in crate::sql) fn finish(&mut self) -> Column {
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
pub(in crate::sql) fn days(text: &[u8]) -> Option<i32> {
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
pub(in crate::sql) fn time_micros(text: &[u8]) -> Option<i64> {
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
pub(in crate::sql) fn micros(text: &[u8]) -> Option<i64> {
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
