//! How much there is: rows and objects by table and schema, for listings.

use crate::definition::{TableName, Tier, Type};
use crate::error::{Error, Result, did_you_mean};
use crate::query::{Query, col};
use crate::schema::Lode;

/// A table, and how much is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// Schema and stored name.
    pub table: TableName,
    /// Class name (`Session.Trial` for a part); the stored name where it has none.
    pub class: String,
    /// Tier.
    pub tier: Tier,
    /// Rows.
    pub rows: u64,
    /// Values that live in an object store. Equal content may share one object.
    pub objects: u64,
    /// The table's comment.
    pub comment: String,
}

/// A schema, and how much is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSummary {
    /// Name.
    pub schema: String,
    /// Tables, hidden ones not counted.
    pub tables: usize,
    /// Rows of all tables.
    pub rows: u64,
    /// Values of all tables that live in an object store.
    pub objects: u64,
}

impl Lode {
    /// The tables of a schema in order of dependency, with rows and objects. An error if there is no such schema.
    pub fn table_summaries(&self, schema: &str) -> Result<Vec<TableSummary>> {
        let known = self.schemas()?;
        if !known.iter().any(|k| k == schema) {
            let error = Error::invalid(format!("there is no schema `{schema}`"));
            return Err(
                match did_you_mean(schema, known.iter().map(String::as_str)) {
                    Some(hint) => error.hint(hint),
                    None => error,
                },
            );
        }
        self.tables(schema)?
            .into_iter()
            .map(|table| self.table_summary(table))
            .collect()
    }

    /// A schema's tables, rows and objects, added up.
    pub fn schema_summary(&self, schema: &str) -> Result<SchemaSummary> {
        let tables = self.table_summaries(schema)?;
        Ok(SchemaSummary {
            schema: schema.to_string(),
            tables: tables.len(),
            rows: tables.iter().map(|t| t.rows).sum(),
            objects: tables.iter().map(|t| t.objects).sum(),
        })
    }

    fn table_summary(&self, table: TableName) -> Result<TableSummary> {
        let heading = self.heading(&table)?;
        let query = Query::table(self, &table);
        let rows = query.count()?;
        let mut objects = 0;
        for attribute in heading.attributes.values() {
            let stored =
                matches!(&attribute.type_, Some(Type::Codec(codec)) if codec.store.is_some());
            objects += match (stored, attribute.nullable) {
                (false, _) => 0,
                (true, false) => rows,
                (true, true) => query.restrict(!col(&*attribute.name).is_null())?.count()?,
            };
        }
        let class = table.class_name().unwrap_or_else(|| table.name.clone());
        Ok(TableSummary {
            tier: table.tier(),
            class,
            rows,
            objects,
            comment: heading.comment.clone(),
            table,
        })
    }
}
