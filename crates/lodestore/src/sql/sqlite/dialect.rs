//! The text side of SQLite.

use crate::definition::StorageType;
use crate::error::{Error, Result};
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

    fn create_lineage_table(&self, _schema: &str) -> Result<Vec<Statement>> {
        Err(Error::unsupported("being written"))
    }

    fn stored(&self, _storage: &StorageType, _value: &Value) -> Result<Value> {
        Err(Error::unsupported("being written"))
    }

    fn create_table(&self, _table: &TableSpec) -> Result<Vec<Statement>> {
        Err(Error::unsupported("being written"))
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

    fn json_path(&self, _column: &str, _path: &[JsonStep], _cast: Option<&str>) -> Result<String> {
        Err(Error::unsupported("being written"))
    }

    fn translate(&self, _sql: &str, _is_attribute: &dyn Fn(&str) -> bool) -> Result<String> {
        Err(Error::unsupported("being written"))
    }
}
