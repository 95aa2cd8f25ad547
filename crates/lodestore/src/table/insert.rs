//! Insert: check everything, make objects durable, commit rows (spec: manipulation §1, §12; invariant 1).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::dropped;
use super::keys::present_keys;
use super::permit::InsertPermit;
use super::provenance;
use super::references;
use super::rows::{Checked, Rows, check, key_image, key_text};
use super::upload::{Objects, Uploader};
use super::{InsertOptions, Table};
use crate::definition::{StorageType, TableName, Tier};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{PlanOptions, Query};
use crate::schema::{Attribute, Heading, Lode};
use crate::sql::{Conflict, Insert, Statement};
use crate::value::{Row, Value};

/// What to do about a duplicate.
const DUPLICATE_ADVICE: &str =
    "To ignore duplicates use `skip_duplicates`; to overwrite them use `replace`.";

impl Table {
    /// Inserts rows: all of them, or none and an error (unless `chunk_size` asks for commits in between). Returns the
    /// number of rows that are new.
    ///
    /// Every name and value is checked before the first object is written, every object is durable before the first
    /// row is committed, and objects of an insert that failed are removed again. Errors name attribute, key and row.
    pub fn insert(
        &self,
        rows: impl IntoIterator<Item = Row>,
        options: &InsertOptions<'_>,
    ) -> Result<u64> {
        self.may_insert(options)?;
        let mut rows = rows.into_iter().peekable();
        let mut heading = self.lode().heading(self.name())?;
        let strange = |row: &Row| row.iter().any(|(name, _)| heading.get(name).is_none());
        if !options.ignore_extra_fields
            && rows.peek().is_some_and(strange)
            && self.lode().read_again(self.name(), Duration::ZERO)?
        {
            heading = self.lode().heading(self.name())?;
        }
        let rows = Rows::from_maps(rows, &heading, options.ignore_extra_fields)
            .map_err(|e| self.place(e))?;
        self.insert_rows(rows, options)
    }

    /// Inserts one row.
    pub fn insert1(&self, row: Row) -> Result<()> {
        self.insert([row], &InsertOptions::default()).map(|_| ())
    }

    /// Inserts rows of one shape; see [`insert`](Table::insert).
    pub fn insert_rows(&self, rows: Rows, options: &InsertOptions<'_>) -> Result<u64> {
        self.may_insert(options)?;
        if options.replace && options.skip_duplicates {
            return Err(self.place(Error::invalid(
                "`replace` and `skip_duplicates` contradict each other",
            )));
        }
        if rows.values.is_empty() {
            return Ok(0);
        }
        let lode = self.lode();
        let mut heading = lode.heading(self.name())?;
        let strange = rows.names.iter().any(|name| heading.get(name).is_none());
        if strange && lode.read_again(self.name(), Duration::ZERO)? {
            heading = lode.heading(self.name())?;
        }
        let checked = check(
            rows,
            &heading,
            self.name(),
            lode.dialect(),
            options.ignore_extra_fields,
            &mut Err,
        )?;
        let Checked {
            columns,
            mut values,
            keys,
        } = checked;
        let plan = InsertPlan::new(lode, self.name(), &heading, columns, keys, options)?;
        let chunk = match options.chunk_size {
            Some(0) => {
                return Err(Error::new(
                    ErrorKind::Value,
                    "`chunk_size` must be at least 1",
                ));
            }
            Some(size) if !options.atomic => size,
            _ => return plan.run(values, 0),
        };
        let mut inserted = 0;
        for (index, rows) in values.chunks_mut(chunk).enumerate() {
            inserted += plan.run(rows.iter_mut().map(std::mem::take).collect(), index * chunk)?;
        }
        Ok(inserted)
    }

