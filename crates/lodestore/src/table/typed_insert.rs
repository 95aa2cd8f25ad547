//! Rows of the caller's own types on their way in, through serde: the other direction of [`typed`](super::typed).
//!
//! A row is a struct or a map with text keys; each field becomes a [`Value`]. Rows of one shape are kept without maps.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use serde::ser::{self, Impossible, Serialize, Serializer};

use super::typed::{RAW, Unfit};
use super::{InsertOptions, Rows, Table};
use crate::codec::{NpyRef, ObjectRef};
use crate::error::Result;
use crate::schema::Heading;
use crate::value::{Array, Row, Value};

impl Table {
    /// Inserts rows of any type that serde can serialize: a struct, or a map with text keys. Otherwise as
    /// [`insert`](Table::insert); what [`rows`](crate::query::Query::rows) fetched can be inserted again.
    ///
    /// Fields are matched with attributes by name. `None` asks for the declared default, and so does a field that is
    /// left out of every row. A sequence is stored as a list, and a nested struct or map as a mapping (or as JSON, if
    /// that is the attribute's type); a UUID, date, time or decimal may come as text. Bytes need a type that serializes
    /// as bytes, such as those of `serde_bytes`. [`Value`], [`Array`], [`NpyRef`] and [`ObjectRef`] go in unconverted.
    /// A [`Row`] can be a field too, with `#[serde(flatten)]`: the key of a `populate`, for example.
    ///
    /// ```
    /// use lodestore::Lode;
    /// use lodestore::table::InsertOptions;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct Mouse {
    ///     mouse_id: u32,
    ///     sex: Sex,
    ///     weight: Option<f64>,
    /// }
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// enum Sex {
    ///     F,
    ///     M,
    /// }
    ///
    /// # fn main() -> lodestore::Result<()> {
    /// # let directory = tempfile::tempdir().map_err(lodestore::Error::foreign)?;
    /// # let lode = Lode::open(&format!("sqlite://{}", directory.path().join("lab.db").display()))?;
    /// let mouse = lode.schema("lab")?.manual(
    ///     "Mouse",
    ///     "mouse_id : int32
    ///      ---
    ///      sex : enum('F', 'M')
    ///      weight = null : float64",
    /// )?;
    /// let mice = [
    ///     Mouse { mouse_id: 1, sex: Sex::F, weight: Some(18.5) },
    ///     Mouse { mouse_id: 2, sex: Sex::M, weight: None },
    /// ];
    /// assert_eq!(mouse.insert_typed(&mice, &InsertOptions::default())?, 2);
    /// assert_eq!(mouse.rows::<Mouse>().order_by("KEY").collect()?, mice);
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert_typed<T: Serialize>(
        &self,
        rows: impl IntoIterator<Item = T>,
        options: &InsertOptions<'_>,
    ) -> Result<u64> {
        self.may_insert(options)?;
        let heading = self.lode().heading(self.name())?;
        let rows = Rows::from_typed(rows, &heading, options.ignore_extra_fields)
            .map_err(|e| self.place(e))?;
        self.insert_rows(rows, options)
    }
}

impl Rows {
    /// Serializes rows. Rows that are not laid out like the first one are matched by name, as in
    /// [`from_maps`](Rows::from_maps).
    fn from_typed<T: Serialize>(
        rows: impl IntoIterator<Item = T>,
        heading: &Heading,
        ignore_extra: bool,
    ) -> Result<Rows> {
        let mut out = Rows::default();
        let mut maps: Vec<Row> = Vec::new();
        let map =
            |names: &[Arc<str>], values| names.iter().cloned().zip::<Vec<Value>>(values).collect();
        for (index, row) in rows.into_iter().enumerate() {
            let serializer = RowSerializer { layout: &out.names };
            let fields = row
                .serialize(serializer)
                .map_err(|e| e.into_error().row(index))?;
            match fields.names {
                Some(names) if index == 0 => {
                    out.names = names;
                    out.values.push(fields.values);
                }
                None if maps.is_empty() => out.values.push(fields.values),
                names => {
                    maps.extend(out.values.drain(..).map(|values| map(&out.names, values)));
                    maps.push(map(names.as_deref().unwrap_or(&out.names), fields.values));
                }
            }
        }
        if maps.is_empty() {
            return Ok(out);
        }
        Rows::from_maps(maps, heading, ignore_extra)
    }
}

impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unfit::new(message.to_string())
    }
}

/// Serializes a row.
struct RowSerializer<'a> {
    /// The names of the first row.
    layout: &'a [Arc<str>],
}

impl<'a> RowSerializer<'a> {
    fn fields(self) -> RowFields<'a> {
        RowFields {
            layout: self.layout,
            fields: Fields {
                names: None,
                values: Vec::with_capacity(self.layout.len()),
            },
            key: None,
        }
    }
}

