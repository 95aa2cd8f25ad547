//! Rows in, rows out: where rows, codecs and stores meet.
//!
//! Here: [`Lode::schema`](crate::schema::Lode::schema) and [`Schema`], which declares tables; [`Lode::table`](crate::schema::Lode::table) and [`Table`] with insert, update, delete, drop and validate; the
//! fetch family of [`Query`]. Not here: SQL text of the algebra (`query/`), how a value is encoded (`codec/`), how
//! bytes become durable (`store/`). Called by `compute/`, `gc/` and the front doors.
//!
//! The order of an insert is the first invariant of the whole: names and values are checked, then objects made durable,
//! then rows committed; and before the commit, under the database's write lock, the objects are looked at once more.
//! Whoever removes objects does so under the same lock. Spec: manipulation.md, queries.md §13-§14.

mod declare;
mod delete;
pub(crate) mod dropped;
mod fetch;
mod insert;
mod keys;
mod options;
mod permit;
pub(crate) mod provenance;
pub(crate) mod references;
mod rows;
mod staged;
mod summary;
mod typed;
mod typed_insert;
mod update;
mod upload;

use std::fmt;
use std::ops::{BitAnd, Deref, Mul, Sub};

pub use declare::Schema;
pub use fetch::Batches;
pub use options::{
    Confirm, DeleteOptions, DeleteReport, DropOptions, FetchOptions, InsertOptions, PartIntegrity,
    Validation, ValidationIssue,
};
pub use permit::InsertPermit;
pub use references::{References, Section};
pub use rows::Rows;
pub(crate) use rows::row_text;
pub use staged::StagedInsert;
pub use summary::{SchemaSummary, TableSummary};
pub use typed::{TypedRows, TypedStream};

use crate::definition::{TableName, class_to_table};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::query::{Cond, Query};
use crate::schema::Lode;

/// A table of the database: a [`Query`] of all its rows that can also be written to.
#[derive(Clone)]
pub struct Table {
    lode: Lode,
    name: TableName,
    query: Query,
}

impl Table {
    /// A table by name; touches no database.
    pub fn new(lode: &Lode, name: &TableName) -> Table {
        Table {
            lode: lode.clone(),
            name: name.clone(),
            query: Query::table(lode, name),
        }
    }

    /// Schema and stored name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The database it is in.
    pub fn lode(&self) -> &Lode {
        &self.lode
    }

    /// All its rows.
    pub fn query(&self) -> &Query {
        &self.query
    }

    fn place(&self, e: Error) -> Error {
        e.table(&self.name.schema, &self.name.name)
    }
}

impl Deref for Table {
    type Target = Query;

    fn deref(&self) -> &Query {
        &self.query
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

impl Lode {
    /// A declared table, by its class name (`lab.Subject`, `lab.Session.Trial`) or its stored name (`lab.subject`,
    /// `lab.__spectrum`).
    ///
    /// [`ErrorKind::MissingTable`] with the nearest name if there is none.
    pub fn table(&self, name: &str) -> Result<Table> {
        let (schema, rest) = name.split_once('.').ok_or_else(|| {
            Error::invalid(format!("`{name}` names no table"))
                .hint("Write schema and table: `lab.Subject`.")
        })?;
        let tables = self.all_tables(schema)?;
        if let Some(table) = tables.iter().find(|t| t.name == rest) {
            return Ok(Table::new(self, table));
        }
        let stored: Option<Vec<String>> = rest
            .split('.')
            .map(|part| class_to_table(part).ok())
            .collect();
        if let Some(stored) = stored {
            let stored = stored.join("__");
            let by_class = tables
                .iter()
                .find(|t| t.name.trim_start_matches(['#', '_']) == stored);
            if let Some(table) = by_class {
                return Ok(Table::new(self, table));
            }
        }
        let error = Error::new(
            ErrorKind::MissingTable,
            format!("there is no table `{rest}` in the schema `{schema}`"),
        )
        .table(schema, rest);
        let classes: Vec<String> = tables
            .iter()
            .filter(|t| !t.name.starts_with('~'))
            .filter_map(TableName::class_name)
            .collect();
        Err(
            match did_you_mean(rest, classes.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error.hint(format!("Tables: {}.", classes.join(", "))),
            },
        )
    }
}

impl From<&Query> for Query {
    fn from(query: &Query) -> Query {
        query.clone()
    }
}

impl From<&Table> for Query {
    fn from(table: &Table) -> Query {
        table.query.clone()
    }
}

impl From<&Table> for Cond {
    fn from(table: &Table) -> Cond {
        Cond::In(table.query.clone())
    }
}

impl<C: Into<Cond>> BitAnd<C> for &Table {
    type Output = Query;
    fn bitand(self, cond: C) -> Query {
        &self.query & cond
    }
}

impl<C: Into<Cond>> Sub<C> for &Table {
    type Output = Query;
    fn sub(self, cond: C) -> Query {
        &self.query - cond
    }
}

macro_rules! pairs {
    ($($left:ty, $right:ty);*) => {$(
        impl Mul<$right> for $left {
            type Output = Query;
            fn mul(self, other: $right) -> Query {
                Query::from(self).mul(Query::from(other))
            }
        }
    )*};
}

pairs!(&Table, &Table; &Table, &Query; &Query, &Table; &Table, Query; Query, &Table);
