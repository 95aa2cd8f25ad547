//! Who may insert into Imported and Computed tables: their own `make`, in the thread that runs it (spec: compute §1).

use std::cell::RefCell;

use crate::definition::TableName;

thread_local! {
    static MAKING: RefCell<Vec<TableName>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the current thread may insert into the table. `compute` holds one during a `make`; a front door whose
/// `make` inserts from another thread takes one there.
#[derive(Debug)]
pub struct InsertPermit(());

impl InsertPermit {
    /// Permits inserts into a table.
    pub fn new(table: &TableName) -> Self {
        MAKING.with_borrow_mut(|tables| tables.push(table.clone()));
        InsertPermit(())
    }

    /// True if the current thread is inside a `make` of the table.
    pub fn is_held(table: &TableName) -> bool {
        MAKING.with_borrow(|tables| tables.contains(table))
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
