//! Dropping one table, and a whole schema.

use super::snapshot::LINEAGE;
use super::{Lode, lineage};
use crate::definition::TableName;
use crate::error::{Error, ErrorKind, Result};

/// Drops a table with its lineage rows. Referenced: an error. Not declared: nothing happens.
pub(super) fn table(lode: &Lode, table: &TableName) -> Result<()> {
    let snapshot = lode.snapshot_with(table)?;
    if snapshot.table(&table.name).is_none() {
        return Ok(());
    }
    let result = lode.declaring(|| {
        lode.backend().drop_table(&table.schema, &table.name)?;
        match snapshot.table(LINEAGE) {
            Some(_) if table.name != LINEAGE => lineage::remove(lode, table),
            _ => Ok(()),
        }
    });
    lode.refresh_table(table);
    result
}

/// Drops a schema with all its tables, dependents first.
pub(super) fn schema(lode: &Lode, schema: &str) -> Result<()> {
    let foreign = lode
        .backend()
        .referencing(schema)?
        .into_iter()
        .find(|(child, _)| child != schema);
    if let Some((child_schema, child)) = foreign {
        return Err(Error::new(
            ErrorKind::Integrity,
            format!("the schema `{schema}` is referenced by the table `{child_schema}.{child}`"),
        )
        .hint("Drop that table or its schema first."));
    }
    let order = lode.tables(schema)?;
    let result = lode.declaring(|| {
        for table in order.iter().rev() {
            lode.backend().drop_table(schema, &table.name)?;
        }
        lode.backend().drop_schema(schema)
    });
    lode.refresh(schema);
    result
}
