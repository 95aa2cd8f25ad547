//! Rows on their way out: counting, fetching in columns, streaming, and the decoding of codec columns.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow_array::{ArrayRef, UInt64Array};

use super::FetchOptions;
use super::rows::row_text;
use super::upload::interrupted;
use crate::codec::{Chain, Codec, DecodeContext, Origin, Stores, parallel};
use crate::config::Config;
use crate::error::{Error, Result, did_you_mean};
use crate::query::{Plan, PlanOptions, Query, Top};
use crate::schema::Lode;
use crate::sql::BatchStream;
use crate::value::{Batch, Column, Row, Value};

/// Rows per batch of a stream whose columns take work or memory to decode.
const HEAVY_ROWS: usize = 32;

/// Rows whose objects are read together before foreign code decodes them.
const FOREIGN_ROWS: usize = 256;

impl Query {
    /// Number of rows (spec: queries §10).
    pub fn count(&self) -> Result<u64> {
        let lode = self.lode()?;
        let plan = self.count_statement(lode.dialect())?;
        match lode
            .backend()
            .query(&plan.statement, &plan.columns)?
            .value(0, 0)
        {
            Value::Int(n) => Ok(n.max(0) as u64),
            other => Err(Error::invalid(format!(
                "the database counted {other:?} rows"
            ))),
        }
    }

    /// True if there are rows.
    pub fn exists(&self) -> Result<bool> {
        let lode = self.lode()?;
        let plan = self.exists_statement(lode.dialect())?;
        Ok(
            match lode
                .backend()
                .query(&plan.statement, &plan.columns)?
                .value(0, 0)
            {
                Value::Bool(b) => b,
                Value::Int(n) => n != 0,
                _ => false,
            },
        )
    }

    /// All rows in columns: Arrow arrays for plain attributes, [`Column::Values`] for codec columns, which are decoded
    /// concurrently (spec: queries §13).
    pub fn batch(&self, options: &FetchOptions<'_>) -> Result<Batch> {
        let fetch = Fetch::new(self, options)?;
        let batch = fetch
            .lode
            .backend()
            .query(&fetch.plan.statement, &fetch.plan.columns)?;
        fetch.finish(batch, options)
    }

    /// The rows in batches of at most `rows`, from one cursor, in bounded memory. Fewer where decoding is heavy. Other
    /// statements may run meanwhile; the rows are those of the start (spec: queries §14).
    pub fn batches(&self, rows: usize) -> Result<Batches> {
        self.batches_with(rows, &FetchOptions::default())
    }

    /// As [`batches`](Query::batches), with columns, order and limit.
    pub fn batches_with(&self, rows: usize, options: &FetchOptions<'_>) -> Result<Batches> {
        let fetch = Fetch::new(self, options)?;
        let rows = if fetch.decoder.is_heavy() {
            rows.clamp(1, HEAVY_ROWS)
        } else {
            rows.max(1)
        };
        let stream =
            fetch
                .lode
                .backend()
                .stream(&fetch.plan.statement, &fetch.plan.columns, rows)?;
        Ok(Batches {
            stream,
            fetch,
            done: false,
        })
    }

    /// The primary keys, in the database's own order.
    pub fn keys(&self) -> Result<Vec<Row>> {
        let names = self.primary_key()?;
        let options = FetchOptions::columns(names.iter().map(|n| n.to_string()));
        Ok(self.batch(&options)?.iter_rows().collect())
    }

    /// The first rows in key order.
    pub fn head(&self, limit: u64) -> Result<Batch> {
        self.batch(&FetchOptions {
            order_by: vec!["KEY".into()],
            limit: Some(limit),
            ..Default::default()
        })
    }

    /// The last rows in key order, ascending.
    pub fn tail(&self, limit: u64) -> Result<Batch> {
        let options = FetchOptions {
            order_by: vec!["KEY DESC".into()],
            limit: Some(limit),
            ..Default::default()
        };
        reversed(self.batch(&options)?)
    }