    /// Inserts the rows of a query, in the database: nothing is decoded or encoded, stored object references are copied
    /// (spec: manipulation §1.5). Attributes of the query that the table lacks are an error unless ignored.
    pub fn insert_select(&self, source: &Query, options: &InsertOptions<'_>) -> Result<u64> {
        self.may_insert(options)?;
        if options.chunk_size.is_some() {
            return Err(self.place(Error::invalid(
                "`chunk_size` does not apply when inserting from a query",
            )));
        }
        if options.replace {
            return Err(self
                .place(Error::unsupported(
                    "`replace` does not apply when inserting from a query",
                ))
                .hint("Fetch the rows and insert them with `replace`."));
        }
        let lode = self.lode();
        if !lode.same_connection(&source.lode()?) {
            return Err(self.place(Error::invalid(
                "the query runs on another connection than the table",
            )));
        }
        let (heading, given) = (lode.heading(self.name())?, source.heading()?);
        if !options.ignore_extra_fields
            && let Some(extra) = given.names().find(|n| heading.get(n).is_none())
        {
            return Err(self.place(
                Error::invalid(format!(
                    "the query has an attribute `{extra}` that the table lacks"
                ))
                .attribute(&**extra),
            ));
        }
        let mut names: Vec<Arc<str>> = given
            .names()
            .filter(|n| heading.get(n).is_some())
            .cloned()
            .collect();
        if names.is_empty() {
            return Err(self.place(Error::invalid(
                "the query has no attribute in common with the table",
            )));
        }
        // A row that is copied keeps where it came from.
        let traced = match heading
            .hidden
            .iter()
            .find(|a| &*a.name == provenance::COLUMN)
        {
            Some(_) => source.with_hidden(provenance::COLUMN),
            None => None,
        };
        if traced.is_some() {
            names.push(provenance::COLUMN.into());
        }
        let dialect = lode.dialect();
        let plan = traced.as_ref().unwrap_or(source).plan(&PlanOptions {
            columns: Some(names.clone()),
        })?;
        let columns: Vec<String> = names.iter().map(|n| dialect.quote(n)).collect();
        let target = dialect.full_name(&self.name().schema, &self.name().name);
        let key: Vec<String> = heading.primary_key().map(|n| dialect.quote(n)).collect();
        let text = dialect.insert_select(
            &target,
            &columns.join(", "),
            &plan.statement.text,
            options.skip_duplicates.then(|| key.join(", ")).as_deref(),
        );
        let statement = Statement {
            text,
            params: plan.statement.params,
        };
        let inserted = match references::known_object_columns(&heading).is_empty() {
            true => lode.backend().execute(&statement),
            // References are copied: nobody may collect what they name between the reading and the commit.
            false => lode.transaction(|| {
                lode.backend().lock_writer(&self.name().schema)?;
                lode.backend().execute(&statement)
            }),
        };
        inserted.map_err(|e| self.place(e))
    }

    pub(super) fn may_insert(&self, options: &InsertOptions<'_>) -> Result<()> {
        let guarded = matches!(self.name().tier(), Tier::Imported | Tier::Computed);
        if !guarded || options.allow_direct_insert || InsertPermit::is_held(self.name()) {
            return Ok(());
        }
        Err(self
            .place(Error::invalid(
                "rows of an Imported or Computed table come from its `make`",
            ))
            .hint("Call populate, or allow it with `allow_direct_insert`."))
    }
}

/// One insert call, ready to run on one or several sets of rows.
struct InsertPlan<'a> {
    lode: &'a Lode,
    table: &'a TableName,
    heading: &'a Heading,
    /// Indices into the heading.
    columns: Vec<usize>,
    outputs: Vec<(Arc<str>, StorageType)>,
    primary_key: Vec<Arc<str>>,
    other_columns: Vec<Arc<str>>,
    /// Positions of the key in the rows; none if a key attribute is left to the database or to a codec.
    key: Option<Vec<usize>>,
    conflict: Conflict,
    uploader: Uploader<'a>,
    /// What goes into the hidden column behind the others, if there is one to fill.
    stamp: Option<Value>,
    /// Present rows may be replaced that refer to objects.
    drops_objects: bool,
}

