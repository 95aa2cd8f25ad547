//! One row: attribute names and values, in order.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Value;

/// An ordered map from attribute name to value.
#[derive(Debug, Clone, Default)]
pub struct Row(pub IndexMap<Arc<str>, Value>);

impl Row {
    /// An empty row.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets an attribute, keeping its place if it is there already.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> &mut Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Number of attributes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without attributes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (&**k, v))
    }
}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Row {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Row(iter
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect())
    }
}

impl From<&Row> for Row {
    fn from(row: &Row) -> Row {
        row.clone()
    }
}

impl IntoIterator for Row {
    type Item = (Arc<str>, Value);
    type IntoIter = indexmap::map::IntoIter<Arc<str>, Value>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Builds a row; what [`row!`](crate::row) expands to.
pub type RowBuilder = Row;

/// Builds a [`Row`] from literal attribute names.
///
/// ```
/// use lodestore::row;
/// let key = row! { subject_id: 1, session: "a" };
/// let row = row! { rate: 1e4, ..&key }; // the attributes of `key` come first
/// assert_eq!(row.len(), 3);
/// ```
#[macro_export]
macro_rules! row {
    ($($name:ident : $value:expr),* $(,)?) => {
        $crate::row! { $($name : $value,)* ..$crate::value::Row::new() }
    };
    ($($name:ident : $value:expr,)* ..$base:expr) => {{
        #[allow(unused_mut)]
        let mut row = $crate::value::Row::from($base);
        $(row.set(stringify!($name), $value);)*
        row
    }};
}