    /// The only row, as names and values. Any other number of rows is an error; only one row is ever decoded.
    pub fn one_row(&self, options: &FetchOptions<'_>) -> Result<Row> {
        let mut fetch = Fetch::new(
            self,
            &FetchOptions {
                limit: None,
                offset: 0,
                order_by: Vec::new(),
                ..options.clone()
            },
        )?;
        let limited = self.top(Top {
            limit: Some(2),
            offset: 0,
            order_by: None,
        })?;
        let plan_options = PlanOptions {
            columns: fetch.planned.clone(),
        };
        fetch.plan = limited.plan(&plan_options)?;
        let batch = fetch
            .lode
            .backend()
            .query(&fetch.plan.statement, &fetch.plan.columns)?;
        if batch.rows != 1 {
            let found = if batch.rows == 0 {
                "none".into()
            } else {
                self.count()?.to_string()
            };
            let error = Error::invalid(format!(
                "exactly one row was asked for, but there are {found}"
            ));
            return Err(match self.base_table() {
                Some(table) => error.table(table.schema, table.name),
                None => error,
            });
        }
        let batch = fetch.finish(batch, options)?;
        Ok(batch.row(0))
    }
}

/// A planned fetch.
struct Fetch {
    lode: Lode,
    plan: Plan,
    /// What was asked for; none means everything.
    columns: Option<Vec<Arc<str>>>,
    /// That, and the key where codecs are to be decoded, so that errors can name the row.
    planned: Option<Vec<Arc<str>>>,
    decoder: Decoder,
}

impl Fetch {
    fn new(query: &Query, options: &FetchOptions<'_>) -> Result<Fetch> {
        let lode = query.lode()?;
        let heading = query.heading()?;
        let columns = match &options.columns {
            None => None,
            Some(names) => {
                let find = |name: &String| match heading.get(name) {
                    Some(attribute) => Ok(Arc::clone(&attribute.name)),
                    None => {
                        let error =
                            Error::invalid(format!("there is no attribute `{name}` to fetch"))
                                .attribute(name);
                        Err(match did_you_mean(name, heading.names().map(|n| &**n)) {
                            Some(hint) => error.hint(hint),
                            None => error,
                        })
                    }
                };
                Some(names.iter().map(find).collect::<Result<Vec<_>>>()?)
            }
        };
        let shaped;
        let query = if options.order_by.is_empty() && options.limit.is_none() && options.offset == 0
        {
            query
        } else {
            let order_by = (!options.order_by.is_empty()).then(|| options.order_by.clone());
            shaped = query.top(Top {
                limit: options.limit,
                offset: options.offset,
                order_by,
            })?;
            &shaped
        };
        let mut planned = columns.clone();
        if options.decode
            && let Some(names) = &mut planned
            && names
                .iter()
                .any(|n| heading.get(n).is_some_and(|a| a.chain.is_some()))
        {
            let key = heading.primary_key().filter(|n| !names.contains(n));
            let key: Vec<Arc<str>> = key.cloned().collect();
            names.extend(key);
        }
        let plan = query.plan(&PlanOptions {
            columns: planned.clone(),
        })?;
        let mut codecs = Vec::new();
        if options.decode {
            for (at, attribute) in plan.attributes.iter().enumerate() {
                let Some(chain) = &attribute.chain else {
                    continue;
                };
                match &**chain {
                    Ok(chain) => codecs.push((at, Arc::clone(&attribute.name), chain.clone())),
                    Err(e) => return Err(e.clone().attribute(&*attribute.name)),
                }
            }
        }
        let download_path = match &options.download_path {
            Some(path) => path.clone(),
            None => PathBuf::from(
                lode.config()
                    .get_str("download_path")
                    .unwrap_or_else(|| ".".into()),
            ),
        };
        let stores: Arc<dyn Stores> = lode.stores().clone();
        let config = lode.config().clone();
        let key = plan
            .attributes
            .iter()
            .enumerate()
            .filter(|(_, a)| a.in_key)
            .map(|(i, _)| i)
            .collect();
        let table = query.base_table().map(|t| (t.schema, t.name));
        Ok(Fetch {
            lode,
            plan,
            columns,
            planned,
            decoder: Decoder {
                codecs,
                stores,
                config,
                download_path,
                key,
                table,
            },
        })
    }

    /// Decodes a batch, and drops the columns that nobody asked for.
    fn finish(&self, batch: Batch, options: &FetchOptions<'_>) -> Result<Batch> {
        let mut batch = self.decoder.decode(batch, options)?;
        let wanted = match &self.columns {
            Some(columns) => columns.len(),
            None => self.plan.attributes.len(),
        };
        if batch.columns.len() > wanted {
            batch.columns.truncate(wanted);
            batch.names = batch.names[..wanted].into();
        }
        Ok(batch)
    }
}

