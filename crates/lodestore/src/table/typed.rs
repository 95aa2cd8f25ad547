//! Rows as the caller's own types, through serde: `session.rows::<Visit>().order_by("KEY").stream()?`.
//!
//! The fields of a struct are matched by name and only they are fetched; a tuple takes the columns in order; a single
//! column may also be a bare value. [`Value`], [`Array`], [`NpyRef`] and [`ObjectRef`] can be fields themselves: they come
//! through unconverted.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

use super::{Batches, FetchOptions};
use crate::codec::{NpyRef, ObjectRef};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{IntoNames, Query};
use crate::value::{Array, Batch, Elements, Row, Value};

/// Rows per batch of a typed stream.
const STREAM_ROWS: usize = 1024;

impl Query {
    /// The rows as values of a type; call [`stream`](TypedRows::stream) or [`collect`](TypedRows::collect).
    pub fn rows<T: DeserializeOwned>(&self) -> TypedRows<'_, T> {
        TypedRows {
            query: self,
            options: FetchOptions::default(),
            row: PhantomData,
        }
    }

    /// The only row, as a value of a type; its columns in the given order. Any other number of rows is an error.
    ///
    /// `let (name, weight): (String, Option<f64>) = subject.one(["name", "weight"])?;`
    pub fn one<T: DeserializeOwned>(&self, columns: impl IntoNames) -> Result<T> {
        let row = self.one_row(&FetchOptions::columns(columns.into_names()))?;
        from_row(row)
    }
}

impl Batch {
    /// The rows of the batch as values of a type.
    pub fn rows_as<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        (0..self.rows)
            .map(|row| from_row(self.row(row)).map_err(|e| e.row(row)))
            .collect()
    }
}

/// A typed fetch, being described.
pub struct TypedRows<'q, T> {
    query: &'q Query,
    options: FetchOptions<'q>,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedRows<'_, T> {
    /// The order, as in [`FetchOptions::order_by`].
    pub fn order_by(mut self, terms: impl IntoNames) -> Self {
        self.options.order_by = terms.into_names();
        self
    }

    /// At most so many rows.
    pub fn limit(mut self, limit: u64) -> Self {
        self.options.limit = Some(limit);
        self
    }

    /// Skips so many rows.
    pub fn offset(mut self, offset: u64) -> Self {
        self.options.offset = offset;
        self
    }

    /// Only these columns, in this order; for tuples and single values.
    pub fn columns(mut self, names: impl IntoNames) -> Self {
        self.options.columns = Some(names.into_names());
        self
    }

    /// The rows one by one, from one cursor, in bounded memory.
    pub fn stream(self) -> Result<TypedStream<T>> {
        let mut options = self.options;
        if options.columns.is_none()
            && let Some(fields) = struct_fields::<T>()
        {
            let heading = self.query.heading()?;
            // A field that is no attribute may have a default; what is absent is serde's to judge.
            options.columns = Some(
                fields
                    .iter()
                    .filter(|f| heading.get(f).is_some())
                    .map(|f| (*f).into())
                    .collect(),
            );
        }
        let batches = self.query.batches_with(STREAM_ROWS, &options)?;
        Ok(TypedStream {
            batches,
            current: None,
            row: PhantomData,
        })
    }

    /// All rows.
    pub fn collect(self) -> Result<Vec<T>> {
        self.stream()?.collect()
    }
}

