//! Many rows by MariaDB's bulk protocol: a statement for one row, and arrays of values. The server has less to do than
//! for a statement of many rows, and the next values are made ready in a thread while it works.

use std::mem::{Discriminant, discriminant};
use std::ops::Range;
use std::sync::mpsc::{SyncSender, sync_channel};

use mysql::Value as SqlValue;

use super::insert::{Group, Source, is_final};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::Conflict;

/// From this many rows on it is worth the round trip of a savepoint.
const LEAST: usize = 32;
/// Rows sent at once.
const ROWS: usize = 2500;

/// Values to be sent at once.
struct Part {
    /// Positions in the group.
    rows: Range<usize>,
    values: Vec<Vec<SqlValue>>,
    /// Each column has values of one kind, as the protocol wants it.
    uniform: bool,
}

impl Group<'_> {
    /// True if these rows can be sent so. The server does not tell how many of them were new, hence only where all are.
    pub(super) fn may_bulk(&self, rows: usize) -> bool {
        self.session.bulk
            && self.source.insert.conflict == Conflict::Error
            && rows >= LEAST
            && self.source.width() > 0
    }

    pub(super) fn bulk(&mut self, rows: &[usize], budget: usize) -> Result<u64> {
        let text = self.statement(1);
        if rows.len() <= ROWS {
            return self.each(rows, budget, &text);
        }
        let source = self.source;
        std::thread::scope(|scope| {
            let (sender, parts) = sync_channel(1);
            std::thread::Builder::new()
                .name("lodestore-rows".to_owned())
                .spawn_scoped(scope, move || make_ready(source, rows, budget, &sender))
                .map_err(|e| {
                    Error::new(ErrorKind::Query, format!("no thread for the rows: {e}"))
                })?;
            let mut inserted = 0;
            for part in parts {
                inserted += self.send(rows, part?, &text)?;
            }
            Ok(inserted)
        })
    }

    /// Without a thread.
    fn each(&mut self, rows: &[usize], budget: usize, text: &str) -> Result<u64> {
        let (mut from, mut inserted) = (0, 0);
        while from < rows.len() {
            let part = self.source.part(rows, from, budget)?;
            from = part.rows.end;
            inserted += self.send(rows, part, text)?;
        }
        Ok(inserted)
    }

    fn send(&mut self, rows: &[usize], part: Part, text: &str) -> Result<u64> {
        let rows = &rows[part.rows];
        if !part.uniform || !self.session.bulk {
            return self.statements(rows);
        }
        // Without the protocol (a proxy) the driver sends row by row: what came before the one at fault must go too.
        self.session.command("SAVEPOINT `~lode_rows`")?;
        let error = match self.session.run_many(text, part.values) {
            Ok(()) => return Ok(rows.len() as u64),
            Err(error) => error,
        };
        if is_final(&error) {
            return Err(error.table(self.source.insert.schema, self.source.insert.table));
        }
        // Statements find out which row it is. If it is none, it was the protocol.
        self.session.command("ROLLBACK TO SAVEPOINT `~lode_rows`")?;
        let inserted = self.statements(rows)?;
        self.session.bulk = false;
        Ok(inserted)
    }
}

/// Hands out all parts, or the first error, until nobody listens any more.
fn make_ready(
    source: Source<'_>,
    rows: &[usize],
    budget: usize,
    sender: &SyncSender<Result<Part>>,
) {
    let mut from = 0;
    while from < rows.len() {
        let part = source.part(rows, from, budget);
        from = part.as_ref().map_or(rows.len(), |part| part.rows.end);
        if sender.send(part).is_err() {
            return;
        }
    }
}

impl Source<'_> {
    fn part(&self, rows: &[usize], from: usize, budget: usize) -> Result<Part> {
        let width = self.width();
        let mut values = Vec::with_capacity(ROWS.min(rows.len() - from));
        let mut kinds: Vec<Option<Discriminant<SqlValue>>> = vec![None; width];
        let (mut bytes, mut uniform) = (0, true);
        for row in rows[from..].iter().take(ROWS) {
            let mut bound = Vec::with_capacity(width);
            bytes += self.bind(*row, &mut bound)?;
            if bytes > budget && !values.is_empty() {
                break;
            }
            for (value, kind) in bound.iter().zip(&mut kinds) {
                if *value != SqlValue::NULL {
                    let this = discriminant(value);
                    uniform &= *kind.get_or_insert(this) == this;
                }
            }
            values.push(bound);
        }
        Ok(Part {
            rows: from..from + values.len(),
            values,
            uniform,
        })
    }
}
