//! Rows on their way in: names checked, values checked and brought into stored form, before anything is written.
//!
//! [`Rows`] is what callers hand over; [`Checked`] is what passed. Only [`Checked`] rows can be encoded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::definition::{CoreType, NativeKind, StorageType, TableName};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::schema::{Attribute, Heading};
use crate::sql::Dialect;
use crate::value::{Row, Value};

/// Rows of one shape: the names once, the values row by row. [`Value::Null`] asks for the declared default.
///
/// Front doors that have rows of one shape build this directly and spare a map per row.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Attribute names.
    pub names: Vec<Arc<str>>,
    /// Values of each row in the order of `names`.
    pub values: Vec<Vec<Value>>,
}

impl Rows {
    /// Brings maps into one shape (spec: manipulation §1.2 "Field-set rule", §12.7).
    ///
    /// The first row fixes the names; every later row must have the same known names, in any order. An unknown name in
    /// any row is an error of kind [`ErrorKind::UnknownKey`] unless `ignore_extra`.
    pub fn from_maps(
        rows: impl IntoIterator<Item = Row>,
        heading: &Heading,
        ignore_extra: bool,
    ) -> Result<Rows> {
        let mut out = Rows::default();
        // How the previous row was laid out: rows of one batch nearly always agree, and then no name is looked up.
        let mut layout: Vec<Arc<str>> = Vec::new();
        let mut target: Vec<Option<usize>> = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            let same = index > 0
                && row.0.len() == layout.len()
                && row.0.keys().zip(&layout).all(|(a, b)| a == b);
            if !same {
                let known = |name: &str| heading.attributes.get_index_of(name);
                if !ignore_extra && let Some(unknown) = row.0.keys().find(|n| known(n).is_none()) {
                    return Err(unknown_name(unknown, heading).row(index));
                }
                let mut present: Vec<(usize, &Arc<str>)> = row
                    .0
                    .keys()
                    .filter_map(|n| known(n).map(|at| (at, n)))
                    .collect();
                present.sort_unstable();
                let names: Vec<Arc<str>> = present.iter().map(|(_, n)| Arc::clone(n)).collect();
                if index == 0 {
                    out.names = names;
                } else if names != out.names {
                    return Err(shape_differs(&names, &out.names).row(index));
                }
                let place: HashMap<&str, usize> = out
                    .names
                    .iter()
                    .enumerate()
                    .map(|(i, n)| (&**n, i))
                    .collect();
                target = row.0.keys().map(|n| place.get(&**n).copied()).collect();
                layout = row.0.keys().cloned().collect();
            }
            let mut values = vec![Value::Null; out.names.len()];
            for (value, place) in row.0.into_values().zip(&target) {
                if let Some(place) = place {
                    values[*place] = value;
                }
            }
            out.values.push(values);
        }
        Ok(out)
    }
}

fn unknown_name(name: &str, heading: &Heading) -> Error {
    let error = Error::new(
        ErrorKind::UnknownKey,
        format!("there is no attribute `{name}`"),
    )
    .attribute(name);
    match did_you_mean(name, heading.names().map(|n| &**n)) {
        Some(hint) => error.hint(hint),
        None => error.hint(format!(
            "Attributes: {}.",
            heading.names().map(|n| &**n).collect::<Vec<_>>().join(", ")
        )),
    }
}

fn shape_differs(names: &[Arc<str>], first: &[Arc<str>]) -> Error {
    let (here, there): (HashSet<_>, HashSet<_>) = (names.iter().collect(), first.iter().collect());
    let list = |a: &HashSet<&Arc<str>>, b: &HashSet<&Arc<str>>| {
        let mut names: Vec<&str> = a.difference(b).map(|n| &***n).collect();
        names.sort_unstable();
        names.join(", ")
    };
    let (extra, lacking) = (list(&here, &there), list(&there, &here));
    let mut what = Vec::new();
    if !lacking.is_empty() {
        what.push(format!("it lacks {lacking}"));
    }
    if !extra.is_empty() {
        what.push(format!("it also has {extra}"));
    }
    Error::invalid(format!("every row of one insert must give the same attributes as the first: {}", what.join("; ")))
        .hint("Insert rows of different shape in separate calls, or give None for what takes its default.")
}

