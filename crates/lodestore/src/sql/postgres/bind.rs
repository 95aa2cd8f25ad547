//! Values into statements: the binary form that the type of the parameter asks for, and text for every other type, so
//! that a text compared with a date, an enum or a UUID just works.

use std::borrow::Cow;
use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use jiff::civil::{Date, Time};
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use super::numeric;
use crate::definition::{CoreType, NativeKind, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::convert;
use crate::value::Value;

/// Days from 1970 to 2000, where PostgreSQL's time begins.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The stored form of a value in a column. Borrowed wherever the value is that already.
pub(super) fn stored<'a>(storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>> {
    let float = match storage {
        StorageType::Core(core) => matches!(core, CoreType::Float32 | CoreType::Float64),
        StorageType::Native(native) => native.kind == NativeKind::Float,
    };
    let checked = convert::check(storage, value)?;
    // NaN is a number here (spec: README "Decisions").
    if float && checked.is_null() && !value.is_null() {
        return Ok(Cow::Owned(Value::Float(f64::NAN)));
    }
    Ok(checked)
}

/// A parameter of a statement.
#[derive(Debug)]
pub(super) struct Parameter<'a>(pub(super) &'a Value);

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        type_: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        match has_binary(self.0, type_) {
            true => encode(self.0, type_, out),
            false => out.put_slice(text(self.0)?.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        type_: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql(type_, out)
    }

    fn encode_format(&self, type_: &Type) -> Format {
        match has_binary(self.0, type_) {
            true => Format::Binary,
            false => Format::Text,
        }
    }
}

/// Refuses what no parameter can be.
pub(super) fn check(value: &Value) -> Result<()> {
    match value {
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Decimal(_)
        | Value::Json(_)
        | Value::Bytes(_)
        | Value::Uuid(_)
        | Value::Date(_)
        | Value::DateTime(_)
        | Value::Time(_) => Ok(()),
        other => Err(no_parameter(other)),
    }
}

fn no_parameter(value: &Value) -> Error {
    Error::new(
        ErrorKind::Type,
        format!(
            "a value of type {} cannot be a parameter of a statement",
            value.type_name()
        ),
    )
}

/// A type that can hold the value, where the one that the server inferred cannot: a number compared with a narrower
/// column is not wrong, it is only never equal.
pub(super) fn wider(value: &Value, inferred: &Type) -> Option<Type> {
    let integer = [Type::INT2, Type::INT4, Type::INT8].contains(inferred);
    match value {
        Value::Int(_) if integer && !has_binary(value, inferred) => Some(Type::INT8),
        Value::Float(f) if integer && !(f.fract() == 0.0 && f.abs() < 1e15) => Some(Type::FLOAT8),
        Value::Decimal(_) if integer => Some(Type::NUMERIC),
        _ => None,
    }
    .filter(|t| t != inferred)
}

fn is_text(type_: &Type) -> bool {
    [
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::UNKNOWN,
    ]
    .contains(type_)
        || matches!(type_.kind(), Kind::Enum(_))
}

/// True if [`encode`] knows the binary form.
pub(super) fn has_binary(value: &Value, type_: &Type) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => *type_ == Type::BOOL,
        Value::Int(i) => match *type_ {
            Type::INT2 => i16::try_from(*i).is_ok(),
            Type::INT4 => i32::try_from(*i).is_ok(),
            Type::INT8 | Type::FLOAT8 | Type::NUMERIC => true,
            _ => false,
        },
        Value::Float(_) => [Type::FLOAT4, Type::FLOAT8].contains(type_),
        Value::Text(t) => {
            is_text(type_)
                || *type_ == Type::JSON
                || (*type_ == Type::NUMERIC && numeric::is_plain(t))
        }
        Value::Decimal(d) => is_text(type_) || (*type_ == Type::NUMERIC && numeric::is_plain(d)),
        Value::Json(_) => is_text(type_) || [Type::JSON, Type::JSONB].contains(type_),
        Value::Bytes(_) => *type_ == Type::BYTEA,
        Value::Uuid(_) => [Type::UUID, Type::BYTEA].contains(type_),
        Value::Date(_) => *type_ == Type::DATE,
        Value::DateTime(_) => [Type::TIMESTAMP, Type::TIMESTAMPTZ].contains(type_),
        Value::Time(_) => *type_ == Type::TIME,
        _ => false,
    }
}

/// Appends the binary form. Only what [`has_binary`] says.
pub(super) fn encode(value: &Value, type_: &Type, out: &mut BytesMut) {
    match value {
        Value::Bool(b) => out.put_u8(u8::from(*b)),
        Value::Int(i) => match *type_ {
            Type::INT2 => out.put_i16(*i as i16),
            Type::INT4 => out.put_i32(*i as i32),
            Type::FLOAT8 => out.put_f64(*i as f64),
            Type::NUMERIC => numeric::encode(&i.to_string(), out),
            _ => out.put_i64(*i),
        },
        Value::Float(f) => match *type_ {
            Type::FLOAT4 => out.put_f32(*f as f32),
            _ => out.put_f64(*f),
        },
        Value::Text(t) | Value::Decimal(t) => match *type_ {
            Type::NUMERIC => numeric::encode(t, out),
            _ => out.put_slice(t.as_bytes()),
        },
        Value::Json(j) => {
            if *type_ == Type::JSONB {
                out.put_u8(1);
            }
            out.put_slice(j.as_str().as_bytes());
        }
        Value::Bytes(b) => out.put_slice(b),
        Value::Uuid(u) => out.put_slice(u.as_bytes()),
        Value::Date(d) => out.put_i32(days(*d) - EPOCH_DAYS),
        Value::DateTime(d) => out
            .put_i64(i64::from(days(d.date())) * 86_400_000_000 + micros(d.time()) - EPOCH_MICROS),
        Value::Time(t) => out.put_i64(micros(*t)),
        _ => {}
    }
}

/// Days since 1970. Not by way of a timestamp: those end before the calendar does.
fn days(date: Date) -> i32 {
    let since = date.duration_since(Date::constant(1970, 1, 1));
    (since.as_secs() / 86_400) as i32
}

fn micros(time: Time) -> i64 {
    let seconds =
        (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond() / 1000)
}

/// The text form, which the server reads as whatever it takes the parameter for.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>> {
    Ok(match value {
        Value::Bool(true) => "1".into(),
        Value::Bool(false) => "0".into(),
        Value::Int(i) => i.to_string().into(),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e15 => format!("{f:.0}").into(),
        Value::Float(f) => f.to_string().into(),
        Value::Text(t) | Value::Decimal(t) => t.as_str().into(),
        Value::Json(j) => j.as_str().into(),
        Value::Bytes(b) => format!("\\x{}", data_encoding::HEXLOWER.encode(b)).into(),
        Value::Uuid(u) => u.to_string().into(),
        Value::Date(d) => convert::date_text(*d).into(),
        Value::DateTime(d) => convert::datetime_text(*d, None).into(),
        Value::Time(t) => convert::time_text(*t, None).into(),
        other => return Err(no_parameter(other)),
    })
}
