//! Encoding rows and making their objects durable: many rows at once, with a bound on the bytes under way.
//!
//! The calling thread hands rows to encoders in order; encoders hash and compress; one writer takes whatever rows are
//! encoded by then and writes their objects in one call, so that small objects share their flushes and large ones
//! overlap with encoding. Codecs of foreign code run on the calling thread only: they may need its interpreter.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use super::rows::key_text;
use crate::codec::{
    ArrayStream, ByteStream, Chain, EncodeContext, Encoded, Put, PutPath, PutSource, Stores,
    manifest_path, parallel, record_write,
};
use crate::config::Config;
use crate::definition::TableName;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::schema::{Attribute, Heading, Lode};
use crate::sql::Dialect;
use crate::store::StoreSet;
use crate::value::{Array, Elements, Row, Value};

/// A codec column of an insert, resolved.
pub(super) struct CodecColumn {
    /// Position in the rows.
    at: usize,
    attribute: Attribute,
    chain: Chain,
    /// The store that new values go to.
    store: Option<String>,
}

impl CodecColumn {
    /// True if objects are written.
    pub(super) fn writes_objects(&self) -> bool {
        self.store.is_some()
    }
}

/// An object that the rows of an insert rely on.
#[derive(Debug, Clone)]
pub(super) struct Relied {
    store: String,
    path: PutPath,
    folder: bool,
    /// Made by this insert, and not found there.
    created: bool,
}

/// Objects that one insert has put or relied on.
#[derive(Default)]
pub(super) struct Objects(Vec<Relied>);

impl Objects {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails unless every object is there. Called inside the transaction that commits the rows: from here on the
    /// database's write lock keeps a collection of this engine away (it deletes under the same lock).
    pub(super) fn verify(&self, stores: &StoreSet) -> Result<()> {
        for (store, objects) in self.by_store() {
            let paths: Vec<&str> = objects.iter().map(|o| o.path.as_str()).collect();
            let found = stores.get(Some(store))?.exist_many(&paths)?;
            if let Some((path, _)) = paths.iter().zip(found).find(|(_, found)| !found) {
                return Err(Error::new(ErrorKind::MissingObject, "an object vanished from its store before its row was committed")
                    .store(store)
                    .path(*path)
                    .hint("Another process collected garbage meanwhile. Nothing was inserted; insert again."));
            }
        }
        Ok(())
    }

    fn by_store(&self) -> BTreeMap<&str, Vec<&Relied>> {
        let mut stores: BTreeMap<&str, Vec<&Relied>> = BTreeMap::new();
        for object in &self.0 {
            stores.entry(&object.store).or_default().push(object);
        }
        stores
    }

    /// After an insert that is known to have failed: removes what it made. Objects at content-addressed paths may have
    /// been found and relied on by others meanwhile, so `is_needed` decides about them under the write lock.
    /// Returns how many could not be removed; the next collection finds them.
    pub(super) fn discard(
        &self,
        stores: &StoreSet,
        is_needed: &mut dyn FnMut(&str, &str) -> bool,
    ) -> usize {
        let mut left = 0;
        for (name, objects) in self.by_store() {
            let mut files = Vec::new();
            let mut folders = Vec::new();
            for object in objects.into_iter().filter(|o| o.created) {
                let path = object.path.as_str();
                if matches!(object.path, PutPath::Hash(_)) && is_needed(name, path) {
                    continue;
                }
                match object.folder {
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
            let Ok(store) = stores.get_store(Some(name)) else {
                left += files.len() + folders.len();
                continue;
            };
            left += store
                .delete_many(&files)
                .iter()
                .filter(|r| r.is_err())
                .count();
            for path in folders {
                let removed = store
                    .delete(&manifest_path(path))
                    .and_then(|_| store.delete_prefix(path));
                left += usize::from(removed.is_err());
            }
        }
        left
    }

    /// True if something content-addressed was made.
    pub(super) fn made_content_addressed(&self) -> bool {
        self.0
            .iter()
            .any(|o| o.created && matches!(o.path, PutPath::Hash(_)))
    }
}

/// What encoding needs to know about the table.
pub(super) struct Uploader<'a> {
    pub(super) lode: &'a Lode,
    pub(super) table: &'a TableName,
    pub(super) heading: &'a Heading,
    pub(super) columns: Vec<CodecColumn>,
    /// See [`Checked::keys`](super::rows::Checked).
    pub(super) keys: Vec<Row>,
    pub(super) bytes_in_flight: u64,
    pub(super) progress: &'a dyn Progress,
}

impl<'a> Uploader<'a> {
    /// Resolves codecs and stores of the columns at hand; an unknown codec or store is an error, before any upload.
    pub(super) fn new(
        lode: &'a Lode,
        table: &'a TableName,
        heading: &'a Heading,
        columns: &[usize],
        keys: Vec<Row>,
        bytes_in_flight: Option<u64>,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let mut codecs = Vec::new();
        for (at, index) in columns.iter().enumerate() {
            let attribute = &heading.attributes[*index];
            let Some(chain) = &attribute.chain else {
                continue;
            };
            let place = |e: Error| {
                e.attribute(&*attribute.name)
                    .table(&table.schema, &table.name)
            };
            let chain = chain.as_ref().clone().map_err(place)?;
            let store = chain.resolve_store(&**lode.stores()).map_err(place)?;
            codecs.push(CodecColumn {
                at,
                attribute: attribute.clone(),
                chain,
                store,
            });
        }
        Ok(Uploader {
            lode,
            table,
            heading,
            columns: codecs,
            keys,
            bytes_in_flight: bytes_in_flight.unwrap_or_else(|| configured_bytes(lode)),
            progress,
        })
    }

