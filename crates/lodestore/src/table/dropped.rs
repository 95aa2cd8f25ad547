//! The record of dropped objects, `~lode_dropped`: what deleted, replaced and updated rows referred to, written in the
//! transaction that drops the rows (spec: README "Decisions", manipulation §12.1). Collection clears it.

use super::keys::key_condition;
use super::references::{ObjectColumn, Section, known_object_columns, paths_in_use, read_columns};
use crate::codec::manifest_path;
use crate::definition::TableName;
use crate::error::Result;
use crate::schema::{Heading, Lode};
use crate::sql::{OutputColumn, Statement};
use crate::value::{ColumnKind, Value};

/// The hidden table's name.
pub(crate) const DROPPED: &str = "~lode_dropped";

/// Values bound per statement; two a row.
const ROWS_PER_STATEMENT: usize = 400;

/// Records what the rows with these keys refer to.
pub(super) fn record_keys(
    lode: &Lode,
    table: &TableName,
    heading: &Heading,
    names: &[&str],
    keys: &[Vec<Value>],
) -> Result<u64> {
    let columns = known_object_columns(heading);
    let mut count = 0;
    for chunk in keys.chunks(ROWS_PER_STATEMENT) {
        let chunk: Vec<&[Value]> = chunk.iter().map(Vec::as_slice).collect();
        let (condition, params) = key_condition(lode, names, &chunk, 0);
        count += record(lode, table, heading, &columns, Some((&condition, params)))?;
    }
    Ok(count)
}

/// Records what rows refer to: those of a condition, or all. Files of `<filepath>` columns are the user's own and
/// are not recorded.
pub(super) fn record(
    lode: &Lode,
    table: &TableName,
    heading: &Heading,
    columns: &[ObjectColumn],
    condition: Option<(&str, Vec<Value>)>,
) -> Result<u64> {
    let mut dropped: Vec<(Option<String>, String)> = Vec::new();
    read_columns(
        lode,
        table,
        heading,
        columns,
        condition,
        &mut |column, path, store| {
            if column.section != Section::Filepath {
                dropped.push((store, path));
            }
            Ok(())
        },
    )?;
    write(lode, &table.schema, &dropped)?;
    Ok(dropped.len() as u64)
}

fn write(lode: &Lode, schema: &str, dropped: &[(Option<String>, String)]) -> Result<()> {
    if dropped.is_empty() {
        return Ok(());
    }
    ensure(lode, schema)?;
    let dialect = lode.dialect();
    let columns = [dialect.quote("store"), dialect.quote("path")].join(", ");
    for chunk in dropped.chunks(ROWS_PER_STATEMENT) {
        let mut params = Vec::with_capacity(2 * chunk.len());
        let mut rows = Vec::with_capacity(chunk.len());
        for (store, path) in chunk {
            params.push(Value::from(store.clone()));
            params.push(Value::from(path.as_str()));
            rows.push(format!(
                "({}, {})",
                dialect.placeholder(params.len() - 1),
                dialect.placeholder(params.len())
            ));
        }
        let text = format!(
            "INSERT INTO {} ({columns}) VALUES {}",
            dialect.full_name(schema, DROPPED),
            rows.join(", ")
        );
        lode.backend().execute(&Statement { text, params })?;
    }
    Ok(())
}

/// The recorded objects of a schema: (store, path), each once.
pub(crate) fn recorded(lode: &Lode, schema: &str) -> Result<Vec<(Option<String>, String)>> {
    if !exists(lode, schema)? {
        return Ok(Vec::new());
    }
    let dialect = lode.dialect();
    let text = format!(
        "SELECT DISTINCT {}, {} FROM {}",
        dialect.quote("store"),
        dialect.quote("path"),
        dialect.full_name(schema, DROPPED)
    );
    let column = |name: &str| OutputColumn {
        name: name.into(),
        kind: ColumnKind::Text,
        storage: None,
    };
    let batch = lode
        .backend()
        .query(&Statement::new(text), &[column("store"), column("path")])?;
    Ok((0..batch.rows)
        .filter_map(|row| match (batch.value(row, 0), batch.value(row, 1)) {
            (Value::Text(store), Value::Text(path)) => Some((Some(store), path)),
            (_, Value::Text(path)) => Some((None, path)),
            _ => None,
        })
        .collect())
}

/// Forgets recorded objects: they are gone, or some row refers to them again.
pub(crate) fn forget(lode: &Lode, schema: &str, paths: &[(Option<String>, String)]) -> Result<()> {
    let dialect = lode.dialect();
    let (store, path) = (dialect.quote("store"), dialect.quote("path"));
    for chunk in paths.chunks(ROWS_PER_STATEMENT) {
        let mut params = Vec::new();
        let mut conditions = Vec::new();
        for (name, at) in chunk {
            params.push(Value::from(at.as_str()));
            let mut condition = format!("({path} = {}", dialect.placeholder(params.len()));
            match name {
                None => condition.push_str(&format!(" AND {store} IS NULL)")),
                Some(name) => {
                    params.push(Value::from(name.as_str()));
                    condition.push_str(&format!(
                        " AND {store} = {})",
                        dialect.placeholder(params.len())
                    ));
                }
            }
            conditions.push(condition);
        }
        let text = format!(
            "DELETE FROM {} WHERE {}",
            dialect.full_name(schema, DROPPED),
            conditions.join(" OR ")
        );
        lode.backend().execute(&Statement { text, params })?;
    }
    Ok(())
}

fn exists(lode: &Lode, schema: &str) -> Result<bool> {
    lode.is_declared(&TableName {
        schema: schema.to_owned(),
        name: DROPPED.to_owned(),
    })
}

/// Makes the table in a schema that Lodestore did not create.
fn ensure(lode: &Lode, schema: &str) -> Result<()> {
    if exists(lode, schema)? {
        return Ok(());
    }
    lode.backend()
        .prepare_hidden(&lode.dialect().create_dropped_table(schema)?)?;
    lode.refresh(schema);
    Ok(())
}

/// Removes, now, what these schemas have recorded and no row refers to, and clears the records. Exclusively: a writer
/// looks at its objects again, under its lock, before it commits. Returns the number of objects removed.
pub(super) fn collect_recorded(lode: &Lode, schemas: &[String]) -> Result<u64> {
    lode.exclusively(|| {
        let mut removed = 0;
        let mut in_use = None;
        for schema in schemas {
            let recorded = recorded(lode, schema)?;
            if recorded.is_empty() {
                continue;
            }
            let in_use = match &in_use {
                Some(in_use) => in_use,
                None => in_use.insert(paths_in_use(lode)?),
            };
            let mut done = Vec::new();
            for (name, path) in recorded {
                let store = match lode.stores().get_store(name.as_deref()) {
                    Ok(store) => store,
                    // A store that is not configured here: its objects are for someone else to collect.
                    Err(_) => continue,
                };
                if !in_use.contains(store.name(), &path) {
                    match store.head(&path)? {
                        Some(meta) if meta.is_dir => {
                            store.delete(&manifest_path(&path))?;
                            store.delete_prefix(&path)?;
                            removed += 1;
                        }
                        Some(_) => removed += u64::from(store.delete(&path)?),
                        None => {}
                    }
                }
                done.push((name, path));
            }
            forget(lode, schema, &done)?;
        }
        Ok(removed)
    })
}
