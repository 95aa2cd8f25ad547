//! The inner form of a query: one SELECT and its operands.

use std::sync::Arc;

use super::Shape;
use crate::definition::TableName;
use crate::schema::{Heading, Lode};

#[derive(Clone)]
pub(crate) struct Select {
    pub(crate) lode: Option<Lode>,
    pub(crate) heading: Arc<Heading>,
    pub(crate) base: Option<TableName>,
    pub(crate) ignored_keys: Vec<Arc<str>>,
}

impl Select {
    pub(crate) fn table(lode: Option<Lode>, name: TableName, heading: Arc<Heading>) -> Select {
        Select {
            lode,
            heading,
            base: Some(name),
            ignored_keys: Vec::new(),
        }
    }

    pub(crate) fn tables(&self) -> Vec<TableName> {
        self.base.iter().cloned().collect()
    }

    pub(crate) fn is_restricted(&self) -> bool {
        false
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape::Plain
    }
}
