//! Schemas and tables in a database: declaration, headings, lineage, dependencies, changes, drop.
//!
//! [`Lode`] is the open database with its stores, codecs and caches: the handle that everything above works through.

mod alter;
mod declare;
mod dependencies;
mod describe;
mod drop;
mod heading;
mod lineage;
mod lode;
mod reading;
mod snapshot;

pub use alter::Alteration;
pub use declare::{Declare, Declared, ForeignKeyTarget, HiddenColumns};
pub use dependencies::{Dependencies, ForeignKey};
pub use heading::{Attribute, Heading, Source};
pub use lode::Lode;
pub use reading::column_kind;
