//! Staged insert: large objects written straight to their store before their row exists (spec: stores §6).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{InsertOptions, Table};
use crate::definition::Type;
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::progress::Silent;
use crate::store::StagedObject;
use crate::value::{Json, Row, Value};

/// One row in the making. Set its attributes in [`row`](StagedInsert::row), write objects through what
/// [`object`](StagedInsert::object) returns, then [`commit`](StagedInsert::commit). Dropped without commit, it removes
/// what was written.
pub struct StagedInsert {
    table: Table,
    /// The row, without its staged objects.
    pub row: Row,
    staged: BTreeMap<String, Arc<StagedObject>>,
    direct: bool,
    done: bool,
}

impl Table {
    /// Begins a staged insert; `row` may be filled in later, but the key before the first object.
    pub fn staged_insert(&self, row: Row) -> Result<StagedInsert> {
        self.may_insert(&InsertOptions::default())?;
        let mut staged = self.staged_insert_direct(row);
        staged.direct = false;
        Ok(staged)
    }

    /// As [`Table::staged_insert`], into Imported and Computed tables from anywhere.
    pub fn staged_insert_direct(&self, row: Row) -> StagedInsert {
        StagedInsert {
            table: self.clone(),
            row,
            staged: BTreeMap::new(),
            direct: true,
            done: false,
        }
    }
}

impl StagedInsert {
    /// The object of an `<object@…>` attribute, at a path that is fixed by the first call.
    ///
    /// Errors: unknown attribute, another type, a key attribute that the row does not have yet, an unknown store.
    pub fn object(&mut self, attribute: &str, ext: &str) -> Result<Arc<StagedObject>> {
        if let Some(object) = self.staged.get(attribute) {
            return Ok(Arc::clone(object));
        }
        let object = self
            .begin(attribute, ext)
            .map_err(|e| self.table.place(e.attribute(attribute)))?;
        let object = Arc::new(object);
        self.staged
            .insert(attribute.to_owned(), Arc::clone(&object));
        Ok(object)
    }

    fn begin(&self, attribute: &str, ext: &str) -> Result<StagedObject> {
        let lode = self.table.lode();
        let heading = lode.heading(self.table.name())?;
        let found = heading.get(attribute).ok_or_else(|| {
            let error = Error::new(
                ErrorKind::UnknownAttribute,
                format!("there is no attribute `{attribute}` to stage"),
            );
            match did_you_mean(attribute, heading.names().map(|n| &**n)) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        let store = match &found.type_ {
            Some(Type::Codec(spec)) if spec.name == "object" => {
                spec.store.clone().unwrap_or_default()
            }
            _ => {
                return Err(Error::invalid(format!(
                    "only attributes of type <object@> can be staged, not `{attribute}`"
                )));
            }
        };
        let mut key = Row::new();
        for name in heading.primary_key() {
            match self.row.get(name) {
                Some(value) if !value.is_null() => {
                    key.set(Arc::clone(name), value.clone());
                }
                _ if heading.get(name).is_some_and(|a| a.auto_increment) => {}
                _ => {
                    return Err(Error::new(
                        ErrorKind::MissingAttribute,
                        format!(
                            "the key attribute `{name}` must be set before an object is staged"
                        ),
                    )
                    .hint("Set the whole primary key first."));
                }
            }
        }
        let store = lode.stores().get_store(Some(&store))?;
        StagedObject::new(
            store,
            &self.table.name().schema,
            &self.table.name().name,
            &key,
            attribute,
            ext,
        )
    }

    /// Makes the objects durable and inserts the row; returns the metadata of the objects by attribute. On failure
    /// nothing stays: neither the row nor its objects.
    pub fn commit(mut self) -> Result<Row> {
        self.finish().map_err(|e| self.table.place(e))
        // Dropping `self` removes the objects unless `finish` succeeded.
    }

    fn finish(&mut self) -> Result<Row> {
        let mut row = std::mem::take(&mut self.row);
        let mut objects = Row::new();
        for (attribute, object) in &self.staged {
            let metadata = object.finish(&Silent).map_err(|e| e.attribute(attribute))?;
            let metadata = Value::Json(Json::from(metadata));
            objects.set(attribute.as_str(), metadata.clone());
            row.set(attribute.as_str(), metadata);
        }
        let lode = self.table.lode().clone();
        let staged: Vec<Arc<StagedObject>> = self.staged.values().cloned().collect();
        let result = lode.transaction(|| {
            lode.backend().lock_writer(&self.table.name().schema)?;
            let options = InsertOptions {
                allow_direct_insert: self.direct,
                ..InsertOptions::default()
            };
            self.table.insert([row], &options)?;
            for object in &staged {
                if !object.is_intact()? {
                    return Err(Error::new(
                        ErrorKind::MissingObject,
                        "a staged object was removed, in part at least, before its row was committed",
                    )
                    .path(object.path())
                    .hint("Was garbage collected meanwhile? Collect with a `grace` longer than staged inserts take."));
                }
            }
            Ok(())
        });
        if result.is_ok() {
            for object in &staged {
                // What cannot be removed now is an orphan for the collector.
                let _ = object.release();
            }
        }
        // After a lost connection nobody knows whether the row is in: then the objects stay (spec: stores H13).
        self.done = match &result {
            Ok(()) => true,
            Err(e) => e.kind() == ErrorKind::LostConnection,
        };
        result.map(|()| objects)
    }
}

impl Drop for StagedInsert {
    fn drop(&mut self) {
        if !self.done {
            for object in self.staged.values() {
                // What cannot be removed now is an orphan for the collector.
                let _ = object.abort();
            }
        }
    }
}
