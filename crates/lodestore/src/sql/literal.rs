//! Values as SQL text: for `make_sql` and what people read. What runs is always bound.

use super::BackendKind;
use crate::error::{Error, Result};
use crate::value::Value;

/// A value, already in stored form, as an SQL literal.
///
/// Errors with kind `Invalid` if there is no literal for the type.
pub(super) fn literal(value: &Value, kind: BackendKind) -> Result<String> {
    Ok(match value {
        Value::Null => "NULL".into(),
        Value::Bool(true) => "TRUE".into(),
        Value::Bool(false) => "FALSE".into(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) if v.is_finite() => format!("{v:?}"),
        Value::Float(v) if kind == BackendKind::Postgres => format!("'{v}'::float8"),
        Value::Float(v) if kind == BackendKind::Sqlite && v.is_infinite() => {
            if *v > 0.0 { "9e999" } else { "-9e999" }.into()
        }
        Value::Float(_) => "NULL".into(),
        Value::Text(v) | Value::Decimal(v) => quoted(v, kind),
        Value::Json(v) => quoted(v.as_str(), kind),
        Value::Date(v) => quoted(&v.to_string(), kind),
        Value::Time(v) => quoted(&v.to_string(), kind),
        Value::DateTime(v) => quoted(&v.to_string().replacen('T', " ", 1), kind),
        Value::Uuid(v) if kind == BackendKind::Postgres => format!("'{v}'"),
        Value::Uuid(v) => hex(v.as_bytes(), kind),
        Value::Bytes(v) => hex(v, kind),
        other => {
            return Err(Error::invalid(format!(
                "a value of type {} cannot be written as SQL text",
                other.type_name()
            )));
        }
    })
}

fn quoted(text: &str, kind: BackendKind) -> String {
    let text = text.replace('\'', "''");
    match kind {
        BackendKind::MySql => format!("'{}'", text.replace('\\', "\\\\")),
        BackendKind::Sqlite | BackendKind::Postgres => format!("'{text}'"),
    }
}

fn hex(bytes: &[u8], kind: BackendKind) -> String {
    let hex = data_encoding::HEXUPPER.encode(bytes);
    match kind {
        BackendKind::Postgres => format!("'\\x{hex}'::bytea"),
        BackendKind::Sqlite | BackendKind::MySql => format!("X'{hex}'"),
    }
}
