//! What is there, read with one query per kind of thing for all schemas together.

use std::collections::HashMap;

use super::connection::LOCK;
use super::session::Session;
use crate::error::Result;
use crate::sql::{
    CatalogColumn, CatalogForeignKey, CatalogIndex, CatalogTable, Statement, TableSpec,
};
use crate::value::{Batch, Value};

/// What belongs to the server.
const SYSTEM: &str = "('information_schema', 'mysql', 'performance_schema', 'sys')";

fn text(batch: &Batch, row: usize, column: usize) -> String {
    optional(batch, row, column).unwrap_or_default()
}

fn optional(batch: &Batch, row: usize, column: usize) -> Option<String> {
    match batch.value(row, column) {
        Value::Null => None,
        Value::Text(s) | Value::Decimal(s) => Some(s),
        Value::Int(i) => Some(i.to_string()),
        // Some of the catalogue's columns have no character set.
        Value::Bytes(b) => Some(String::from_utf8_lossy(&b).into_owned()),
        _ => None,
    }
}

fn number(batch: &Batch, row: usize, column: usize) -> i64 {
    match batch.value(row, column) {
        Value::Int(i) => i,
        other => match other {
            Value::Decimal(d) | Value::Text(d) => d.parse().unwrap_or(0),
            _ => 0,
        },
    }
}

fn query(session: &mut Session, text: &str, params: &[&str]) -> Result<Batch> {
    let statement = Statement {
        text: text.to_owned(),
        params: params.iter().map(|p| Value::from(*p)).collect(),
    };
    session.query(&statement, None)
}

/// Names of all schemas but the server's own, sorted.
pub(super) fn schemas(session: &mut Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {SYSTEM}"
    );
    let batch = query(session, &sql, &[])?;
    let mut names: Vec<String> = (0..batch.rows).map(|row| text(&batch, row, 0)).collect();
    names.sort();
    Ok(names)
}

/// True if every schema that has a `~lineage` table compares texts exactly; also if there is none.
pub(super) fn pipelines_are_exact(session: &mut Session) -> Result<bool> {
    let sql = "SELECT s.default_collation_name FROM information_schema.schemata s \
               JOIN information_schema.tables t ON t.table_schema = s.schema_name AND t.table_name = '~lineage'";
    let batch = query(session, sql, &[])?;
    Ok((0..batch.rows).all(|row| text(&batch, row, 0) == "utf8mb4_bin"))
}

/// Names of a schema's tables, sorted.
pub(super) fn tables(session: &mut Session, schema: &str) -> Result<Vec<String>> {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE'";
    let batch = query(session, sql, &[schema])?;
    let mut names: Vec<String> = (0..batch.rows).map(|row| text(&batch, row, 0)).collect();
    names.sort();
    Ok(names)
}

/// Fills in the types of inherited columns: those of the columns that they reference.
pub(super) fn known_types(session: &mut Session, table: &mut TableSpec) -> Result<()> {
    if table.foreign_keys.is_empty() {
        return Ok(());
    }
    let own =
        "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = ?";
    let own = query(session, own, &[&table.schema])?;
    let own = (own.rows > 0).then(|| text(&own, 0, 0));
    for key in &table.foreign_keys {
        let sql = "SELECT column_name, column_type, character_set_name, collation_name \
                   FROM information_schema.columns WHERE table_schema = ? AND table_name = ?";
        let batch = query(session, sql, &[&key.parent_schema, &key.parent_table])?;
        for row in 0..batch.rows {
            let name = text(&batch, row, 0);
            let child = key
                .parent_columns
                .iter()
                .position(|c| *c == name)
                .and_then(|at| key.columns.get(at));
            let column = table
                .columns
                .iter_mut()
                .find(|c| Some(&c.name) == child && c.inherited && c.known_type.is_none());
            let Some(column) = column else { continue };
            let mut type_ = database_type(&text(&batch, row, 1));
            let collation = optional(&batch, row, 3);
            if let Some(collation) = collation.filter(|c| Some(c) != own.as_ref()) {
                let charset = text(&batch, row, 2);
                type_.push_str(&format!(" CHARACTER SET {charset} COLLATE {collation}"));
            }
            column.known_type = Some(type_);
        }
    }
    Ok(())
}

