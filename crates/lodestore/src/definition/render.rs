//! Printing: the lines of `describe()` (spec: definition §7.3) and whole definitions in the same form.

use std::fmt;

use super::{Default, ForeignKeyLine, ItemKind, Section, TableDefinition, Type};

/// One line of `describe()`.
///
/// `schema::describe` decides which lines there are and in what order; here is how each looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescribeLine {
    /// `# table comment`
    Comment(String),
    /// `---`
    Separator,
    /// `name=default : type # comment`
    Attribute {
        /// Name.
        name: String,
        /// Default as text (`null`, `"x"`, `1.5`); none if a value is required.
        default: Option<String>,
        /// Type: that of the marker, else the database's.
        type_: String,
        /// Comment without marker.
        comment: String,
    },
    /// `-> [nullable, unique] Name.proj(new="old")`
    ForeignKey {
        /// Any column nullable.
        nullable: bool,
        /// Unique.
        unique: bool,
        /// Class name, or the quoted full name.
        target: String,
        /// Renamed pairs only: (new, old).
        renames: Vec<(String, String)>,
    },
    /// `INDEX (a, b)`
    Index {
        /// Unique.
        unique: bool,
        /// Columns or expressions.
        terms: Vec<String>,
    },
}

impl fmt::Display for DescribeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DescribeLine::Comment(comment) => write!(f, "# {comment}"),
            DescribeLine::Separator => f.write_str("---"),
            DescribeLine::Attribute {
                name,
                default,
                type_,
                comment,
            } => {
                let name = match default {
                    Some(default) => format!("{name}={default}"),
                    None => name.clone(),
                };
                write!(f, "{name:<20} : {type_:<28} ")?;
                if comment.is_empty() {
                    Ok(())
                } else {
                    write!(f, "# {comment}")
                }
            }
            DescribeLine::ForeignKey {
                nullable,
                unique,
                target,
                renames,
            } => {
                f.write_str("-> ")?;
                match (nullable, unique) {
                    (true, true) => f.write_str("[nullable, unique] ")?,
                    (true, false) => f.write_str("[nullable] ")?,
                    (false, true) => f.write_str("[unique] ")?,
                    (false, false) => {}
                }
                f.write_str(target)?;
                if !renames.is_empty() {
                    let pairs: Vec<String> = renames
                        .iter()
                        .map(|(new, old)| format!("{new}=\"{old}\""))
                        .collect();
                    write!(f, ".proj({})", pairs.join(","))?;
                }
                Ok(())
            }
            DescribeLine::Index { unique, terms } => {
                write!(
                    f,
                    "{}INDEX ({})",
                    if *unique { "UNIQUE " } else { "" },
                    terms.join(", ")
                )
            }
        }
    }
}

impl Default {
    /// The default as it is written in a definition of the given type; none if a value is required.
    pub fn to_text(&self, type_: &Type) -> Option<String> {
        match self {
            Default::Required => None,
            Default::Null => Some("null".to_owned()),
            Default::CurrentTimestamp(text) => Some(text.clone()),
            Default::Literal(text) if is_number(type_) && is_plain_number(text) => {
                Some(text.clone())
            }
            Default::Literal(text) if text.contains('"') => {
                Some(format!("'{}'", text.replace('\'', "''")))
            }
            Default::Literal(text) => Some(format!("\"{text}\"")),
        }
    }
}

fn is_number(type_: &Type) -> bool {
    match type_ {
        Type::Core(core) => core.is_numeric(),
        Type::Native(native) => native.kind.is_numeric(),
        Type::Codec(_) => false,
    }
}

fn is_plain_number(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
}

impl ForeignKeyLine {
    /// The line as `describe` prints it.
    fn describe(&self) -> DescribeLine {
        let (target, renames) = match &self.target {
            Some(target) => (target.spelled(), target.renames.clone()),
            None => (self.target_text.clone(), Vec::new()),
        };
        DescribeLine::ForeignKey {
            nullable: self.nullable,
            unique: self.unique,
            target,
            renames,
        }
    }
}

/// The definition in the form of `describe()`; reads back as the same definition.
impl fmt::Display for TableDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.comment.is_empty() {
            writeln!(f, "{}", DescribeLine::Comment(self.comment.clone()))?;
        }
        let mut section = Section::Primary;
        for item in &self.items {
            if item.section != section {
                section = item.section;
                writeln!(f, "{}", DescribeLine::Separator)?;
            }
            let line = match &item.kind {
                ItemKind::Attribute(a) => DescribeLine::Attribute {
                    name: a.name.clone(),
                    default: a.default.to_text(&a.type_),
                    type_: a.type_.to_string(),
                    comment: a.comment.clone(),
                },
                ItemKind::ForeignKey(key) => key.describe(),
                ItemKind::Index(index) => DescribeLine::Index {
                    unique: index.unique,
                    terms: index.terms.clone(),
                },
            };
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}