/// A serialized row.
struct Fields {
    /// None if they are those of the first row, in its order.
    names: Option<Vec<Arc<str>>>,
    values: Vec<Value>,
}

/// Serializes the fields of a row.
struct RowFields<'a> {
    layout: &'a [Arc<str>],
    fields: Fields,
    /// The key of a map whose value comes next.
    key: Option<String>,
}

impl RowFields<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unfit> {
        let Fields { names, values } = &mut self.fields;
        let at = values.len();
        if names.is_some() || self.layout.get(at).is_none_or(|n| **n != *name) {
            let names = names.get_or_insert_with(|| self.layout[..at].to_vec());
            if names.iter().any(|n| **n == *name) {
                return Err(Unfit::new("it is given twice").in_column(name));
            }
            names.push(name.into());
        }
        let value = value
            .serialize(ValueSerializer)
            .map_err(|e| e.in_column(name))?;
        values.push(value);
        Ok(())
    }

    fn finish(mut self) -> Fields {
        let count = self.fields.values.len();
        if self.fields.names.is_none() && count < self.layout.len() {
            self.fields.names = Some(self.layout[..count].to_vec());
        }
        self.fields
    }
}

impl ser::SerializeStruct for RowFields<'_> {
    type Ok = Fields;
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        self.add(name, value)
    }

    fn end(self) -> Result<Fields, Unfit> {
        Ok(self.finish())
    }
}

impl ser::SerializeMap for RowFields<'_> {
    type Ok = Fields;
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        match key.serialize(ValueSerializer)? {
            Value::Text(name) => self.key = Some(name),
            other => {
                return Err(no_row(&format!(
                    "a map with keys of type {}",
                    other.type_name()
                )));
            }
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        match self.key.take() {
            Some(name) => self.add(&name, value),
            None => Err(ser::Error::custom("a value without a key")),
        }
    }

    fn end(self) -> Result<Fields, Unfit> {
        Ok(self.finish())
    }
}

fn no_row(what: &str) -> Unfit {
    Unfit::new(format!(
        "a row is a struct or a map with text keys, not {what}"
    ))
}

macro_rules! no_row {
    ($($method:ident($($argument:ty),*) $(-> $ok:ident)? = $what:literal;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<no_row!(@ $($ok)?), Unfit> {
            Err(no_row($what))
        }
    )*};
    (@) => { Self::Ok };
    (@ $ok:ident) => { Self::$ok };
}

impl<'a> Serializer for RowSerializer<'a> {
    type Ok = Fields;
    type Error = Unfit;
    type SerializeSeq = Impossible<Self::Ok, Unfit>;
    type SerializeTuple = Impossible<Self::Ok, Unfit>;
    type SerializeTupleStruct = Impossible<Self::Ok, Unfit>;
    type SerializeTupleVariant = Impossible<Self::Ok, Unfit>;
    type SerializeMap = RowFields<'a>;
    type SerializeStruct = RowFields<'a>;
    type SerializeStructVariant = Impossible<Self::Ok, Unfit>;

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<RowFields<'a>, Unfit> {
        Ok(self.fields())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<RowFields<'a>, Unfit> {
        Ok(self.fields())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Self::Ok, Unfit> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, Unfit> {
        Err(no_row("an enum"))
    }

    no_row! {
        serialize_bool(bool) = "a bool";
        serialize_i8(i8) = "an integer";
        serialize_i16(i16) = "an integer";
        serialize_i32(i32) = "an integer";
        serialize_i64(i64) = "an integer";
        serialize_i128(i128) = "an integer";
        serialize_u8(u8) = "an integer";
        serialize_u16(u16) = "an integer";
        serialize_u32(u32) = "an integer";
        serialize_u64(u64) = "an integer";
        serialize_u128(u128) = "an integer";
        serialize_f32(f32) = "a float";
        serialize_f64(f64) = "a float";
        serialize_char(char) = "a char";
        serialize_str(&str) = "text";
        serialize_bytes(&[u8]) = "bytes";
        serialize_none() = "None";
        serialize_unit() = "a unit";
        serialize_unit_struct(&'static str) = "a unit";
        serialize_unit_variant(&'static str, u32, &'static str) = "an enum";
        serialize_seq(Option<usize>) -> SerializeSeq = "a sequence";
        serialize_tuple(usize) -> SerializeTuple = "a tuple";
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct = "a tuple";
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant = "an enum";
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant = "an enum";
    }
}

/// Serializes a field. Variants that hold something become a mapping from their name to it.
struct ValueSerializer;

/// The items of a list or a tuple.
struct Items {
    values: Vec<Value>,
    make: fn(Vec<Value>) -> Value,
    variant: Option<&'static str>,
}

/// The entries of a mapping.
struct Entries {
    values: Vec<(Value, Value)>,
    key: Value,
    variant: Option<&'static str>,
}

fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => Value::Map(vec![(name.into(), value)]),
        None => value,
    }
}