/// Rows that passed every check that needs no database. Plain columns are in stored form, codec columns hold the
/// caller's value, which its codec has accepted.
pub(super) struct Checked {
    /// Indices into the heading, ascending.
    pub(super) columns: Vec<usize>,
    /// Values in the order of `columns`; none = the declared default.
    pub(super) values: Vec<Vec<Option<Value>>>,
    /// The key of each row as the caller gave it, in key order, for codecs that want to know it. Empty if none does.
    pub(super) keys: Vec<Row>,
}

/// Checks one value; its error still lacks attribute and row.
pub(super) fn check_value(
    attribute: &Attribute,
    value: Value,
    dialect: &dyn Dialect,
) -> Result<Option<Value>> {
    if value.is_null()
        || (is_numeric(attribute) && matches!(&value, Value::Text(t) if t.is_empty()))
    {
        if is_required(attribute) {
            return Err(Error::new(
                ErrorKind::MissingAttribute,
                format!(
                    "attribute `{}` needs a value: it has no default",
                    attribute.name
                ),
            ));
        }
        return Ok(None);
    }
    if let Some(chain) = &attribute.chain {
        match &**chain {
            Ok(chain) => chain.validate(&value)?,
            Err(e) => return Err(e.clone()),
        }
        return Ok(Some(value));
    }
    let Some(storage) = &attribute.storage else {
        return Err(Error::invalid(format!(
            "attribute `{}` is computed and cannot be written",
            attribute.name
        )));
    };
    let stored = dialect.into_stored(storage, value)?;
    if stored.is_null() && !attribute.nullable {
        // NaN where the database keeps no NaN (spec: README "Decisions").
        return Err(Error::new(
            ErrorKind::Data,
            format!(
                "attribute `{}` cannot be NULL, and this database keeps no NaN",
                attribute.name
            ),
        ));
    }
    Ok(Some(stored))
}

/// Checks all rows. `report` gets every finding; if it returns it as an error, checking stops.
pub(super) fn check(
    rows: Rows,
    heading: &Heading,
    table: &TableName,
    dialect: &dyn Dialect,
    ignore_extra: bool,
    report: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<Checked> {
    let place = |e: Error| e.table(&table.schema, &table.name);
    let mut columns: Vec<(usize, usize)> = Vec::with_capacity(rows.names.len());
    for (source, name) in rows.names.iter().enumerate() {
        match heading.attributes.get_index_of(&**name) {
            Some(at) if columns.iter().any(|(a, _)| *a == at) => {
                return Err(place(
                    Error::invalid(format!("attribute `{name}` is given twice")).attribute(&**name),
                ));
            }
            Some(at) => columns.push((at, source)),
            None if ignore_extra => {}
            None => report(place(unknown_name(name, heading).row(0)))?,
        }
    }
    columns.sort_unstable();
    // The key of a row before its values are checked.
    let given_key = |row: &[Value]| {
        let given = columns
            .iter()
            .map(|(at, source)| (&heading.attributes[*at], row.get(*source)));
        let key = given.filter(|(a, _)| a.in_key);
        named(key.filter_map(|(a, value)| Some((&*a.name, value?))))
    };
    let with_key = |e: Error, key: String| if key.is_empty() { e } else { e.key(key) };
    for attribute in heading.attributes.values() {
        let given = columns
            .iter()
            .any(|(at, _)| heading.attributes[*at].name == attribute.name);
        if let Some(first) = rows.values.first()
            && !given
            && is_required(attribute)
        {
            let error = Error::new(
                ErrorKind::MissingAttribute,
                format!(
                    "attribute `{}` is missing: it has no default",
                    attribute.name
                ),
            );
            let error = error.attribute(&*attribute.name).row(0);
            report(place(with_key(error, given_key(first))))?;
        }
    }

    let in_order = columns.len() == rows.names.len()
        && columns
            .iter()
            .enumerate()
            .all(|(i, (_, source))| i == *source);
    let attributes: Vec<&Attribute> = columns
        .iter()
        .map(|(at, _)| &heading.attributes[*at])
        .collect();
    let wants_keys = attributes.iter().any(|a| {
        let chain = a.chain.as_ref().and_then(|c| c.as_ref().as_ref().ok());
        chain.is_some_and(|c| c.is_store() || c.codecs.iter().any(|c| c.wants_foreign()))
    });
    let mut keys = Vec::new();
    let mut values = Vec::with_capacity(rows.values.len());
    for (index, mut row) in rows.values.into_iter().enumerate() {
        if row.len() != rows.names.len() {
            let message = format!(
                "the row has {} values for {} attributes",
                row.len(),
                rows.names.len()
            );
            report(place(Error::invalid(message).row(index)))?;
            continue;
        }
        if !in_order {
            row = columns
                .iter()
                .map(|(_, source)| std::mem::take(&mut row[*source]))
                .collect();
        }
        if wants_keys {
            let given = attributes.iter().zip(&row);
            keys.push(
                given
                    .filter(|(a, v)| a.in_key && !v.is_null())
                    .map(|(a, v)| (Arc::clone(&a.name), v.clone()))
                    .collect(),
            );
        }
        let mut failed = Vec::new();
        // Collected in place, into the memory that the row has already.
        let out: Vec<Option<Value>> = row
            .into_iter()
            .enumerate()
            .map(|(i, value)| {
                check_value(attributes[i], value, dialect).unwrap_or_else(|e| {
                    failed.push(e.attribute(&*attributes[i].name).row(index));
                    None
                })
            })
            .collect();
        for e in failed {
            let key = key_text(&attributes, &out);
            report(place(if key.is_empty() { e } else { e.key(key) }))?;
        }
        values.push(out);
    }
    Ok(Checked {
        columns: columns.into_iter().map(|(at, _)| at).collect(),
        values,
        keys,
    })
}

/// The key of a row as text, for messages: `subject_id=1, session="a"`. Without values that are to be the default, or
/// that were refused.
pub(super) fn key_text(attributes: &[&Attribute], row: &[Option<Value>]) -> String {
    let key = attributes.iter().zip(row).filter(|(a, _)| a.in_key);
    named(key.filter_map(|(a, value)| Some((&*a.name, value.as_ref()?))))
}

/// The key of a row of names and values as text.
pub(crate) fn row_text(row: &Row) -> String {
    named(row.iter())
}

fn named<'a>(values: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    values
        .map(|(name, value)| format!("{name}={}", value_text(value)))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Text(v) => format!("{v:?}"),
        Value::Decimal(v) => v.clone(),
        Value::Date(v) => v.to_string(),
        Value::Time(v) => v.to_string(),
        Value::DateTime(v) => v.to_string(),
        Value::Uuid(v) => v.to_string(),
        Value::Json(v) => v.as_str().to_owned(),
        Value::Bytes(v) => match uuid::Uuid::from_slice(v) {
            Ok(uuid) => uuid.to_string(),
            Err(_) => format!("{} bytes", v.len()),
        },
        other => other.type_name(),
    }
}