/// Decodes the codec columns of batches.
struct Decoder {
    codecs: Vec<(usize, Arc<str>, Chain)>,
    stores: Arc<dyn Stores>,
    config: Config,
    download_path: PathBuf,
    /// Key columns, for messages.
    key: Vec<usize>,
    table: Option<(String, String)>,
}

impl Decoder {
    /// True if decoding reads objects or unpacks blobs; references to npy files and objects are made lazily.
    fn is_heavy(&self) -> bool {
        self.codecs.iter().any(|(_, _, chain)| is_heavy(chain))
    }

    fn decode(&self, mut batch: Batch, options: &FetchOptions<'_>) -> Result<Batch> {
        for (at, name, chain) in &self.codecs {
            let column = &batch.columns[*at];
            let named = (!is_heavy(chain)).then(|| self.rows_of(&batch, name));
            let (outer, inner) = split(chain);
            let decode = |chain: &Chain, value: Value, row: usize| match value {
                Value::Null => Ok(Value::Null),
                value => {
                    let origin = named.clone().map(|rows| Origin::new(rows, row));
                    let context = DecodeContext {
                        stores: &self.stores,
                        download_path: &self.download_path,
                        config: &self.config,
                        origin: origin.as_ref(),
                    };
                    chain
                        .decode(value, &context)
                        .map_err(|e| self.place(e, name, &batch, row))
                }
            };
            let decode_inner = |row: usize| decode(&inner, column.value(row), row);
            let heavy = is_heavy(&inner) && !inner.codecs.is_empty() && batch.rows > 1;
            let mut values = Vec::with_capacity(batch.rows);
            // Without foreign code there is nothing to wait for: all rows are one window.
            let window = match outer {
                Some(_) => FOREIGN_ROWS,
                None => batch.rows.max(1),
            };
            for start in (0..batch.rows).step_by(window) {
                let rows = start..batch.rows.min(start + window);
                if !heavy {
                    for row in rows {
                        self.ask(options)?;
                        let value = decode_inner(row)?;
                        values.push(match &outer {
                            Some(outer) => decode(outer, value, row)?,
                            None => value,
                        });
                    }
                    continue;
                }
                let read =
                    decode_parallel(rows.clone(), self.workers(chain), &decode_inner, options)?;
                let Some(outer) = &outer else {
                    values = read;
                    break;
                };
                for (row, value) in rows.zip(read) {
                    self.ask(options)?;
                    values.push(decode(outer, value, row)?);
                }
            }
            batch.columns[*at] = Column::Values(values);
        }
        Ok(batch)
    }

    fn ask(&self, options: &FetchOptions<'_>) -> Result<()> {
        match options.progress.interrupted() {
            true => Err(interrupted()),
            false => Ok(()),
        }
    }

    /// Threads that decode a column: where objects come over a network, as many as requests pay off, because each waits
    /// for its own. What they hold is bounded by their number.
    fn workers(&self, chain: &Chain) -> usize {
        let own = 2 * parallel::cores();
        let store = chain.resolve_store(&*self.stores).ok().flatten();
        let store = store.and_then(|name| self.stores.get(Some(&name)).ok());
        store.map_or(own, |store| store.requests().max(own))
    }

    fn place(&self, e: Error, name: &Arc<str>, batch: &Batch, row: usize) -> Error {
        (self.rows_of(batch, name))(e, row)
    }

    /// What names rows of this batch in errors, also long after it is gone.
    fn rows_of(
        &self,
        batch: &Batch,
        name: &Arc<str>,
    ) -> Arc<dyn Fn(Error, usize) -> Error + Send + Sync> {
        let columns = self.key.iter();
        let key: Vec<_> = columns
            .map(|i| (Arc::clone(&batch.names[*i]), batch.columns[*i].clone()))
            .collect();
        let (name, table) = (Arc::clone(name), self.table.clone());
        Arc::new(move |e, row| {
            let key: Row = key
                .iter()
                .map(|(name, column)| (Arc::clone(name), column.value(row)))
                .collect();
            let e = e.attribute(&*name);
            let e = match key.is_empty() {
                true => e.row(row),
                false => e.key(row_text(&key)),
            };
            match &table {
                Some((schema, table)) => e.table(schema, table),
                None => e,
            }
        })
    }
}

