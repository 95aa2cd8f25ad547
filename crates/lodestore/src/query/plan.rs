//! The inner form → SQL. Pure: no database is touched.

use std::sync::Arc;

use super::select::Select;
use crate::error::{Error, Result};
use crate::schema::Attribute;
use crate::sql::{Dialect, OutputColumn, Statement};

/// What a plan is asked for.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The attributes wanted, in this order; none for all.
    pub columns: Option<Vec<Arc<str>>>,
}

/// One SQL statement and what comes out of it.
#[derive(Clone)]
pub struct Plan {
    /// SQL and parameters.
    pub statement: Statement,
    /// The columns of the result. There may be one more than `attributes`: a query without any attribute still has
    /// rows, and needs a column to count them by.
    pub columns: Vec<OutputColumn>,
    /// The attributes that the columns hold, in the same order.
    pub attributes: Vec<Attribute>,
}

pub(crate) fn plan(
    _select: &Select,
    _dialect: &dyn Dialect,
    _options: &PlanOptions,
) -> Result<Plan> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn count(_select: &Select, _dialect: &dyn Dialect) -> Result<Plan> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn exists(_select: &Select, _dialect: &dyn Dialect) -> Result<Plan> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn where_clause(_select: &Select, _dialect: &dyn Dialect) -> Result<Option<Statement>> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn make_sql(
    _select: &Select,
    _dialect: &dyn Dialect,
    _fields: Option<&[Arc<str>]>,
) -> Result<String> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn from_text(_select: &Select, _dialect: &dyn Dialect) -> Result<String> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn where_text(_select: &Select, _dialect: &dyn Dialect) -> Result<String> {
    Err(Error::unsupported("being written"))
}
