//! What users hand to `insert`: rows of any shape, converted in bulk.
//!
//! Fifty thousand small rows are common, so the usual case is made short: dicts that all have the same key objects in
//! the same order cost one pointer comparison a key, and no hashing.

use std::sync::Arc;

use lodestore::schema::Heading;
use lodestore::table::Rows;
use lodestore::{Error, ErrorKind, Row, Value};
use pyo3::exceptions::PyDeprecationWarning;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString};

use super::Lazy;
use super::from_py::{Mode, from_py, mode_of_attribute};
use crate::error::{raise, to_pyerr};

/// The attributes of the table that rows are meant for, and how their values are converted.
pub(crate) struct Columns {
    names: Vec<Arc<str>>,
    modes: Vec<Mode>,
}

impl Columns {
    /// From a table's heading.
    pub(crate) fn of(heading: &Heading) -> Self {
        let (names, modes) = heading
            .attributes
            .iter()
            .map(|(name, attribute)| (name.clone(), mode_of_attribute(attribute)))
            .unzip();
        Columns { names, modes }
    }

    fn find(&self, name: &str) -> (Arc<str>, Mode) {
        match self.names.iter().position(|n| **n == *name) {
            Some(i) => (self.names[i].clone(), self.modes[i]),
            // Unknown names pass through: the engine decides whether they are an error.
            None => (Arc::from(name), Mode::Column),
        }
    }
}

/// Converted rows.
pub(crate) enum Converted {
    /// All of one shape.
    Same(Rows),
    /// Of several shapes, or not from dicts.
    Mixed(Vec<Row>),
}

/// The keys of the first dict of a batch, and what they stand for.
struct Layout {
    keys: Vec<Py<PyAny>>,
    names: Vec<Arc<str>>,
    modes: Vec<Mode>,
}

/// Converts rows: an iterable of mappings, `numpy.void` records or positional sequences.
///
/// # Errors
/// `DataJointError` if `rows` is a single mapping or text, or a row is none of these or has the wrong length; what the
/// iterable or a value's conversion raises.
pub(crate) fn rows_from_py(rows: &Bound<'_, PyAny>, columns: &Columns) -> PyResult<Converted> {
    let py = rows.py();
    if rows.is_instance_of::<PyDict>() || rows.is_instance_of::<PyString>() {
        return Err(to_pyerr(
            Error::invalid(format!(
                "insert takes an iterable of rows, not one {}",
                rows.get_type().name()?
            ))
            .hint("Use insert1 for a single row."),
        ));
    }
    let mut same: Vec<Vec<Value>> = Vec::with_capacity(rows.len().unwrap_or(0));
    let mut mixed: Vec<Row> = Vec::new();
    let (mut layout, mut warned) = (None, false);
    let iterator = rows.try_iter().map_err(|_| {
        raise(format!(
            "insert takes an iterable of rows, not {}",
            rows.get_type()
                .name()
                .map_or_else(|_| "this".into(), |n| n.to_string())
        ))
    })?;
    for (index, row) in iterator.enumerate() {
        let row = row?;
        let noted = |e| noted(py, e, index);
        if mixed.is_empty()
            && let Ok(dict) = row.cast_exact::<PyDict>()
        {
            if index == 0 {
                layout = Some(Layout::of(dict, columns).map_err(noted)?);
            }
            if let Some(layout) = &layout
                && let Some(values) = layout.values(dict).map_err(noted)?
            {
                same.push(values);
                continue;
            }
        }
        // The first row of another shape: all become maps, which the engine brings together or refuses.
        if let Some(layout) = layout.take() {
            mixed.extend(std::mem::take(&mut same).into_iter().map(|v| layout.row(v)));
        }
        mixed.push(row_from_py(&row, columns, &mut warned).map_err(noted)?);
    }
    Ok(match layout {
        Some(layout) => Converted::Same(Rows {
            names: layout.names,
            values: same,
        }),
        None => Converted::Mixed(mixed),
    })
}

impl Layout {
    fn of(dict: &Bound<'_, PyDict>, columns: &Columns) -> PyResult<Layout> {
        let mut layout = Layout {
            keys: Vec::with_capacity(dict.len()),
            names: Vec::with_capacity(dict.len()),
            modes: Vec::with_capacity(dict.len()),
        };
        for key in dict.keys() {
            let (name, mode) = columns.find(key_text(&key)?.to_str()?);
            layout.keys.push(key.unbind());
            layout.names.push(name);
            layout.modes.push(mode);
        }
        Ok(layout)
    }

    /// The values, if the dict has exactly these keys in the same order. They are nearly always the same objects, too.
    fn values(&self, dict: &Bound<'_, PyDict>) -> PyResult<Option<Vec<Value>>> {
        if dict.len() != self.keys.len() {
            return Ok(None);
        }
        // All keys before any value: converting may use a value up (an open file).
        for ((key, _), known) in dict.iter().zip(&self.keys) {
            if key.as_ptr() != known.as_ptr() && !key.eq(known)? {
                return Ok(None);
            }
        }
        let places = self.names.iter().zip(&self.modes);
        let mut values = Vec::with_capacity(self.names.len());
        for ((_, value), (name, mode)) in dict.iter().zip(places) {
            values.push(convert(&value, *mode, name)?);
        }
        Ok(Some(values))
    }

