//! The text side of PostgreSQL.

use std::borrow::Cow;

use super::{alter, bind, ddl, translate};
use crate::definition::{CoreType, NativeKind, StorageType};
use crate::error::Result;
use crate::sql::{AlterSpec, BackendKind, Dialect, JsonStep, Statement, TableSpec};
use crate::value::Value;

/// SQL text for PostgreSQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresDialect;

impl Dialect for PostgresDialect {
    fn kind(&self) -> BackendKind {
        BackendKind::Postgres
    }

    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn full_name(&self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    fn placeholder(&self, n: usize) -> String {
        format!("${n}")
    }

    fn max_table_name(&self) -> usize {
        ddl::LONGEST_NAME
    }

    fn create_lineage_table(&self, schema: &str) -> Result<Vec<Statement>> {
        Ok(vec![ddl::lineage_table(schema)])
    }

    fn create_dropped_table(&self, schema: &str) -> Result<Vec<Statement>> {
        Ok(vec![ddl::dropped_table(schema)])
    }

    fn stored_form<'a>(&self, storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>> {
        bind::stored(storage, value)
    }

    fn create_table(&self, table: &TableSpec) -> Result<Vec<Statement>> {
        ddl::create_table(table)
    }

    fn alter_table(&self, spec: &AlterSpec) -> Result<Vec<Statement>> {
        alter::alter_table(spec)
    }

    fn replica_identity(&self, schema: &str, table: &str, full: bool) -> Result<Statement> {
        Ok(Statement::new(format!(
            "ALTER TABLE {} REPLICA IDENTITY {}",
            self.full_name(schema, table),
            if full { "FULL" } else { "DEFAULT" }
        )))
    }

    fn parenthesised_union(&self) -> bool {
        true
    }

    fn limit(&self, limit: Option<u64>, offset: u64) -> String {
        match (limit, offset) {
            (None, 0) => String::new(),
            (Some(n), 0) => format!("LIMIT {n}"),
            (Some(n), m) => format!("LIMIT {n} OFFSET {m}"),
            (None, m) => format!("OFFSET {m}"),
        }
    }

    fn json_path(&self, column: &str, path: &[JsonStep], cast: Option<&str>) -> Result<String> {
        translate::json_path(column, path, cast)
    }

    fn translate(&self, sql: &str, is_attribute: &dyn Fn(&str) -> bool) -> Result<String> {
        translate::translate(sql, is_attribute)
    }

    /// One JSON text, taken apart by `jsonb_array_elements`.
    fn bound_keys(
        &self,
        types: &[Option<&StorageType>],
        rows: &[Vec<Value>],
        placeholder: &str,
    ) -> Option<(String, Value)> {
        let columns: Option<Vec<String>> = types
            .iter()
            .enumerate()
            .map(|(at, type_)| Some(format!("(r->>{at})::{}", key_type((*type_)?)?)))
            .collect();
        let columns = columns?;
        let mut json = String::with_capacity(rows.len() * columns.len() * 8);
        for (at, row) in rows.iter().enumerate() {
            json.push_str(if at == 0 { "[[" } else { "],[" });
            for (at, value) in row.iter().enumerate() {
                if at > 0 {
                    json.push(',');
                }
                match value {
                    // A number that the column cannot hold may be one that the type cannot hold.
                    Value::Float(f) if !f.is_finite() => return None,
                    value => json.push_str(&serde_json::to_string(&bind::text(value).ok()?).ok()?),
                }
            }
        }
        json.push_str("]]");
        Some((
            format!(
                "(SELECT {} FROM jsonb_array_elements({placeholder}::jsonb) AS t(r))",
                columns.join(",")
            ),
            Value::Text(json),
        ))
    }
}

/// The type in which keys are compared with a column; none for enums, which compare with their own type only.
fn key_type(storage: &StorageType) -> Option<&'static str> {
    Some(match storage {
        StorageType::Core(core) => match core {
            CoreType::Int8 | CoreType::Int16 | CoreType::Int32 | CoreType::Int64 => "numeric",
            CoreType::Float32 => "real",
            CoreType::Float64 => "double precision",
            CoreType::Decimal { .. } => "numeric",
            CoreType::Char(_) => "bpchar",
            CoreType::Varchar(_) => "text",
            CoreType::Date => "date",
            CoreType::DateTime(_) => "timestamp",
            CoreType::Uuid => "uuid",
            CoreType::Bool => "boolean",
            CoreType::Enum(_) | CoreType::Json | CoreType::Bytes => return None,
        },
        StorageType::Native(native) => match native.kind {
            NativeKind::Int { .. } => "numeric",
            NativeKind::Text { .. } => "text",
            _ => return None,
        },
    })
}
