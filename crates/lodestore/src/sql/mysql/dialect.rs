//! The text side of MySQL and MariaDB.

use std::borrow::Cow;

use super::{bind, ddl, translate};
use crate::definition::{CoreType, StorageType};
use crate::error::Result;
use crate::sql::{AlterSpec, BackendKind, Dialect, JsonStep, Statement, TableSpec};
use crate::value::Value;

/// SQL text for MySQL or MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MySqlDialect {
    /// The server is MariaDB.
    pub mariadb: bool,
    /// Its version.
    pub version: (u16, u16, u16),
}

impl Default for MySqlDialect {
    fn default() -> Self {
        MySqlDialect {
            mariadb: true,
            version: (10, 6, 0),
        }
    }
}

impl MySqlDialect {
    /// Reads what `SELECT version()` says.
    pub(super) fn of_version(text: &str) -> MySqlDialect {
        let mariadb = text.to_ascii_lowercase().contains("mariadb");
        // Some proxies prefix MariaDB's version with one that old replicas understand.
        let text = match mariadb {
            true => text.strip_prefix("5.5.5-").unwrap_or(text),
            false => text,
        };
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        MySqlDialect {
            mariadb,
            version: (next(), next(), next()),
        }
    }
}

impl Dialect for MySqlDialect {
    fn kind(&self) -> BackendKind {
        BackendKind::MySql
    }

    fn quote(&self, identifier: &str) -> String {
        format!("`{}`", identifier.replace('`', "``"))
    }

    fn full_name(&self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    /// MySQL has no numbers; `bind` resolves them, so that a value may stand in several places, in any order.
    fn placeholder(&self, n: usize) -> String {
        format!("?{n}")
    }

    fn max_table_name(&self) -> usize {
        64
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
        Ok(vec![ddl::create_table(self, table)?])
    }

    fn alter_table(&self, spec: &AlterSpec) -> Result<Vec<Statement>> {
        Ok(vec![ddl::alter_table(self, spec)?])
    }

    fn may_hold(&self, database_type: &str, storage: &StorageType) -> Option<bool> {
        match storage {
            StorageType::Core(CoreType::Bool) => Some(database_type == "tinyint"),
            // MariaDB has no type of that name inside.
            StorageType::Core(CoreType::Json) => Some(matches!(database_type, "json" | "longtext")),
            _ => None,
        }
    }

    fn parenthesised_union(&self) -> bool {
        true
    }

    fn limit(&self, limit: Option<u64>, offset: u64) -> String {
        match (limit, offset) {
            (None, 0) => String::new(),
            (Some(n), 0) => format!("LIMIT {n}"),
            (Some(n), m) => format!("LIMIT {n} OFFSET {m}"),
            // There is no word for "all".
            (None, m) => format!("LIMIT {} OFFSET {m}", u64::MAX),
        }
    }

    fn json_path(&self, column: &str, path: &[JsonStep], cast: Option<&str>) -> Result<String> {
        translate::json_path(column, path, cast)
    }

    fn translate(&self, sql: &str, is_attribute: &dyn Fn(&str) -> bool) -> Result<String> {
        translate::translate(self, sql, is_attribute)
    }

    fn insert_select(&self, table: &str, columns: &str, query: &str, key: Option<&str>) -> String {
        match key {
            None => format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM ({query}) AS s"),
            // Not by `ON DUPLICATE KEY`: that would skip over conflicts of other unique indexes too.
            Some(key) => {
                let given: Vec<&str> = columns.split(", ").collect();
                let (known, missing): (Vec<&str>, Vec<&str>) =
                    key.split(", ").partition(|k| given.contains(k));
                let same: Vec<String> = known
                    .iter()
                    .map(|k| format!("t.{k} = s.{k}"))
                    .chain(missing.iter().map(|k| format!("t.{k} = DEFAULT(t.{k})")))
                    .collect();
                let each = match known.is_empty() {
                    true => String::new(),
                    false => format!("PARTITION BY {}", known.join(", ")),
                };
                // The rows of one statement do not see each other: of a key that the query repeats, the first is taken.
                format!(
                    "INSERT INTO {table} ({columns}) SELECT {columns} FROM (SELECT q.*, ROW_NUMBER() OVER ({each}) AS \
                     `~n` FROM ({query}) AS q) AS s WHERE s.`~n` = 1 AND NOT EXISTS (SELECT 1 FROM {table} AS t \
                     WHERE {})",
                    same.join(" AND ")
                )
            }
        }
    }

    fn json_equal(&self, left: &str, right: &str) -> String {
        match self.mariadb {
            // Values of JSON functions are texts there.
            // Not JSON_EQUALS: as a condition it is true of NULL (MariaDB 10.11).
            true if self.version >= (10, 7, 0) => {
                format!("(JSON_NORMALIZE({left})=JSON_NORMALIZE({right}))")
            }
            true => {
                format!("(JSON_CONTAINS({left}, {right}) AND JSON_CONTAINS({right}, {left}))")
            }
            false => format!("(CAST({left} AS JSON)=CAST({right} AS JSON))"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let of = MySqlDialect::of_version;
        assert_eq!(of("10.11.6-MariaDB-0+deb12u1").version, (10, 11, 6));
        assert!(
            of("5.5.5-10.6.12-MariaDB").mariadb
                && of("5.5.5-10.6.12-MariaDB").version == (10, 6, 12)
        );
        assert_eq!(of("8.0.36").version, (8, 0, 36));
        assert!(!of("8.4.0-log").mariadb);
    }
}