    /// True without codec columns.
    pub(super) fn is_idle(&self) -> bool {
        self.columns.is_empty()
    }

    /// Bytes that the row's in-table blobs may take in memory until the insert is sent.
    pub(super) fn in_row_bytes(&self, row: &[Option<Value>]) -> u64 {
        let in_row = self.columns.iter().filter(|c| !c.writes_objects());
        in_row
            .filter_map(|c| row[c.at].as_ref())
            .map(approximate_size)
            .sum()
    }

    /// Encodes the codec columns of `rows` in place and makes their objects durable. `numbers` are the rows' indices in
    /// the caller's batch. What was put is added to `objects`
    /// also when it fails.
    pub(super) fn run(
        &self,
        checked: &[usize],
        rows: &mut [Vec<Option<Value>>],
        numbers: &[usize],
        objects: &mut Objects,
    ) -> Result<()> {
        if self.columns.is_empty() || rows.is_empty() {
            return Ok(());
        }
        let attributes: Vec<&Attribute> = checked
            .iter()
            .map(|i| &self.heading.attributes[*i])
            .collect();
        self.progress.begin("storing", Some(rows.len() as u64));
        let (mut done, mut outcome) = if rows.len() == 1 || self.brings_streams(rows) {
            self.run_here(rows, numbers, &attributes)
        } else {
            self.run_overlapped(rows, numbers, &attributes)
        };
        self.progress.end();

        done.sort_by_key(|d| d.index);
        for done in done {
            objects.0.extend(done.objects);
            match done.result {
                Ok(values) => {
                    for (column, value) in self.columns.iter().zip(values) {
                        rows[done.index][column.at] = value;
                    }
                }
                Err(e) => outcome = outcome.and(Err(e)),
            }
        }
        outcome.map_err(|e| e.table(&self.table.schema, &self.table.name))
    }

    /// True if a value is a stream. What feeds it may be foreign code, so the calling thread pulls it.
    fn brings_streams(&self, rows: &[Vec<Option<Value>>]) -> bool {
        let mut values = rows
            .iter()
            .flat_map(|row| self.columns.iter().filter_map(|c| row[c.at].as_ref()));
        values.any(is_stream)
    }

    /// One row after the other, on the calling thread. What was stored comes back also after an error.
    fn run_here(
        &self,
        rows: &mut [Vec<Option<Value>>],
        numbers: &[usize],
        attributes: &[&Attribute],
    ) -> (Vec<Done>, Result<()>) {
        let many = rows.len() > 1;
        let mut done = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter_mut().enumerate() {
            let job = self.job(index, numbers[index], row, attributes);
            let encoded = job.and_then(|job| self.shared().encode_row(job));
            match encoded.and_then(|row| self.shared().store_rows(vec![row], self.progress)) {
                Ok(row) => done.extend(row),
                Err(e) => return (done, Err(e)),
            }
            if many {
                self.progress.advance(1);
            }
        }
        (done, Ok(()))
    }