/// Typed rows of a running query.
pub struct TypedStream<T> {
    batches: Batches,
    current: Option<(Batch, usize)>,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for TypedStream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some((batch, at)) = &mut self.current
                && *at < batch.rows
            {
                let row = batch.row(*at);
                *at += 1;
                return Some(from_row(row));
            }
            match self.batches.next()? {
                Ok(batch) => self.current = Some((batch, 0)),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// A row as a value of a type. An unfit value is an error of kind [`ErrorKind::Type`] that names the column.
pub fn from_row<T: DeserializeOwned>(row: Row) -> Result<T> {
    T::deserialize(RowDeserializer(row)).map_err(Unfit::into_error)
}

/// The error of a conversion.
#[derive(Debug)]
pub(super) struct Unfit {
    message: String,
    column: Option<String>,
}

impl Unfit {
    pub(super) fn new(message: impl Into<String>) -> Unfit {
        Unfit {
            message: message.into(),
            column: None,
        }
    }

    /// Names the column, unless one is named already.
    pub(super) fn in_column(mut self, column: &str) -> Unfit {
        if self.column.is_none() {
            self.message = format!("column `{column}`: {}", self.message);
            self.column = Some(column.to_owned());
        }
        self
    }

    pub(super) fn into_error(self) -> Error {
        let error = Error::new(ErrorKind::Type, self.message);
        match self.column {
            Some(column) => error.attribute(column),
            None => error,
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unfit {}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unfit::new(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Unfit {
            message: format!("there is no attribute `{field}` in the result"),
            column: Some(field.into()),
        }
    }
}

/// Finds out the fields of a struct by asking it to deserialise from nothing.
fn struct_fields<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    struct Probe<'a>(&'a mut Option<&'static [&'static str]>);
    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = Unfit;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unfit> {
            Err(de::Error::custom("a probe"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Unfit> {
            *self.0 = Some(fields);
            Err(de::Error::custom("a probe"))
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut fields = None;
    let _ = T::deserialize(Probe(&mut fields));
    fields
}

struct RowDeserializer(Row);

impl RowDeserializer {
    fn only(self) -> Result<ValueDeserializer, Unfit> {
        let count = self.0.len();
        match self.0.into_iter().next() {
            Some((_, value)) if count == 1 => Ok(ValueDeserializer { value }),
            _ => Err(de::Error::custom(format!(
                "{count} columns cannot become one value"
            ))),
        }
    }
}

macro_rules! only {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for RowDeserializer {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_map(RowAccess {
            row: self.0.into_iter(),
            pending: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        // A single column that holds a sequence is that sequence, not a sequence of one column.
        let holds_sequence = matches!(
            self.0.0.values().next(),
            Some(
                Value::Array(_) | Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Json(_)
            )
        );
        if self.0.len() == 1 && holds_sequence {
            return self.only()?.deserialize_seq(visitor);
        }
        visitor.visit_seq(RowAccess {
            row: self.0.into_iter(),
            pending: None,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.len() != len {
            return Err(de::Error::custom(format!(
                "{} columns cannot become {len} values",
                self.0.len()
            )));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self.0.len() {
            1 => self.only()?.deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    only!(
        deserialize_bool,
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_i128,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64,
        deserialize_u128,
        deserialize_f32,
        deserialize_f64,
        deserialize_char,
        deserialize_str,
        deserialize_string,
        deserialize_bytes,
        deserialize_byte_buf,
        deserialize_option,
        deserialize_identifier
    );

    serde::forward_to_deserialize_any! { unit ignored_any }
}

struct RowAccess {
    row: indexmap::map::IntoIter<Arc<str>, Value>,
    pending: Option<(Arc<str>, Value)>,
}

impl<'de> MapAccess<'de> for RowAccess {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        self.pending = self.row.next();
        match &self.pending {
            Some((name, _)) => seed.deserialize((**name).into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let (column, value) = self
            .pending
            .take()
            .ok_or_else(|| <Unfit as de::Error>::custom("no value"))?;
        column_value(seed, column, value)
    }
}

impl<'de> SeqAccess<'de> for RowAccess {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        self.row
            .next()
            .map(|(column, value)| column_value(seed, column, value))
            .transpose()
    }
}

fn column_value<'de, S: DeserializeSeed<'de>>(
    seed: S,
    column: Arc<str>,
    value: Value,
) -> Result<S::Value, Unfit> {
    seed.deserialize(ValueDeserializer { value })
        .map_err(|e| e.in_column(&column))
}

/// The names under which [`Value`] and [`Array`] ask for the value itself.
pub(super) const RAW: &str = "$lodestore::Value";

thread_local! {
    static HANDED: RefCell<Option<Value>> = const { RefCell::new(None) };
}

struct ValueDeserializer {
    value: Value,
}

impl<'de> Deserializer<'de> for ValueDeserializer {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let items = |values: Vec<Value>| Items(values.into_iter());
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(v),
            Value::Int(v) => visitor.visit_i64(v),
            Value::Float(v) => visitor.visit_f64(v),
            Value::Text(v) | Value::Decimal(v) => visitor.visit_string(v),
            Value::Bytes(v) => visitor.visit_byte_buf(v.to_vec()),
            Value::Date(v) => visitor.visit_string(v.to_string()),
            Value::Time(v) => visitor.visit_string(v.to_string()),
            Value::DateTime(v) => visitor.visit_string(v.to_string()),
            Value::Uuid(v) => visitor.visit_string(v.to_string()),
            Value::Json(v) => {
                let document = v.parse().map_err(<Unfit as de::Error>::custom)?;
                document
                    .deserialize_any(visitor)
                    .map_err(<Unfit as de::Error>::custom)
            }
            Value::Tuple(v) | Value::List(v) | Value::Set(v) => visitor.visit_seq(items(v)),
            Value::Map(v) => visitor.visit_map(Pairs(v.into_iter(), None)),
            Value::Path(v) => visitor.visit_string(v.display().to_string()),
            Value::Array(array) => match elements(*array) {
                Some(values) => visitor.visit_seq(items(values)),
                None => Err(de::Error::custom(
                    "an array of this element type cannot become a sequence; ask for `Array`",
                )),
            },
            other => Err(de::Error::custom(format!(
                "a {} cannot be converted; ask for `Value`",
                other.type_name()
            ))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name == RAW {
            HANDED.with_borrow_mut(|handed| *handed = Some(self.value));
            return visitor.visit_unit();
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.value {
            // Databases without truth values keep 0 and 1.
            Value::Int(v @ (0 | 1)) => visitor.visit_bool(v == 1),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match &self.value {
            Value::Decimal(text) => match text.parse() {
                Ok(v) => visitor.visit_f64(v),
                Err(_) => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self.value {
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()),
            // A variant that holds something: its name, and what it holds.
            Value::Map(v) => {
                visitor.visit_enum(MapAccessDeserializer::new(Pairs(v.into_iter(), None)))
            }
            Value::Json(v) => v
                .parse()
                .map_err(<Unfit as de::Error>::custom)?
                .deserialize_enum(name, variants, visitor)
                .map_err(<Unfit as de::Error>::custom),
            other => Err(de::Error::custom(format!(
                "a {} names no variant",
                other.type_name()
            ))),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Unfit;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        self.0
            .next()
            .map(|value| seed.deserialize(ValueDeserializer { value }))
            .transpose()
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Pairs(std::vec::IntoIter<(Value, Value)>, Option<Value>);

impl<'de> MapAccess<'de> for Pairs {
    type Error = Unfit;
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        match self.0.next() {
            Some((key, value)) => {
                self.1 = Some(value);
                seed.deserialize(ValueDeserializer { value: key }).map(Some)
            }
            None => Ok(None),
        }
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        seed.deserialize(ValueDeserializer {
            value: self.1.take().unwrap_or_default(),
        })
    }
}

/// The elements of a one-dimensional array of numbers.
fn elements(array: Array) -> Option<Vec<Value>> {
    if let Elements::Objects(values) = array.data {
        return Some(values);
    }
    let numbers: Option<Vec<Value>> = match array.to_ndarray::<f64>() {
        Ok(a) => Some(a.iter().map(|v| Value::Float(*v)).collect()),
        Err(_) => None,
    };
    numbers.or_else(|| {
        macro_rules! integers {
            ($($t:ty),*) => {$(
                if let Ok(a) = array.to_ndarray::<$t>() {
                    return Some(a.iter().map(|v| Value::from(*v)).collect());
                }
            )*};
        }
        integers!(i64, i32, i16, i8, u32, u16, u8, f32, bool);
        None
    })
}

/// Takes the value that [`ValueDeserializer`] handed over.
struct Taken;

impl Visitor<'_> for Taken {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a fetched row")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        HANDED
            .with_borrow_mut(Option::take)
            .ok_or_else(|| E::custom("a Value can only come from a fetched row"))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, Taken)
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Array(array) => Ok(*array),
            other => Err(de::Error::custom(format!(
                "a {} is no array",
                other.type_name()
            ))),
        }
    }
}

macro_rules! references {
    ($($reference:ty),*) => {$(
        impl<'de> Deserialize<'de> for $reference {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                value.foreign::<$reference>().cloned().ok_or_else(|| {
                    de::Error::custom(format!(
                        "a {} is no {}",
                        value.type_name(),
                        stringify!($reference)
                    ))
                })
            }
        }
    )*};
}

references!(NpyRef, ObjectRef);
