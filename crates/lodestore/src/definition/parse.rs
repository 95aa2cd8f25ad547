//! Definition text → items (spec: definition §2). Purely syntactic; errors show the line and a caret.

use super::Type;
use crate::error::Result;

/// A parsed definition: the table comment and its lines in order.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDefinition {
    /// Table comment.
    pub comment: String,
    /// Attribute, foreign-key and index lines, in order.
    pub items: Vec<Item>,
}

/// Above or below `---`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Section {
    Primary,
    Secondary,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// One-based line number in the stripped text.
    pub line: usize,
    /// The line's text, for messages.
    pub text: String,
    /// Section it stands in.
    pub section: Section,
    /// What it is.
    pub kind: ItemKind,
}

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum ItemKind {
    Attribute(AttributeLine),
    ForeignKey(ForeignKeyLine),
    Index(IndexLine),
}

/// An attribute line.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeLine {
    /// Name.
    pub name: String,
    /// Default.
    pub default: Default,
    /// Type.
    pub type_: Type,
    /// Comment.
    pub comment: String,
}

/// The default of an attribute (spec: definition §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Default {
    /// None written: a value is required.
    Required,
    /// `null`: nullable.
    Null,
    /// `CURRENT_TIMESTAMP` with its parentheses, verbatim.
    CurrentTimestamp(String),
    /// A literal: the text between quotes, or the bare text.
    Literal(String),
}

/// A foreign-key line.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignKeyLine {
    /// `nullable`.
    pub nullable: bool,
    /// `unique`.
    pub unique: bool,
    /// The target text, as written after the options, without trailing comment.
    pub target_text: String,
    /// The target, if it follows the grammar; none if only the Python layer can evaluate it.
    pub target: Option<Target>,
}

/// `Name.Part.proj(new='old')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Dotted name.
    pub name: String,
    /// (new, old) renames.
    pub renames: Vec<(String, String)>,
}

/// An index line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexLine {
    /// `unique`.
    pub unique: bool,
    /// Terms as written: attribute names or expressions.
    pub terms: Vec<String>,
}

/// Parses a definition.
///
/// Errors are of kind [`crate::ErrorKind::Definition`]; the message holds the line and a caret under the column.
pub fn parse(_text: &str) -> Result<TableDefinition> {
    Err(crate::Error::unsupported("being written"))
}
