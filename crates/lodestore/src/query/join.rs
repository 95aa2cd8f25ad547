//! Join, left join and union; the lineage check (spec: queries §4, §5, §7).

use super::select::Select;
use crate::error::{Error, Result};

/// How two queries are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinOptions {
    /// Attributes of one name must have one origin.
    pub semantic_check: bool,
    /// Keep rows of the left operand that match none.
    pub left: bool,
    /// A left join whose right operand adds to the primary key, which may then be NULL.
    pub allow_nullable_pk: bool,
}

impl Default for JoinOptions {
    fn default() -> Self {
        JoinOptions {
            semantic_check: true,
            left: false,
            allow_nullable_pk: false,
        }
    }
}

pub(crate) fn join(_left: &Select, _right: &Select, _options: JoinOptions) -> Result<Select> {
    Err(Error::unsupported("being written"))
}

pub(crate) fn union(_left: &Select, _right: &Select) -> Result<Select> {
    Err(Error::unsupported("being written"))
}
