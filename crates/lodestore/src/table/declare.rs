//! Declaring tables from Rust: a schema's handle, one verb per tier.

use super::{InsertOptions, Table};
use crate::definition::{ForeignKeyLine, SchemaName, TableName, Tier};
use crate::error::{Error, Result};
use crate::schema::{Declare, ForeignKeyTarget, HiddenColumns, Lode};
use crate::value::Row;

/// A schema of an open database, in which tables are declared and found.
///
/// ```
/// use lodestore::{Lode, row};
/// # fn main() -> lodestore::Result<()> {
/// let lode = Lode::open("sqlite::memory:")?;
/// let lab = lode.schema("lab")?;
/// let subject = lab.manual("Subject", "
///     subject : varchar(16)
///     ---
///     weight = null : float64   # grams
/// ")?;
/// let session = lab.manual("Session", "
///     -> Subject
///     session : int16
/// ")?;
/// subject.insert1(row! { subject: "mouse 7", weight: 21.5 })?;
/// session.insert1(row! { subject: "mouse 7", session: 1 })?;
/// let heavy = &session & (&subject & "weight > 20");
/// assert_eq!(heavy.count()?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Schema {
    lode: Lode,
    name: SchemaName,
}

impl Lode {
    /// A schema by name, created if it is not there. An error if the name is not valid.
    pub fn schema(&self, name: &str) -> Result<Schema> {
        let schema = Schema {
            lode: self.clone(),
            name: SchemaName::new(name)?,
        };
        if !self.schema_exists(name)? {
            match self.create_schema(name) {
                // Another process may have created it meanwhile.
                Err(error) if !self.schema_exists(name)? => return Err(error),
                _ => {}
            }
        }
        Ok(schema)
    }
}

impl Schema {
    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The database it is in.
    pub fn lode(&self) -> &Lode {
        &self.lode
    }

    /// A declared table by class name (`Subject`, `Session.Trial`) or stored name.
    pub fn table(&self, name: &str) -> Result<Table> {
        self.lode.table(&format!("{}.{name}", self.name.as_str()))
    }

    /// Declares a table of data that people enter.
    pub fn manual(&self, class: &str, definition: &str) -> Result<Table> {
        declare(
            &self.lode,
            self.name(),
            class,
            Tier::Manual,
            None,
            definition,
        )
    }

    /// Declares a table of constants and fills in those of its `contents` that are not there yet.
    pub fn lookup(
        &self,
        class: &str,
        definition: &str,
        contents: impl IntoIterator<Item = Row>,
    ) -> Result<Table> {
        let table = declare(
            &self.lode,
            self.name(),
            class,
            Tier::Lookup,
            None,
            definition,
        )?;
        let options = InsertOptions {
            skip_duplicates: true,
            ..InsertOptions::default()
        };
        table.insert(contents, &options)?;
        Ok(table)
    }

    /// Declares a table of data that a `make` brings in from outside; see [`Table::populate`].
    pub fn imported(&self, class: &str, definition: &str) -> Result<Table> {
        declare(
            &self.lode,
            self.name(),
            class,
            Tier::Imported,
            None,
            definition,
        )
    }

    /// Declares a table of data that a `make` computes from other tables; see [`Table::populate`].
    pub fn computed(&self, class: &str, definition: &str) -> Result<Table> {
        declare(
            &self.lode,
            self.name(),
            class,
            Tier::Computed,
            None,
            definition,
        )
    }
}

impl Table {
    /// Declares a part of this table; its definition refers to `-> master`.
    pub fn part(&self, class: &str, definition: &str) -> Result<Table> {
        let (schema, master) = (&self.name().schema, Some(self.name()));
        declare(self.lode(), schema, class, Tier::Part, master, definition)
    }
}

/// Declares a table, unless it is declared already; `->` lines name tables of the same schema, or of another one as
/// `schema.Class`.
fn declare(
    lode: &Lode,
    schema: &str,
    class_name: &str,
    tier: Tier,
    master: Option<&TableName>,
    definition: &str,
) -> Result<Table> {
    let declared = lode.declare(Declare {
        schema,
        class_name,
        tier,
        master,
        definition,
        hidden: HiddenColumns::of(lode.config()),
        resolve: &mut |line| resolve(lode, schema, master, line),
    })?;
    Ok(Table::new(lode, &declared.table))
}

fn resolve(
    lode: &Lode,
    schema: &str,
    master: Option<&TableName>,
    line: &ForeignKeyLine,
) -> Result<ForeignKeyTarget> {
    let target = line.target.as_ref().ok_or_else(|| {
        Error::invalid(format!("`-> {}` names no table", line.target_text)).hint(
            "Write `-> Table`, `-> Table.Part`, `-> schema.Table` or `-> Table.proj(new='old')`.",
        )
    })?;
    let table = match master {
        Some(master) if target.name == "master" => master.clone(),
        _ => {
            let here = lode.table(&format!("{schema}.{}", target.name));
            let elsewhere = target.name.split_once('.').map(|(schema, _)| schema);
            match (here, elsewhere) {
                (Err(_), Some(other)) if lode.schema_exists(other)? => lode.table(&target.name)?,
                (found, _) => found?,
            }
            .name()
            .clone()
        }
    };
    Ok(ForeignKeyTarget {
        table,
        renames: target.renames.clone(),
    })
}
