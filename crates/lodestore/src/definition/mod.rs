//! The definition language: text → [`TableDefinition`]; types; names. No I/O.
//!
//! Here: the parser with its pointed errors (spec: definition §2), the type system (§3), naming rules (§1), marker
//! comments (§5, §8), and the printing of a definition (§7.3). Not here: what a definition becomes in a database
//! (`sql/`) and how foreign keys are resolved and codecs looked up (`schema/`).
//!
//! Called by `schema/` (declare, headings, describe), `codec/` (type specs), `diagram` (tiers) and the front doors.

mod check;
mod fault;
mod names;
mod parse;
mod render;
mod scan;
mod target;
mod types;

pub use names::{SchemaName, TableName, Tier, class_to_table, table_to_class};
pub use parse::{
    AttributeLine, Default, ForeignKeyLine, IndexLine, Item, ItemKind, Section, TableDefinition,
    parse,
};
pub use render::DescribeLine;
pub use target::Target;
pub use types::{CodecSpec, CoreType, Marker, NativeKind, NativeType, StorageType, Type};

#[cfg(test)]
mod tests;
