//! Bulk inserts: binary COPY for many rows of one form, else INSERT of many rows at once.

use std::collections::HashSet;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use futures_util::future::try_join;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::session::Link;
use super::{PostgresDialect, bind, errors};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::rows::{is_given, key_text};
use crate::sql::{Conflict, Dialect, Insert};
use crate::value::Value;

/// From this many rows on COPY is worth its extra round trips.
const COPY_ROWS: usize = 32;
/// Bytes handed to the connection at once.
const CHUNK: usize = 256 * 1024;
/// Rows of one INSERT statement, and parameters that a statement can have.
const ROWS: usize = 1000;
const PARAMETERS: usize = 65_535;
/// Bytes of one INSERT statement (the protocol ends at a gigabyte).
const BYTES: usize = 32 << 20;

/// What is inserted, looked at once.
pub(super) struct Plan<'a> {
    insert: &'a Insert<'a>,
    /// Indices of the columns that some row gives.
    columns: Vec<usize>,
    /// Every row gives all of them.
    uniform: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn new(insert: &'a Insert<'a>) -> Result<Plan<'a>> {
        let mut given = vec![0_usize; insert.columns.len()];
        for (row, values) in insert.rows.iter().enumerate() {
            if values.len() != insert.columns.len() {
                let message = "a row has another number of values than there are columns";
                return Err(Error::invalid(message)
                    .table(insert.schema, insert.table)
                    .row(row));
            }
            for ((value, (_, storage)), given) in values.iter().zip(insert.columns).zip(&mut given)
            {
                *given += usize::from(is_given(value.as_ref(), storage));
                if let Some(value) = value {
                    bind::check(value)
                        .map_err(|e| e.table(insert.schema, insert.table).row(row))?;
                }
            }
        }
        let columns: Vec<usize> = (0..given.len()).filter(|at| given[*at] > 0).collect();
        Ok(Plan {
            insert,
            uniform: columns.iter().all(|at| given[*at] == insert.rows.len()),
            columns,
        })
    }

    /// True if it is one statement.
    pub(super) fn is_single(&self) -> bool {
        self.insert.rows.len() == 1
            || (!self.may_copy()
                && self.insert.conflict != Conflict::Replace
                && !self.columns.is_empty()
                && self.insert.rows.len() <= self.rows_at_once()
                && self.insert.rows.iter().map(|r| size(r)).sum::<usize>() < BYTES)
    }

    fn may_copy(&self) -> bool {
        self.insert.conflict == Conflict::Error
            && self.uniform
            && !self.columns.is_empty()
            && self.insert.rows.len() >= COPY_ROWS
    }

    fn rows_at_once(&self) -> usize {
        ROWS.min(PARAMETERS / self.columns.len().max(1))
    }

    /// Inserts all rows. The caller makes it atomic.
    pub(super) async fn run(&self, link: &mut Link) -> Result<u64> {
        if self.may_copy()
            && let Some(count) = self.copy(link).await?
        {
            return Ok(count);
        }
        self.values(link).await
    }

    fn names(&self) -> String {
        let names = self.columns.iter();
        names
            .map(|at| PostgresDialect.quote(&self.insert.columns[*at].0))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn table(&self) -> String {
        PostgresDialect.full_name(self.insert.schema, self.insert.table)
    }

    /// None if a value has no binary form for its column, or the table takes no COPY; nothing was inserted then.
    async fn copy(&self, link: &mut Link) -> Result<Option<u64>> {
        let (table, names) = (self.table(), self.names());
        let describe = format!("SELECT {names} FROM {table} WHERE false");
        let text = format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)");
        // Prepared anew each time: in the transaction that follows the types cannot change any more.
        let (described, copy) = try_join(
            link.prepare_anew(&describe, &[]),
            link.prepare_anew(&text, &[]),
        )
        .await
        .map_err(|e| e.table(self.insert.schema, self.insert.table))?;
        let types: Vec<Type> = described
            .columns()
            .iter()
            .map(|c| c.type_().clone())
            .collect();
        let fits = |row: &Vec<Option<Value>>| {
            let values = self.columns.iter().zip(&types);
            values
                .into_iter()
                .all(|(at, type_)| row[*at].as_ref().is_none_or(|v| bind::has_binary(v, type_)))
        };
        if !self.insert.rows.iter().all(fits) {
            return Ok(None);
        }
        match self.send(link, &copy, &types).await {
            Ok(count) => Ok(Some(count)),
            Err(error) => {
                let error = link.fail(error, &text);
                // Row-level security.
                if errors::code(&error) == Some(&SqlState::FEATURE_NOT_SUPPORTED) {
                    return Err(error.hint("COPY is not possible here."));
                }
                Err(self.explain(error, 0..self.insert.rows.len(), &[]))
            }
        }
    }

    async fn send(
        &self,
        link: &Link,
        copy: &tokio_postgres::Statement,
        types: &[Type],
    ) -> Result<u64, tokio_postgres::Error> {
        let mut sink = pin!(link.client.copy_in::<_, Bytes>(copy).await?);
        let mut buffer = BytesMut::with_capacity(CHUNK + CHUNK / 4);
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
        buffer.put_u64(0);
        for row in self.insert.rows {
            buffer.put_i16(self.columns.len() as i16);
            for (at, type_) in self.columns.iter().zip(types) {
                match &row[*at] {
                    None | Some(Value::Null) => buffer.put_i32(-1),
                    Some(value) => {
                        let start = buffer.len();
                        buffer.put_i32(0);
                        bind::encode(value, type_, &mut buffer);
                        let length = (buffer.len() - start - 4) as i32;
                        buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
                    }
                }
            }
            if buffer.len() >= CHUNK {
                sink.send(buffer.split().freeze()).await?;
                buffer.reserve(CHUNK + CHUNK / 4);
            }
        }
        buffer.put_i16(-1);
        sink.send(buffer.freeze()).await?;
        sink.finish().await
    }

    async fn values(&self, link: &mut Link) -> Result<u64> {
        let rows = self.insert.rows;
        let mut count = 0;
        let mut start = 0;
        while start < rows.len() {
            let end = self.end_of_chunk(start);
            let (text, params, owners) = self.statement(start..end);
            let statement = link
                .prepare(&text)
                .await
                .map_err(|e| self.explain(e, start..end, &owners))?;
            let executed = link
                .client
                .execute_raw(&statement, params.iter().map(|v| bind::Parameter(v)))
                .await;
            count +=
                executed.map_err(|e| self.explain(link.fail(e, &text), start..end, &owners))?;
            start = end;
        }
        Ok(count)
    }

    fn end_of_chunk(&self, start: usize) -> usize {
        let rows = self.insert.rows;
        if self.columns.is_empty() {
            return start + 1;
        }
        let mut bytes = 0;
        // One upsert cannot meet the same row twice.
        let mut keys = HashSet::new();
        let mut end = start;
        while end < rows.len() && end - start < self.rows_at_once() {
            bytes += size(&rows[end]);
            if end > start && bytes > BYTES {
                break;
            }
            if self.insert.conflict == Conflict::Replace
                && !keys.insert(key_text(self.insert, &rows[end]))
            {
                break;
            }
            end += 1;
        }
        end
    }

    /// The statement, its parameters, and the row of each.
    fn statement(&self, range: std::ops::Range<usize>) -> (String, Vec<&'a Value>, Vec<usize>) {
        let dialect = PostgresDialect;
        let mut text = format!("INSERT INTO {}", self.table());
        let (mut params, mut owners) = (Vec::new(), Vec::new());
        if self.columns.is_empty() {
            text.push_str(" DEFAULT VALUES");
        } else {
            text.push_str(&format!(" ({}) VALUES ", self.names()));
            for row in range.clone() {
                text.push_str(if row == range.start { "(" } else { ",(" });
                for (n, at) in self.columns.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    let value = self.insert.rows[row][*at].as_ref();
                    match value.filter(|v| is_given(Some(v), &self.insert.columns[*at].1)) {
                        Some(value) => {
                            params.push(value);
                            owners.push(row);
                            text.push_str(&dialect.placeholder(params.len()));
                        }
                        None => text.push_str("DEFAULT"),
                    }
                }
                text.push(')');
            }
        }
        self.conflict(&mut text);
        (text, params, owners)
    }

    fn conflict(&self, text: &mut String) {
        let dialect = PostgresDialect;
        let insert = self.insert;
        let key: Vec<String> = insert
            .primary_key
            .iter()
            .map(|k| dialect.quote(k))
            .collect();
        let key = key.join(",");
        match insert.conflict {
            Conflict::Error => {}
            Conflict::Skip => text.push_str(&format!(" ON CONFLICT ({key}) DO NOTHING")),
            Conflict::Replace => {
                // `excluded` is the row as it would have been inserted, hence with defaults for what is not listed.
                let mut seen = HashSet::new();
                let listed = insert.columns.iter().map(|(name, _)| name);
                let assignments: Vec<String> = listed
                    .chain(insert.other_columns)
                    .filter(|n| !insert.primary_key.contains(n) && seen.insert(*n))
                    .map(|n| dialect.quote(n))
                    .map(|n| format!("{n}=excluded.{n}"))
                    .collect();
                match assignments.is_empty() {
                    true => text.push_str(&format!(" ON CONFLICT ({key}) DO NOTHING")),
                    false => text.push_str(&format!(
                        " ON CONFLICT ({key}) DO UPDATE SET {}",
                        assignments.join(",")
                    )),
                }
            }
        }
    }

    /// Adds which row it was, as far as the server tells.
    fn explain(&self, error: Error, range: std::ops::Range<usize>, owners: &[usize]) -> Error {
        let error = error.table(self.insert.schema, self.insert.table);
        match self.row(&error, range, owners) {
            Some(row) => error
                .row(row)
                .key(key_text(self.insert, &self.insert.rows[row])),
            None => error,
        }
    }

    fn row(
        &self,
        error: &Error,
        mut range: std::ops::Range<usize>,
        owners: &[usize],
    ) -> Option<usize> {
        if range.len() == 1 {
            return Some(range.start);
        }
        let db = errors::server(error)?;
        // `COPY subject, line 3` and `unnamed portal parameter $7`.
        let number = |after: &str| -> Option<usize> {
            let (_, rest) = db.where_()?.split_once(after)?;
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest[..digits].parse().ok()
        };
        if let Some(line) = number(", line ") {
            return line.checked_sub(1).filter(|row| *row < range.end);
        }
        if let Some(parameter) = number("parameter $") {
            return owners.get(parameter.checked_sub(1)?).copied();
        }
        if error.kind() == ErrorKind::MissingAttribute {
            let column = error.place().attribute.as_deref()?;
            let at = self.insert.columns.iter().position(|(n, _)| **n == *column);
            return range.find(|row| match at {
                Some(at) => {
                    let value = self.insert.rows[*row][at].as_ref();
                    value.is_none_or(Value::is_null)
                }
                None => true,
            });
        }
        // The values of a key as the server spells them. Where two rows have them, it is the second that is wrong.
        let wanted = errors::key_values(db.detail()?)?;
        let names = error.place().attribute.clone()?;
        let at: Option<Vec<usize>> = names
            .split(", ")
            .map(|name| self.insert.columns.iter().position(|(n, _)| **n == *name))
            .collect();
        let at = at?;
        let spelled = |row: &usize| {
            let values = at.iter().map(|at| match &self.insert.rows[*row][*at] {
                Some(value) => bind::text(value).map(std::borrow::Cow::into_owned).ok(),
                None => None,
            });
            let values: Option<Vec<String>> = values.collect();
            values.is_some_and(|v| v.join(", ") == wanted)
        };
        let mut found = range.filter(spelled);
        let first = found.next()?;
        match error.kind() {
            ErrorKind::Duplicate => Some(found.next().unwrap_or(first)),
            _ => Some(first),
        }
    }
}

fn size(row: &[Option<Value>]) -> usize {
    let of = |value: &Option<Value>| match value {
        Some(Value::Text(t)) => t.len(),
        Some(Value::Bytes(b)) => b.len(),
        Some(Value::Json(j)) => j.as_str().len(),
        _ => 16,
    };
    row.iter().map(of).sum()
}
