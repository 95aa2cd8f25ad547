//! Names of schemas and tables, tiers, and class names (spec: definition §1).

use std::fmt;

use crate::error::Result;

/// The tier of a table, told by the prefix of its stored name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Tier {
    Manual,
    Lookup,
    Imported,
    Computed,
    Part,
    /// `~…`: the engine's own.
    Hidden,
    /// Matches no pattern: listed, but without a class.
    Other,
}

/// A schema's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaName(String);

/// A stored table name (`subject`, `#rig`, `__comp__part`), without schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Stored name.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// `ProcessedEMG2Data` → `processed_e_m_g2_data`.
pub fn class_to_table(_class: &str) -> Result<String> {
    Err(crate::Error::unsupported("being written"))
}

/// `#l` → `L`, `__comp` → `Comp`.
pub fn table_to_class(_table: &str) -> String {
    String::new()
}
