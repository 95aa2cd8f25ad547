//! Bulk inserts: one prepared statement per set of given columns, values bound by reference.

use std::sync::Arc;

use rusqlite::Connection;

use super::{SqliteDialect, bind, errors};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::rows::{is_given, key_text};
use crate::sql::{Conflict, Dialect, Insert};
use crate::value::Value;

/// Inserts all rows. The caller holds the transaction or savepoint that makes it atomic.
pub(super) fn insert(connection: &Connection, insert: &Insert<'_>) -> Result<u64> {
    let place = |e: Error, row: usize| e.table(insert.schema, insert.table).row(row);
    // One statement for each set of given columns; nearly always there is one set.
    let mut statements: Vec<(Vec<bool>, rusqlite::Statement<'_>)> = Vec::new();
    let mut given = Vec::with_capacity(insert.columns.len());
    let mut inserted = 0;
    for (row, values) in insert.rows.iter().enumerate() {
        if values.len() != insert.columns.len() {
            return Err(place(
                Error::invalid("a row has another number of values than there are columns"),
                row,
            ));
        }
        given.clear();
        given.extend(
            values
                .iter()
                .zip(insert.columns)
                .map(|(v, (_, storage))| is_given(v.as_ref(), storage)),
        );
        let known = statements.iter().position(|(of, _)| *of == given);
        let at = match known {
            Some(at) => at,
            None => {
                let text = statement(insert, &given);
                let prepared = connection
                    .prepare(&text)
                    .map_err(|e| place(errors::map(e, &text), row))?;
                statements.push((given.clone(), prepared));
                statements.len() - 1
            }
        };
        let prepared = &mut statements[at].1;
        let mut position = 0;
        for ((name, storage), value) in insert.columns.iter().zip(values) {
            let Some(value) = value.as_ref().filter(|v| is_given(Some(v), storage)) else {
                continue;
            };
            let at = |e: Error| place(e.attribute(&**name).key(key_text(insert, values)), row);
            position += 1;
            let parameter = bind::parameter(value).map_err(at)?;
            prepared
                .raw_bind_parameter(position, parameter)
                .map_err(|e| at(errors::map(e, "")))?;
        }
        match prepared.raw_execute() {
            Ok(changed) => inserted += changed as u64,
            Err(e) => {
                let error = explain(connection, insert, values, errors::map(e, ""));
                let empty = !given.contains(&true);
                if empty
                    && insert.conflict == Conflict::Skip
                    && error.kind() == ErrorKind::Duplicate
                {
                    continue;
                }
                return Err(place(error.key(key_text(insert, values)), row));
            }
        }
    }
    Ok(inserted)
}

fn statement(insert: &Insert<'_>, given: &[bool]) -> String {
    let dialect = SqliteDialect;
    let names: Vec<String> = insert
        .columns
        .iter()
        .zip(given)
        .filter(|(_, g)| **g)
        .map(|((name, _), _)| dialect.quote(name))
        .collect();
    let mut text = format!(
        "INSERT INTO {}",
        dialect.full_name(insert.schema, insert.table)
    );
    if names.is_empty() {
        // It takes no conflict clause; `insert` looks at the error instead.
        text.push_str(" DEFAULT VALUES");
        return text;
    }
    let holes = vec!["?"; names.len()].join(",");
    text.push_str(&format!(" ({}) VALUES ({holes})", names.join(",")));
    let key = || {
        insert
            .primary_key
            .iter()
            .map(|k| dialect.quote(k))
            .collect::<Vec<_>>()
            .join(",")
    };
    match insert.conflict {
        Conflict::Error => {}
        Conflict::Skip => text.push_str(&format!(" ON CONFLICT ({}) DO NOTHING", key())),
        Conflict::Replace => {
            // `excluded` is the row as it would have been inserted, hence with defaults for what is not listed.
            let mut others: Vec<&Arc<str>> = insert.columns.iter().map(|(n, _)| n).collect();
            others.extend(insert.other_columns);
            let mut seen = std::collections::HashSet::new();
            let assignments: Vec<String> = others
                .into_iter()
                .filter(|n| !insert.primary_key.contains(n) && seen.insert((*n).clone()))
                .map(|n| dialect.quote(n))
                .map(|n| format!("{n}=excluded.{n}"))
                .collect();
            match assignments.is_empty() {
                true => text.push_str(&format!(" ON CONFLICT ({}) DO NOTHING", key())),
                false => text.push_str(&format!(
                    " ON CONFLICT ({}) DO UPDATE SET {}",
                    key(),
                    assignments.join(",")
                )),
            }
        }
    }
    text
}

/// SQLite does not say which foreign key failed: look for the absent parent.
fn explain(
    connection: &Connection,
    insert: &Insert<'_>,
    values: &[Option<Value>],
    error: Error,
) -> Error {
    if error.kind() != ErrorKind::Integrity {
        return error;
    }
    match absent_parent(connection, insert, values) {
        Some((columns, parent)) => Error::new(
            ErrorKind::Integrity,
            format!("the foreign key ({columns}) names a row that `{parent}` does not have"),
        )
        .attribute(columns)
        .hint("Insert the parent row first.")
        .with_source(error),
        None => error,
    }
}

fn absent_parent(
    connection: &Connection,
    insert: &Insert<'_>,
    values: &[Option<Value>],
) -> Option<(String, String)> {
    let dialect = SqliteDialect;
    let full_name = format!("{}.{}", insert.schema, insert.table);
    let mut keys: std::collections::BTreeMap<i64, (String, Vec<(String, String)>)> =
        Default::default();
    let mut statement =
        connection.prepare("SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq").ok()?;
    let mut rows = statement.query([&full_name]).ok()?;
    while let Ok(Some(row)) = rows.next() {
        let entry = keys
            .entry(row.get(0).ok()?)
            .or_insert((row.get(1).ok()?, Vec::new()));
        entry.1.push((row.get(2).ok()?, row.get(3).ok()?));
    }
    for (parent, columns) in keys.into_values() {
        let mut operands = Vec::new();
        for (child, _) in &columns {
            let found = insert
                .columns
                .iter()
                .zip(values)
                .find(|((name, _), _)| **name == **child);
            if let Some((_, Some(value))) = found {
                operands.push(value);
            }
        }
        if operands.len() != columns.len() || operands.iter().any(|v| v.is_null()) {
            continue;
        }
        let condition: Vec<String> = columns
            .iter()
            .map(|(_, to)| format!("{}=?", dialect.quote(to)))
            .collect();
        let text = format!(
            "SELECT 1 FROM {} WHERE {}",
            dialect.quote(&parent),
            condition.join(" AND ")
        );
        let mut statement = connection.prepare(&text).ok()?;
        for (i, operand) in operands.iter().enumerate() {
            statement
                .raw_bind_parameter(i + 1, bind::parameter(operand).ok()?)
                .ok()?;
        }
        if let Ok(None) = statement.raw_query().next() {
            let names: Vec<String> = columns.into_iter().map(|(child, _)| child).collect();
            return Some((names.join(", "), parent));
        }
    }
    None
}
