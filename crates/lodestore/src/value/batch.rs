//! Rows in bulk: columns as Arrow arrays.

use std::sync::Arc;

use arrow_array::ArrayRef;

use super::Value;

/// What the elements of a fetched column mean, and with it their Arrow type.
///
/// | kind | Arrow type |
/// |---|---|
/// | `Int` | `Int64` |
/// | `Float` | `Float64` |
/// | `Bool` | `Boolean` |
/// | `Text`, `Decimal`, `Json` | `LargeUtf8` (a decimal is its canonical text, JSON its text) |
/// | `Bytes` | `LargeBinary` |
/// | `Date` | `Date32` |
/// | `DateTime` | `Timestamp(Microsecond, None)` |
/// | `Time` | `Time64(Microsecond)` |
/// | `Uuid` | `FixedSizeBinary(16)` |
/// | `Any` | none: [`Column::Values`] (results of SQL expressions, whose type the database decides row by row) |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ColumnKind {
    Int,
    Float,
    Bool,
    Text,
    Bytes,
    Date,
    DateTime,
    Time,
    Decimal,
    Uuid,
    Json,
    Any,
}

/// One column of a batch.
#[derive(Debug, Clone)]
pub enum Column {
    /// Values of one kind in an Arrow array of the type that [`ColumnKind`] says.
    Arrow(ColumnKind, ArrayRef),
    /// Dynamic values: computed expressions, and columns after their codec decoded them.
    Values(Vec<Value>),
}

/// So many rows, column by column.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Column names.
    pub names: Arc<[Arc<str>]>,
    /// Columns, all of one length.
    pub columns: Vec<Column>,
    /// Number of rows.
    pub rows: usize,
}
