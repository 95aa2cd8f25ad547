//! Looking for keys in the database: which rows of a batch are there already, which lack a parent.

use std::collections::HashSet;
use std::sync::Arc;

use super::rows::key_image;
use crate::definition::{StorageType, TableName};
use crate::error::{Error, Result};
use crate::schema::{Heading, Lode};
use crate::sql::{OutputColumn, Statement};
use crate::value::Value;

/// Keys per statement: far below every server's limit on bound values.
const KEYS_PER_STATEMENT: usize = 500;

/// A stored column to be compared or read: name, storage, and how it is decoded.
pub(super) fn output_column(heading: &Heading, name: &str) -> Result<OutputColumn> {
    let attribute = heading
        .get(name)
        .or_else(|| heading.hidden.iter().find(|a| &*a.name == name))
        .ok_or_else(|| Error::invalid(format!("there is no attribute `{name}`")).attribute(name))?;
    Ok(OutputColumn {
        name: Arc::clone(&attribute.name),
        kind: attribute.kind,
        storage: attribute.storage.clone(),
    })
}

/// `("a", "b") IN (VALUES (?, ?), …)`, or without `VALUES`, with the values to bind; they must be in stored form. `first` is the number of
/// parameters bound before.
pub(super) fn key_condition(
    lode: &Lode,
    columns: &[&str],
    keys: &[&[Value]],
    first: usize,
) -> (String, Vec<Value>) {
    let dialect = lode.dialect();
    let mut params = Vec::with_capacity(columns.len() * keys.len());
    let mut text = String::new();
    let quoted: Vec<String> = columns.iter().map(|c| dialect.quote(c)).collect();
    let single = columns.len() == 1;
    text.push_str(&if single {
        quoted[0].clone()
    } else {
        format!("({})", quoted.join(", "))
    });
    let values = !single && dialect.rows_are_values();
    text.push_str(if values { " IN (VALUES " } else { " IN (" });
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        let places: Vec<String> = key
            .iter()
            .map(|value| {
                params.push(value.clone());
                dialect.placeholder(first + params.len())
            })
            .collect();
        text.push_str(&if single {
            places[0].clone()
        } else {
            format!("({})", places.join(", "))
        });
    }
    text.push(')');
    (text, params)
}

/// Which of the keys are in the table, by their images. `columns` are columns of the table, `keys` their values in
/// stored form.
pub(super) fn present_keys(
    lode: &Lode,
    table: &TableName,
    columns: &[&str],
    keys: &[Vec<Value>],
) -> Result<HashSet<Vec<u8>>> {
    let heading = lode.heading(table)?;
    let dialect = lode.dialect();
    let outputs = columns
        .iter()
        .map(|c| output_column(&heading, c))
        .collect::<Result<Vec<_>>>()?;
    let list: Vec<String> = columns.iter().map(|c| dialect.quote(c)).collect();
    let mut present = HashSet::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let chunk: Vec<&[Value]> = chunk.iter().map(Vec::as_slice).collect();
        let (condition, params) = key_condition(lode, columns, &chunk, 0);
        let from = dialect.full_name(&table.schema, &table.name);
        let text = format!("SELECT {} FROM {from} WHERE {condition}", list.join(", "));
        let batch = lode
            .backend()
            .query(&Statement { text, params }, &outputs)?;
        for row in 0..batch.rows {
            let stored = outputs
                .iter()
                .zip(&batch.columns)
                .map(|(output, column)| restore(lode, output.storage.as_ref(), column.value(row)))
                .collect::<Result<Vec<_>>>()?;
            present.insert(key_image(stored.iter().map(Some)));
        }
    }
    Ok(present)
}

/// A fetched value back in stored form, to be compared or bound.
pub(super) fn restore(lode: &Lode, storage: Option<&StorageType>, value: Value) -> Result<Value> {
    match storage {
        Some(storage) if !value.is_null() => lode.dialect().into_stored(storage, value),
        _ => Ok(value),
    }
}
