//! Rows into Arrow builders, one per column. What does not have the form its column says is an error that names the
//! column and the row.

use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::{Date, DateTime, Time};
use mysql::consts::{ColumnFlags, ColumnType};
use mysql::{Column, Row, Value as SqlValue};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::OutputColumn;
use crate::sql::builders::{ColumnBuilder, days, micros, time_micros};
use crate::value::{Batch, ColumnKind, Json, Value};

/// Collects rows of a running query.
pub(super) struct Decoder {
    names: Arc<[Arc<str>]>,
    columns: Vec<ColumnBuilder>,
    sources: Vec<Source>,
    rows: usize,
    /// Rows of earlier batches, for messages.
    before: usize,
}

/// What the server says about a column.
#[derive(Debug, Clone, Copy)]
struct Source {
    type_: ColumnType,
    /// Bytes and not text.
    binary: bool,
}

/// The character set of bytes.
const BINARY: u16 = 63;

impl Decoder {
    /// For the columns that are expected, or for those that there are.
    pub(super) fn new(expected: Option<&[OutputColumn]>, found: &[Column]) -> Result<Decoder> {
        let sources = found.iter().map(Source::of).collect();
        let (names, columns) = match expected {
            Some(expected) if expected.len() != found.len() => {
                return Err(Error::new(
                    ErrorKind::Query,
                    format!(
                        "the query gives {} columns, {} are expected",
                        found.len(),
                        expected.len()
                    ),
                ));
            }
            Some(expected) => (
                expected.iter().map(|c| c.name.clone()).collect(),
                expected
                    .iter()
                    .map(|c| ColumnBuilder::new(c.kind))
                    .collect(),
            ),
            None => (
                found.iter().map(|c| Arc::from(&*c.name_str())).collect(),
                found
                    .iter()
                    .map(|_| ColumnBuilder::new(ColumnKind::Any))
                    .collect(),
            ),
        };
        Ok(Decoder {
            names,
            columns,
            sources,
            rows: 0,
            before: 0,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn push(&mut self, row: Row) -> Result<()> {
        let values = row.unwrap_raw().into_iter();
        for (i, (value, source)) in values.zip(&self.sources).enumerate() {
            let value = value.unwrap_or(SqlValue::NULL);
            if let Err(found) = push(&mut self.columns[i], *source, value) {
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

impl Source {
    fn of(column: &Column) -> Source {
        Source {
            type_: column.column_type(),
            // The flag alone also marks texts of a binary collation.
            binary: column.character_set() == BINARY
                && !column
                    .flags()
                    .intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG),
        }
    }

    fn is_decimal(self) -> bool {
        matches!(
            self.type_,
            ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL
        )
    }
}

/// What was found instead, for the message.
type Mismatch = String;

#[inline]
fn push(column: &mut ColumnBuilder, source: Source, value: SqlValue) -> Result<(), Mismatch> {
    match (column, value) {
        (ColumnBuilder::Any(values), value) => values.push(any(source, value)?),
        (ColumnBuilder::Int(b), SqlValue::Int(i)) => b.append_value(i),
        (ColumnBuilder::Int(b), SqlValue::UInt(i)) => {
            b.append_value(i64::try_from(i).map_err(|_| format!("the integer {i}"))?)
        }
        // Sums of integers are decimals here.
        (ColumnBuilder::Int(b), SqlValue::Bytes(t)) if source.is_decimal() => {
            let text = utf8(&t)?;
            let whole = text
                .split_once('.')
                .map_or(Some(text), |(whole, fraction)| {
                    fraction.bytes().all(|b| b == b'0').then_some(whole)
                });
            match whole.and_then(|w| w.parse().ok()) {
                Some(i) => b.append_value(i),
                None => return Err(format!("the decimal {text}")),
            }
        }
        (ColumnBuilder::Int(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::Float(b), SqlValue::Double(f)) => b.append_value(f),
        (ColumnBuilder::Float(b), SqlValue::Float(f)) => b.append_value(f.into()),
        (ColumnBuilder::Float(b), SqlValue::Int(i)) => b.append_value(i as f64),
        (ColumnBuilder::Float(b), SqlValue::UInt(i)) => b.append_value(i as f64),
        (ColumnBuilder::Float(b), SqlValue::Bytes(t)) if source.is_decimal() => b.append_value(
            utf8(&t)?
                .parse()
                .map_err(|_| shown(source, &SqlValue::Bytes(t.clone())))?,
        ),
        (ColumnBuilder::Float(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::Bool(b), SqlValue::Int(i @ (0 | 1))) => b.append_value(i == 1),
        (ColumnBuilder::Bool(b), SqlValue::UInt(i @ (0 | 1))) => b.append_value(i == 1),
        (ColumnBuilder::Bool(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::Text(_, b), SqlValue::Bytes(t)) => b.append_value(utf8(&t)?),
        (ColumnBuilder::Text(_, b), SqlValue::NULL) => b.append_null(),
        // An expression over a decimal column may be a number of another kind.
        (ColumnBuilder::Text(ColumnKind::Decimal, b), SqlValue::Int(i)) => {
            b.append_value(i.to_string())
        }
        (ColumnBuilder::Text(ColumnKind::Decimal, b), SqlValue::UInt(i)) => {
            b.append_value(i.to_string())
        }
        (ColumnBuilder::Text(ColumnKind::Decimal, b), SqlValue::Double(f)) => {
            b.append_value(f.to_string())
        }
        (ColumnBuilder::Bytes(b), SqlValue::Bytes(bytes)) if source.binary => b.append_value(bytes),
        (ColumnBuilder::Bytes(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::Uuid(b), SqlValue::Bytes(bytes)) => b
            .append_value(&bytes)
            .map_err(|_| format!("{} bytes", bytes.len()))?,
        (ColumnBuilder::Uuid(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::Date(b), value @ SqlValue::Date(y, m, d, 0, 0, 0, 0)) => {
            b.append_value(day(y, m, d).ok_or_else(|| shown(source, &value))?)
        }
        (ColumnBuilder::Date(b), SqlValue::Bytes(t)) => {
            b.append_value(days(&t).ok_or_else(|| shown(source, &SqlValue::Bytes(t.clone())))?)
        }
        (ColumnBuilder::Date(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::DateTime(b), value @ SqlValue::Date(y, m, d, hour, minute, second, us)) => {
            let day = day(y, m, d).ok_or_else(|| shown(source, &value))?;
            let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
            b.append_value(i64::from(day) * 86_400_000_000 + seconds * 1_000_000 + i64::from(us))
        }
        (ColumnBuilder::DateTime(b), SqlValue::Bytes(t)) => {
            b.append_value(micros(&t).ok_or_else(|| shown(source, &SqlValue::Bytes(t.clone())))?)
        }
        (ColumnBuilder::DateTime(b), SqlValue::NULL) => b.append_null(),
        (ColumnBuilder::Time(b), SqlValue::Time(false, 0, hour, minute, second, us))
            if hour < 24 =>
        {
            let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
            b.append_value(seconds * 1_000_000 + i64::from(us))
        }
        (ColumnBuilder::Time(b), SqlValue::Bytes(t)) => b.append_value(
            time_micros(&t).ok_or_else(|| shown(source, &SqlValue::Bytes(t.clone())))?,
        ),
        (ColumnBuilder::Time(b), SqlValue::NULL) => b.append_null(),
        (_, value) => return Err(shown(source, &value)),
    }
    Ok(())
}

/// Days since 1970-01-01; none for a day that does not exist, as `0000-00-00`.
fn day(year: u16, month: u8, day: u8) -> Option<i32> {
    let digits = |n: u32, place: u32| b'0' + (n / place % 10) as u8;
    let (y, m, d) = (u32::from(year), u32::from(month), u32::from(day));
    if y == 0 {
        return None;
    }
    days(&[
        digits(y, 1000),
        digits(y, 100),
        digits(y, 10),
        digits(y, 1),
        b'-',
        digits(m, 10),
        digits(m, 1),
        b'-',
        digits(d, 10),
        digits(d, 1),
    ])
}

fn utf8(text: &[u8]) -> Result<&str, Mismatch> {
    std::str::from_utf8(text).map_err(|_| "text that is not UTF-8".to_owned())
}

/// What the server calls a column decides.
fn any(source: Source, value: SqlValue) -> Result<Value, Mismatch> {
    Ok(match value {
        SqlValue::NULL => Value::Null,
        SqlValue::Int(i) => Value::Int(i),
        SqlValue::UInt(i) => match i64::try_from(i) {
            Ok(i) => Value::Int(i),
            Err(_) => {
                let mut bytes = i.to_le_bytes().to_vec();
                bytes.push(0);
                Value::BigInt(bytes)
            }
        },
        SqlValue::Float(f) => Value::Float(f.into()),
        SqlValue::Double(f) => Value::Float(f),
        SqlValue::Date(y, m, d, hour, minute, second, us) => {
            let wrong = || shown(source, &value);
            let date = i16::try_from(y)
                .ok()
                .filter(|y| *y > 0)
                .and_then(|y| Date::new(y, m as i8, d as i8).ok())
                .ok_or_else(wrong)?;
            if matches!(
                source.type_,
                ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE
            ) {
                return Ok(Value::Date(date));
            }
            let time = Time::new(hour as i8, minute as i8, second as i8, us as i32 * 1000)
                .map_err(|_| wrong())?;
            Value::DateTime(DateTime::from_parts(date, time))
        }
        SqlValue::Time(negative, days, hour, minute, second, us) => {
            match Time::new(hour as i8, minute as i8, second as i8, us as i32 * 1000) {
                Ok(time) if !negative && days == 0 => Value::Time(time),
                // It may also be a difference of times, which no time of day can hold.
                _ => Value::Text(shown_time(negative, days, hour, minute, second, us)),
            }
        }
        SqlValue::Bytes(bytes) => match source.type_ {
            ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL => {
                Value::Decimal(utf8(&bytes)?.to_owned())
            }
            ColumnType::MYSQL_TYPE_JSON => Value::Json(Json::from_text(utf8(&bytes)?)),
            ColumnType::MYSQL_TYPE_BIT if bytes.len() < 8 => {
                Value::Int(bytes.iter().fold(0, |n, b| n << 8 | i64::from(*b)))
            }
            _ if source.binary => Value::Bytes(Bytes::from(bytes)),
            _ => Value::Text(
                String::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())?,
            ),
        },
    })
}

fn shown_time(negative: bool, days: u32, hour: u8, minute: u8, second: u8, us: u32) -> String {
    let sign = if negative { "-" } else { "" };
    let hours = days * 24 + u32::from(hour);
    match us {
        0 => format!("{sign}{hours:02}:{minute:02}:{second:02}"),
        us => format!("{sign}{hours:02}:{minute:02}:{second:02}.{us:06}"),
    }
}

#[cold]
fn shown(source: Source, value: &SqlValue) -> Mismatch {
    match value {
        SqlValue::NULL => "NULL".to_owned(),
        SqlValue::Int(i) => format!("the integer {i}"),
        SqlValue::UInt(i) => format!("the integer {i}"),
        SqlValue::Float(f) => format!("the number {f}"),
        SqlValue::Double(f) => format!("the number {f}"),
        SqlValue::Date(y, m, d, hour, minute, second, _) => {
            format!("the date {y:04}-{m:02}-{d:02} {hour:02}:{minute:02}:{second:02}")
        }
        SqlValue::Time(negative, days, hour, minute, second, us) => format!(
            "the time {}",
            shown_time(*negative, *days, *hour, *minute, *second, *us)
        ),
        SqlValue::Bytes(b) if source.binary => format!("{} bytes", b.len()),
        SqlValue::Bytes(t) => format!(
            "the text \"{}\"",
            String::from_utf8_lossy(&t[..t.len().min(40)])
        ),
    }
}
