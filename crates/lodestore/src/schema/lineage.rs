//! Lineage: where each key attribute was first declared (spec: definition §9).

use std::collections::HashMap;

use super::Lode;
use super::snapshot::LINEAGE;
use crate::definition::TableName;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::Statement;
use crate::value::Value;

/// Three values a row.
const ROWS_PER_STATEMENT: usize = 1000;

/// Replaces the rows of one table, atomically.
pub(super) fn replace(lode: &Lode, table: &TableName, rows: &[(String, String)]) -> Result<()> {
    if lode.dialect().transactional_ddl() {
        return lode.transaction(|| replace_within(lode, table, rows));
    }
    // Nobody ever sees the table without its rows, so these need no transaction, and a second process that does the
    // same meanwhile does no harm.
    let put = || add(lode, &table.schema, &of_table(table, rows), true);
    match put() {
        Err(e) if e.kind() == ErrorKind::MissingTable => {
            lode.run(lode.dialect().create_lineage_table(&table.schema)?)?;
            put()?;
        }
        other => other?,
    }
    remove_others(lode, table, rows)
}

/// Replaces the rows of one table in the open transaction.
pub(super) fn replace_within(
    lode: &Lode,
    table: &TableName,
    rows: &[(String, String)],
) -> Result<()> {
    lode.run(lode.dialect().create_lineage_table(&table.schema)?)?;
    remove(lode, table)?;
    add(lode, &table.schema, &of_table(table, rows), false)
}

fn of_table<'a>(
    table: &'a TableName,
    rows: &'a [(String, String)],
) -> Vec<(&'a str, &'a str, &'a str)> {
    rows.iter()
        .map(|(attribute, origin)| (table.name.as_str(), attribute.as_str(), origin.as_str()))
        .collect()
}

/// Removes the rows of one table.
pub(super) fn remove(lode: &Lode, table: &TableName) -> Result<()> {
    remove_others(lode, table, &[])
}

/// Removes the rows of one table but for those of these attributes.
fn remove_others(lode: &Lode, table: &TableName, kept: &[(String, String)]) -> Result<()> {
    let dialect = lode.dialect();
    let mut text = format!(
        "DELETE FROM {} WHERE {} = {}",
        dialect.full_name(&table.schema, LINEAGE),
        dialect.quote("table_name"),
        dialect.placeholder(1)
    );
    let mut params: Vec<Value> = vec![table.name.as_str().into()];
    if !kept.is_empty() {
        params.extend(kept.iter().map(|(attribute, _)| attribute.as_str().into()));
        let holes: Vec<String> = (2..=params.len()).map(|n| dialect.placeholder(n)).collect();
        let column = dialect.quote("attribute_name");
        text.push_str(&format!(" AND {column} NOT IN ({})", holes.join(", ")));
    }
    lode.backend().execute(&Statement { text, params })?;
    Ok(())
}

/// Adds rows of (table, attribute, origin). One that is there already gets the new origin, or is an error.
fn add(lode: &Lode, schema: &str, rows: &[(&str, &str, &str)], update: bool) -> Result<()> {
    let dialect = lode.dialect();
    let conflict = match update {
        true => dialect.update_on_conflict(&["table_name", "attribute_name"], "lineage"),
        false => String::new(),
    };
    let columns = ["table_name", "attribute_name", "lineage"]
        .map(|c| dialect.quote(c))
        .join(", ");
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        let mut params: Vec<Value> = Vec::with_capacity(3 * rows.len());
        let mut values = Vec::with_capacity(rows.len());
        for (table, attribute, origin) in rows {
            params.extend([*table, *attribute, *origin].map(Value::from));
            let last = params.len();
            let holes = [last - 2, last - 1, last].map(|n| dialect.placeholder(n));
            values.push(format!("({})", holes.join(", ")));
        }
        lode.backend().execute(&Statement {
            text: format!(
                "INSERT INTO {} ({columns}) VALUES {}{conflict}",
                dialect.full_name(schema, LINEAGE),
                values.join(", ")
            ),
            params,
        })?;
    }
    Ok(())
}

/// Recomputes a schema's lineage from its foreign keys, parents first, then replaces it.
pub(super) fn rebuild(lode: &Lode, schema: &str) -> Result<()> {
    let order = lode.tables(schema)?;
    let snapshot = lode.snapshot(schema)?;
    let mut known: HashMap<(String, String), String> = HashMap::new();
    let mut rows = Vec::new();
    for name in order {
        let table = snapshot.require(&name.name)?;
        for column in table.columns.iter().filter(|c| !c.name.starts_with('_')) {
            // Where two keys share a column the last one decides, as on declaration.
            let parent = table.foreign_keys.iter().rev().find_map(|key| {
                let at = key.columns.iter().position(|c| *c == column.name)?;
                Some((key, &key.parent_columns[at]))
            });
            let origin = match parent {
                Some((key, attribute)) if key.parent_schema == schema => known
                    .get(&(key.parent_table.clone(), attribute.clone()))
                    .cloned(),
                Some((key, attribute)) => {
                    let parent = lode.snapshot(&key.parent_schema)?;
                    let origin = parent.origin(&key.parent_table, attribute).ok_or_else(|| {
                        Error::invalid(format!(
                            "`{}.{}.{attribute}` has no lineage",
                            key.parent_schema, key.parent_table
                        ))
                        .hint(format!(
                            "Rebuild the lineage of the schema `{}` first.",
                            key.parent_schema
                        ))
                    })?;
                    Some(origin.to_string())
                }
                None => None,
            };
            let own = || {
                table
                    .primary_key
                    .contains(&column.name)
                    .then(|| format!("{name}.{}", column.name))
            };
            if let Some(origin) = origin.or_else(own) {
                known.insert((table.name.clone(), column.name.clone()), origin.clone());
                rows.push((table.name.clone(), column.name.clone(), origin));
            }
        }
        if table.primary_key == ["_singleton"] {
            rows.push((
                table.name.clone(),
                "_singleton".to_owned(),
                format!("{name}._singleton"),
            ));
        }
    }
    // Where declarations commit what is open, this one must not stand between the two halves.
    lode.run(lode.dialect().create_lineage_table(schema)?)?;
    lode.transaction(|| {
        let text = format!("DELETE FROM {}", lode.dialect().full_name(schema, LINEAGE));
        lode.backend().execute(&Statement::new(text))?;
        let rows: Vec<_> = rows
            .iter()
            .map(|(table, attribute, origin)| (table.as_str(), attribute.as_str(), origin.as_str()))
            .collect();
        add(lode, schema, &rows, false)
    })
}