impl ValueSerializer {
    fn items(self, count: usize, variant: Option<&'static str>) -> Items {
        Items {
            values: Vec::with_capacity(count),
            make: Value::Tuple,
            variant,
        }
    }

    fn entries(self, variant: Option<&'static str>) -> Entries {
        Entries {
            values: Vec::new(),
            key: Value::Null,
            variant,
        }
    }
}

macro_rules! plain {
    ($($method:ident: $t:ty),*) => {$(
        fn $method(self, v: $t) -> Result<Value, Unfit> {
            Ok(v.into())
        }
    )*};
}

impl Serializer for ValueSerializer {
    type Ok = Value;
    type Error = Unfit;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_f32: f32, serialize_f64: f64,
        serialize_str: &str
    }

    fn serialize_u64(self, v: u64) -> Result<Value, Unfit> {
        self.serialize_i128(v.into())
    }

    fn serialize_i128(self, v: i128) -> Result<Value, Unfit> {
        Ok(Value::from_int_bytes(&v.to_le_bytes()))
    }

    fn serialize_u128(self, v: u128) -> Result<Value, Unfit> {
        // One more byte for the sign.
        let mut bytes = v.to_le_bytes().to_vec();
        bytes.push(0);
        Ok(Value::from_int_bytes(&bytes))
    }

    fn serialize_char(self, v: char) -> Result<Value, Unfit> {
        Ok(Value::Text(v.into()))
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<Value, Unfit> {
        Ok(v.to_vec().into())
    }

    fn serialize_none(self) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Unfit> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, Unfit> {
        if name == RAW {
            ASKED.set(true);
            let outcome = value.serialize(self);
            ASKED.set(false);
            return HANDED.take().map_or(outcome, Ok);
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Unfit> {
        Ok(tagged(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<Items, Unfit> {
        Ok(Items {
            make: Value::List,
            ..self.items(count.unwrap_or(0), None)
        })
    }

    fn serialize_tuple(self, count: usize) -> Result<Items, Unfit> {
        Ok(self.items(count, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, count: usize) -> Result<Items, Unfit> {
        Ok(self.items(count, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        count: usize,
    ) -> Result<Items, Unfit> {
        Ok(self.items(count, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Unfit> {
        Ok(self.entries(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, Unfit> {
        Ok(self.entries(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries, Unfit> {
        Ok(self.entries(Some(variant)))
    }
}

macro_rules! items {
    ($($t:ident $method:ident),*) => {$(
        impl ser::$t for Items {
            type Ok = Value;
            type Error = Unfit;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                self.values.push(value.serialize(ValueSerializer)?);
                Ok(())
            }
            fn end(self) -> Result<Value, Unfit> {
                Ok(tagged(self.variant, (self.make)(self.values)))
            }
        }
    )*};
}

items!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! entries {
    ($($t:ident),*) => {$(
        impl ser::$t for Entries {
            type Ok = Value;
            type Error = Unfit;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unfit> {
                self.values.push((name.into(), value.serialize(ValueSerializer)?));
                Ok(())
            }
            fn end(self) -> Result<Value, Unfit> {
                Ok(tagged(self.variant, Value::Map(self.values)))
            }
        }
    )*};
}

entries!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Entries {
    type Ok = Value;
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        self.key = key.serialize(ValueSerializer)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let value = value.serialize(ValueSerializer)?;
        self.values.push((std::mem::take(&mut self.key), value));
        Ok(())
    }

    fn end(self) -> Result<Value, Unfit> {
        Ok(Value::Map(self.values))
    }
}

thread_local! {
    /// True while [`ValueSerializer`] waits for a value to be handed over.
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static HANDED: RefCell<Option<Value>> = const { RefCell::new(None) };
}

/// Hands a value over to [`ValueSerializer`]; other serializers get an error.
struct Handing<F>(F);

impl<F: Fn() -> Value> Serialize for Handing<F> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        if ASKED.replace(false) {
            HANDED.set(Some((self.0)()));
        }
        Err(ser::Error::custom(
            "a Value can only be serialized as a field of a row that is inserted",
        ))
    }
}

macro_rules! handed {
    ($($t:ty => $value:expr),*) => {$(
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let value: fn(&$t) -> Value = $value;
                serializer.serialize_newtype_struct(RAW, &Handing(|| value(self)))
            }
        }
    )*};
}

handed! {
    Value => Value::clone,
    Array => |array| array.clone().into(),
    NpyRef => |reference| Value::Foreign(Arc::new(reference.clone())),
    ObjectRef => |reference| Value::Foreign(Arc::new(reference.clone()))
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
