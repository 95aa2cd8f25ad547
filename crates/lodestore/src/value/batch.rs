//! Rows in bulk: columns as Arrow arrays.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float64Builder,
    Int64Builder, LargeBinaryBuilder, LargeStringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use jiff::civil::{Date, DateTime, Time};
use uuid::Uuid;

use super::{Json, Row, Value};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

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

impl Column {
    /// A column of one kind from values; `Any` keeps them as they are. NULL is welcome everywhere.
    ///
    /// Errors with kind `Data` if a value is not of the kind.
    pub fn from_values(kind: ColumnKind, values: Vec<Value>) -> Result<Column> {
        if kind == ColumnKind::Any {
            return Ok(Column::Values(values));
        }
        let mut builder = ColumnBuilder::new(kind, values.len());
        for value in values {
            builder.push(value)?;
        }
        Ok(builder.finish())
    }

    /// What the elements mean.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Column::Arrow(kind, _) => *kind,
            Column::Values(_) => ColumnKind::Any,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Column::Arrow(_, array) => array.len(),
            Column::Values(values) => values.len(),
        }
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the element is NULL, or there is none at this place.
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Column::Arrow(_, array) => row >= array.len() || array.is_null(row),
            Column::Values(values) => values.get(row).is_none_or(Value::is_null),
        }
    }

    /// One element as a dynamic value; NULL if there is none at this place.
    pub fn value(&self, row: usize) -> Value {
        match self {
            Column::Values(values) => values.get(row).cloned().unwrap_or_default(),
            Column::Arrow(kind, array) if row < array.len() && !array.is_null(row) => {
                element(*kind, array, row).unwrap_or_default()
            }
            Column::Arrow(..) => Value::Null,
        }
    }

    /// All elements as dynamic values.
    pub fn values(&self) -> Vec<Value> {
        match self {
            Column::Values(values) => values.clone(),
            Column::Arrow(..) => (0..self.len()).map(|row| self.value(row)).collect(),
        }
    }

    /// `length` elements from `offset` on (less if there are fewer); Arrow memory is shared, not copied.
    pub fn slice(&self, offset: usize, length: usize) -> Column {
        let offset = offset.min(self.len());
        let length = length.min(self.len() - offset);
        match self {
            Column::Arrow(kind, array) => Column::Arrow(*kind, array.slice(offset, length)),
            Column::Values(values) => Column::Values(values[offset..offset + length].to_vec()),
        }
    }

    /// As an Arrow array. Dynamic values get the narrowest common type: numbers `Int64` or `Float64`, text, bytes,
    /// dates and so on; `Null` if all are NULL.
    ///
    /// Errors with kind `Type` if the values have no common Arrow type.
    pub fn to_arrow(&self) -> Result<ArrayRef> {
        match self {
            Column::Arrow(_, array) => Ok(array.clone()),
            Column::Values(values) => match common_kind(values)? {
                Some(kind) => match Column::from_values(kind, values.clone())? {
                    Column::Arrow(_, array) => Ok(array),
                    Column::Values(_) => Err(Error::new(
                        ErrorKind::Type,
                        "values of several types have no Arrow type",
                    )),
                },
                None => Ok(Arc::new(NullArray::new(values.len()))),
            },
        }
    }
}

impl ColumnKind {
    /// The Arrow type of a column of this kind; none for `Any`.
    pub fn arrow_type(self) -> Option<DataType> {
        Some(match self {
            ColumnKind::Int => DataType::Int64,
            ColumnKind::Float => DataType::Float64,
            ColumnKind::Bool => DataType::Boolean,
            ColumnKind::Text | ColumnKind::Decimal | ColumnKind::Json => DataType::LargeUtf8,
            ColumnKind::Bytes => DataType::LargeBinary,
            ColumnKind::Date => DataType::Date32,
            ColumnKind::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            ColumnKind::Time => DataType::Time64(TimeUnit::Microsecond),
            ColumnKind::Uuid => DataType::FixedSizeBinary(16),
            ColumnKind::Any => return None,
        })
    }
}

