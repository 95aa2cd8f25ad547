//! What the catalogue says about one schema, read in one go and kept until the catalogue changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::reading::read_heading;
use super::{Heading, Lode};
use crate::definition::TableName;
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::sql::{Backend, CatalogTable, OutputColumn, Statement};
use crate::value::{ColumnKind, Value};

/// Name of the table that records lineage.
pub(super) const LINEAGE: &str = "~lineage";

type Headings = HashMap<String, Arc<Heading>>;

/// One schema's tables and lineage.
pub(super) struct Snapshot {
    pub(super) schema: String,
    /// The catalogue's version when this was read.
    pub(super) version: Option<u64>,
    /// When this was read: without a version, how old it is.
    pub(super) read_at: Instant,
    /// Sorted by name, hidden ones included.
    pub(super) tables: Vec<CatalogTable>,
    /// (table, attribute) → origin.
    pub(super) lineage: HashMap<(String, String), Arc<str>>,
    pub(super) lineage_available: bool,
    headings: Mutex<Headings>,
    /// Tables that have changed since: to be read again before anybody relies on them.
    stale: Mutex<BTreeSet<String>>,
}

/// With more stale tables than these, all are read again.
const MOST_STALE: usize = 3;

impl Snapshot {
    /// The catalogues of several schemas, in the same order.
    pub(super) fn read(backend: &dyn Backend, schemas: &[&str]) -> Result<Vec<Snapshot>> {
        // The version first: a change while reading makes the snapshot look old, never new.
        let version = backend.catalog_version()?;
        let catalogs = backend.catalogs(schemas)?;
        let read = |(schema, tables): (&&str, Vec<CatalogTable>)| {
            let lineage_available = tables.iter().any(|t| t.name == LINEAGE);
            let lineage = match lineage_available {
                true => read_lineage(backend, schema, None)?,
                false => HashMap::new(),
            };
            Ok(Snapshot {
                schema: (*schema).to_owned(),
                version,
                read_at: Instant::now(),
                tables,
                lineage,
                lineage_available,
                headings: Mutex::default(),
                stale: Mutex::default(),
            })
        };
        schemas.iter().zip(catalogs).map(read).collect()
    }

    /// The same with one table as it is now.
    pub(super) fn with_table(&self, backend: &dyn Backend, name: &str) -> Result<Snapshot> {
        let found = backend.catalog_of(&self.schema, name)?;
        let mut lineage = self.lineage.clone();
        lineage.retain(|(table, _), _| table != name);
        // The first table of a schema brings the record of lineage with it.
        let mut record = None;
        if !self.lineage_available && found.is_some() {
            record = backend.catalog_of(&self.schema, LINEAGE)?;
        }
        let lineage_available = self.lineage_available || record.is_some();
        if lineage_available && found.is_some() {
            lineage.extend(read_lineage(backend, &self.schema, Some(name))?);
        }
        let others = self.tables.iter().filter(|t| t.name != name).cloned();
        let mut tables: Vec<CatalogTable> = others.chain(found).chain(record).collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Snapshot {
            schema: self.schema.clone(),
            version: self.version,
            read_at: self.read_at,
            tables,
            lineage,
            lineage_available,
            headings: Mutex::default(),
            stale: Mutex::new(self.stale().into_iter().filter(|t| t != name).collect()),
        })
    }

    /// Notes that a table has changed.
    pub(super) fn mark(&self, name: &str) {
        self.stale
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
    }

    pub(super) fn stale(&self) -> BTreeSet<String> {
        self.stale
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The same with all tables as they are now; none if reading everything is cheaper.
    pub(super) fn up_to_date(
        this: Arc<Snapshot>,
        backend: &dyn Backend,
    ) -> Result<Option<Arc<Snapshot>>> {
        let stale = this.stale();
        if stale.len() > MOST_STALE {
            return Ok(None);
        }
        let mut now = this;
        for name in &stale {
            now = Arc::new(now.with_table(backend, name)?);
        }
        Ok(Some(now))
    }

    pub(super) fn table(&self, name: &str) -> Option<&CatalogTable> {
        self.tables
            .binary_search_by(|t| t.name.as_str().cmp(name))
            .ok()
            .map(|i| &self.tables[i])
    }

    /// The table, or an error that names the nearest one.
    pub(super) fn require(&self, name: &str) -> Result<&CatalogTable> {
        self.table(name).ok_or_else(|| {
            let error = Error::new(
                ErrorKind::MissingTable,
                format!("table `{}.{name}` is not declared", self.schema),
            )
            .table(&self.schema, name);
            match did_you_mean(
                name,
                self.tables
                    .iter()
                    .map(|t| t.name.as_str())
                    .filter(|n| !n.starts_with('~')),
            ) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    pub(super) fn table_name(&self, table: &CatalogTable) -> TableName {
        TableName {
            schema: self.schema.clone(),
            name: table.name.clone(),
        }
    }

    pub(super) fn origin(&self, table: &str, attribute: &str) -> Option<&Arc<str>> {
        self.lineage.get(&(table.to_owned(), attribute.to_owned()))
    }

    pub(super) fn heading(&self, lode: &Lode, name: &str) -> Result<Arc<Heading>> {
        let cached = |headings: &Headings| headings.get(name).cloned();
        if let Some(heading) = cached(&self.headings.lock().unwrap_or_else(PoisonError::into_inner))
        {
            return Ok(heading);
        }
        let heading = Arc::new(read_heading(lode, self, self.require(name)?)?);
        let unresolved = |a: &super::Attribute| a.chain.as_ref().is_some_and(|c| c.is_err());
        // A codec that is unknown now may be registered later.
        if !heading
            .attributes
            .values()
            .chain(&heading.hidden)
            .any(unresolved)
        {
            let mut headings = self.headings.lock().unwrap_or_else(PoisonError::into_inner);
            headings.insert(name.to_owned(), heading.clone());
        }
        Ok(heading)
    }
}

fn read_lineage(
    backend: &dyn Backend,
    schema: &str,
    only: Option<&str>,
) -> Result<HashMap<(String, String), Arc<str>>> {
    let dialect = backend.dialect();
    let names = ["table_name", "attribute_name", "lineage"];
    let columns = names.map(|n| OutputColumn {
        name: n.into(),
        kind: ColumnKind::Any,
        storage: None,
    });
    let mut statement = Statement::new(format!(
        "SELECT {} FROM {}",
        names.map(|n| dialect.quote(n)).join(", "),
        dialect.full_name(schema, LINEAGE)
    ));
    if let Some(table) = only {
        let condition = format!(
            " WHERE {} = {}",
            dialect.quote("table_name"),
            dialect.placeholder(1)
        );
        statement.text.push_str(&condition);
        statement.params.push(table.into());
    }
    let batch = backend.query(&statement, &columns)?;
    let text = |row, column| match batch.value(row, column) {
        Value::Text(s) => s,
        _ => String::new(),
    };
    Ok((0..batch.rows)
        .map(|row| ((text(row, 0), text(row, 1)), text(row, 2).into()))
        .collect())
}