/// A hashable image of stored key values; two rows have one image iff the database sees one key.
pub(super) fn key_image<'a>(values: impl IntoIterator<Item = Option<&'a Value>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    let mut put = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    for value in values {
        match value {
            None | Some(Value::Null) => put(0, b""),
            Some(Value::Bool(v)) => put(1, &i64::from(*v).to_le_bytes()),
            Some(Value::Int(v)) => put(1, &v.to_le_bytes()),
            // -0.0 and 0.0 are one key.
            Some(Value::Float(v)) => put(
                2,
                &(if *v == 0.0 { 0.0f64 } else { *v })
                    .to_bits()
                    .to_le_bytes(),
            ),
            Some(Value::Text(v) | Value::Decimal(v)) => put(3, v.as_bytes()),
            Some(Value::Bytes(v)) => put(4, v),
            Some(Value::Uuid(v)) => put(4, v.as_bytes()),
            Some(Value::Json(v)) => put(3, v.as_str().as_bytes()),
            Some(other) => put(5, format!("{other:?}").as_bytes()),
        }
    }
    out
}

/// True if an insert must give the attribute.
pub(super) fn is_required(attribute: &Attribute) -> bool {
    attribute.default.is_none() && !attribute.nullable && !attribute.auto_increment
}

fn is_numeric(attribute: &Attribute) -> bool {
    match &attribute.storage {
        Some(StorageType::Core(core)) => matches!(
            core,
            CoreType::Int8
                | CoreType::Int16
                | CoreType::Int32
                | CoreType::Int64
                | CoreType::Float32
                | CoreType::Float64
                | CoreType::Decimal { .. }
        ),
        Some(StorageType::Native(native)) => matches!(
            native.kind,
            NativeKind::Int { .. }
                | NativeKind::UnsignedBig { .. }
                | NativeKind::Float
                | NativeKind::Decimal { .. }
        ),
        None => false,
    }
}
