//! The text side of SQLite.

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{alter, bind, ddl, translate};
use crate::definition::StorageType;
use crate::error::Result;
use crate::sql::{AlterSpec, BackendKind, Dialect, JsonStep, Statement, TableSpec};
use crate::value::Value;

/// SQL text for SQLite.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteDialect;

impl Dialect for SqliteDialect {
    fn kind(&self) -> BackendKind {
        BackendKind::Sqlite
    }

    fn quote(&self, identifier: &str) -> String {
        let mut out = String::with_capacity(identifier.len() + 2);
        out.push('"');
        for c in identifier.chars() {
            if c == '"' {
                out.push('"');
            }
            out.push(c);
        }
        out.push('"');
        out
    }

    fn full_name(&self, schema: &str, table: &str) -> String {
        self.quote(&format!("{schema}.{table}"))
    }

    fn placeholder(&self, n: usize) -> String {
        format!("?{n}")
    }

    fn max_table_name(&self) -> usize {
        // SQLite has no limit; the portable one of PostgreSQL lets a file move to a server (spec: python-api §12).
        63
    }

    fn create_lineage_table(&self, schema: &str) -> Result<Vec<Statement>> {
        Ok(vec![ddl::lineage_table(self, schema)])
    }

    fn create_dropped_table(&self, schema: &str) -> Result<Vec<Statement>> {
        Ok(vec![ddl::dropped_table(self, schema)])
    }

    fn stored_form<'a>(&self, storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>> {
        bind::stored(storage, value)
    }

    fn create_table(&self, table: &TableSpec) -> Result<Vec<Statement>> {
        ddl::create_table(self, table)
    }

    fn alter_table(&self, spec: &AlterSpec) -> Result<Vec<Statement>> {
        alter::alter_table(self, spec)
    }

    /// Few storage classes stand for many types.
    fn may_hold(&self, database_type: &str, storage: &StorageType) -> Option<bool> {
        let class = ddl::storage_class(storage)?;
        Some(class.eq_ignore_ascii_case(database_type))
    }

    fn parenthesised_union(&self) -> bool {
        false
    }

    fn limit(&self, limit: Option<u64>, offset: u64) -> String {
        match (limit, offset) {
            (None, 0) => String::new(),
            (Some(n), 0) => format!("LIMIT {n}"),
            (Some(n), m) => format!("LIMIT {n} OFFSET {m}"),
            (None, m) => format!("LIMIT -1 OFFSET {m}"),
        }
    }

    fn json_path(&self, column: &str, path: &[JsonStep], cast: Option<&str>) -> Result<String> {
        translate::json_path(column, path, cast)
    }

    fn translate(&self, sql: &str, is_attribute: &dyn Fn(&str) -> bool) -> Result<String> {
        translate::translate(self, sql, is_attribute)
    }

    /// As text of the collation `decimal`, as the column is: `> 9.4` then compares numbers.
    fn decimal_aggregate(&self, function: &str, column: &str) -> Option<String> {
        let call = match function {
            "min" | "max" => format!("{function}({column})"),
            "sum" | "avg" => format!("decimal_{function}({column})"),
            _ => return None,
        };
        Some(format!("CAST({call} AS TEXT) COLLATE decimal"))
    }

    /// One JSON text, taken apart by `json_each`; bytes travel as hexadecimal text.
    fn bound_keys(
        &self,
        _types: &[Option<&StorageType>],
        rows: &[Vec<Value>],
        placeholder: &str,
    ) -> Option<(String, Value)> {
        let mut columns = vec![None; rows.first()?.len()];
        let mut json = String::with_capacity(rows.len() * columns.len() * 8);
        for (at, row) in rows.iter().enumerate() {
            json.push_str(if at == 0 { "[[" } else { "],[" });
            for (at, (value, is_bytes)) in row.iter().zip(&mut columns).enumerate() {
                if at > 0 {
                    json.push(',');
                }
                let parameter = bind::parameter(value).ok()?;
                let value = match &parameter {
                    ToSqlOutput::Owned(value) => ValueRef::from(value),
                    ToSqlOutput::Borrowed(value) => *value,
                    _ => return None,
                };
                let bytes = matches!(value, ValueRef::Blob(_));
                if *is_bytes.get_or_insert(bytes) != bytes {
                    return None;
                }
                match value {
                    ValueRef::Integer(v) => json.push_str(&v.to_string()),
                    // The shortest text that reads back as the same number.
                    ValueRef::Real(v) if v.is_finite() => json.push_str(&format!("{v:?}")),
                    ValueRef::Text(v) => {
                        json.push_str(&serde_json::to_string(std::str::from_utf8(v).ok()?).ok()?)
                    }
                    ValueRef::Blob(v) => {
                        json.push('"');
                        json.push_str(&data_encoding::HEXUPPER.encode(v));
                        json.push('"');
                    }
                    _ => return None,
                }
            }
        }
        json.push_str("]]");
        let columns: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(at, bytes)| match bytes {
                Some(true) => format!("unhex(value->>{at})"),
                _ => format!("value->>{at}"),
            })
            .collect();
        Some((
            format!(
                "(SELECT {} FROM json_each({placeholder}))",
                columns.join(",")
            ),
            Value::Text(json),
        ))
    }
}
