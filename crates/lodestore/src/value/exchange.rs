//! Columns in the Arrow types that other programs expect: short offsets, decimals with their digits, marked UUIDs
//! (spec: queries §18 "Stable schema"). Called by the front doors when rows leave as data frames.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, Decimal256Array, LargeStringArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{OffsetBuffer, i256};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, Field, FieldRef, Schema};

use super::{Batch, Column, ColumnKind};
use crate::error::{Error, ErrorKind, Result};

/// Precision and scale of a declared decimal.
pub type Digits = (u8, u8);

impl Column {
    /// The column as other programs take it. JSON is text; dynamic values get their common type.
    ///
    /// Errors with kind `Type` for values without an Arrow type, and for decimals whose digits are not known.
    pub fn to_exchange(&self, name: &str, digits: Option<Digits>) -> Result<(ArrayRef, FieldRef)> {
        let array = self.to_arrow().map_err(|e| e.attribute(name))?;
        let array = match (self.kind(), digits) {
            (ColumnKind::Decimal, Some((precision, scale)))
                if precision <= DECIMAL128_MAX_PRECISION =>
            {
                decimals(array.as_string::<i64>(), precision, scale)?
            }
            (ColumnKind::Decimal, Some((precision, scale)))
                if precision <= DECIMAL256_MAX_PRECISION =>
            {
                wide_decimals(array.as_string::<i64>(), precision, scale)?
            }
            (ColumnKind::Decimal, _) => {
                let error = Error::new(ErrorKind::Type, "a decimal of unknown digits");
                return Err(error.attribute(name));
            }
            _ => short(array)?,
        };
        let mut field = Field::new(name, array.data_type().clone(), true);
        if self.kind() == ColumnKind::Uuid {
            let mark = ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
            field = field.with_metadata([mark].into());
        }
        Ok((array, Arc::new(field)))
    }
}

impl Batch {
    /// All columns as other programs take them; `digits` for each column. See [`Column::to_exchange`].
    pub fn to_exchange(&self, digits: &[Option<Digits>]) -> Result<RecordBatch> {
        let digits = digits.iter().copied().chain(std::iter::repeat(None));
        let columns = self.names.iter().zip(&self.columns).zip(digits);
        let (arrays, fields): (Vec<_>, Vec<_>) = columns
            .map(|((name, column), digits)| column.to_exchange(name, digits))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|e| Error::invalid(format!("not a record batch: {e}")))
    }
}

/// Canonical decimal texts, all with `scale` decimals, as numbers.
fn decimals(texts: &LargeStringArray, precision: u8, scale: u8) -> Result<ArrayRef> {
    let numbers: Decimal128Array = numbers(texts, |digits| digits.parse().ok())?;
    let numbers = numbers.with_precision_and_scale(precision, scale as i8);
    Ok(Arc::new(numbers.map_err(wrong_digits)?))
}

/// The same for more digits than 128 bits hold.
fn wide_decimals(texts: &LargeStringArray, precision: u8, scale: u8) -> Result<ArrayRef> {
    let numbers: Decimal256Array = numbers(texts, i256::from_string)?;
    let numbers = numbers.with_precision_and_scale(precision, scale as i8);
    Ok(Arc::new(numbers.map_err(wrong_digits)?))
}

fn numbers<N, A: FromIterator<Option<N>>>(
    texts: &LargeStringArray,
    number: impl Fn(&str) -> Option<N>,
) -> Result<A> {
    let failed = |text: &str| Error::new(ErrorKind::Data, format!("`{text}` is no decimal"));
    let read = |text: &str| number(&text.replacen('.', "", 1)).ok_or_else(|| failed(text));
    texts
        .iter()
        .map(|text| text.map(read).transpose())
        .collect()
}

fn wrong_digits(error: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Data, error.to_string())
}

/// The same text or bytes with 32-bit offsets, if they fit; the values are shared. Other arrays as they are.
fn short(array: ArrayRef) -> Result<ArrayRef> {
    let narrow = |offsets: OffsetBuffer<i64>| {
        let fits = i32::try_from(*offsets.last()?).is_ok();
        fits.then(|| OffsetBuffer::new(offsets.iter().map(|o| *o as i32).collect()))
    };
    let failed = |e| Error::invalid(format!("not an Arrow array: {e}"));
    if let Some(text) = array.as_string_opt::<i64>() {
        let (offsets, values, nulls) = text.clone().into_parts();
        if let Some(offsets) = narrow(offsets) {
            let short = StringArray::try_new(offsets, values, nulls).map_err(failed)?;
            return Ok(Arc::new(short));
        }
    } else if let Some(bytes) = array.as_binary_opt::<i64>() {
        let (offsets, values, nulls) = bytes.clone().into_parts();
        if let Some(offsets) = narrow(offsets) {
            let short = BinaryArray::try_new(offsets, values, nulls).map_err(failed)?;
            return Ok(Arc::new(short));
        }
    }
    Ok(array)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::value::Value;
    use arrow_array::types::Decimal128Type;
    use arrow_schema::DataType;

    fn column(kind: ColumnKind, values: Vec<Value>) -> Column {
        Column::from_values(kind, values).unwrap()
    }

    #[test]
    fn columns_leave_in_the_types_that_programs_expect() {
        let price = column(
            ColumnKind::Decimal,
            vec![Value::Decimal("-0.50".into()), Value::Null],
        );
        let (array, _) = price.to_exchange("price", Some((8, 2))).unwrap();
        assert_eq!(array.data_type(), &DataType::Decimal128(8, 2));
        assert_eq!(array.as_primitive::<Decimal128Type>().value(0), -50);
        assert!(array.is_null(1));

        let text = column(
            ColumnKind::Text,
            vec![Value::Text("a".into()), Value::Text("bc".into())],
        );
        let (array, _) = text.slice(1, 1).to_exchange("text", None).unwrap();
        assert_eq!(array.as_string::<i32>().value(0), "bc");

        let id = column(ColumnKind::Uuid, vec![Value::Uuid(uuid::Uuid::nil())]);
        let (_, field) = id.to_exchange("id", None).unwrap();
        assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.uuid");

        let computed = Column::Values(vec![Value::Int(1), Value::Null]);
        let batch = Batch::new(["n".into()].into(), vec![computed]).unwrap();
        let schema = batch.to_exchange(&[]).unwrap().schema();
        assert_eq!(schema.field(0).data_type(), &DataType::Int64);
    }

    #[test]
    fn what_has_no_arrow_type_says_so() {
        let lists = Column::Values(vec![Value::List(vec![Value::Int(1)])]);
        let decimals = column(ColumnKind::Decimal, vec![Value::Decimal("1".into())]);
        for refused in [lists, decimals] {
            let error = refused.to_exchange("x", None).unwrap_err();
            assert_eq!(
                (error.kind(), error.place().attribute.as_deref()),
                (ErrorKind::Type, Some("x"))
            );
        }
    }
}