/// The codecs of a chain from the outermost to the last that is foreign code, which runs on the calling thread only; and
/// those below, which may run on any.
fn split(chain: &Chain) -> (Option<Chain>, Chain) {
    let foreign = chain.codecs.iter().rposition(|c| c.wants_foreign());
    let part = |codecs: &[Arc<dyn Codec>]| Chain {
        codecs: codecs.to_vec(),
        ..chain.clone()
    };
    match foreign {
        Some(last) => (
            Some(part(&chain.codecs[..=last])),
            part(&chain.codecs[last + 1..]),
        ),
        None => (None, chain.clone()),
    }
}

fn is_heavy(chain: &Chain) -> bool {
    !chain
        .codecs
        .iter()
        .all(|c| matches!(c.name(), "npy" | "object" | "filepath"))
}

/// Decodes rows on several threads, results in row order. The first error in row order is the one returned.
fn decode_parallel(
    range: Range<usize>,
    workers: usize,
    decode_one: &(dyn Fn(usize) -> Result<Value> + Sync),
    options: &FetchOptions<'_>,
) -> Result<Vec<Value>> {
    let rows = range.len();
    // Small steps for few large rows, large ones for many small rows.
    let step = (rows / 64.max(4 * workers)).clamp(1, 256);
    let workers = rows.div_ceil(step).min(workers);
    let next = AtomicUsize::new(0);
    let (stopped, interrupt) = (AtomicBool::new(false), AtomicBool::new(false));
    let pieces = Mutex::new(Vec::with_capacity(rows.div_ceil(step)));
    let work = |is_caller: bool| {
        while !stopped.load(Ordering::Relaxed) {
            // The calling thread is the only one that may ask.
            if is_caller && options.progress.interrupted() {
                stopped.store(true, Ordering::Relaxed);
                interrupt.store(true, Ordering::Relaxed);
                break;
            }
            let start = next.fetch_add(step, Ordering::Relaxed);
            if start >= rows {
                break;
            }
            let piece: Result<Vec<Value>> = (start..rows.min(start + step))
                .map(|row| decode_one(range.start + row))
                .collect();
            if piece.is_err() {
                stopped.store(true, Ordering::Relaxed);
            }
            pieces
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push((start, piece));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|| work(false));
        }
        work(true);
    });
    if interrupt.into_inner() || options.progress.interrupted() {
        return Err(interrupted());
    }
    let mut pieces = pieces
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    pieces.sort_unstable_by_key(|(start, _)| *start);
    let mut values = Vec::with_capacity(rows);
    for (_, piece) in pieces {
        values.extend(piece?);
    }
    Ok(values)
}

/// Batches of a running fetch; dropping it ends the query.
pub struct Batches {
    stream: BatchStream,
    fetch: Fetch,
    done: bool,
}

impl Batches {
    /// The rows one by one.
    pub fn into_rows(self) -> impl Iterator<Item = Result<Row>> {
        self.flat_map(|batch| match batch {
            Ok(batch) => {
                let rows: Box<dyn Iterator<Item = Result<Row>>> =
                    Box::new((0..batch.rows).map(move |row| Ok(batch.row(row))));
                rows
            }
            Err(e) => Box::new(std::iter::once(Err(e))),
        })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.stream.next()?;
        let batch = batch.and_then(|b| self.fetch.finish(b, &FetchOptions::default()));
        // After an error nothing follows: the cursor's state is not known.
        self.done = batch.is_err();
        Some(batch)
    }
}

fn reversed(batch: Batch) -> Result<Batch> {
    let order = UInt64Array::from_iter_values((0..batch.rows as u64).rev());
    let columns = batch
        .columns
        .into_iter()
        .map(|column| match column {
            Column::Values(mut values) => {
                values.reverse();
                Ok(Column::Values(values))
            }
            Column::Arrow(kind, array) => {
                let array: ArrayRef = arrow_select::take::take(&array, &order, None)
                    .map_err(|e| Error::invalid(format!("could not reorder rows: {e}")))?;
                Ok(Column::Arrow(kind, array))
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Batch {
        names: batch.names,
        columns,
        rows: batch.rows,
    })
}
