//! Aggregation and the universal set (spec: queries §6, §8).

use std::sync::Arc;

use super::select::Select;
use super::{IntoNames, Projection, Query};
use crate::error::{Error, Result};

/// The universal set of some attributes (`dj.U`): not itself a query. Made by [`U`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Universe {
    /// Its attributes, all of them in the primary key.
    pub primary_key: Vec<Arc<str>>,
}

/// The universal set of some attributes: `U(["rig"]) & &session` gives the distinct rigs.
#[allow(non_snake_case)]
pub fn U(names: impl IntoNames) -> Universe {
    Universe {
        primary_key: names.into_names().into_iter().map(Arc::from).collect(),
    }
}

impl Universe {
    /// The distinct values of the attributes in a query.
    ///
    /// Errors with kind `UnknownKey` for an attribute that the query has not.
    pub fn restrict(&self, _query: &Query) -> Result<Query> {
        Err(Error::unsupported("being written"))
    }

    /// Groups a query by the attributes and computes; one row in all if there are none. Positional names in the
    /// projection are an error.
    pub fn aggr(&self, _query: &Query, _projection: Projection) -> Result<Query> {
        Err(Error::unsupported("being written"))
    }
}

pub(crate) fn aggregate(
    _left: &Select,
    _group: &Select,
    _projection: &Projection,
    _exclude_nonmatching: bool,
) -> Result<Select> {
    Err(Error::unsupported("being written"))
}