/// Those of the schemas that hold a pipeline: some table of ours, or the reference's, is there.
pub(super) fn pipelines(session: &mut Session, schemas: &[&str]) -> Result<Vec<String>> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let holes = vec!["?"; schemas.len()].join(",");
    let sql = format!(
        "SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_schema IN ({holes}) \
         AND table_name IN ('~lineage', '~lode_dropped', '{LOCK}')"
    );
    let batch = query(session, &sql, schemas)?;
    let mut names: Vec<String> = (0..batch.rows).map(|row| text(&batch, row, 0)).collect();
    names.sort();
    Ok(names)
}

/// (schema, table) of every table that references one of this schema.
pub(super) fn referencing(session: &mut Session, schema: &str) -> Result<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT constraint_schema, table_name FROM information_schema.referential_constraints \
               WHERE unique_constraint_schema = ?";
    let batch = query(session, sql, &[schema])?;
    let mut found: Vec<(String, String)> = (0..batch.rows)
        .map(|row| (text(&batch, row, 0), text(&batch, row, 1)))
        .collect();
    found.sort();
    Ok(found)
}

/// Columns of the unique index of this name, in order; empty if there is none.
pub(super) fn index_columns(
    session: &mut Session,
    schema: &str,
    table: &str,
    index: &str,
) -> Result<Vec<String>> {
    let sql = "SELECT column_name FROM information_schema.statistics \
               WHERE table_schema = ? AND table_name = ? AND index_name = ? ORDER BY seq_in_index";
    let batch = query(session, sql, &[schema, table, index])?;
    Ok((0..batch.rows).map(|row| text(&batch, row, 0)).collect())
}

/// True if a table has a unique index beside its primary key.
pub(super) fn has_other_unique(session: &mut Session, schema: &str, table: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? \
               AND non_unique = 0 AND index_name <> 'PRIMARY' LIMIT 1";
    Ok(query(session, sql, &[schema, table])?.rows > 0)
}

