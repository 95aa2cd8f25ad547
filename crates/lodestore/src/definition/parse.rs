//! Definition text → items (spec: definition §2). Purely syntactic; errors show the line and a caret.

use super::check::truth;
use super::fault::{Fault, Read};
use super::scan::{find_outside, find_outside_quotes, split_list, trimmed, unquote_sql};
use super::target::{Target, read_target};
use super::types::parse_type;
use super::{CoreType, Type};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

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

impl Item {
    /// An error that concerns this line, with the line and a caret under what the message names.
    pub(crate) fn point(&self, error: Error) -> Error {
        // What foreign code raised goes out as it came.
        if matches!(error.kind(), ErrorKind::Foreign | ErrorKind::Interrupted) {
            return error;
        }
        let message = error.message();
        let quoted = message.split('`').skip(1).step_by(2);
        let codecs = message
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split('>').next());
        let found = |name: &str| {
            let at = self.text.find(name).filter(|_| !name.is_empty())?;
            Some((at, at + name.len()))
        };
        let (start, end) = quoted
            .chain(codecs)
            .find_map(found)
            .unwrap_or((0, self.text.len()));
        let kind = match error.kind() {
            ErrorKind::Invalid => ErrorKind::Definition,
            kind => kind,
        };
        let pointed = Fault::at(start, end, message).into_error(self.line, &self.text);
        error.reword(pointed.message()).with_kind(kind)
    }
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
    /// A literal: the text between quotes, or the bare text. `true` and `false` of a `bool` are `1` and `0`.
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
/// Whether names exist (tables, codecs, indexed attributes) and what codecs resolve to is asked later, in `schema/`.
pub fn parse(text: &str) -> Result<TableDefinition> {
    let mut definition = TableDefinition {
        comment: String::new(),
        items: Vec::new(),
    };
    let mut section = Section::Primary;
    for (index, line) in text.trim().split('\n').map(str::trim).enumerate() {
        let number = index + 1;
        let point = |fault: Fault| fault.into_error(number, line);
        if let Some((at, c)) = line
            .char_indices()
            .find(|(_, c)| c.is_control() && *c != '\t')
        {
            return Err(point(Fault::at(
                at,
                at + c.len_utf8(),
                format!("the line contains the control character {c:?}"),
            )));
        }
        if let Some(comment) = line.strip_prefix('#') {
            if index == 0 {
                definition.comment = table_comment(comment.trim()).map_err(point)?;
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        if line.starts_with("---") {
            section = Section::Secondary;
            continue;
        }
        let kind = item(line, section).map_err(point)?;
        definition.items.push(Item {
            line: number,
            text: line.to_owned(),
            section,
            kind,
        });
    }
    Ok(definition)
}

fn table_comment(comment: &str) -> Read<String> {
    if comment.starts_with(':') {
        return Err(
            Fault::at(1, 2, "the comment of a table may not begin with `:`")
                .hint("A leading colon marks types in stored comments.".to_owned()),
        );
    }
    Ok(comment.to_owned())
}

/// Reads a line that is not empty, a comment or a separator. The order of the tests is that of the specification.
fn item(line: &str, section: Section) -> Read<ItemKind> {
    if let Some(arrow) = line
        .find("->")
        .filter(|at| !line[..*at].contains(['"', '\'', '#']))
    {
        return foreign_key(line, arrow, section).map(ItemKind::ForeignKey);
    }
    if let Some(index) = index(line)? {
        return Ok(ItemKind::Index(index));
    }
    attribute(line, section).map(ItemKind::Attribute)
}

/// `-> [options] target`
fn foreign_key(line: &str, arrow: usize, section: Section) -> Read<ForeignKeyLine> {
    if arrow > 0 {
        return Err(Fault::at(
            0,
            arrow,
            format!("unexpected `{}` before `->`", line[..arrow].trim()),
        )
        .hint("A foreign key stands on a line of its own.".to_owned()));
    }
    let (mut nullable, mut unique) = (false, false);
    let (mut at, mut rest) = trimmed(line, 2, line.len());
    if let Some(inside) = rest.strip_prefix('[') {
        let Some(close) = inside.find(']') else {
            return Err(Fault::at(at, at + 1, "the options have no closing `]`")
                .hint("Options are written `-> [nullable, unique] Parent`.".to_owned()));
        };
        for (offset, option) in split_list(&inside[..close]) {
            let from = at + 1 + offset;
            let place = |message: String| Fault::at(from, from + option.len().max(1), message);
            match option.to_ascii_lowercase().as_str() {
                "nullable" if section == Section::Primary => {
                    return Err(place(
                        "a foreign key in the primary key cannot be nullable".to_owned(),
                    )
                    .hint("Move the line below `---`, or drop the option.".to_owned()));
                }
                "nullable" => nullable = true,
                "unique" => unique = true,
                "" => {
                    return Err(place("an option is missing".to_owned())
                        .hint("The options are `nullable` and `unique`.".to_owned()));
                }
                other => {
                    let hint = did_you_mean(other, ["nullable", "unique"]);
                    return Err(place(format!("unknown option `{option}`"))
                        .hint(hint)
                        .hint("The options are `nullable` and `unique`.".to_owned()));
                }
            }
        }
        (at, rest) = trimmed(line, at + 1 + close + 1, line.len());
    }
    let end = find_outside(rest, &['"', '\'', '`'], |c| c == '#').unwrap_or(rest.len());
    let target_text = rest[..end].trim();
    if target_text.is_empty() {
        return Err(Fault::at(
            at.min(line.len()),
            line.len().max(at + 1),
            "the foreign key names no table",
        )
        .hint("A foreign key is written `-> Parent`.".to_owned()));
    }
    let target = read_target(target_text).ok();
    Ok(ForeignKeyLine {
        nullable,
        unique,
        target_text: target_text.to_owned(),
        target,
    })
}

/// `[unique] index ( … )`, optionally followed by a comment; nothing if the line is not an index.
fn index(line: &str) -> Read<Option<IndexLine>> {
    let word = |from: usize| {
        let rest = &line[from..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        (rest[..end].to_ascii_lowercase(), from + end)
    };
    let skip = |from: usize| trimmed(line, from, line.len()).0;
    let (first, mut at) = word(0);
    let unique = first == "unique";
    if unique {
        let (second, end) = word(skip(at));
        if second != "index" {
            return Ok(None);
        }
        at = end;
    } else if first != "index" {
        return Ok(None);
    }
    let open = skip(at);
    if !line[open..].starts_with('(') {
        return Ok(None);
    }
    let mut depth = 0_usize;
    let close = find_outside_quotes(&line[open..], |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(close) = close.map(|c| open + c) else {
        return Err(Fault::at(
            open,
            open + 1,
            "the index has no closing parenthesis",
        ));
    };
    let (after, tail) = trimmed(line, close + 1, line.len());
    if !tail.is_empty() && !tail.starts_with('#') {
        return Err(Fault::at(
            after,
            line.len(),
            format!("unexpected `{tail}` after the index"),
        )
        .hint("Only a comment, beginning with `#`, may follow.".to_owned()));
    }
    let mut terms = Vec::new();
    for (offset, term) in split_list(&line[open + 1..close]) {
        if term.is_empty() {
            let from = open + 1 + offset;
            return Err(
                Fault::at(from, from + 1, "an attribute is missing in the index")
                    .hint("An index is written `index(a, b)` or `unique index(a)`.".to_owned()),
            );
        }
        terms.push(term.to_owned());
    }
    Ok(Some(IndexLine { unique, terms }))
}

/// `name [= default] : type [# comment]`
fn attribute(line: &str, section: Section) -> Read<AttributeLine> {
    let name_end = attribute_name(line)?;
    let name = line[..name_end].to_owned();
    let (after, rest) = trimmed(line, name_end, line.len());
    let (default_at, colon) = if let Some(text) = rest.strip_prefix('=') {
        let Some(colon) = find_outside_quotes(text, |c| c == ':') else {
            let hint = if text.contains(':') {
                "The only `:` stands inside quotes."
            } else {
                ""
            };
            return Err(Fault::at(
                line.len(),
                line.len() + 1,
                "the attribute has no `:` and type",
            )
            .hint((!hint.is_empty()).then(|| hint.to_owned()))
            .hint("An attribute is written `name = default : type  # comment`.".to_owned()));
        };
        (Some(after + 1), after + 1 + colon)
    } else {
        (None, after)
    };
    let (type_at, rest) = trimmed(line, colon + 1, line.len());
    let type_end = match rest.chars().next() {
        Some('<') => rest.find('>').map_or(rest.len(), |close| {
            // What follows `>` must be a comment; the type reader says so.
            close + find_outside_quotes(&rest[close..], |c| c == '#').unwrap_or(rest.len() - close)
        }),
        Some(c) if c.is_ascii_alphabetic() => {
            find_outside_quotes(rest, |c| c == '#').unwrap_or(rest.len())
        }
        _ => {
            let end = if rest.is_empty() || rest.starts_with('#') {
                type_at + 1
            } else {
                line.len()
            };
            return Err(
                Fault::at(type_at, end, format!("the attribute `{name}` has no type"))
                    .hint("An attribute is written `name : type  # comment`.".to_owned()),
            );
        }
    };
    let type_ = parse_type(rest[..type_end].trim_end()).map_err(|fault| fault.shift(type_at))?;
    let comment_at = type_at + type_end;
    let comment = comment(&line[comment_at..]).map_err(|fault| fault.shift(comment_at))?;
    let default = match default_at {
        Some(at) => {
            let (at, text) = trimmed(line, at, colon);
            default(text, &type_, section).map_err(|fault| fault.shift(at))?
        }
        None => Default::Required,
    };
    if section == Section::Primary
        && let Some(Err(error)) = type_.storage().map(|storage| storage.check_key())
    {
        let mut fault = Fault::at(
            type_at,
            type_at + rest[..type_end].trim_end().len(),
            error.message(),
        );
        fault.hint = error.hint_text().map(str::to_owned);
        return Err(fault);
    }
    Ok(AttributeLine {
        name,
        default,
        type_,
        comment,
    })
}

/// Where the attribute's name ends; an error unless `=` or `:` follows.
fn attribute_name(line: &str) -> Read<usize> {
    let shape = "An attribute is written `name : type  # comment`.";
    let end = line
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(line.len());
    let name = &line[..end];
    let fault = |message: String| Fault::at(0, end.max(1), message);
    if name.starts_with('_') {
        return Err(fault(format!(
            "`{name}` begins with an underscore; such names belong to the engine"
        )));
    }
    if line.starts_with("--") {
        return Err(Fault::at(0, 2, "two dashes")
            .hint("Three dashes, `---`, end the primary key.".to_owned()));
    }
    let (after, rest) = trimmed(line, end, line.len());
    let next = rest.chars().next();
    if name.is_empty() {
        return Err(Fault::at(0, 1, "expected the name of an attribute").hint(shape.to_owned()));
    }
    if !matches!(next, Some('=' | ':')) {
        let lower = name.to_ascii_lowercase();
        let hint = if lower == "index" || lower == "unique" {
            "An index is written `index(a, b)` or `unique index(a)`."
        } else {
            shape
        };
        let fault = match next {
            None | Some('#') => Fault::at(
                after,
                after + 1,
                format!("the attribute `{name}` has no `:` and type"),
            ),
            Some(c) => Fault::at(
                after,
                after + c.len_utf8(),
                format!("unexpected `{c}` after `{name}`; expected `:` or `=`"),
            ),
        };
        return Err(fault.hint(hint.to_owned()));
    }
    if name.starts_with(|c: char| c.is_numeric()) {
        return Err(fault(format!(
            "the attribute name `{name}` begins with a digit"
        )));
    }
    if let Some(c) = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_'))
    {
        let mut fault = fault(format!("the attribute name `{name}` contains `{c}`"));
        fault = if c.is_ascii_uppercase() {
            fault.hint(format!(
                "Attribute names are in lower case: `{}`.",
                snake(name)
            ))
        } else {
            fault.hint(
                "Attribute names have lower-case ASCII letters, digits and underscores.".to_owned(),
            )
        };
        return Err(fault);
    }
    Ok(end)
}

/// `SubjectId` → `subject_id`, for a hint.
fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut previous = '_';
    for c in name.chars() {
        if c.is_ascii_uppercase() && previous != '_' && !previous.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        previous = c;
    }
    out
}

/// The comment behind `#`, or nothing; trailing `#`s go.
fn comment(text: &str) -> Read<String> {
    let Some(comment) = text.strip_prefix('#') else {
        return Ok(String::new());
    };
    let lead = comment.len() - comment.trim_start().len();
    let comment = comment.trim().trim_end_matches('#').trim_end();
    if comment.starts_with(':') {
        return Err(
            Fault::at(1 + lead, 2 + lead, "a comment may not begin with `:`")
                .hint("A leading colon marks types in stored comments.".to_owned()),
        );
    }
    Ok(comment.to_owned())
}

/// Reads a default (spec: definition §2.1) and checks it against the type.
fn default(text: &str, type_: &Type, section: Section) -> Read<Default> {
    let fault = |message: String| Fault::at(0, text.len().max(1), message);
    if text.is_empty() {
        return Ok(Default::Required);
    }
    if text.eq_ignore_ascii_case("null") {
        if section == Section::Primary {
            return Err(
                fault("an attribute of the primary key cannot be null".to_owned())
                    .hint("Move the line below `---`, or drop the default.".to_owned()),
            );
        }
        return Ok(Default::Null);
    }
    let default = match text.split_once('(') {
        Some((word, digits)) if word.trim_end().eq_ignore_ascii_case("current_timestamp") => {
            match digits.trim_end().strip_suffix(')').map(str::trim) {
                Some("" | "0" | "1" | "2" | "3" | "4" | "5" | "6") => {
                    Default::CurrentTimestamp(text.to_owned())
                }
                _ => {
                    return Err(fault(format!("cannot read `{text}`")).hint(
                        "Write `CURRENT_TIMESTAMP` or `CURRENT_TIMESTAMP(3)`, with 0 to 6 digits."
                            .to_owned(),
                    ));
                }
            }
        }
        None if text.eq_ignore_ascii_case("current_timestamp") => {
            Default::CurrentTimestamp(text.to_owned())
        }
        _ if text.starts_with('\'') => match unquote_sql(text) {
            Some(text) => Default::Literal(text),
            None => {
                return Err(fault(format!("`{text}` is not one quoted text"))
                    .hint("Double the quote inside: `'it''s'`, or use double quotes.".to_owned()));
            }
        },
        _ => match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(inner) => Default::Literal(inner.to_owned()),
            None => Default::Literal(text.to_owned()),
        },
    };
    if let Some(storage) = type_.storage()
        && let Err(error) = storage.check_default(&default)
    {
        let mut fault = fault(error.message().to_owned());
        fault.hint = error.hint_text().map(str::to_owned);
        return Err(fault);
    }
    Ok(match (default, type_) {
        (Default::Literal(text), Type::Core(CoreType::Bool)) => {
            Default::Literal(truth(&text).map_or(text, |t| if t { "1".into() } else { "0".into() }))
        }
        (default, _) => default,
    })
}
