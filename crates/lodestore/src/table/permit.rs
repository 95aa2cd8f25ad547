//! Who may insert into Imported and Computed tables: their own `make`, in the thread that runs it (spec: compute §1).

use std::cell::RefCell;

use crate::definition::TableName;
use crate::value::Row;

thread_local! {
    static MAKING: RefCell<Vec<(TableName, Option<Row>)>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the current thread may insert into the table. `compute` holds one during a `make`; a front door whose
/// `make` inserts from another thread takes one there.
#[derive(Debug)]
pub struct InsertPermit(());

impl InsertPermit {
    /// Permits inserts into a table.
    pub fn new(table: &TableName) -> Self {
        MAKING.with_borrow_mut(|tables| tables.push((table.clone(), None)));
        InsertPermit(())
    }

    /// Permits inserts into a table on behalf of a key.
    pub fn of_key(table: &TableName, key: &Row) -> Self {
        MAKING.with_borrow_mut(|tables| tables.push((table.clone(), Some(key.clone()))));
        InsertPermit(())
    }

    /// The table, and the key if it is known, whose `make` the current thread is inside.
    pub(super) fn current() -> Option<(TableName, Option<Row>)> {
        MAKING.with_borrow(|tables| tables.last().cloned())
    }

    /// True if the current thread is inside a `make` of the table.
    pub fn is_held(table: &TableName) -> bool {
        MAKING.with_borrow(|tables| tables.iter().any(|(t, _)| t == table))
    }

    /// True if the current thread is inside any `make`.
    pub fn is_making() -> bool {
        MAKING.with_borrow(|tables| !tables.is_empty())
    }
}

impl Drop for InsertPermit {
    fn drop(&mut self) {
        MAKING.with_borrow_mut(|tables| {
            tables.pop();
        });
    }
}