impl<'a> InsertPlan<'a> {
    fn new(
        lode: &'a Lode,
        table: &'a TableName,
        heading: &'a Heading,
        columns: Vec<usize>,
        keys: Vec<Row>,
        options: &InsertOptions<'a>,
    ) -> Result<Self> {
        let uploader = Uploader::new(
            lode,
            table,
            heading,
            &columns,
            keys,
            options.bytes_in_flight,
            options.progress,
        )?;
        let attributes: Vec<&Attribute> = columns.iter().map(|i| &heading.attributes[*i]).collect();
        let mut outputs = attributes
            .iter()
            .map(|a| match &a.storage {
                Some(storage) => Ok((Arc::clone(&a.name), storage.clone())),
                None => Err(
                    Error::invalid(format!("attribute `{}` cannot be written", a.name))
                        .attribute(&*a.name),
                ),
            })
            .collect::<Result<Vec<_>>>()?;
        let primary_key: Vec<Arc<str>> = heading.primary_key().cloned().collect();
        let stamp = provenance::stamp(lode, table, heading).map(|(name, storage, value)| {
            outputs.push((name, storage));
            value
        });
        let given: HashSet<&Arc<str>> = outputs.iter().map(|(name, _)| name).collect();
        let other_columns = heading
            .attributes
            .values()
            .chain(&heading.hidden)
            .map(|a| &a.name)
            .filter(|n| !given.contains(n))
            .cloned()
            .collect();
        let key = primary_key
            .iter()
            .map(|name| {
                attributes
                    .iter()
                    .position(|a| a.name == *name && a.chain.is_none())
            })
            .collect::<Option<Vec<usize>>>();
        let conflict = match (options.replace, options.skip_duplicates) {
            (true, _) => Conflict::Replace,
            (_, true) => Conflict::Skip,
            _ => Conflict::Error,
        };
        let drops_objects = options.replace && !references::object_columns(heading)?.is_empty();
        Ok(InsertPlan {
            lode,
            table,
            heading,
            columns,
            outputs,
            primary_key,
            other_columns,
            key,
            conflict,
            uploader,
            stamp,
            drops_objects,
        })
    }

    fn attributes(&self) -> Vec<&Attribute> {
        self.columns
            .iter()
            .map(|i| &self.heading.attributes[*i])
            .collect()
    }

    fn place(&self, e: Error) -> Error {
        e.table(&self.table.schema, &self.table.name)
    }

    /// Inserts the rows atomically; `first_row` is the index of the first one in the caller's batch.
    fn run(&self, mut rows: Vec<Vec<Option<Value>>>, first_row: usize) -> Result<u64> {
        let mut numbers: Vec<usize> = (first_row..first_row + rows.len()).collect();
        if let Some(stamp) = &self.stamp {
            rows.iter_mut()
                .for_each(|row| row.push(Some(stamp.clone())));
        }
        if self.uploader.is_idle() && !self.drops_objects {
            return self
                .send(&rows, &numbers)
                .map_err(|e| self.explain(e, &rows, &numbers));
        }
        if self.uploader.columns.iter().any(|c| c.writes_objects()) {
            self.settle_duplicates(&mut rows, &mut numbers)?;
            self.find_missing_parents(&rows, &numbers)?;
        }
        let mut objects = Objects::default();
        self.upload_and_send(&mut rows, &numbers, &mut objects)
            .map_err(|e| {
                // After a lost connection nobody knows whether the rows are in: then the objects stay, and the collector
                // decides.
                let known = e.kind() != ErrorKind::LostConnection;
                let left = if known && !objects.is_empty() {
                    self.discard(&objects)
                } else {
                    0
                };
                let e = self.explain(e, &rows, &numbers);
                if left > 0 {
                    e.hint(format!(
                        "{left} objects could not be removed and await collection."
                    ))
                } else {
                    e
                }
            })
    }

    /// Encodes and sends window by window: a window's encoded in-table blobs fit the memory bound.
    fn upload_and_send(
        &self,
        rows: &mut [Vec<Option<Value>>],
        numbers: &[usize],
        objects: &mut Objects,
    ) -> Result<u64> {
        let window = |rows: &[Vec<Option<Value>>]| {
            let mut bytes = 0;
            let fits = rows.iter().take_while(|row| {
                bytes += self.uploader.in_row_bytes(row);
                bytes <= self.uploader.bytes_in_flight
            });
            fits.count().max(1).min(rows.len())
        };
        let n = window(rows);
        let (first, rest) = rows.split_at_mut(n);
        // The first window is written before the transaction begins: no lock is held while objects travel.
        self.uploader.run(&self.columns, first, numbers, objects)?;
        if objects.is_empty() && rest.is_empty() && !self.drops_objects {
            return self.send(first, numbers);
        }
        self.lode.transaction(|| {
            self.lode.backend().lock_writer(&self.table.schema)?;
            let mut inserted = self.replace_and_send(first, numbers)?;
            let (mut rest, mut numbers) = (rest, &numbers[n..]);
            while !rest.is_empty() {
                let n = window(rest);
                let (part, tail) = rest.split_at_mut(n);
                self.uploader.run(&self.columns, part, numbers, objects)?;
                inserted += self.replace_and_send(part, numbers)?;
                part.iter_mut().for_each(Vec::clear);
                (rest, numbers) = (tail, &numbers[n..]);
            }
            objects.verify(self.lode.stores())?;
            Ok(inserted)
        })
    }

