//! Conditions resolved against a heading (spec: queries §2, §12).

use super::{Cond, Query};
use crate::error::{Error, Result};

pub(crate) fn restrict(_query: &Query, _cond: Cond, _semantic_check: bool) -> Result<Query> {
    Err(Error::unsupported("being written"))
}