    /// Encoders, a writer, and the calling thread feeding them. What was stored comes back also after an error.
    fn run_overlapped(
        &self,
        rows: &mut [Vec<Option<Value>>],
        numbers: &[usize],
        attributes: &[&Attribute],
    ) -> (Vec<Done>, Result<()>) {
        let encoders = parallel::cores().min(rows.len());
        let budget = Budget::new(self.bytes_in_flight);
        let stopped = AtomicBool::new(false);
        let this = self.shared();
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Mutex::new(queue);
        let (encoded, to_write) = mpsc::channel::<EncodedRow>();
        let (results, finished) = mpsc::channel::<Result<Vec<Done>>>();
        let mut done = Vec::with_capacity(rows.len());
        let mut outcome = Ok(());
        std::thread::scope(|scope| {
            let (budget, stopped, queue, this) = (&budget, &stopped, &queue, &this);
            for _ in 0..encoders {
                let (encoded, results) = (encoded.clone(), results.clone());
                scope.spawn(move || {
                    loop {
                        let job = lock(queue).recv();
                        let Ok(job) = job else { break };
                        let cost = job.cost;
                        if stopped.load(Ordering::Relaxed) {
                            budget.give_back(cost);
                            continue;
                        }
                        // Both receivers live as long as the scope.
                        match this.encode_row(job) {
                            Ok(row) => drop(encoded.send(row)),
                            Err(e) => {
                                stopped.store(true, Ordering::Relaxed);
                                drop(results.send(Err(e)));
                                budget.give_back(cost);
                            }
                        }
                    }
                });
            }
            drop(encoded);
            scope.spawn(move || {
                while let Ok(first) = to_write.recv() {
                    let mut ready = vec![first];
                    ready.extend(to_write.try_iter());
                    let cost = ready.iter().map(|row| row.cost).sum();
                    if !stopped.load(Ordering::Relaxed) {
                        match this.store_rows(ready, &Stopped(stopped)) {
                            // Who stopped the work says why.
                            Err(e) if e.kind() == ErrorKind::Interrupted => {}
                            stored => {
                                if stored.is_err() {
                                    stopped.store(true, Ordering::Relaxed);
                                }
                                drop(results.send(stored));
                            }
                        }
                    }
                    budget.give_back(cost);
                }
            });
            // The calling thread is the only one that may ask for interruption.
            let mut collect = |result: Result<Vec<Done>>| match result {
                Ok(rows) => {
                    self.progress.advance(rows.len() as u64);
                    done.extend(rows);
                }
                Err(e) => {
                    // The first row speaks.
                    let row = |e: &Error| e.place().row.unwrap_or(usize::MAX);
                    if outcome
                        .as_ref()
                        .err()
                        .is_none_or(|first| row(&e) < row(first))
                    {
                        outcome = Err(e);
                    }
                }
            };
            let interrupt = || {
                let interrupt = self.progress.interrupted();
                if interrupt {
                    stopped.store(true, Ordering::Relaxed);
                }
                interrupt
            };
            for (index, row) in rows.iter_mut().enumerate() {
                if interrupt() {
                    collect(Err(interrupted()));
                }
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                match self.job(index, numbers[index], row, attributes) {
                    Ok(job) => {
                        budget.take(job.cost);
                        if jobs.send(job).is_err() {
                            break;
                        }
                    }
                    Err(e) => {
                        stopped.store(true, Ordering::Relaxed);
                        collect(Err(e));
                    }
                }
                finished.try_iter().for_each(&mut collect);
            }
            drop(jobs);
            loop {
                match finished.recv_timeout(Duration::from_millis(50)) {
                    Ok(result) => collect(result),
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        if !stopped.load(Ordering::Relaxed) && interrupt() {
                            collect(Err(interrupted()));
                        }
                    }
                }
            }
        });
        (done, outcome)
    }

