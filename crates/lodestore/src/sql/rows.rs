//! Rows about to be inserted: what every database asks of them alike.

use super::Insert;
use crate::definition::StorageType;
use crate::value::Value;

/// None and, for numbers, the empty text mean the declared default (spec: manipulation §1.3).
pub(in crate::sql) fn is_given(value: Option<&Value>, storage: &StorageType) -> bool {
    match value {
        None => false,
        Some(Value::Text(s)) if s.is_empty() => !is_numeric(storage),
        Some(_) => true,
    }
}

fn is_numeric(storage: &StorageType) -> bool {
    match storage {
        StorageType::Core(core) => core.is_numeric(),
        StorageType::Native(n) => n.kind.is_numeric(),
    }
}

/// The key of a row, for messages.
pub(in crate::sql) fn key_text(insert: &Insert<'_>, values: &[Option<Value>]) -> String {
    let mut parts = Vec::new();
    for key in insert.primary_key {
        if let Some((_, Some(value))) = insert
            .columns
            .iter()
            .zip(values)
            .find(|((name, _), _)| name == key)
        {
            parts.push(format!("{key}={}", short(value)));
        }
    }
    parts.join(", ")
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Int(i) => i.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Text(s) => format!("'{s}'"),
        Value::Decimal(s) => s.clone(),
        Value::Date(d) => d.to_string(),
        Value::DateTime(d) => d.to_string(),
        Value::Time(t) => t.to_string(),
        Value::Uuid(u) => u.to_string(),
        other => other.type_name(),
    };
    text.chars().take(40).collect()
}
