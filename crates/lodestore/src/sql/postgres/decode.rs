//! Rows in binary form into Arrow builders, one per column, without a value in between. This is the hot path of every
//! fetch.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use jiff::civil::{DateTime, Time};
use tokio_postgres::types::{FromSql, Kind, Type};
use tokio_postgres::{Column, Row};
use uuid::Uuid;

use super::bind::{EPOCH_DAYS, EPOCH_MICROS};
use super::numeric;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::OutputColumn;
use crate::sql::builders::{ColumnBuilder, days, micros, time_micros};
use crate::sql::convert;
use crate::value::{Batch, ColumnKind, Json, Value};

/// The bytes of a field, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How a column comes over the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Char,
    Bytes,
    Date,
    Time,
    DateTime,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Other,
}

fn wire(type_: &Type) -> Wire {
    match *type_ {
        Type::BOOL => Wire::Bool,
        Type::INT2 => Wire::Int2,
        Type::INT4 => Wire::Int4,
        Type::INT8 => Wire::Int8,
        Type::OID | Type::XID | Type::CID => Wire::Oid,
        Type::FLOAT4 => Wire::Float4,
        Type::FLOAT8 => Wire::Float8,
        Type::NUMERIC => Wire::Numeric,
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN | Type::CHAR | Type::XML => {
            Wire::Text
        }
        Type::BPCHAR => Wire::Char,
        Type::BYTEA => Wire::Bytes,
        Type::DATE => Wire::Date,
        Type::TIME => Wire::Time,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => Wire::DateTime,
        Type::INTERVAL => Wire::Interval,
        Type::UUID => Wire::Uuid,
        Type::JSON => Wire::Json,
        Type::JSONB => Wire::Jsonb,
        _ => match type_.kind() {
            Kind::Enum(_) => Wire::Text,
            Kind::Domain(base) => wire(base),
            _ => Wire::Other,
        },
    }
}

/// Collects rows of a running query.
pub(super) struct Decoder {
    names: Arc<[Arc<str>]>,
    columns: Vec<(Wire, ColumnBuilder)>,
    types: Vec<Type>,
    rows: usize,
    /// Rows of earlier batches, for messages.
    before: usize,
}

impl Decoder {
    /// Without `expected` columns, names are the server's and kinds `Any`.
    pub(super) fn new(expected: Option<&[OutputColumn]>, found: &[Column]) -> Result<Decoder> {
        let names: Arc<[Arc<str>]> = match expected {
            Some(expected) if expected.len() == found.len() => {
                expected.iter().map(|c| c.name.clone()).collect()
            }
            Some(expected) => {
                return Err(Error::new(
                    ErrorKind::Query,
                    format!(
                        "the query gives {} columns, {} are expected",
                        found.len(),
                        expected.len()
                    ),
                ));
            }
            None => found.iter().map(|c| c.name().into()).collect(),
        };
        let kind = |at: usize| expected.map_or(ColumnKind::Any, |e| e[at].kind);
        Ok(Decoder {
            names,
            columns: found
                .iter()
                .enumerate()
                .map(|(at, c)| (wire(c.type_()), ColumnBuilder::new(kind(at))))
                .collect(),
            types: found.iter().map(|c| c.type_().clone()).collect(),
            rows: 0,
            before: 0,
        })
    }

