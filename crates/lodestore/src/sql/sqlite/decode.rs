//! Rows into Arrow builders, one per column, without a value in between. This is the hot path of every fetch.
//!
//! A database file may be damaged or written by others: what does not have the form its column says is an error that
//! names the column and the row.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::ValueRef;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::OutputColumn;
use crate::sql::builders::{ColumnBuilder, days, micros, time_micros};
use crate::value::{Batch, ColumnKind, Value};

/// Collects rows of a running query.
pub(super) struct Decoder {
    names: Arc<[Arc<str>]>,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    /// Rows of earlier batches, for messages.
    before: usize,
}

impl Decoder {
    pub(super) fn new(columns: &[OutputColumn]) -> Decoder {
        Decoder {
            names: columns.iter().map(|c| c.name.clone()).collect(),
            columns: columns.iter().map(|c| ColumnBuilder::new(c.kind)).collect(),
            rows: 0,
            before: 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn push(&mut self, row: &rusqlite::Row<'_>) -> Result<()> {
        for (i, column) in self.columns.iter_mut().enumerate() {
            let value = row.get_ref(i).map_err(|e| super::errors::map(e, ""))?;
            if let Err(found) = push(column, value) {
                return Err(self.mismatch(i, found));
            }
        }
        self.rows += 1;
        Ok(())
    }

    #[cold]
    fn mismatch(&self, column: usize, found: Mismatch) -> Error {
        Error::new(
            ErrorKind::Data,
            format!(
                "the database holds {found}, where {} is expected",
                self.columns[column].expects()
            ),
        )
        .attribute(&*self.names[column])
        .row(self.before + self.rows)
    }

    /// The rows so far as a batch; the decoder is empty again.
    pub(super) fn finish(&mut self) -> Batch {
        let rows = std::mem::take(&mut self.rows);
        self.before += rows;
        Batch {
            names: self.names.clone(),
            columns: self.columns.iter_mut().map(ColumnBuilder::finish).collect(),
            rows,
        }
    }
}

/// What was found instead, for the message.
type Mismatch = String;

#[inline]
fn push(column: &mut ColumnBuilder, value: ValueRef<'_>) -> Result<(), Mismatch> {
    match (column, value) {
        (ColumnBuilder::Int(b), ValueRef::Integer(i)) => b.append_value(i),
        (ColumnBuilder::Int(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Text(_, b), ValueRef::Text(t)) => b.append_value(utf8(t)?),
        (ColumnBuilder::Text(_, b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Float(b), ValueRef::Real(f)) => b.append_value(f),
        (ColumnBuilder::Float(b), ValueRef::Integer(i)) => b.append_value(i as f64),
        (ColumnBuilder::Float(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::DateTime(b), ValueRef::Text(t)) => {
            b.append_value(micros(t).ok_or_else(|| shown(value))?)
        }
        (ColumnBuilder::DateTime(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Date(b), ValueRef::Text(t)) => {
            b.append_value(days(t).ok_or_else(|| shown(value))?)
        }
        (ColumnBuilder::Date(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Bytes(b), ValueRef::Blob(bytes)) => b.append_value(bytes),
        (ColumnBuilder::Bytes(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Bool(b), ValueRef::Integer(i @ (0 | 1))) => b.append_value(i == 1),
        (ColumnBuilder::Bool(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Uuid(b), ValueRef::Blob(bytes)) => {
            b.append_value(bytes).map_err(|_| shown(value))?
        }
        (ColumnBuilder::Uuid(b), ValueRef::Null) => b.append_null(),
        (ColumnBuilder::Time(b), ValueRef::Text(t)) => {
            b.append_value(time_micros(t).ok_or_else(|| shown(value))?)
        }
        (ColumnBuilder::Time(b), ValueRef::Null) => b.append_null(),
        // An expression over a decimal column, such as an aggregate, may be a number.
        (ColumnBuilder::Text(ColumnKind::Decimal, b), ValueRef::Integer(i)) => {
            b.append_value(i.to_string())
        }
        (ColumnBuilder::Text(ColumnKind::Decimal, b), ValueRef::Real(f)) => {
            b.append_value(f.to_string())
        }
        (ColumnBuilder::Any(values), value) => values.push(any(value)?),
        (_, value) => return Err(shown(value)),
    }
    Ok(())
}

fn utf8(text: &[u8]) -> Result<&str, Mismatch> {
    std::str::from_utf8(text).map_err(|_| "text that is not UTF-8".to_owned())
}

fn any(value: ValueRef<'_>) -> Result<Value, Mismatch> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Int(i),
        ValueRef::Real(f) => Value::Float(f),
        ValueRef::Text(t) => Value::Text(utf8(t)?.to_owned()),
        ValueRef::Blob(b) => Value::Bytes(Bytes::copy_from_slice(b)),
    })
}

#[cold]
fn shown(value: ValueRef<'_>) -> Mismatch {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(i) => format!("the integer {i}"),
        ValueRef::Real(f) => format!("the number {f}"),
        ValueRef::Text(t) => format!(
            "the text \"{}\"",
            String::from_utf8_lossy(&t[..t.len().min(40)])
        ),
        ValueRef::Blob(b) => format!("{} bytes", b.len()),
    }
}
