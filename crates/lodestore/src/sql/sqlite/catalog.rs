//! What is there, read with a handful of queries per schema.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{ddl, errors};
use crate::error::Result;
use crate::sql::{CatalogColumn, CatalogForeignKey, CatalogIndex, CatalogTable};

/// The tables of one schema: names from its prefix to the next possible one, so that the catalogue is not scanned by text.
const TABLES: &str = "SELECT name, coalesce(sql, '') FROM sqlite_schema \
    WHERE type = 'table' AND substr(name, 1, length(?1)) = ?1 ORDER BY name";

const COLUMNS: &str = "SELECT m.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk \
    FROM sqlite_schema m, pragma_table_xinfo(m.name) c \
    WHERE m.type = 'table' AND substr(m.name, 1, length(?1)) = ?1 ORDER BY m.name, c.cid";

/// Ids run from the last declared key to the first.
const FOREIGN_KEYS: &str = "SELECT m.name, f.id, f.\"table\", f.\"from\", f.\"to\" \
    FROM sqlite_schema m, pragma_foreign_key_list(m.name) f \
    WHERE m.type = 'table' AND substr(m.name, 1, length(?1)) = ?1 ORDER BY m.name, f.id DESC, f.seq";

const INDEXES: &str = "SELECT m.name, l.name, l.\"unique\", x.name, x.\"desc\", i.sql \
    FROM sqlite_schema m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x \
    LEFT JOIN sqlite_schema i ON i.type = 'index' AND i.name = l.name \
    WHERE m.type = 'table' AND l.origin <> 'pk' AND x.\"key\" = 1 \
    AND substr(m.name, 1, length(?1)) = ?1 ORDER BY m.name, i.rowid, l.name, x.seqno";

const COMMENTS: &str = "SELECT \"table_name\", \"column_name\", \"comment\" FROM \"~comment\" WHERE \"schema_name\" = ?1";

pub(super) fn catalog(connection: &Connection, schema: &str) -> Result<Vec<CatalogTable>> {
    read(connection, schema).map_err(|e| errors::map(e, ""))
}

fn read(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<CatalogTable>> {
    let prefix = format!("{schema}.");
    let mut tables: Vec<CatalogTable> = Vec::new();
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut automatic: Vec<bool> = Vec::new();
    let bare = |full: &str| full.get(prefix.len()..).unwrap_or_default().to_owned();

    let mut statement = connection.prepare_cached(TABLES)?;
    let mut rows = statement.query([&prefix])?;
    while let Some(row) = rows.next()? {
        let (full, sql): (String, String) = (row.get(0)?, row.get(1)?);
        at.insert(full.clone(), tables.len());
        automatic.push(sql.contains("INTEGER PRIMARY KEY AUTOINCREMENT"));
        tables.push(CatalogTable {
            name: bare(&full),
            comment: String::new(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
        });
    }

    let mut keys: Vec<Vec<(i64, String)>> = vec![Vec::new(); tables.len()];
    let mut statement = connection.prepare_cached(COLUMNS)?;
    let mut rows = statement.query([&prefix])?;
    while let Some(row) = rows.next()? {
        let full: String = row.get(0)?;
        let Some(&n) = at.get(&full) else { continue };
        let name: String = row.get(1)?;
        let (type_, not_null, default, key): (String, bool, Option<String>, i64) =
            (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        if key > 0 {
            keys[n].push((key, name.clone()));
        }
        let numbered = automatic[n] && key > 0;
        tables[n].columns.push(CatalogColumn {
            name,
            database_type: type_.to_lowercase(),
            type_text: None,
            nullable: !not_null && !numbered,
            default: default
                .map(|d| ddl::written_default(&d))
                .filter(|d| !d.eq_ignore_ascii_case("null")),
            comment: String::new(),
            auto_increment: numbered,
        });
    }
    for (table, mut key) in tables.iter_mut().zip(keys) {
        key.sort();
        table.primary_key = key.into_iter().map(|(_, name)| name).collect();
    }

    let mut statement = connection.prepare_cached(FOREIGN_KEYS)?;
    let mut rows = statement.query([&prefix])?;
    let mut last: Option<(usize, i64)> = None;
    while let Some(row) = rows.next()? {
        let full: String = row.get(0)?;
        let Some(&n) = at.get(&full) else { continue };
        let (id, parent): (i64, String) = (row.get(1)?, row.get(2)?);
        let (from, to): (String, Option<String>) = (row.get(3)?, row.get(4)?);
        if last != Some((n, id)) {
            let (parent_schema, parent_table) = parent.split_once('.').unwrap_or(("", &parent));
            tables[n].foreign_keys.push(CatalogForeignKey {
                columns: Vec::new(),
                parent_schema: parent_schema.to_owned(),
                parent_table: parent_table.to_owned(),
                parent_columns: Vec::new(),
            });
            last = Some((n, id));
        }
        if let Some(key) = tables[n].foreign_keys.last_mut() {
            key.parent_columns.push(to.unwrap_or_else(|| from.clone()));
            key.columns.push(from);
        }
    }

    let mut statement = connection.prepare_cached(INDEXES)?;
    let mut rows = statement.query([&prefix])?;
    while let Some(row) = rows.next()? {
        let full: String = row.get(0)?;
        let Some(&n) = at.get(&full) else { continue };
        let name: String = row.get(1)?;
        let (unique, column, descending, sql): (bool, Option<String>, bool, Option<String>) =
            (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        let name = name
            .get(prefix.len()..)
            .filter(|_| name.starts_with(&prefix))
            .unwrap_or(&name)
            .to_owned();
        let indexes = &mut tables[n].indexes;
        if indexes.last().is_none_or(|i| i.name != name) {
            indexes.push(CatalogIndex {
                name,
                unique,
                terms: Vec::new(),
            });
        }
        if let Some(index) = indexes.last_mut() {
            let term = match column {
                Some(column) if descending => format!("{column} desc"),
                Some(column) => column,
                None => sql
                    .as_deref()
                    .and_then(|s| term_of(s, index.terms.len()))
                    .unwrap_or_default(),
            };
            index.terms.push(term);
        }
    }

    let mut statement = connection.prepare_cached(COMMENTS)?;
    let mut rows = statement.query([schema])?;
    while let Some(row) = rows.next()? {
        let (table, column, comment): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let Some(&n) = at.get(&format!("{prefix}{table}")) else {
            continue;
        };
        if column.is_empty() {
            tables[n].comment = comment;
        } else if let Some(column) = tables[n].columns.iter_mut().find(|c| c.name == column) {
            column.comment = comment;
        }
    }
    Ok(tables)
}

/// The n-th term in the text of a `CREATE INDEX`: an expression, which the pragmas do not tell.
fn term_of(sql: &str, n: usize) -> Option<String> {
    let start = sql.find(" (")? + 2;
    let (mut depth, mut quote, mut terms, mut term) = (0, None, Vec::new(), String::new());
    for c in sql[start..].chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => break,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                terms.push(std::mem::take(&mut term));
                continue;
            }
            _ => {}
        }
        term.push(c);
    }
    terms.push(term);
    terms.get(n).map(|t| t.trim().to_owned())
}