/// The tables of schemas, in their order, each sorted by name; only the one of this name, if a name is given.
pub(super) fn catalogs(
    session: &mut Session,
    schemas: &[&str],
    only: Option<&str>,
) -> Result<Vec<Vec<CatalogTable>>> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let mut found: HashMap<(String, String), CatalogTable> = HashMap::new();
    let holes = vec!["?"; schemas.len()].join(",");
    let condition = match only {
        Some(_) => format!("table_schema IN ({holes}) AND table_name = ?"),
        None => format!("table_schema IN ({holes})"),
    };
    let params: Vec<&str> = schemas.iter().copied().chain(only).collect();
    let read = |session: &mut Session, sql: &str| {
        query(session, &sql.replace("{these}", &condition), &params)
    };

    let batch = read(
        session,
        "SELECT table_schema, table_name, table_comment FROM information_schema.tables \
         WHERE {these} AND table_type = 'BASE TABLE'",
    )?;
    if batch.rows == 0 {
        return Ok(vec![Vec::new(); schemas.len()]);
    }
    for row in 0..batch.rows {
        let (schema, name) = (text(&batch, row, 0), text(&batch, row, 1));
        if name == LOCK {
            continue;
        }
        let table = CatalogTable {
            name: name.clone(),
            comment: text(&batch, row, 2),
            columns: Vec::new(),
            primary_key: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
        };
        found.insert((schema, name), table);
    }

    let batch = read(
        session,
        "SELECT table_schema, table_name, column_name, column_type, is_nullable, column_default, column_comment, \
         extra FROM information_schema.columns WHERE {these} \
         ORDER BY table_schema, table_name, ordinal_position",
    )?;
    let mariadb = session.dialect.mariadb;
    for row in 0..batch.rows {
        let Some(table) = found.get_mut(&(text(&batch, row, 0), text(&batch, row, 1))) else {
            continue;
        };
        let written = text(&batch, row, 3);
        let extra = text(&batch, row, 7).to_lowercase();
        let default = optional(&batch, row, 5).and_then(|d| match mariadb {
            true => mariadb_default(&d),
            false => Some(mysql_default(
                &d,
                &written,
                extra.contains("default_generated"),
            )),
        });
        table.columns.push(CatalogColumn {
            name: text(&batch, row, 2),
            database_type: database_type(&written),
            nullable: text(&batch, row, 4) == "YES",
            default,
            comment: text(&batch, row, 6),
            auto_increment: extra.contains("auto_increment"),
            type_text: None,
        });
    }

    // Terms that are expressions have no column; only MySQL has them.
    let expression = if mariadb { "NULL" } else { "expression" };
    let batch = read(
        session,
        &format!(
            "SELECT table_schema, table_name, index_name, non_unique, column_name, collation, sub_part, {expression}, \
             seq_in_index FROM information_schema.statistics WHERE {{these}}"
        ),
    )?;
    // Each with its position in its index; the catalogue tells indexes in the order of the table.
    type Term = (i64, CatalogIndex, String);
    let mut terms: HashMap<(String, String), Vec<Term>> = HashMap::new();
    for row in 0..batch.rows {
        let key = (text(&batch, row, 0), text(&batch, row, 1));
        if !found.contains_key(&key) {
            continue;
        }
        let mut term = match optional(&batch, row, 4) {
            Some(column) => column,
            None => text(&batch, row, 7),
        };
        if let Some(length) = optional(&batch, row, 6) {
            term = format!("{term}({length})");
        }
        if optional(&batch, row, 5).as_deref() == Some("D") {
            term.push_str(" desc");
        }
        let index = CatalogIndex {
            name: text(&batch, row, 2),
            unique: number(&batch, row, 3) == 0,
            terms: Vec::new(),
        };
        terms
            .entry(key)
            .or_default()
            .push((number(&batch, row, 8), index, term));
    }
    for (key, parts) in terms {
        let Some(table) = found.get_mut(&key) else {
            continue;
        };
        let mut indexes: Vec<(CatalogIndex, Vec<(i64, String)>)> = Vec::new();
        for (position, index, term) in parts {
            match indexes.iter_mut().find(|(i, _)| i.name == index.name) {
                Some((_, terms)) => terms.push((position, term)),
                None => indexes.push((index, vec![(position, term)])),
            }
        }
        for (mut index, mut terms) in indexes {
            terms.sort();
            index.terms = terms.into_iter().map(|(_, term)| term).collect();
            match index.name.as_str() {
                "PRIMARY" => table.primary_key = index.terms,
                _ => table.indexes.push(index),
            }
        }
    }

    let batch = read(
        session,
        "SELECT table_schema, table_name, constraint_name, column_name, referenced_table_schema, \
         referenced_table_name, referenced_column_name, ordinal_position FROM information_schema.key_column_usage \
         WHERE {these} AND referenced_table_name IS NOT NULL",
    )?;
    type Key = (String, CatalogForeignKey, Vec<(i64, String, String)>);
    let mut keys: HashMap<(String, String), Vec<Key>> = HashMap::new();
    for row in 0..batch.rows {
        let key = (text(&batch, row, 0), text(&batch, row, 1));
        let name = text(&batch, row, 2);
        let part = (
            number(&batch, row, 7),
            text(&batch, row, 3),
            text(&batch, row, 6),
        );
        let keys = keys.entry(key).or_default();
        match keys.iter_mut().find(|(n, _, _)| *n == name) {
            Some((_, _, parts)) => parts.push(part),
            None => keys.push((
                name,
                CatalogForeignKey {
                    columns: Vec::new(),
                    parent_schema: text(&batch, row, 4),
                    parent_table: text(&batch, row, 5),
                    parent_columns: Vec::new(),
                },
                vec![part],
            )),
        }
    }
    for (place, mut keys) in keys {
        let Some(table) = found.get_mut(&place) else {
            continue;
        };
        keys.sort_by(|(a, ..), (b, ..)| numbered(a).cmp(&numbered(b)));
        for (_, mut key, mut parts) in keys {
            parts.sort();
            for (_, column, parent) in parts {
                key.columns.push(column);
                key.parent_columns.push(parent);
            }
            table.foreign_keys.push(key);
        }
    }

    let mut out: HashMap<&str, Vec<CatalogTable>> = HashMap::new();
    for ((schema, _), table) in found {
        if let Some(schema) = schemas.iter().find(|s| **s == schema) {
            out.entry(schema).or_default().push(table);
        }
    }
    Ok(schemas
        .iter()
        .map(|schema| {
            let mut tables = out.remove(schema).unwrap_or_default();
            tables.sort_by(|a, b| a.name.cmp(&b.name));
            tables
        })
        .collect())
}

