//! Conditions as people write them (spec: queries §2).

use super::{Fragment, Query, Top, Universe};
use crate::value::{Row, Value};

/// A condition on rows. Made by `From` from text, rows, lists, truth values and queries; by [`col`], [`sql!`](crate::sql!)
/// and [`any!`](crate::any!).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Cond {
    /// SQL text with bound arguments. The text is trusted: it is the caller's own SQL.
    Raw(Fragment),
    /// Equality of all attributes that the row names. Keys that name none are ignored (and reported by
    /// [`Query::ignored_keys`]). A key may have a JSON path: `meta.a[1]:double`.
    Eq(Row),
    /// One attribute compared with a value.
    Compare(String, Comparison, Value),
    /// All of them; true if empty.
    All(Vec<Cond>),
    /// Any of them; false if empty.
    Any(Vec<Cond>),
    /// The negation, in SQL's three-valued logic.
    Not(Box<Cond>),
    /// A matching row in another query: the semijoin.
    In(Query),
    /// A constant.
    Const(bool),
    /// Order and limit; only at the top level.
    Top(Top),
}

/// How an attribute is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

impl Comparison {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Like => "LIKE",
        }
    }
}

/// An attribute in a condition; see [`col`].
#[derive(Debug, Clone)]
pub struct Attr(String);

/// Names an attribute (a JSON path may follow), to be compared: `col("weight").gt(25.0)`.
pub fn col(name: impl Into<String>) -> Attr {
    Attr(name.into())
}

impl Attr {
    /// Equal; NULL means `IS NULL`.
    pub fn eq(self, value: impl Into<Value>) -> Cond {
        Cond::Compare(self.0, Comparison::Equal, value.into())
    }

    /// Not equal; NULL means `IS NOT NULL`.
    pub fn ne(self, value: impl Into<Value>) -> Cond {
        Cond::Compare(self.0, Comparison::NotEqual, value.into())
    }

    /// Less.
    pub fn lt(self, value: impl Into<Value>) -> Cond {
        Cond::Compare(self.0, Comparison::Less, value.into())
    }

    /// Less or equal.
    pub fn le(self, value: impl Into<Value>) -> Cond {
        Cond::Compare(self.0, Comparison::LessOrEqual, value.into())
    }

    /// Greater.
    pub fn gt(self, value: impl Into<Value>) -> Cond {
        Cond::Compare(self.0, Comparison::Greater, value.into())
    }

    /// Greater or equal.
    pub fn ge(self, value: impl Into<Value>) -> Cond {
        Cond::Compare(self.0, Comparison::GreaterOrEqual, value.into())
    }

    /// Matches a pattern of SQL `LIKE`.
    pub fn like(self, pattern: impl Into<String>) -> Cond {
        Cond::Compare(self.0, Comparison::Like, Value::Text(pattern.into()))
    }

    /// NULL.
    pub fn is_null(self) -> Cond {
        self.eq(Value::Null)
    }

    /// Equal to one of the values.
    pub fn is_in<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Cond {
        Cond::Any(
            values
                .into_iter()
                .map(|value| Cond::Eq([(self.0.as_str(), value.into())].into_iter().collect()))
                .collect(),
        )
    }
}

impl From<Fragment> for Cond {
    fn from(fragment: Fragment) -> Cond {
        Cond::Raw(fragment)
    }
}

impl From<&str> for Cond {
    fn from(text: &str) -> Cond {
        Cond::Raw(Fragment::from(text))
    }
}

impl From<String> for Cond {
    fn from(text: String) -> Cond {
        Cond::Raw(Fragment::from(text))
    }
}

impl From<Row> for Cond {
    fn from(row: Row) -> Cond {
        Cond::Eq(row)
    }
}

impl From<&Row> for Cond {
    fn from(row: &Row) -> Cond {
        Cond::Eq(row.clone())
    }
}

impl From<bool> for Cond {
    fn from(value: bool) -> Cond {
        Cond::Const(value)
    }
}

impl<C: Into<Cond>> From<Vec<C>> for Cond {
    fn from(conds: Vec<C>) -> Cond {
        Cond::Any(conds.into_iter().map(Into::into).collect())
    }
}

impl From<&Query> for Cond {
    fn from(query: &Query) -> Cond {
        Cond::In(query.clone())
    }
}

impl From<Query> for Cond {
    fn from(query: Query) -> Cond {
        Cond::In(query)
    }
}

impl From<Top> for Cond {
    fn from(top: Top) -> Cond {
        Cond::Top(top)
    }
}

impl From<Universe> for Cond {
    fn from(_: Universe) -> Cond {
        Cond::Const(true)
    }
}