    pub(super) fn push(&mut self, row: &Row) -> Result<()> {
        for (i, (wire, column)) in self.columns.iter_mut().enumerate() {
            let raw: Option<Raw<'_>> = row.try_get(i).map_err(|e| {
                Error::new(ErrorKind::Query, "the answer of the server cannot be read")
                    .with_source(e)
            })?;
            match raw {
                None => null(column),
                Some(Raw(raw)) => {
                    if push(column, *wire, raw).is_none() {
                        return Err(self.mismatch(i, raw));
                    }
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    #[cold]
    fn mismatch(&self, column: usize, raw: &[u8]) -> Error {
        let (wire, builder) = &self.columns[column];
        let found = match wire {
            Wire::Other => format!(
                "a value of type {}; cast it to text in the query",
                self.types[column].name()
            ),
            wire => match any(*wire, raw) {
                Some(value) => {
                    format!("{}, where {} is expected", shown(&value), builder.expects())
                }
                None => format!("a value of type {} out of range", self.types[column].name()),
            },
        };
        Error::new(ErrorKind::Data, format!("the database holds {found}"))
            .attribute(&*self.names[column])
            .row(self.before + self.rows)
    }

    /// The rows so far as a batch; the decoder is empty again.
    pub(super) fn finish(&mut self) -> Batch {
        let rows = std::mem::take(&mut self.rows);
        self.before += rows;
        Batch {
            names: self.names.clone(),
            columns: self.columns.iter_mut().map(|(_, c)| c.finish()).collect(),
            rows,
        }
    }
}

fn null(column: &mut ColumnBuilder) {
    match column {
        ColumnBuilder::Int(b) => b.append_null(),
        ColumnBuilder::Float(b) => b.append_null(),
        ColumnBuilder::Bool(b) => b.append_null(),
        ColumnBuilder::Text(_, b) => b.append_null(),
        ColumnBuilder::Bytes(b) => b.append_null(),
        ColumnBuilder::Date(b) => b.append_null(),
        ColumnBuilder::DateTime(b) => b.append_null(),
        ColumnBuilder::Time(b) => b.append_null(),
        ColumnBuilder::Uuid(b) => b.append_null(),
        ColumnBuilder::Any(values) => values.push(Value::Null),
    }
}

fn int2(raw: &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(raw.try_into().ok()?))
}

fn int4(raw: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(raw.try_into().ok()?))
}

fn int8(raw: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(raw.try_into().ok()?))
}

fn utf8(raw: &[u8]) -> Option<&str> {
    std::str::from_utf8(raw).ok()
}

/// None if the value does not fit the column.
#[inline]
fn push(column: &mut ColumnBuilder, wire: Wire, raw: &[u8]) -> Option<()> {
    match (column, wire) {
        (ColumnBuilder::Int(b), wire) => b.append_value(integer(wire, raw)?),
        (ColumnBuilder::Text(_, b), Wire::Text | Wire::Json) => b.append_value(utf8(raw)?),
        (ColumnBuilder::Text(_, b), Wire::Char) => b.append_value(utf8(raw)?.trim_end_matches(' ')),
        (ColumnBuilder::Text(_, b), Wire::Jsonb) => b.append_value(utf8(raw.get(1..)?)?),
        (ColumnBuilder::Text(_, b), Wire::Numeric) => b.append_value(numeric::text(raw)?),
        (ColumnBuilder::Text(..), Wire::Bytes) => return None,
        (ColumnBuilder::Text(_, b), wire) => b.append_value(spelled(any(wire, raw)?)?),
        (ColumnBuilder::Float(b), wire) => b.append_value(float(wire, raw)?),
        (ColumnBuilder::Bool(b), Wire::Bool) => b.append_value(*raw.first()? != 0),
        (ColumnBuilder::Bool(b), wire) => match integer(wire, raw)? {
            0 => b.append_value(false),
            1 => b.append_value(true),
            _ => return None,
        },
        (ColumnBuilder::DateTime(b), Wire::DateTime) => b.append_value(moment(raw)?),
        (ColumnBuilder::DateTime(b), Wire::Date) => {
            b.append_value(i64::from(day(raw)?) * 86_400_000_000)
        }
        (ColumnBuilder::DateTime(b), Wire::Text) => b.append_value(micros(raw)?),
        (ColumnBuilder::Date(b), Wire::Date) => b.append_value(day(raw)?),
        (ColumnBuilder::Date(b), Wire::Text) => b.append_value(days(raw)?),
        (ColumnBuilder::Time(b), Wire::Time) => b.append_value(int8(raw)?),
        (ColumnBuilder::Time(b), Wire::Text) => b.append_value(time_micros(raw)?),
        (ColumnBuilder::Bytes(b), Wire::Bytes) => b.append_value(raw),
        (ColumnBuilder::Uuid(b), Wire::Uuid | Wire::Bytes) => b.append_value(raw).ok()?,
        (ColumnBuilder::Any(values), wire) => values.push(any(wire, raw)?),
        _ => return None,
    }
    Some(())
}

#[inline]
fn integer(wire: Wire, raw: &[u8]) -> Option<i64> {
    match wire {
        Wire::Int4 => int4(raw).map(i64::from),
        Wire::Int8 => int8(raw),
        Wire::Int2 => int2(raw).map(i64::from),
        Wire::Oid => int4(raw).map(|i| i64::from(i as u32)),
        Wire::Bool => raw.first().map(|b| i64::from(*b)),
        Wire::Numeric => {
            let text = numeric::text(raw)?;
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            whole
                .parse()
                .ok()
                .filter(|_| fraction.bytes().all(|b| b == b'0'))
        }
        _ => None,
    }
}

