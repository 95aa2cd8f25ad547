//! The text side of SQLite.

use std::borrow::Cow;

use super::{bind, ddl, translate};
use crate::definition::StorageType;
use crate::error::Result;
use crate::sql::{BackendKind, Dialect, JsonStep, Statement, TableSpec};
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

    fn stored(&self, storage: &StorageType, value: &Value) -> Result<Value> {
        bind::stored(storage, value).map(Cow::into_owned)
    }

    fn create_table(&self, table: &TableSpec) -> Result<Vec<Statement>> {
        ddl::create_table(self, table)
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
}