    fn shared(&self) -> Shared<'_> {
        Shared {
            stores: self.lode.stores(),
            config: self.lode.config(),
            dialect: self.lode.dialect(),
            table: self.table,
            columns: &self.columns,
        }
    }

    /// Takes the codec values out of a row. Foreign codecs encode here, on the calling thread.
    fn job(
        &self,
        index: usize,
        number: usize,
        row: &mut [Option<Value>],
        attributes: &[&Attribute],
    ) -> Result<Job> {
        let key = self.keys.get(number).cloned().unwrap_or_default();
        let text = key_text(attributes, row);
        let mut job = Job {
            index,
            row: number,
            key,
            text,
            values: Vec::with_capacity(self.columns.len()),
            cost: 0,
        };
        for column in &self.columns {
            let value = match row[column.at].take() {
                None => Pending::Default,
                Some(value) if column.chain.codecs.iter().any(|c| c.wants_foreign()) => {
                    let shared = self.shared();
                    let encoded = shared
                        .encode(column, value, &job.key)
                        .map_err(|e| shared.place(e, column, &job.text, job.row))?;
                    job.cost += encoded.puts.iter().map(put_size).sum::<u64>()
                        + approximate_size(&encoded.value);
                    Pending::Encoded(encoded)
                }
                Some(value) => {
                    job.cost += approximate_size(&value);
                    Pending::Plain(value)
                }
            };
            job.values.push(value);
        }
        Ok(job)
    }
}

enum Pending {
    Default,
    Plain(Value),
    Encoded(Encoded),
}

struct Job {
    /// Index within the run.
    index: usize,
    /// Index within the batch, for messages.
    row: usize,
    key: Row,
    text: String,
    values: Vec<Pending>,
    cost: u64,
}

/// A row whose values are encoded and whose objects are not yet written.
struct EncodedRow {
    index: usize,
    row: usize,
    text: String,
    values: Vec<Option<Encoded>>,
    cost: u64,
}

/// A row whose objects are durable.
struct Done {
    index: usize,
    objects: Vec<Relied>,
    result: Result<Vec<Option<Value>>>,
}

/// Passes on that the work was stopped elsewhere.
struct Stopped<'a>(&'a AtomicBool);

impl Progress for Stopped<'_> {
    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the threads share.
struct Shared<'a> {
    stores: &'a Arc<StoreSet>,
    config: &'a Config,
    dialect: &'a dyn Dialect,
    table: &'a TableName,
    columns: &'a [CodecColumn],
}

impl Shared<'_> {
    fn encode_row(&self, mut job: Job) -> Result<EncodedRow> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (column, pending) in self.columns.iter().zip(std::mem::take(&mut job.values)) {
            values.push(match pending {
                Pending::Default => None,
                Pending::Encoded(encoded) => Some(encoded),
                Pending::Plain(value) => Some(
                    self.encode(column, value, &job.key)
                        .map_err(|e| self.place(e, column, &job.text, job.row))?,
                ),
            });
        }
        Ok(EncodedRow {
            index: job.index,
            row: job.row,
            text: job.text,
            values,
            cost: job.cost,
        })
    }

    /// Writes the objects of the rows in one call, and gives the columns' values in stored form. If a write fails,
    /// nothing of this call is left but objects at content-addressed paths, which the collector finds.
    fn store_rows(&self, mut rows: Vec<EncodedRow>, progress: &dyn Progress) -> Result<Vec<Done>> {
        let mut puts: Vec<Put> = Vec::new();
        let mut owners = Vec::new();
        for (at, row) in rows.iter_mut().enumerate() {
            for (column, encoded) in row.values.iter_mut().enumerate() {
                for put in encoded.iter_mut().flat_map(|e| e.puts.drain(..)) {
                    puts.push(put);
                    owners.push((at, column));
                }
            }
        }
        let outcomes = match puts.is_empty() {
            true => Vec::new(),
            false => self.stores.put_all(&puts, progress).map_err(|e| {
                let path = e.place().path.clone();
                let blamed = puts
                    .iter()
                    .zip(&owners)
                    .find(|(put, _)| puts.len() == 1 || path.as_deref() == Some(put.path.as_str()));
                match blamed {
                    Some((_, (at, column))) => {
                        let row = &rows[*at];
                        self.place(e, &self.columns[*column], &row.text, row.row)
                    }
                    None => e,
                }
            })?,
        };
        let mut stored = puts.into_iter().zip(outcomes).zip(owners).peekable();
        let mut done = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            let mut objects = Vec::new();
            let mut result = Ok(Vec::with_capacity(row.values.len()));
            for (column, encoded) in row.values.into_iter().enumerate() {
                let mut value = encoded.map(|e| e.value);
                while let Some(((put, outcome), _)) =
                    stored.next_if(|(_, owner)| *owner == (at, column))
                {
                    if let (Some(value), Ok(_)) = (&mut value, &result)
                        && let Err(e) = record_write(value, &put, outcome.hash.as_deref())
                    {
                        result = Err(e);
                    }
                    objects.push(Relied {
                        store: put.store,
                        folder: matches!(put.source, PutSource::Folder(_)),
                        path: put.path,
                        created: outcome.created,
                    });
                }
                let column = &self.columns[column];
                result = result.and_then(|mut values| {
                    values.push(self.stored(column, value)?);
                    Ok(values)
                });
                result = result.map_err(|e| self.place(e, column, &row.text, row.row));
            }
            done.push(Done {
                index: row.index,
                objects,
                result,
            });
        }
        Ok(done)
    }

    fn stored(&self, column: &CodecColumn, value: Option<Value>) -> Result<Option<Value>> {
        match (value.filter(|v| !v.is_null()), &column.attribute.storage) {
            (Some(value), Some(storage)) => self.dialect.into_stored(storage, value).map(Some),
            (value, _) => Ok(value),
        }
    }

    fn place(&self, e: Error, column: &CodecColumn, key: &str, row: usize) -> Error {
        e.attribute(&*column.attribute.name)
            .key(key)
            .row(row)
            .table(&self.table.schema, &self.table.name)
    }

    fn encode(&self, column: &CodecColumn, value: Value, key: &Row) -> Result<Encoded> {
        let stores: &dyn Stores = &**self.stores;
        column.chain.encode(
            value,
            &EncodeContext {
                schema: &self.table.schema,
                table: &self.table.name,
                attribute: &column.attribute.name,
                key,
                store: column.store.as_deref(),
                stores,
                config: self.config,
            },
        )
    }
}