#[inline]
fn float(wire: Wire, raw: &[u8]) -> Option<f64> {
    match wire {
        Wire::Float8 => Some(f64::from_be_bytes(raw.try_into().ok()?)),
        Wire::Float4 => Some(f64::from(f32::from_be_bytes(raw.try_into().ok()?))),
        Wire::Numeric => numeric::text(raw)?.parse().ok(),
        Wire::Bool => None,
        wire => integer(wire, raw).map(|i| i as f64),
    }
}

/// Days since 1970; none for the infinities.
fn day(raw: &[u8]) -> Option<i32> {
    let days = int4(raw)?;
    (days != i32::MAX && days != i32::MIN).then(|| days.saturating_add(EPOCH_DAYS))
}

/// Microseconds since 1970; none for the infinities.
fn moment(raw: &[u8]) -> Option<i64> {
    let micros = int8(raw)?;
    (micros != i64::MAX && micros != i64::MIN).then(|| micros.saturating_add(EPOCH_MICROS))
}

fn any(wire: Wire, raw: &[u8]) -> Option<Value> {
    // Not by way of a timestamp: those end before the calendar does.
    let civil = |micros: i64| {
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        epoch.checked_add(SignedDuration::from_micros(micros)).ok()
    };
    Some(match wire {
        Wire::Bool => Value::Bool(*raw.first()? != 0),
        Wire::Int2 | Wire::Int4 | Wire::Int8 | Wire::Oid => Value::Int(integer(wire, raw)?),
        Wire::Float4 | Wire::Float8 => Value::Float(float(wire, raw)?),
        Wire::Numeric => Value::Decimal(numeric::text(raw)?),
        Wire::Text => Value::Text(utf8(raw)?.to_owned()),
        Wire::Char => Value::Text(utf8(raw)?.trim_end_matches(' ').to_owned()),
        Wire::Bytes => Value::Bytes(Bytes::copy_from_slice(raw)),
        Wire::Date => Value::Date(civil(i64::from(day(raw)?) * 86_400_000_000)?.date()),
        Wire::DateTime => Value::DateTime(civil(moment(raw)?)?),
        Wire::Time => {
            let micros = int8(raw)?;
            Value::Time(
                Time::midnight()
                    .checked_add(jiff::Span::new().microseconds(micros))
                    .ok()?,
            )
        }
        Wire::Interval => Value::Text(interval(raw)?),
        Wire::Uuid => Value::Uuid(Uuid::from_slice(raw).ok()?),
        Wire::Json => Value::Json(Json::from_text(utf8(raw)?)),
        Wire::Jsonb => Value::Json(Json::from_text(utf8(raw.get(1..)?)?)),
        Wire::Other => return None,
    })
}

/// `1 year 2 mons 3 days 04:05:06.7`, as the server writes it.
fn interval(raw: &[u8]) -> Option<String> {
    let (micros, days, months) = (
        int8(raw.get(..8)?)?,
        int4(raw.get(8..12)?)?,
        int4(raw.get(12..)?)?,
    );
    let mut parts = Vec::new();
    for (number, one, many) in [
        (months / 12, "year", "years"),
        (months % 12, "mon", "mons"),
        (days, "day", "days"),
    ] {
        if number != 0 {
            parts.push(format!("{number} {}", if number == 1 { one } else { many }));
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        let micros = micros.unsigned_abs();
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let mut text = format!(
            "{sign}{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        if fraction != 0 {
            text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
        }
        parts.push(text);
    }
    Some(parts.join(" "))
}

/// A value as text, for a column that is read as text.
fn spelled(value: Value) -> Option<String> {
    Some(match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Text(t) | Value::Decimal(t) => t,
        Value::Json(j) => j.as_str().to_owned(),
        Value::Uuid(u) => u.to_string(),
        Value::Date(d) => convert::date_text(d),
        Value::DateTime(d) => convert::datetime_text(d, None),
        Value::Time(t) => convert::time_text(t, None),
        _ => return None,
    })
}

#[cold]
fn shown(value: &Value) -> String {
    match value {
        Value::Int(i) => format!("the integer {i}"),
        Value::Float(f) => format!("the number {f}"),
        Value::Decimal(d) => format!("the number {d}"),
        Value::Text(t) => format!("the text \"{}\"", t.chars().take(40).collect::<String>()),
        other => format!("a value of type {}", other.type_name()),
    }
}