/// The server numbers constraints in the order of declaration: `<table>_ibfk_<n>`.
fn numbered(name: &str) -> (&str, u64) {
    match name.rsplit_once("_ibfk_") {
        Some((table, n)) => (table, n.parse().unwrap_or(u64::MAX)),
        None => (name, u64::MAX),
    }
}

/// Without the display width of integers and floats, and without comments of the server (spec: definition §8.1).
fn database_type(written: &str) -> String {
    let written = match written.split_once("/*") {
        Some((type_, _)) => type_.trim_end(),
        None => written,
    };
    let word = written
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    let has_width = matches!(
        word,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "float" | "double" | "year"
    );
    match (has_width, written.split_once('('), written.split_once(')')) {
        (true, Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => written.to_owned(),
    }
}

/// MariaDB writes defaults as expressions: `'text'` (with backslashes doubled), `1.5`, `current_timestamp(3)`, `NULL`.
fn mariadb_default(text: &str) -> Option<String> {
    if text.eq_ignore_ascii_case("null") {
        return None;
    }
    Some(match text.starts_with('\'') {
        true => text.replace("\\\\", "\\"),
        false => expression(text),
    })
}

/// MySQL writes the bare text of a literal, and says elsewhere whether it is an expression.
fn mysql_default(text: &str, type_: &str, generated: bool) -> String {
    if generated || text.to_ascii_uppercase().starts_with("CURRENT_TIMESTAMP") {
        return expression(text);
    }
    match text.strip_prefix("0x") {
        Some(hex) if type_.starts_with("binary") || type_.starts_with("varbinary") => {
            format!("X'{hex}'")
        }
        _ => format!("'{}'", text.replace('\'', "''")),
    }
}

/// In the words in which it is written in a definition.
fn expression(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("current_timestamp") {
        // MariaDB adds empty parentheses.
        return format!("CURRENT_TIMESTAMP{}", if rest == "()" { "" } else { rest });
    }
    if lower == "curdate()" || lower == "current_date()" {
        return "CURRENT_TIMESTAMP".to_owned();
    }
    if lower.starts_with("unhex(")
        && let Some(hex) = text.split('\'').nth(1)
    {
        return format!("X'{}'", hex.trim_end_matches('\\'));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_dropped_where_they_mean_nothing() {
        for (written, expected) in [
            ("int(11)", "int"),
            ("int(10) unsigned", "int unsigned"),
            ("tinyint(1)", "tinyint"),
            ("decimal(10,2)", "decimal(10,2)"),
            ("enum('int(1)','b')", "enum('int(1)','b')"),
            ("datetime(3)", "datetime(3)"),
            ("year(4)", "year"),
            ("timestamp /* mariadb-5.3 */", "timestamp"),
        ] {
            assert_eq!(database_type(written), expected);
        }
    }

    #[test]
    fn both_servers_tell_the_same_defaults() {
        let mysql = |t, type_| mysql_default(t, type_, false);
        for (maria, here, type_, expected) in [
            ("'it''s \\\\'", "it's \\", "varchar(9)", "'it''s \\'"),
            (
                "current_timestamp(3)",
                "CURRENT_TIMESTAMP(3)",
                "datetime(3)",
                "CURRENT_TIMESTAMP(3)",
            ),
            (
                "current_timestamp()",
                "CURRENT_TIMESTAMP",
                "datetime",
                "CURRENT_TIMESTAMP",
            ),
            ("''", "", "varchar(9)", "''"),
        ] {
            assert_eq!(mariadb_default(maria).as_deref(), Some(expected));
            assert_eq!(mysql(here, type_), expected);
        }
        assert_eq!(mariadb_default("NULL"), None);
        assert_eq!(
            mysql_default("unhex(_utf8mb4\\'00ff\\')", "binary(2)", true),
            "X'00ff'"
        );
        assert_eq!(mariadb_default("unhex('00ff')").as_deref(), Some("X'00ff'"));
        assert_eq!(mysql("0x00FF", "binary(2)"), "X'00FF'");
    }
}