    fn row(&self, values: Vec<Value>) -> Row {
        self.names.iter().cloned().zip(values).collect()
    }
}

/// Converts one row. The first positional one of a batch warns; `warned` remembers.
pub(crate) fn row_from_py(
    row: &Bound<'_, PyAny>,
    columns: &Columns,
    warned: &mut bool,
) -> PyResult<Row> {
    static VOID: Lazy = Lazy::new("numpy", "void");
    static WARN: Lazy = Lazy::new("lodestore.utils", "warn_caller");
    let py = row.py();
    if let Ok(dict) = row.cast_exact::<PyDict>() {
        return pairs(dict.iter().map(Ok), columns);
    }
    if let Ok(mapping) = row.cast::<PyMapping>() {
        return pairs(
            mapping
                .items()?
                .iter()
                .map(|pair| Ok((pair.get_item(0)?, pair.get_item(1)?))),
            columns,
        );
    }
    if row.is_instance(VOID.get(py)?)? {
        let names = row
            .getattr(intern!(py, "dtype"))?
            .getattr(intern!(py, "names"))?;
        if !names.is_none() {
            return pairs(
                names.try_iter()?.map(|name| {
                    let name = name?;
                    let value = row.get_item(&name)?;
                    Ok((name, value))
                }),
                columns,
            );
        }
    }
    let positional = !row.is_instance_of::<PyString>()
        && !row.is_instance_of::<PyBytes>()
        && row.hasattr(intern!(py, "__getitem__"))?
        && row.len().is_ok();
    if !positional {
        return Err(to_pyerr(
            Error::invalid(format!(
                "a row cannot be of type {}",
                row.get_type().name()?
            ))
            .hint("Give a dict, a numpy record, or a sequence with one value per attribute."),
        ));
    }
    if row.len()? != columns.names.len() {
        return Err(to_pyerr(
            Error::invalid(format!(
                "a positional row has {} values but the table has {} attributes",
                row.len()?,
                columns.names.len()
            ))
            .hint(format!(
                "In order: {}. Give a dict to leave some out.",
                columns.names.join(", ")
            )),
        ));
    }
    if !std::mem::replace(warned, true) {
        let text = "rows given as sequences depend on the order of the attributes; use mappings";
        let category = py.get_type::<PyDeprecationWarning>();
        WARN.get(py)?.call1((text, category))?;
    }
    let mut out = Row::new();
    for ((name, mode), value) in columns
        .names
        .iter()
        .zip(&columns.modes)
        .zip(row.try_iter()?)
    {
        out.0.insert(name.clone(), convert(&value?, *mode, name)?);
    }
    Ok(out)
}

fn pairs<'py>(
    items: impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>>,
    columns: &Columns,
) -> PyResult<Row> {
    let mut row = Row::new();
    for item in items {
        let (name, value) = item?;
        let (name, mode) = columns.find(key_text(&name)?.to_str()?);
        let value = convert(&value, mode, &name)?;
        row.0.insert(name, value);
    }
    Ok(row)
}

fn key_text<'a, 'py>(key: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyString>> {
    key.cast::<PyString>().map_err(|_| {
        to_pyerr(Error::new(
            ErrorKind::UnknownKey,
            format!(
                "attribute names are text, not {}",
                key.repr().map_or_else(|_| "this".into(), |r| r.to_string())
            ),
        ))
    })
}

/// A value of an attribute; an exception of this package says which.
fn convert(value: &Bound<'_, PyAny>, mode: Mode, attribute: &str) -> PyResult<Value> {
    from_py(value, mode).map_err(|error| {
        said(
            value.py(),
            error,
            "attribute",
            attribute,
            &format!("attribute {attribute}"),
        )
    })
}

/// Says which row of a batch an exception is about.
fn noted(py: Python<'_>, error: PyErr, index: usize) -> PyErr {
    said(py, error, "row", index, &format!("row {index}"))
}

/// Adds a place to an exception: to field and text of this package's own, as a note to others.
fn said<'py, V: IntoPyObject<'py>>(
    py: Python<'py>,
    error: PyErr,
    field: &str,
    value: V,
    place: &str,
) -> PyErr {
    let exception = error.value(py);
    // A place that cannot be added does not matter beside the exception itself.
    if exception.hasattr(field).unwrap_or(false) {
        let text = exception.to_string();
        let (sentence, hint) = text.split_at(text.find('\n').unwrap_or(text.len()));
        let _ = exception.setattr(field, value);
        let _ = exception.setattr("args", (format!("{sentence} ({place}){hint}"),));
    } else {
        // `add_note` exists since Python 3.11.
        let note = format!("{place} of the rows to insert");
        let _ = exception.call_method1(intern!(py, "add_note"), (note,));
    }
    error
}
