//! Order and limit (spec: queries §9, §18 Q3 and Q4).

use super::project::IntoNames;
use super::select::Select;
use crate::error::{Error, Result};

/// At most so many rows, from an offset on, in an order.
///
/// Terms of the order are `attribute [ASC|DESC] [NULLS FIRST|LAST]` or `KEY [ASC|DESC]`, the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// At most so many rows; none for all.
    pub limit: Option<u64>,
    /// So many rows are skipped first.
    pub offset: u64,
    /// The order; none inherits the order of the query, and is that of the key if it has none.
    pub order_by: Option<Vec<String>>,
}

impl Default for Top {
    /// `Top(limit=1, order_by="KEY", offset=0)`, as the reference has it.
    fn default() -> Top {
        Top {
            limit: Some(1),
            offset: 0,
            order_by: Some(vec!["KEY".into()]),
        }
    }
}

impl Top {
    /// The first `limit` rows in the query's own order, or that of the key.
    pub fn limit(limit: u64) -> Top {
        Top {
            limit: Some(limit),
            offset: 0,
            order_by: None,
        }
    }

    /// All rows in an order.
    pub fn ordered(order_by: impl IntoNames) -> Top {
        Top {
            limit: None,
            offset: 0,
            order_by: Some(order_by.into_names()),
        }
    }

    /// Sets the order.
    pub fn order_by(mut self, order_by: impl IntoNames) -> Top {
        self.order_by = Some(order_by.into_names());
        self
    }

    /// Skips rows.
    pub fn offset(mut self, offset: u64) -> Top {
        self.offset = offset;
        self
    }
}

pub(crate) fn apply(_select: &Select, _top: &Top) -> Result<Select> {
    Err(Error::unsupported("being written"))
}
