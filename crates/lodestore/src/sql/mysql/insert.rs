//! Inserts: many rows in one statement, values bound. What fails is looked for by halves, until it is one row.

use std::collections::HashMap;
use std::sync::Arc;

use mysql::Value as SqlValue;
use mysql::prelude::Queryable;

use super::session::{Session, value_size};
use super::{MySqlDialect, bind, catalog, errors};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::rows::{is_given, key_text};
use crate::sql::{Conflict, Dialect, Insert};

/// Rows of one statement.
const ROWS: usize = 1000;
/// Bytes of one statement's values, about, unless one row has more.
const BYTES: usize = 4 << 20;
/// Statements for more rows than this are not kept: the server would keep memory for each of their places.
const KEPT_ROWS: usize = 16;

/// Inserts all rows. For more than one the caller holds the transaction or savepoint that makes it atomic.
pub(super) fn insert(session: &mut Session, insert: &Insert<'_>) -> Result<u64> {
    // One statement for each set of given columns; nearly always there is one set.
    let mut groups: Vec<(Vec<bool>, Vec<usize>)> = Vec::new();
    let mut known: HashMap<Vec<bool>, usize> = HashMap::new();
    let mut given: Vec<bool> = Vec::with_capacity(insert.columns.len());
    for (row, values) in insert.rows.iter().enumerate() {
        if values.len() != insert.columns.len() {
            return Err(Error::invalid(
                "a row has another number of values than there are columns",
            )
            .table(insert.schema, insert.table)
            .row(row));
        }
        given.clear();
        let pairs = values.iter().zip(insert.columns);
        given.extend(pairs.map(|(v, (_, storage))| is_given(v.as_ref(), storage)));
        // Nearly always as the first row.
        let at = match groups.first() {
            Some((first, _)) if *first == given => Some(0),
            _ => known.get(&given).copied(),
        };
        match at {
            Some(at) => groups[at].1.push(row),
            None => {
                known.insert(given.clone(), groups.len());
                groups.push((given.clone(), vec![row]));
            }
        }
    }
    // The server cannot be told which unique index a conflict may concern. Where there are others than the key, rows
    // are inserted plainly, and those that fail by their key are looked at one by one.
    let one_by_one = insert.conflict != Conflict::Error
        && catalog::has_other_unique(session, insert.schema, insert.table)?;
    let mut inserted = 0;
    for (given, rows) in &groups {
        let max_packet = session.max_packet;
        let mut group = Group {
            session,
            source: Source {
                insert,
                given,
                max_packet,
            },
            one_by_one,
        };
        inserted += group.all(rows)?;
    }
    Ok(inserted)
}

/// What rows that give values to the same columns are made of.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) insert: &'a Insert<'a>,
    /// Which of the columns.
    given: &'a [bool],
    max_packet: usize,
}

/// Rows that give values to the same columns, and where they go.
pub(super) struct Group<'a> {
    pub(super) session: &'a mut Session,
    pub(super) source: Source<'a>,
    one_by_one: bool,
}

impl Source<'_> {
    /// Values of one row.
    pub(super) fn width(&self) -> usize {
        self.given.iter().filter(|g| **g).count()
    }

    fn given_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let columns = self.insert.columns.iter().zip(self.given);
        columns
            .filter(|(_, given)| **given)
            .map(|((name, _), _)| name)
    }

    /// Appends a row's values; their size. One that the server would not take is an error that names it.
    pub(super) fn bind(&self, row: usize, out: &mut Vec<SqlValue>) -> Result<usize> {
        let values = &self.insert.rows[row];
        let mut size = 0;
        for (((name, _), value), given) in self.insert.columns.iter().zip(values).zip(self.given) {
            let Some(value) = value.as_ref().filter(|_| *given) else {
                continue;
            };
            let place = |e: Error| self.place(e.attribute(&**name), row);
            let bound = bind::parameter(value).map_err(place)?;
            let bytes = value_size(&bound);
            if bytes + 1024 > self.max_packet {
                return Err(place(errors::too_large(&format!(
                    "a value of {bytes} bytes"
                ))));
            }
            size += bytes;
            out.push(bound);
        }
        Ok(size)
    }

    fn place(&self, error: Error, row: usize) -> Error {
        error
            .table(self.insert.schema, self.insert.table)
            .key(key_text(self.insert, &self.insert.rows[row]))
            .row(row)
    }
}

