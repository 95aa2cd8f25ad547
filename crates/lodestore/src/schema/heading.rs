//! Headings: the attributes of a table or expression.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::codec::Chain;
use crate::definition::{StorageType, Type};
use crate::value::ColumnKind;

/// How an attribute's column is spelled in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The column of the same name.
    Column,
    /// A renamed column: its name in the operand.
    Renamed(String),
    /// An SQL expression with bound parameters is kept by `query/`; here its text.
    Expression(String),
}

/// One attribute.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Name.
    pub name: Arc<str>,
    /// Type by marker; none for computed attributes (type `expression`).
    pub type_: Option<Type>,
    /// Database type as the catalogue says.
    pub database_type: String,
    /// What the column finally is; none for computed attributes.
    pub storage: Option<StorageType>,
    /// Kind of fetched column.
    pub kind: ColumnKind,
    /// Member of the primary key.
    pub in_key: bool,
    /// NULL possible.
    pub nullable: bool,
    /// Default as `describe` shows it: `null`, `"x"`, `CURRENT_TIMESTAMP`; none if required.
    pub default: Option<String>,
    /// Comment without marker.
    pub comment: String,
    /// Auto-increment.
    pub auto_increment: bool,
    /// Codec chain; none for plain columns. An unknown codec is an error only when used.
    pub chain: Option<Arc<crate::Result<Chain>>>,
    /// Origin `schema.table.attribute`; none for native secondary and computed attributes.
    pub lineage: Option<Arc<str>>,
    /// How it is spelled in SQL.
    pub source: Source,
}

/// The attributes of a table or expression, in order, without hidden ones.
#[derive(Debug, Clone, Default)]
pub struct Heading {
    /// Attributes by name.
    pub attributes: IndexMap<Arc<str>, Attribute>,
    /// Hidden attributes (leading underscore).
    pub hidden: Vec<Attribute>,
    /// Table comment.
    pub comment: String,
    /// True if lineage is recorded for the schema.
    pub lineage_available: bool,
}

impl Heading {
    /// Names of the primary key, in heading order.
    pub fn primary_key(&self) -> impl Iterator<Item = &Arc<str>> {
        self.attributes
            .values()
            .filter(|a| a.in_key)
            .map(|a| &a.name)
    }

    /// Names of the secondary attributes.
    pub fn secondary(&self) -> impl Iterator<Item = &Arc<str>> {
        self.attributes
            .values()
            .filter(|a| !a.in_key)
            .map(|a| &a.name)
    }

    /// An attribute by name.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.attributes.get(name)
    }

    /// All names in order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.attributes.keys()
    }
}