    fn replace_and_send(&self, rows: &[Vec<Option<Value>>], numbers: &[usize]) -> Result<u64> {
        if self.drops_objects
            && let Some(key) = &self.key
        {
            let keys: Vec<Vec<Value>> = rows
                .iter()
                .map(|row| {
                    key.iter()
                        .map(|i| row[*i].clone().unwrap_or_default())
                        .collect()
                })
                .collect();
            let names: Vec<&str> = self.primary_key.iter().map(|n| &**n).collect();
            dropped::record_keys(self.lode, self.table, self.heading, &names, &keys)?;
        }
        self.send(rows, numbers)
    }

    /// One statement's worth of rows; `numbers` are their indices in the caller's batch, for errors.
    fn send(&self, rows: &[Vec<Option<Value>>], numbers: &[usize]) -> Result<u64> {
        let sent = self.lode.backend().insert(&Insert {
            schema: &self.table.schema,
            table: &self.table.name,
            columns: &self.outputs,
            primary_key: &self.primary_key,
            other_columns: &self.other_columns,
            rows,
            conflict: self.conflict,
        });
        sent.map_err(|e| e.renumber_row(numbers))
    }

    /// Before any upload: a key twice in the batch, or present already, is an error, or is skipped, as asked. So no
    /// object is written for a row that cannot come in. `numbers` are the rows' indices in the caller's batch.
    fn settle_duplicates(
        &self,
        rows: &mut Vec<Vec<Option<Value>>>,
        numbers: &mut Vec<usize>,
    ) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        let mut seen: HashMap<Vec<u8>, usize> = HashMap::with_capacity(rows.len());
        let mut keep = vec![true; rows.len()];
        for (index, row) in rows.iter().enumerate() {
            let image = key_image(key.iter().map(|i| row[*i].as_ref()));
            match self.conflict {
                Conflict::Error => {
                    if let Some(first) = seen.insert(image, index) {
                        let other = format!(
                            "Row {} of the same insert has this key too.",
                            numbers[first]
                        );
                        return Err(self.duplicate(row, numbers[index]).hint(other));
                    }
                }
                Conflict::Skip => {
                    keep[index] = !seen.contains_key(&image);
                    seen.entry(image).or_insert(index);
                }
                Conflict::Replace => {
                    if let Some(earlier) = seen.insert(image, index) {
                        keep[earlier] = false;
                    }
                }
            }
        }
        if self.conflict != Conflict::Replace {
            let present = self.present(rows, key)?;
            for (index, row) in rows.iter().enumerate().filter(|_| !present.is_empty()) {
                if present.contains(&key_image(key.iter().map(|i| row[*i].as_ref()))) {
                    if self.conflict == Conflict::Error {
                        return Err(self.duplicate(row, numbers[index]));
                    }
                    keep[index] = false;
                }
            }
        }
        if keep.contains(&false) {
            let mut kept = keep.iter();
            rows.retain(|_| *kept.next().unwrap_or(&true));
            let mut kept = keep.iter();
            numbers.retain(|_| *kept.next().unwrap_or(&true));
        }
        Ok(())
    }

    fn present(&self, rows: &[Vec<Option<Value>>], key: &[usize]) -> Result<HashSet<Vec<u8>>> {
        let names: Vec<&str> = self.primary_key.iter().map(|n| &**n).collect();
        let keys: Vec<Vec<Value>> = rows
            .iter()
            .filter_map(|row| {
                key.iter()
                    .map(|i| row[*i].clone())
                    .collect::<Option<Vec<Value>>>()
            })
            .collect();
        present_keys(self.lode, self.table, &names, &keys)
    }

    fn duplicate(&self, row: &[Option<Value>], index: usize) -> Error {
        let key = key_text(&self.attributes(), row);
        let error = Error::new(
            ErrorKind::Duplicate,
            format!("a row with the key {key} is there already"),
        );
        self.place(error.key(key).row(index)).hint(DUPLICATE_ADVICE)
    }

    /// The first row whose parent is absent, as an error.
    fn find_missing_parents(&self, rows: &[Vec<Option<Value>>], numbers: &[usize]) -> Result<()> {
        let attributes = self.attributes();
        let graph = self.lode.dependencies(&[&self.table.schema])?;
        for edge in graph.parents(self.table) {
            if edge.parent == *self.table {
                continue;
            }
            let Some(at) = edge
                .attr_map
                .iter()
                .map(|(child, _)| {
                    attributes
                        .iter()
                        .position(|a| *a.name == **child && a.chain.is_none())
                })
                .collect::<Option<Vec<usize>>>()
            else {
                continue;
            };
            let mut wanted: HashMap<Vec<u8>, (usize, Vec<Value>)> = HashMap::new();
            for (index, row) in rows.iter().enumerate() {
                // A NULL anywhere means no parent; a default is the database's business.
                let Some(values) = at
                    .iter()
                    .map(|i| row[*i].clone())
                    .collect::<Option<Vec<Value>>>()
                else {
                    continue;
                };
                wanted
                    .entry(key_image(values.iter().map(Some)))
                    .or_insert((index, values));
            }
            let names: Vec<&str> = edge.attr_map.iter().map(|(_, parent)| &**parent).collect();
            let keys: Vec<Vec<Value>> = wanted.values().map(|(_, v)| v.clone()).collect();
            let present = present_keys(self.lode, &edge.parent, &names, &keys)?;
            let missing = wanted
                .iter()
                .filter(|(image, _)| !present.contains(*image))
                .map(|(_, (i, _))| *i)
                .min();
            if let Some(index) = missing {
                let row = &rows[index];
                let parent: Vec<&Attribute> = at.iter().map(|i| attributes[*i]).collect();
                let values: Vec<String> = parent
                    .iter()
                    .zip(&at)
                    .map(|(a, i)| {
                        let one = Attribute {
                            in_key: true,
                            ..(*a).clone()
                        };
                        key_text(&[&one], &row[*i..=*i])
                    })
                    .collect();
                let error = Error::new(
                    ErrorKind::Integrity,
                    format!(
                        "there is no row in {} with {}",
                        edge.parent,
                        values.join(", ")
                    ),
                );
                let error = error.key(key_text(&attributes, row)).row(numbers[index]);
                return Err(self
                    .place(error)
                    .hint(format!("Insert it into {} first.", edge.parent)));
            }
        }
        Ok(())
    }

    /// Finds out which row the database refused, and says so. The error stays what it was if that cannot be told.
    fn explain(&self, e: Error, rows: &[Vec<Option<Value>>], numbers: &[usize]) -> Error {
        if e.place().row.is_some() {
            let advise = e.kind() == ErrorKind::Duplicate && e.hint_text().is_none();
            let e = self.place(e);
            return if advise { e.hint(DUPLICATE_ADVICE) } else { e };
        }
        let found = match e.kind() {
            ErrorKind::Duplicate => {
                let found = self.key.as_ref().and_then(|key| {
                    let mut seen = HashSet::new();
                    let present = self.present(rows, key).ok()?;
                    rows.iter().position(|row| {
                        let image = key_image(key.iter().map(|i| row[*i].as_ref()));
                        present.contains(&image) || !seen.insert(image)
                    })
                });
                found.map(|index| self.duplicate(&rows[index], numbers[index]))
            }
            ErrorKind::Integrity => self
                .find_missing_parents(rows, numbers)
                .err()
                .filter(|e| e.place().row.is_some()),
            _ => None,
        };
        match found {
            Some(better) => better.with_source(e),
            None => self.place(e),
        }
    }

    fn discard(&self, objects: &Objects) -> usize {
        let stores = self.lode.stores();
        if !objects.made_content_addressed() {
            return objects.discard(stores, &mut |_, _| true);
        }
        // Nobody can commit a row for an object between the look and the removal, and who looked at it before must
        // look again before committing (`Objects::verify`). Where that cannot be had they await collection.
        let removed = self.lode.exclusively(|| {
            let needed = references::paths_in_use(self.lode)?;
            Ok(objects.discard(stores, &mut |store, path| needed.contains(store, path)))
        });
        removed.unwrap_or_else(|_| objects.discard(stores, &mut |_, _| true))
    }
}