/// True of what does not depend on a row: it will not do to try them one by one.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::LostConnection
            | ErrorKind::Deadlock
            | ErrorKind::LockTimeout
            | ErrorKind::Interrupted
            | ErrorKind::Access
            | ErrorKind::MissingTable
    )
}

impl Group<'_> {
    fn all(&mut self, rows: &[usize]) -> Result<u64> {
        match self.may_bulk(rows.len()) {
            true => self.bulk(rows, self.budget()),
            false => self.statements(rows),
        }
    }

    /// Bytes of values to send at once.
    fn budget(&self) -> usize {
        BYTES.min(self.session.max_packet / 2)
    }

    /// Inserts rows by statements of many.
    pub(super) fn statements(&mut self, rows: &[usize]) -> Result<u64> {
        let (width, most, budget) = (self.source.width(), self.most(), self.budget());
        let mut inserted = 0;
        let mut from = 0;
        let mut bytes = 0;
        let mut values: Vec<SqlValue> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let size = self.source.bind(*row, &mut values)?;
            if at > from && (at - from == most || bytes + size > budget) {
                let rest = values.split_off(values.len() - width);
                inserted += self.put(&rows[from..at], std::mem::replace(&mut values, rest))?;
                (from, bytes) = (at, 0);
            }
            bytes += size;
        }
        inserted += self.put(&rows[from..], values)?;
        if most > KEPT_ROWS && rows.len() >= most {
            self.forget(&self.statement(most));
        }
        Ok(inserted)
    }

    /// Rows of one statement.
    fn most(&self) -> usize {
        match self.source.width() {
            0 => 1,
            width => (bind::MAX_PARAMETERS / width).clamp(1, ROWS),
        }
    }

    /// Inserts rows with one statement. If it fails, each half is tried, down to the row that is at fault.
    fn put(&mut self, rows: &[usize], values: Vec<SqlValue>) -> Result<u64> {
        let text = self.statement(rows.len());
        let changed = self.session.run(&text, values);
        // Nothing is certain to be stored before the transaction is, if there is one.
        self.session.sent = self.source.insert.rows.len() == 1;
        if rows.len() > KEPT_ROWS && rows.len() != self.most() {
            self.forget(&text);
        }
        let error = match changed {
            Ok(_) if self.source.insert.conflict == Conflict::Replace => {
                return Ok(rows.len() as u64);
            }
            Ok(changed) => return Ok(changed),
            Err(error) => error,
        };
        if is_final(&error) {
            return Err(error.table(self.source.insert.schema, self.source.insert.table));
        }
        if let [row] = rows {
            return self.failed(*row, error);
        }
        let (left, right) = rows.split_at(rows.len() / 2);
        let mut inserted = 0;
        for half in [left, right] {
            let mut values = Vec::new();
            for row in half {
                self.source.bind(*row, &mut values)?;
            }
            inserted += self.put(half, values)?;
        }
        Ok(inserted)
    }

    /// What becomes of a single row that could not be inserted.
    fn failed(&mut self, row: usize, error: Error) -> Result<u64> {
        let index = match error.kind() {
            ErrorKind::Duplicate => errors::duplicate_index(&error),
            _ => return Err(self.source.place(error, row)),
        };
        if index.as_deref() == Some("PRIMARY") && self.one_by_one {
            return match self.source.insert.conflict {
                Conflict::Replace => self.update(row),
                _ => Ok(0),
            };
        }
        Err(self.duplicate(row, index.as_deref(), error))
    }

    fn duplicate(&mut self, row: usize, index: Option<&str>, error: Error) -> Error {
        let (schema, table) = (self.source.insert.schema, self.source.insert.table);
        let columns = match index {
            Some(index) => catalog::index_columns(self.session, schema, table, index),
            None => Ok(Vec::new()),
        };
        let error = match columns {
            Ok(columns) if !columns.is_empty() => error.attribute(columns.join(", ")),
            _ => error,
        };
        self.source.place(error, row)
    }

    /// Gives the row that has this key the new values, and the others their defaults.
    fn update(&mut self, row: usize) -> Result<u64> {
        let dialect = self.session.dialect;
        let values = &self.source.insert.rows[row];
        let given = |name: &Arc<str>| {
            let columns = self
                .source
                .insert
                .columns
                .iter()
                .zip(values)
                .zip(self.source.given);
            columns
                .filter(|(_, given)| **given)
                .find(|(((n, _), _), _)| n == name)
                .and_then(|((_, value), _)| value.as_ref())
        };
        let (mut sets, mut conditions, mut params) = (Vec::new(), Vec::new(), Vec::new());
        for name in self.replaced() {
            match given(name) {
                Some(value) => {
                    sets.push(format!("{}=?", dialect.quote(name)));
                    params.push(bind::parameter(value)?);
                }
                None => sets.push(format!("{}=DEFAULT", dialect.quote(name))),
            }
        }
        for name in self.source.insert.primary_key {
            match given(name) {
                Some(value) => {
                    conditions.push(format!("{}=?", dialect.quote(name)));
                    params.push(bind::parameter(value)?);
                }
                None => conditions.push(format!("{0}=DEFAULT({0})", dialect.quote(name))),
            }
        }
        if sets.is_empty() {
            return Ok(1);
        }
        let text = format!(
            "UPDATE {} SET {} WHERE {}",
            dialect.full_name(self.source.insert.schema, self.source.insert.table),
            sets.join(","),
            conditions.join(" AND ")
        );
        let result = self.session.run(&text, params);
        self.session.sent = false;
        match result {
            Ok(_) => Ok(1),
            Err(error) if error.kind() == ErrorKind::Duplicate => {
                let index = errors::duplicate_index(&error);
                Err(self.duplicate(row, index.as_deref(), error))
            }
            Err(error) => Err(self.source.place(error, row)),
        }
    }

    /// The columns that a replaced row gets anew.
    fn replaced(&self) -> Vec<&Arc<str>> {
        let mut seen = std::collections::HashSet::new();
        let listed = self.source.insert.columns.iter().map(|(n, _)| n);
        listed
            .chain(self.source.insert.other_columns)
            .filter(|n| !self.source.insert.primary_key.contains(n) && seen.insert((*n).clone()))
            .collect()
    }

    pub(super) fn statement(&self, rows: usize) -> String {
        let dialect = self.session.dialect;
        let names: Vec<String> = self
            .source
            .given_names()
            .map(|n| dialect.quote(n))
            .collect();
        let row = format!("({})", vec!["?"; names.len()].join(","));
        let mut text = format!(
            "INSERT INTO {} ({}) VALUES {row}",
            dialect.full_name(self.source.insert.schema, self.source.insert.table),
            names.join(",")
        );
        for _ in 1..rows {
            text.push(',');
            text.push_str(&row);
        }
        if !self.one_by_one {
            text.push_str(&self.on_conflict(&dialect));
        }
        text
    }

    fn on_conflict(&self, dialect: &MySqlDialect) -> String {
        let replaced = match self.source.insert.conflict {
            Conflict::Error => return String::new(),
            Conflict::Skip => Vec::new(),
            Conflict::Replace => self.replaced(),
        };
        let assignments: Vec<String> =
            match (replaced.is_empty(), self.source.insert.primary_key.first()) {
                // Nothing changes; it only keeps the row from being refused.
                (true, Some(key)) => vec![format!("{0}={0}", dialect.quote(key))],
                _ => replaced
                    .into_iter()
                    .map(|name| {
                        let quoted = dialect.quote(name);
                        match self.source.given_names().any(|n| n == name) {
                            true => format!("{quoted}=VALUES({quoted})"),
                            false => format!("{quoted}=DEFAULT"),
                        }
                    })
                    .collect(),
            };
        format!(" ON DUPLICATE KEY UPDATE {}", assignments.join(","))
    }

    /// Takes a large statement out of the cache.
    fn forget(&mut self, text: &str) {
        if let Ok(statement) = self.session.conn.prep(text) {
            let _ = self.session.conn.close(statement);
        }
    }
}
