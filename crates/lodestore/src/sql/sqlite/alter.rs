//! Changing a table on SQLite: natively where SQLite can, else by the rebuild that its manual describes
//! (<https://sqlite.org/lang_altertable.html#otheralter>).

use super::{SqliteDialect, ddl};
use crate::definition::Default;
use crate::error::Result;
use crate::sql::{AlterSpec, ColumnChange, Conversion, Dialect, Statement};
use crate::value::Value;

/// What the new table is called until it takes the place of the old one.
const NEW: &str = "~lode_new";

pub(super) fn alter_table(dialect: &SqliteDialect, alter: &AlterSpec) -> Result<Vec<Statement>> {
    let table = &alter.table;
    let mut statements = match natively(dialect, alter)? {
        Some(statements) => statements,
        None => rebuild(dialect, alter)?,
    };
    if statements.is_empty() {
        // Comments are rows: without DDL other connections would not notice that they have changed.
        statements.push(Statement::new("CREATE TABLE \"~lode_touch\" (\"n\" INT)"));
        statements.push(Statement::new("DROP TABLE \"~lode_touch\""));
    }
    statements.push(Statement {
        text: "DELETE FROM \"~comment\" WHERE \"schema_name\" = ?1 AND \"table_name\" = ?2"
            .to_owned(),
        params: [table.schema.as_str(), &table.table]
            .map(Value::from)
            .to_vec(),
    });
    statements.extend(ddl::comments(table));
    Ok(statements)
}

/// The statements for what SQLite can do itself; none if the table must be rebuilt.
fn natively(dialect: &SqliteDialect, alter: &AlterSpec) -> Result<Option<Vec<Statement>>> {
    if !simple(alter) {
        return Ok(None);
    }
    let name = dialect.full_name(&alter.table.schema, &alter.table.table);
    let mut statements = Vec::new();
    let mut push =
        |action: String| statements.push(Statement::new(format!("ALTER TABLE {name} {action}")));
    for change in &alter.changes {
        match change {
            ColumnChange::Drop(column) => push(format!("DROP COLUMN {}", dialect.quote(column))),
            ColumnChange::Add { column, .. } => {
                let line = ddl::column_line(dialect, column, false)
                    .map_err(|e| e.attribute(&column.name))?;
                push(format!("ADD COLUMN {line}"));
            }
            ColumnChange::Modify { old, column, .. } if old.name != column.name => push(format!(
                "RENAME COLUMN {} TO {}",
                dialect.quote(&old.name),
                dialect.quote(&column.name)
            )),
            ColumnChange::Modify { .. } => {}
        }
    }
    Ok(Some(statements))
}

/// True if all that happens are drops, renames, new columns at the end with a constant default, and comments.
fn simple(alter: &AlterSpec) -> bool {
    let added = |name: &str| {
        alter
            .changes
            .iter()
            .any(|c| matches!(c, ColumnChange::Add { column, .. } if column.name == name))
    };
    let mut visible = alter
        .table
        .columns
        .iter()
        .filter(|c| !c.name.starts_with('_'))
        .skip_while(|c| !added(&c.name));
    let old_names: Vec<&str> = alter
        .changes
        .iter()
        .filter_map(|change| match change {
            ColumnChange::Modify { old, column, .. } if old.name != column.name => {
                Some(old.name.as_str())
            }
            _ => None,
        })
        .collect();
    visible.all(|c| added(&c.name))
        && alter.changes.iter().all(|change| match change {
            ColumnChange::Drop(_) => true,
            ColumnChange::Add { column, .. } => {
                column.takes_null() || matches!(column.default, Default::Literal(_))
            }
            ColumnChange::Modify {
                old,
                column,
                position,
                ..
            } => {
                position.is_none()
                    && old.storage == column.storage
                    && old.default == column.default
                    && old.nullable == column.nullable
                    // Names that change places cannot be changed one after the other.
                    && (old.name == column.name || !old_names.contains(&column.name.as_str()))
            }
        })
}

fn rebuild(dialect: &SqliteDialect, alter: &AlterSpec) -> Result<Vec<Statement>> {
    let table = &alter.table;
    let (old, new) = (
        dialect.full_name(&table.schema, &table.table),
        dialect.full_name(&table.schema, NEW),
    );
    let (mut targets, mut sources) = (Vec::new(), Vec::new());
    for column in &table.columns {
        let change = alter.changes.iter().find_map(|change| match change {
            ColumnChange::Add { column: c, .. } if c.name == column.name => Some(None),
            ColumnChange::Modify {
                old,
                column: c,
                conversion,
                ..
            } if c.name == column.name => Some(Some((old, *conversion))),
            _ => None,
        });
        let source = match change {
            Some(None) => continue,
            Some(Some((old, Conversion::Convert))) if old.storage != column.storage => format!(
                "lode_convert({}, {}, {})",
                dialect.quote(&old.name),
                ddl::literal(&old.storage.to_string()),
                ddl::literal(&column.storage.to_string())
            ),
            Some(Some((old, _))) => dialect.quote(&old.name),
            None => dialect.quote(&column.name),
        };
        targets.push(dialect.quote(&column.name));
        sources.push(source);
    }
    let mut statements = vec![
        ddl::table(dialect, table, &new)?,
        Statement::new(format!(
            "INSERT INTO {new} ({}) SELECT {} FROM {old}",
            targets.join(", "),
            sources.join(", ")
        )),
    ];
    if ddl::automatic_column(table)?.is_some() {
        // A number that was given once is not given again, also if its row is gone.
        statements.push(sequence(
            "DELETE FROM sqlite_sequence WHERE name = ?1",
            &[&format!("{}.{NEW}", table.schema)],
        ));
        statements.push(sequence(
            "UPDATE sqlite_sequence SET name = ?1 WHERE name = ?2",
            &[
                &format!("{}.{NEW}", table.schema),
                &format!("{}.{}", table.schema, table.table),
            ],
        ));
    }
    statements.push(Statement::new(format!("DROP TABLE {old}")));
    statements.push(Statement::new(format!("ALTER TABLE {new} RENAME TO {old}")));
    statements.extend(ddl::indexes(dialect, table)?);
    Ok(statements)
}

fn sequence(text: &str, params: &[&str]) -> Statement {
    Statement {
        text: text.to_owned(),
        params: params.iter().map(|p| Value::from(*p)).collect(),
    }
}
