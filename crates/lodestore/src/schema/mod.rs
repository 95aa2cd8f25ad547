//! Schemas and tables in a database: declaration, headings, lineage, dependencies, drop.
//!
//! [`Lode`] is the open database with its stores, codecs and caches: the handle that everything above works through.

mod declare;
mod dependencies;
mod heading;
mod lode;

pub use declare::{Declare, Declared, ForeignKeyTarget, HiddenColumns};
pub use dependencies::{Dependencies, ForeignKey};
pub use heading::{Attribute, Heading, Source};
pub use lode::Lode;