fn configured_bytes(lode: &Lode) -> u64 {
    let configured = lode.config().get_i64("lode.bytes_in_flight");
    configured
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(u64::MAX)
}

/// A bound on bytes under way. One job larger than the bound passes alone.
struct Budget {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Budget {
            limit,
            used: Mutex::new(0),
            freed: Condvar::new(),
        }
    }

    fn take(&self, bytes: u64) {
        let mut used = lock(&self.used);
        while *used > 0 && *used + bytes > self.limit {
            used = self
                .freed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
    }

    fn give_back(&self, bytes: u64) {
        *lock(&self.used) -= bytes;
        self.freed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted")
}

fn put_size(put: &Put) -> u64 {
    match &put.source {
        PutSource::Segments(segments) => segments.iter().map(|s| s.len() as u64).sum(),
        PutSource::File(_) | PutSource::Folder(_) | PutSource::Stream(_) => STREAMED,
    }
}

fn is_stream(value: &Value) -> bool {
    match value {
        Value::Tuple(items) => items.iter().any(is_stream),
        value => {
            value.foreign::<ArrayStream>().is_some() || value.foreign::<ByteStream>().is_some()
        }
    }
}

/// What a streamed file costs while it is written.
const STREAMED: u64 = 8 << 20;

/// Roughly the bytes that a value holds.
pub(super) fn approximate_size(value: &Value) -> u64 {
    let all = |items: &[Value]| items.iter().map(approximate_size).sum::<u64>();
    16 + match value {
        Value::Text(v) | Value::Decimal(v) => v.len() as u64,
        Value::Bytes(v) => v.len() as u64,
        Value::BigInt(v) => v.len() as u64,
        Value::Json(v) => v.as_str().len() as u64,
        Value::Array(array) => array_size(array),
        Value::Records { fields, .. } => fields.iter().map(|(_, v)| approximate_size(v)).sum(),
        Value::Cell { items, .. }
        | Value::Tuple(items)
        | Value::List(items)
        | Value::Set(items) => all(items),
        Value::Struct { elements, .. } => elements.iter().map(|e| all(e)).sum(),
        Value::Sparse(sparse) => array_size(&sparse.data) + 8 * sparse.row_indices.len() as u64,
        Value::Map(items) => items
            .iter()
            .map(|(k, v)| approximate_size(k) + approximate_size(v))
            .sum(),
        Value::Path(_) => STREAMED,
        _ => 0,
    }
}

fn array_size(array: &Array) -> u64 {
    match &array.data {
        Elements::Raw { .. } => array
            .shape
            .iter()
            .fold(array.dtype.itemsize as u64, |n, d| {
                n.saturating_mul(*d as u64)
            }),
        Elements::Objects(items) => items.iter().map(approximate_size).sum(),
    }
}
