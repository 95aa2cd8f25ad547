//! Operators on queries and the macros `sql!` and `any!` (spec: queries §17).

use std::ops::{Add, BitAnd, Mul, Not, Sub};

use super::{Cond, JoinOptions, Query, Universe};
use crate::error::Result;

/// What cannot fail keeps its error inside.
fn held(result: Result<Query>) -> Query {
    result.unwrap_or_else(Query::failed)
}

impl<C: Into<Cond>> BitAnd<C> for &Query {
    type Output = Query;
    fn bitand(self, cond: C) -> Query {
        held(self.restrict(cond))
    }
}

impl<C: Into<Cond>> BitAnd<C> for Query {
    type Output = Query;
    fn bitand(self, cond: C) -> Query {
        &self & cond
    }
}

impl<C: Into<Cond>> Sub<C> for &Query {
    type Output = Query;
    fn sub(self, cond: C) -> Query {
        held(self.restrict(!cond.into()))
    }
}

impl<C: Into<Cond>> Sub<C> for Query {
    type Output = Query;
    fn sub(self, cond: C) -> Query {
        &self - cond
    }
}

impl Mul<&Query> for &Query {
    type Output = Query;
    fn mul(self, other: &Query) -> Query {
        held(self.join(other, JoinOptions::default()))
    }
}

impl Mul<&Query> for Query {
    type Output = Query;
    fn mul(self, other: &Query) -> Query {
        &self * other
    }
}

impl Mul<Query> for &Query {
    type Output = Query;
    fn mul(self, other: Query) -> Query {
        self * &other
    }
}

impl Mul<Query> for Query {
    type Output = Query;
    fn mul(self, other: Query) -> Query {
        &self * &other
    }
}

impl Add<&Query> for &Query {
    type Output = Query;
    fn add(self, other: &Query) -> Query {
        held(self.union(other))
    }
}

impl Add<&Query> for Query {
    type Output = Query;
    fn add(self, other: &Query) -> Query {
        &self + other
    }
}

impl Add<Query> for &Query {
    type Output = Query;
    fn add(self, other: Query) -> Query {
        self + &other
    }
}

impl Add<Query> for Query {
    type Output = Query;
    fn add(self, other: Query) -> Query {
        &self + &other
    }
}

impl BitAnd<&Query> for Universe {
    type Output = Query;
    fn bitand(self, query: &Query) -> Query {
        held(self.restrict(query))
    }
}

impl BitAnd<&Query> for &Universe {
    type Output = Query;
    fn bitand(self, query: &Query) -> Query {
        held(self.restrict(query))
    }
}

impl BitAnd<Query> for Universe {
    type Output = Query;
    fn bitand(self, query: Query) -> Query {
        held(self.restrict(&query))
    }
}

impl Not for Cond {
    type Output = Cond;
    fn not(self) -> Cond {
        match self {
            Cond::Not(cond) => *cond,
            Cond::Const(value) => Cond::Const(!value),
            cond => Cond::Not(Box::new(cond)),
        }
    }
}

impl Not for &Query {
    type Output = Cond;
    fn not(self) -> Cond {
        !Cond::from(self)
    }
}

/// SQL text with bound arguments, one per `{}`: `sql!("session_date > {} AND notes LIKE {}", day, "%done")`.
///
/// ```
/// use lodestore::sql;
/// let late = sql!("trial_no > {}", 3);
/// ```
#[macro_export]
macro_rules! sql {
    ($text:expr $(, $arg:expr)* $(,)?) => {
        $crate::query::Fragment::bound($text, ::std::vec![$($crate::value::Value::from($arg)),*])
    };
}

/// Any of several conditions: `any![row! { sex: "M" }, col("weight").gt(25.0)]`.
///
/// ```
/// use lodestore::{any, query::col, row};
/// let pair = any![row! { sex: "M" }, col("weight").gt(25.0)];
/// ```
#[macro_export]
macro_rules! any {
    ($($cond:expr),* $(,)?) => {
        $crate::query::Cond::Any(::std::vec![$($crate::query::Cond::from($cond)),*])
    };
}
