//! Lineage: where each key attribute was first declared (spec: definition §9).

use std::collections::HashMap;

use super::Lode;
use super::snapshot::LINEAGE;
use crate::definition::TableName;
use crate::error::{Error, Result};
use crate::sql::Statement;
use crate::value::Value;

/// Three values a row.
const ROWS_PER_STATEMENT: usize = 1000;

/// Replaces the rows of one table, atomically.
pub(super) fn replace(lode: &Lode, table: &TableName, rows: &[(String, String)]) -> Result<()> {
    lode.run(lode.dialect().create_lineage_table(&table.schema)?)?;
    lode.transaction(|| {
        remove(lode, table)?;
        let rows: Vec<_> = rows
            .iter()
            .map(|(attribute, origin)| (table.name.as_str(), attribute.as_str(), origin.as_str()))
            .collect();
        add(lode, &table.schema, &rows)
    })
}

/// Removes the rows of one table.
pub(super) fn remove(lode: &Lode, table: &TableName) -> Result<()> {
    let dialect = lode.dialect();
    lode.backend().execute(&Statement {
        text: format!(
            "DELETE FROM {} WHERE {} = {}",
            dialect.full_name(&table.schema, LINEAGE),
            dialect.quote("table_name"),
            dialect.placeholder(1)
        ),
        params: vec![table.name.as_str().into()],
    })?;
    Ok(())
}

/// Adds rows of (table, attribute, origin).
fn add(lode: &Lode, schema: &str, rows: &[(&str, &str, &str)]) -> Result<()> {
    let dialect = lode.dialect();
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
                "INSERT INTO {} ({columns}) VALUES {}",
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
        add(lode, schema, &rows)
    })
}