impl Batch {
    /// A batch of columns, checked to be of one length and as many as names.
    pub fn new(names: Arc<[Arc<str>]>, columns: Vec<Column>) -> Result<Batch> {
        let rows = columns.first().map_or(0, Column::len);
        if names.len() != columns.len() {
            return Err(Error::invalid(format!(
                "{} names for {} columns",
                names.len(),
                columns.len()
            )));
        }
        if let Some((name, column)) = names.iter().zip(&columns).find(|(_, c)| c.len() != rows) {
            return Err(Error::invalid(format!(
                "column `{name}` has {} rows instead of {rows}",
                column.len()
            )));
        }
        Ok(Batch {
            names,
            columns,
            rows,
        })
    }

    /// A batch without rows.
    pub fn empty(columns: impl IntoIterator<Item = (Arc<str>, ColumnKind)>) -> Batch {
        let (names, columns): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|(name, kind)| (name, ColumnBuilder::new(kind, 0).finish()))
            .unzip();
        Batch {
            names: names.into(),
            columns,
            rows: 0,
        }
    }

    /// A batch from rows: each column takes its name from `columns`, and from each row the value of that name, or NULL.
    ///
    /// Errors with kind `Data` if a value is not of the column's kind.
    pub fn from_rows(
        columns: impl IntoIterator<Item = (Arc<str>, ColumnKind)>,
        rows: &[Row],
    ) -> Result<Batch> {
        let mut names = Vec::new();
        let mut built = Vec::new();
        for (name, kind) in columns {
            let values = rows
                .iter()
                .map(|row| row.get(&name).cloned().unwrap_or_default())
                .collect();
            built.push(Column::from_values(kind, values).map_err(|e| e.attribute(&*name))?);
            names.push(name);
        }
        Ok(Batch {
            names: names.into(),
            columns: built,
            rows: rows.len(),
        })
    }

    /// The place of a column.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| &**n == name)
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.index_of(name).and_then(|i| self.columns.get(i))
    }

    /// One element; NULL outside of the batch.
    pub fn value(&self, row: usize, column: usize) -> Value {
        self.columns
            .get(column)
            .map_or(Value::Null, |c| c.value(row))
    }

    /// One row.
    pub fn row(&self, row: usize) -> Row {
        Row(self
            .names
            .iter()
            .zip(&self.columns)
            .map(|(name, column)| (name.clone(), column.value(row)))
            .collect())
    }

    /// The rows, one by one.
    pub fn iter_rows(&self) -> impl Iterator<Item = Row> + '_ {
        (0..self.rows).map(|row| self.row(row))
    }

    /// `length` rows from `offset` on (less if there are fewer); Arrow memory is shared, not copied.
    pub fn slice(&self, offset: usize, length: usize) -> Batch {
        let offset = offset.min(self.rows);
        let length = length.min(self.rows - offset);
        let columns = self
            .columns
            .iter()
            .map(|c| c.slice(offset, length))
            .collect();
        Batch {
            names: self.names.clone(),
            columns,
            rows: length,
        }
    }

    /// The columns of these names, in this order.
    ///
    /// Errors with kind `UnknownAttribute` for a name that is not there.
    pub fn select<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Batch> {
        let mut picked = Vec::new();
        let mut columns = Vec::new();
        for name in names {
            let at = self.index_of(name).ok_or_else(|| {
                let error = Error::new(
                    ErrorKind::UnknownAttribute,
                    format!("there is no column `{name}`"),
                );
                match did_you_mean(name, self.names.iter().map(|n| &**n)) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            })?;
            picked.push(self.names[at].clone());
            columns.push(self.columns[at].clone());
        }
        Ok(Batch {
            names: picked.into(),
            columns,
            rows: self.rows,
        })
    }

    /// Puts batches of the same columns one after the other. A column that is dynamic in one batch is so in the result.
    ///
    /// Errors with kind `Invalid` if there is no batch or the columns differ.
    pub fn concat(batches: &[Batch]) -> Result<Batch> {
        let (first, rest) = batches
            .split_first()
            .ok_or_else(|| Error::invalid("no batch to put together"))?;
        if rest.is_empty() {
            return Ok(first.clone());
        }
        if rest.iter().any(|b| b.names != first.names) {
            return Err(Error::invalid(
                "batches of different columns cannot be put together",
            ));
        }
        let columns = (0..first.columns.len())
            .map(|at| {
                let parts: Vec<&Column> = batches.iter().map(|b| &b.columns[at]).collect();
                let kind = parts[0].kind();
                if kind != ColumnKind::Any && parts.iter().all(|c| c.kind() == kind) {
                    let arrays = parts
                        .iter()
                        .map(|c| c.to_arrow())
                        .collect::<Result<Vec<_>>>()?;
                    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| &**a).collect();
                    let array = arrow_select::concat::concat(&arrays).map_err(|e| {
                        Error::invalid(format!("could not put batches together: {e}"))
                    })?;
                    Ok(Column::Arrow(kind, array))
                } else {
                    Ok(Column::Values(
                        parts.iter().flat_map(|c| c.values()).collect(),
                    ))
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Batch {
            names: first.names.clone(),
            columns,
            rows: batches.iter().map(|b| b.rows).sum(),
        })
    }

    /// As an Arrow record batch; every field is nullable. JSON and decimals are text, see [`ColumnKind`].
    ///
    /// Errors with kind `Type` if a dynamic column has no Arrow type.
    pub fn to_arrow(&self) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (name, column) in self.names.iter().zip(&self.columns) {
            let array = column.to_arrow().map_err(|e| e.attribute(&**name))?;
            fields.push(Field::new(&**name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|e| Error::invalid(format!("not a record batch: {e}")))
    }
}

/// Collects the elements of one column. The `push_…` methods of the wrong kind are errors, never conversions, except
/// that a float column takes integers.
#[derive(Debug)]
pub struct ColumnBuilder {
    kind: ColumnKind,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Text(LargeStringBuilder),
    Bytes(LargeBinaryBuilder),
    Date(Date32Builder),
    DateTime(TimestampMicrosecondBuilder),
    Time(Time64MicrosecondBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Any(Vec<Value>),
}

impl ColumnBuilder {
    /// An empty column with room for `capacity` elements.
    pub fn new(kind: ColumnKind, capacity: usize) -> Self {
        let inner = match kind {
            ColumnKind::Int => Inner::Int(Int64Builder::with_capacity(capacity)),
            ColumnKind::Float => Inner::Float(Float64Builder::with_capacity(capacity)),
            ColumnKind::Bool => Inner::Bool(BooleanBuilder::with_capacity(capacity)),
            ColumnKind::Text | ColumnKind::Decimal | ColumnKind::Json => {
                Inner::Text(LargeStringBuilder::with_capacity(capacity, 0))
            }
            ColumnKind::Bytes => Inner::Bytes(LargeBinaryBuilder::with_capacity(capacity, 0)),
            ColumnKind::Date => Inner::Date(Date32Builder::with_capacity(capacity)),
            ColumnKind::DateTime => {
                Inner::DateTime(TimestampMicrosecondBuilder::with_capacity(capacity))
            }
            ColumnKind::Time => Inner::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            ColumnKind::Uuid => Inner::Uuid(FixedSizeBinaryBuilder::with_capacity(capacity, 16)),
            ColumnKind::Any => Inner::Any(Vec::with_capacity(capacity)),
        };
        ColumnBuilder { kind, inner }
    }

    /// The kind of the column.
    pub fn kind(&self) -> ColumnKind {
        self.kind
    }

    /// Adds NULL.
    pub fn push_null(&mut self) {
        match &mut self.inner {
            Inner::Int(b) => b.append_null(),
            Inner::Float(b) => b.append_null(),
            Inner::Bool(b) => b.append_null(),
            Inner::Text(b) => b.append_null(),
            Inner::Bytes(b) => b.append_null(),
            Inner::Date(b) => b.append_null(),
            Inner::DateTime(b) => b.append_null(),
            Inner::Time(b) => b.append_null(),
            Inner::Uuid(b) => b.append_null(),
            Inner::Any(b) => b.push(Value::Null),
        }
    }

    /// Adds an integer.
    pub fn push_int(&mut self, v: i64) -> Result<()> {
        match &mut self.inner {
            Inner::Int(b) => b.append_value(v),
            Inner::Float(b) => b.append_value(v as f64),
            Inner::Any(b) => b.push(Value::Int(v)),
            _ => return Err(self.mismatch("int")),
        }
        Ok(())
    }

    /// Adds a float.
    pub fn push_float(&mut self, v: f64) -> Result<()> {
        match &mut self.inner {
            Inner::Float(b) => b.append_value(v),
            Inner::Any(b) => b.push(Value::Float(v)),
            _ => return Err(self.mismatch("float")),
        }
        Ok(())
    }

    /// Adds a truth value.
    pub fn push_bool(&mut self, v: bool) -> Result<()> {
        match &mut self.inner {
            Inner::Bool(b) => b.append_value(v),
            Inner::Any(b) => b.push(Value::Bool(v)),
            _ => return Err(self.mismatch("bool")),
        }
        Ok(())
    }

    /// Adds text: of a text, decimal or JSON column.
    pub fn push_str(&mut self, v: &str) -> Result<()> {
        match &mut self.inner {
            Inner::Text(b) => b.append_value(v),
            Inner::Any(b) => b.push(Value::Text(v.to_owned())),
            _ => return Err(self.mismatch("str")),
        }
        Ok(())
    }

    /// Adds bytes.
    pub fn push_bytes(&mut self, v: &[u8]) -> Result<()> {
        match &mut self.inner {
            Inner::Bytes(b) => b.append_value(v),
            Inner::Any(b) => b.push(Value::Bytes(Bytes::copy_from_slice(v))),
            _ => return Err(self.mismatch("bytes")),
        }
        Ok(())
    }

    /// Adds a date.
    pub fn push_date(&mut self, v: Date) -> Result<()> {
        match &mut self.inner {
            Inner::Date(b) => b.append_value(days_from_date(v)),
            Inner::Any(b) => b.push(Value::Date(v)),
            _ => return Err(self.mismatch("date")),
        }
        Ok(())
    }

    /// Adds date and time; what is below a microsecond is cut.
    pub fn push_datetime(&mut self, v: DateTime) -> Result<()> {
        match &mut self.inner {
            Inner::DateTime(b) => b.append_value(
                i64::from(days_from_date(v.date())) * MICROS_PER_DAY + micros_of_time(v.time()),
            ),
            Inner::Any(b) => b.push(Value::DateTime(v)),
            _ => return Err(self.mismatch("datetime")),
        }
        Ok(())
    }

    /// Adds a time of day; what is below a microsecond is cut.
    pub fn push_time(&mut self, v: Time) -> Result<()> {
        match &mut self.inner {
            Inner::Time(b) => b.append_value(micros_of_time(v)),
            Inner::Any(b) => b.push(Value::Time(v)),
            _ => return Err(self.mismatch("time")),
        }
        Ok(())
    }

    /// Adds a UUID.
    pub fn push_uuid(&mut self, v: Uuid) -> Result<()> {
        match &mut self.inner {
            Inner::Uuid(b) => b
                .append_value(v.as_bytes())
                .map_err(|e| Error::new(ErrorKind::Data, e.to_string())),
            Inner::Any(b) => {
                b.push(Value::Uuid(v));
                Ok(())
            }
            _ => Err(self.mismatch("UUID")),
        }
    }

    /// Adds a dynamic value.
    ///
    /// Errors with kind `Data` if it is not of the column's kind.
    pub fn push(&mut self, value: Value) -> Result<()> {
        if let Inner::Any(values) = &mut self.inner {
            values.push(value);
            return Ok(());
        }
        match (self.kind, value) {
            (_, Value::Null) => {
                self.push_null();
                Ok(())
            }
            (_, Value::Int(v)) => self.push_int(v),
            (_, Value::Float(v)) => self.push_float(v),
            (_, Value::Bool(v)) => self.push_bool(v),
            (ColumnKind::Text, Value::Text(v)) => self.push_str(&v),
            (ColumnKind::Decimal, Value::Decimal(v) | Value::Text(v)) => self.push_str(&v),
            (ColumnKind::Json, Value::Json(v)) => self.push_str(v.as_str()),
            (_, Value::Bytes(v)) => self.push_bytes(&v),
            (_, Value::Date(v)) => self.push_date(v),
            (_, Value::DateTime(v)) => self.push_datetime(v),
            (_, Value::Time(v)) => self.push_time(v),
            (_, Value::Uuid(v)) => self.push_uuid(v),
            (_, value) => Err(self.mismatch(&value.type_name())),
        }
    }

    /// Number of elements so far.
    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::Int(b) => b.len(),
            Inner::Float(b) => b.len(),
            Inner::Bool(b) => b.len(),
            Inner::Text(b) => b.len(),
            Inner::Bytes(b) => b.len(),
            Inner::Date(b) => b.len(),
            Inner::DateTime(b) => b.len(),
            Inner::Time(b) => b.len(),
            Inner::Uuid(b) => b.len(),
            Inner::Any(b) => b.len(),
        }
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column.
    pub fn finish(self) -> Column {
        let array: ArrayRef = match self.inner {
            Inner::Int(mut b) => Arc::new(b.finish()),
            Inner::Float(mut b) => Arc::new(b.finish()),
            Inner::Bool(mut b) => Arc::new(b.finish()),
            Inner::Text(mut b) => Arc::new(b.finish()),
            Inner::Bytes(mut b) => Arc::new(b.finish()),
            Inner::Date(mut b) => Arc::new(b.finish()),
            Inner::DateTime(mut b) => Arc::new(b.finish()),
            Inner::Time(mut b) => Arc::new(b.finish()),
            Inner::Uuid(mut b) => Arc::new(b.finish()),
            Inner::Any(values) => return Column::Values(values),
        };
        Column::Arrow(self.kind, array)
    }

    fn mismatch(&self, found: &str) -> Error {
        Error::new(
            ErrorKind::Data,
            format!(
                "a value of type {found} in a column of kind {:?}",
                self.kind
            ),
        )
    }
}

/// A binary value of at least this size shares the memory of its batch instead of being copied out of it.
const SHARE_FROM: usize = 4096;

const MICROS_PER_DAY: i64 = 86_400_000_000;

struct Shared(arrow_buffer::Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// A non-null element. None if the array is not of the kind's Arrow type or a date is outside the calendar.
fn element(kind: ColumnKind, array: &ArrayRef, row: usize) -> Option<Value> {
    Some(match kind {
        ColumnKind::Int => Value::Int(array.as_primitive_opt::<Int64Type>()?.value(row)),
        ColumnKind::Float => Value::Float(array.as_primitive_opt::<Float64Type>()?.value(row)),
        ColumnKind::Bool => Value::Bool(array.as_boolean_opt()?.value(row)),
        ColumnKind::Text => Value::Text(array.as_string_opt::<i64>()?.value(row).to_owned()),
        ColumnKind::Decimal => Value::Decimal(array.as_string_opt::<i64>()?.value(row).to_owned()),
        ColumnKind::Json => Value::Json(Json::from_text(array.as_string_opt::<i64>()?.value(row))),
        ColumnKind::Bytes => {
            let array = array.as_binary_opt::<i64>()?;
            let value = array.value(row);
            if value.len() < SHARE_FROM {
                Value::Bytes(Bytes::copy_from_slice(value))
            } else {
                let start = usize::try_from(*array.value_offsets().get(row)?).ok()?;
                Value::Bytes(Bytes::from_owner(Shared(
                    array.values().slice_with_length(start, value.len()),
                )))
            }
        }
        ColumnKind::Date => Value::Date(date_from_days(
            array.as_primitive_opt::<Date32Type>()?.value(row).into(),
        )?),
        ColumnKind::DateTime => {
            let micros = array
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .value(row);
            let date = date_from_days(micros.div_euclid(MICROS_PER_DAY))?;
            Value::DateTime(DateTime::from_parts(
                date,
                time_from_micros(micros.rem_euclid(MICROS_PER_DAY))?,
            ))
        }
        ColumnKind::Time => Value::Time(time_from_micros(
            array
                .as_primitive_opt::<Time64MicrosecondType>()?
                .value(row),
        )?),
        ColumnKind::Uuid => {
            Value::Uuid(Uuid::from_slice(array.as_fixed_size_binary_opt()?.value(row)).ok()?)
        }
        ColumnKind::Any => return None,
    })
}

/// The kind that holds all values; none if all are NULL.
fn common_kind(values: &[Value]) -> Result<Option<ColumnKind>> {
    let mut common = None;
    for value in values {
        let kind = match value {
            Value::Null => continue,
            Value::Int(_) => ColumnKind::Int,
            Value::Float(_) => ColumnKind::Float,
            Value::Bool(_) => ColumnKind::Bool,
            Value::Text(_) => ColumnKind::Text,
            Value::Decimal(_) => ColumnKind::Decimal,
            Value::Json(_) => ColumnKind::Json,
            Value::Bytes(_) => ColumnKind::Bytes,
            Value::Date(_) => ColumnKind::Date,
            Value::DateTime(_) => ColumnKind::DateTime,
            Value::Time(_) => ColumnKind::Time,
            Value::Uuid(_) => ColumnKind::Uuid,
            other => {
                let message = format!("a value of type {} has no Arrow type", other.type_name());
                return Err(Error::new(ErrorKind::Type, message));
            }
        };
        common = Some(match common {
            None => kind,
            Some(before) if before == kind => kind,
            Some(ColumnKind::Int | ColumnKind::Float)
                if matches!(kind, ColumnKind::Int | ColumnKind::Float) =>
            {
                ColumnKind::Float
            }
            Some(before) => {
                let message = format!(
                    "values of kinds {before:?} and {kind:?} in one column have no Arrow type"
                );
                return Err(Error::new(ErrorKind::Type, message));
            }
        });
    }
    Ok(common)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in 400-year eras that begin on 1 March.
fn days_from_date(date: Date) -> i32 {
    let (month, day) = (i32::from(date.month()), i32::from(date.day()));
    let year = i32::from(date.year()) - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn date_from_days(days: i64) -> Option<Date> {
    let days = days.checked_add(719_468)?;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()
}

fn micros_of_time(time: Time) -> i64 {
    let seconds =
        i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1000
}

fn time_from_micros(micros: i64) -> Option<Time> {
    let seconds = micros.div_euclid(1_000_000);
    Time::new(
        i8::try_from(seconds / 3600).ok()?,
        i8::try_from(seconds / 60 % 60).ok()?,
        i8::try_from(seconds % 60).ok()?,
        i32::try_from(micros.rem_euclid(1_000_000) * 1000).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn names(names: &[&str]) -> Arc<[Arc<str>]> {
        names.iter().map(|n| Arc::from(*n)).collect()
    }

    fn sample(kind: ColumnKind) -> Vec<Value> {
        let date = Date::constant(2024, 2, 29);
        let time = Time::constant(23, 59, 58, 123_456_000);
        let one = match kind {
            ColumnKind::Int => Value::Int(i64::MIN),
            ColumnKind::Float => Value::Float(-0.5),
            ColumnKind::Bool => Value::Bool(true),
            ColumnKind::Text => Value::from("é"),
            ColumnKind::Bytes => Value::Bytes(Bytes::from(vec![7; SHARE_FROM + 1])),
            ColumnKind::Date => Value::Date(date),
            ColumnKind::DateTime => Value::DateTime(DateTime::from_parts(date, time)),
            ColumnKind::Time => Value::Time(time),
            ColumnKind::Decimal => Value::Decimal("1.50".into()),
            ColumnKind::Uuid => Value::Uuid(Uuid::from_u128(42)),
            ColumnKind::Json => Value::Json(Json::from_text("{\"a\": 1}")),
            ColumnKind::Any => Value::Tuple(vec![Value::Int(1)]),
        };
        vec![one.clone(), Value::Null, one]
    }

    const KINDS: [ColumnKind; 12] = [
        ColumnKind::Int,
        ColumnKind::Float,
        ColumnKind::Bool,
        ColumnKind::Text,
        ColumnKind::Bytes,
        ColumnKind::Date,
        ColumnKind::DateTime,
        ColumnKind::Time,
        ColumnKind::Decimal,
        ColumnKind::Uuid,
        ColumnKind::Json,
        ColumnKind::Any,
    ];

    #[test]
    fn every_kind_gives_back_what_it_took() {
        for kind in KINDS {
            let values = sample(kind);
            let column = Column::from_values(kind, values.clone()).unwrap();
            assert_eq!(column.kind(), kind);
            assert_eq!(format!("{:?}", column.values()), format!("{values:?}"));
            assert!(column.is_null(1) && !column.is_null(2));
            if let Column::Arrow(_, array) = &column {
                assert_eq!(Some(array.data_type().clone()), kind.arrow_type());
            }
        }
    }

    #[test]
    fn slices_and_concatenation_keep_the_elements() {
        for kind in KINDS {
            let batch = Batch::new(
                names(&["x"]),
                vec![Column::from_values(kind, sample(kind)).unwrap()],
            )
            .unwrap();
            let parts = [batch.slice(0, 1), batch.slice(1, 99), batch.slice(99, 1)];
            assert_eq!(parts.each_ref().map(|p| p.rows), [1, 2, 0]);
            let whole = Batch::concat(&parts).unwrap();
            assert_eq!(whole.rows, 3);
            assert_eq!(
                format!("{:?}", whole.columns[0].values()),
                format!("{:?}", batch.columns[0].values())
            );
        }
    }

    #[test]
    fn a_wrong_value_is_an_error_and_never_converted() {
        for (kind, value) in [
            (ColumnKind::Int, Value::Float(1.0)),
            (ColumnKind::Text, Value::Int(1)),
            (ColumnKind::Bool, Value::Int(1)),
            (ColumnKind::Uuid, Value::from("x")),
            (ColumnKind::Json, Value::from("{}")),
        ] {
            let error = Column::from_values(kind, vec![value]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
        }
    }

    #[test]
    fn columns_of_unequal_length_or_number_make_no_batch() {
        let column = |n| Column::Values(vec![Value::Null; n]);
        assert!(Batch::new(names(&["a"]), vec![column(1), column(1)]).is_err());
        assert!(Batch::new(names(&["a", "b"]), vec![column(1), column(2)]).is_err());
    }

    #[test]
    fn dynamic_columns_find_their_arrow_type() {
        let ty = |values: Vec<Value>| {
            Column::Values(values)
                .to_arrow()
                .map(|a| a.data_type().clone())
        };
        assert_eq!(ty(vec![Value::Null]).unwrap(), DataType::Null);
        assert_eq!(
            ty(vec![Value::Int(1), Value::Null]).unwrap(),
            DataType::Int64
        );
        assert_eq!(
            ty(vec![Value::Int(1), Value::Float(0.5)]).unwrap(),
            DataType::Float64
        );
        assert_eq!(ty(vec![Value::from("a")]).unwrap(), DataType::LargeUtf8);
        assert_eq!(
            ty(vec![Value::from("a"), Value::Int(1)])
                .unwrap_err()
                .kind(),
            ErrorKind::Type
        );
    }

    #[test]
    fn an_unknown_column_comes_with_the_nearest_name() {
        let batch = Batch::empty([(Arc::from("subject_id"), ColumnKind::Int)]);
        let error = batch.select(["subjet_id"]).unwrap_err();
        insta::assert_snapshot!(error, @"
        there is no column `subjet_id`
        Did you mean `subject_id`?
        ");
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        let batch = Batch {
            names: names(&[]),
            columns: vec![],
            rows: 3,
        };
        assert_eq!(batch.to_arrow().unwrap().num_rows(), 3);
        assert_eq!(batch.iter_rows().count(), 3);
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(days in -4_371_587i64..=2_932_896) {
            let date = date_from_days(days).unwrap();
            prop_assert_eq!(i64::from(days_from_date(date)), days);
            let unix = Date::constant(1970, 1, 1);
            prop_assert_eq!(i64::from(unix.until(date).unwrap().get_days()), days);
        }
    }
}
