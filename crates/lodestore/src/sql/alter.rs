//! A change of a declared table: everything resolved, nothing left to look up.

use super::{ColumnSpec, TableSpec};

/// What is to become of a table. Keys and indexes stay what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterSpec {
    /// The table as it will be: its columns in their new order, hidden ones last.
    pub table: TableSpec,
    /// Dropped columns first, then what is added or changed, in the order of the columns.
    pub changes: Vec<ColumnChange>,
    /// The comment of the table changes.
    pub comment: bool,
}

/// What is to become of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChange {
    /// It goes, with its values.
    Drop(String),
    /// It is new.
    Add {
        /// The column.
        column: ColumnSpec,
        /// Where; none for the end.
        position: Option<Position>,
    },
    /// It gets another name, type, default, comment or place.
    Modify {
        /// What it is now. What does not change is spelled as in `column`.
        old: ColumnSpec,
        /// What it will be.
        column: ColumnSpec,
        /// Its new place, if it moves.
        position: Option<Position>,
        /// What its values need.
        conversion: Conversion,
    },
}

/// The place of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Before all others.
    First,
    /// Behind the one of this name, as it will be called.
    After(String),
}

/// What the values of a column need when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// Nothing: they stay as they are stored.
    Keep,
    /// They are converted to the new type; one that cannot be is an error.
    Convert,
    /// There are none: no row has a value here.
    Empty,
}

impl ColumnSpec {
    /// True if the column takes NULL.
    pub fn takes_null(&self) -> bool {
        self.nullable || self.default == crate::definition::Default::Null
    }
}
