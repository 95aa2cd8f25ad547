//! Values into statements: how a value is stored in SQLite, and how it is bound without a copy.

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};

use crate::definition::StorageType;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::convert;
use crate::value::Value;

/// The stored form of a value in a column (spec: definition §12). Borrowed wherever the value is that already.
pub(super) fn stored<'a>(storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>> {
    let checked = convert::check(storage, value)?;
    let text = match &*checked {
        Value::DateTime(d) => convert::datetime_text(*d, convert::fraction_digits(storage)),
        Value::Time(t) => convert::time_text(*t, convert::fraction_digits(storage)),
        Value::Date(d) => convert::date_text(*d),
        _ => return Ok(checked),
    };
    Ok(Cow::Owned(Value::Text(text)))
}

/// A parameter. What has no storage type here (user-written SQL) takes its natural form.
pub(super) fn parameter(value: &Value) -> Result<ToSqlOutput<'_>> {
    Ok(match value {
        Value::Null => ToSqlOutput::Owned(SqlValue::Null),
        Value::Bool(b) => ToSqlOutput::Owned(SqlValue::Integer(i64::from(*b))),
        Value::Int(i) => ToSqlOutput::Owned(SqlValue::Integer(*i)),
        Value::Float(f) if f.is_nan() => ToSqlOutput::Owned(SqlValue::Null),
        Value::Float(f) => ToSqlOutput::Owned(SqlValue::Real(*f)),
        Value::Text(s) | Value::Decimal(s) => ToSqlOutput::Borrowed(ValueRef::Text(s.as_bytes())),
        Value::Json(j) => ToSqlOutput::Borrowed(ValueRef::Text(j.as_str().as_bytes())),
        Value::Bytes(b) => ToSqlOutput::Borrowed(ValueRef::Blob(b)),
        Value::Uuid(u) => ToSqlOutput::Borrowed(ValueRef::Blob(u.as_bytes())),
        Value::Date(d) => ToSqlOutput::Owned(SqlValue::Text(convert::date_text(*d))),
        Value::DateTime(d) => ToSqlOutput::Owned(SqlValue::Text(convert::datetime_text(*d, None))),
        Value::Time(t) => ToSqlOutput::Owned(SqlValue::Text(convert::time_text(*t, None))),
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
