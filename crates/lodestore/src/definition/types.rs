//! Column types: core, native, codec (spec: definition §3), and the comment marker that records them (§5, §8).

use std::fmt;

use super::fault::{Fault, Read};
use super::scan::{find_outside_quotes, quote_sql, split_list, trimmed, unquote_sql};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// A type as written in a definition, in normal spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// One of the core types.
    Core(CoreType),
    /// Passed through to the database.
    Native(NativeType),
    /// `<name>`, `<name@>`, `<name@store>`.
    Codec(CodecSpec),
}

/// The core types (spec: definition §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CoreType {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Bool,
    Decimal {
        precision: u32,
        scale: u32,
    },
    Char(u32),
    Varchar(u32),
    Enum(Vec<String>),
    Date,
    /// With the number of fractional digits, if written.
    DateTime(Option<u8>),
    Json,
    Uuid,
    Bytes,
}

/// A native type: its text and what it is (spec: definition §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NativeType {
    /// As written, lower-cased, single blanks.
    pub text: String,
    /// What it is.
    pub kind: NativeKind,
}

/// Families of native types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum NativeKind {
    /// Bounds of the MySQL namesake; `serial` too.
    Int {
        min: i64,
        max: i64,
        auto_increment: bool,
    },
    /// `bigint unsigned`.
    UnsignedBig {
        auto_increment: bool,
    },
    Float,
    Decimal {
        precision: u32,
        scale: u32,
        unsigned: bool,
    },
    Text {
        max_chars: Option<u32>,
    },
    Blob,
    Time,
    Timestamp,
    Year,
}

/// `<name>`, `<name@>`, `<name@store>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CodecSpec {
    /// Codec name.
    pub name: String,
    /// None without `@`; `""` for a bare `@`.
    pub store: Option<String>,
}

/// What a type finally is in the database, after codecs: the core or native type at the end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// A core type.
    Core(CoreType),
    /// A native type.
    Native(NativeType),
}

/// A column comment taken apart: `:<type>:<comment>` (spec: definition §5, §8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The type text between the colons; none for a native column without marker.
    pub type_text: Option<String>,
    /// The comment proper.
    pub comment: String,
}

impl Type {
    /// Reads a type in any spelling. Error kind `Definition`, with a "did you mean".
    pub fn parse(text: &str) -> Result<Type> {
        parse_type(text.trim()).map_err(Fault::into_plain)
    }

    /// The storage type, unless a codec decides it.
    pub fn storage(&self) -> Option<StorageType> {
        match self {
            Type::Core(core) => Some(StorageType::Core(core.clone())),
            Type::Native(native) => Some(StorageType::Native(native.clone())),
            Type::Codec(_) => None,
        }
    }
}

impl StorageType {
    /// Reads a core or native type. Error kind `Definition`.
    pub fn parse(text: &str) -> Result<StorageType> {
        Type::parse(text)?.storage().ok_or_else(|| {
            Error::new(
                ErrorKind::Definition,
                format!("`{text}` is a codec, where a core or native type is expected"),
            )
        })
    }
}

impl CodecSpec {
    /// Reads `<name@store>`, with or without the angle brackets. Error kind `Definition`.
    pub fn parse(text: &str) -> Result<CodecSpec> {
        let text = text.trim();
        let inner = text
            .strip_prefix('<')
            .and_then(|t| t.strip_suffix('>'))
            .unwrap_or(text);
        parse_codec(inner).map_err(Fault::into_plain)
    }
}

impl From<StorageType> for Type {
    fn from(storage: StorageType) -> Type {
        match storage {
            StorageType::Core(core) => Type::Core(core),
            StorageType::Native(native) => Type::Native(native),
        }
    }
}

impl Marker {
    /// Takes a stored column comment apart. A marker is `:` + a type without colons outside quotes + `:`; anything
    /// else is all comment.
    pub fn parse(comment: &str) -> Marker {
        let plain = || Marker {
            type_text: None,
            comment: comment.to_owned(),
        };
        let Some(rest) = comment.strip_prefix(':') else {
            return plain();
        };
        // A quote opened in the marker may close only in the comment; then the first colon decides, as it does for
        // readers that know nothing of quotes.
        let end = find_outside_quotes(rest, |c| c == ':')
            .filter(|end| Type::parse(&rest[..*end]).is_ok())
            .or_else(|| rest.find(':'));
        match end {
            Some(end) if end > 0 => Marker {
                type_text: Some(rest[..end].to_owned()),
                comment: rest[end + 1..].to_owned(),
            },
            _ => plain(),
        }
    }

    /// The stored comment of a column: `:<type>:<comment>`.
    pub fn compose(type_: &Type, comment: &str) -> String {
        format!(":{type_}:{comment}")
    }

    /// The marker's type, if there is one that can be read.
    pub fn type_(&self) -> Option<Type> {
        self.type_text
            .as_deref()
            .and_then(|text| Type::parse(text).ok())
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Core(core) => core.fmt(f),
            Type::Native(native) => native.fmt(f),
            Type::Codec(codec) => codec.fmt(f),
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageType::Core(core) => core.fmt(f),
            StorageType::Native(native) => native.fmt(f),
        }
    }
}

impl fmt::Display for CoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoreType::Int8 => f.write_str("int8"),
            CoreType::Int16 => f.write_str("int16"),
            CoreType::Int32 => f.write_str("int32"),
            CoreType::Int64 => f.write_str("int64"),
            CoreType::Float32 => f.write_str("float32"),
            CoreType::Float64 => f.write_str("float64"),
            CoreType::Bool => f.write_str("bool"),
            CoreType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            CoreType::Char(n) => write!(f, "char({n})"),
            CoreType::Varchar(n) => write!(f, "varchar({n})"),
            CoreType::Enum(values) => {
                let values: Vec<String> = values.iter().map(|v| quote_sql(v)).collect();
                write!(f, "enum({})", values.join(","))
            }
            CoreType::Date => f.write_str("date"),
            CoreType::DateTime(None) => f.write_str("datetime"),
            CoreType::DateTime(Some(n)) => write!(f, "datetime({n})"),
            CoreType::Json => f.write_str("json"),
            CoreType::Uuid => f.write_str("uuid"),
            CoreType::Bytes => f.write_str("bytes"),
        }
    }
}

impl fmt::Display for NativeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for CodecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.store {
            Some(store) => write!(f, "<{}@{store}>", self.name),
            None => write!(f, "<{}>", self.name),
        }
    }
}

/// All keywords that begin a type, for "did you mean".
const KEYWORDS: [&str; 38] = [
    "int8",
    "int16",
    "int32",
    "int64",
    "float32",
    "float64",
    "bool",
    "decimal",
    "char",
    "varchar",
    "enum",
    "date",
    "datetime",
    "json",
    "uuid",
    "bytes",
    "tinyint",
    "smallint",
    "mediumint",
    "int",
    "bigint",
    "integer",
    "serial",
    "numeric",
    "dec",
    "fixed",
    "float",
    "double",
    "real",
    "time",
    "timestamp",
    "year",
    "blob",
    "tinyblob",
    "mediumblob",
    "longblob",
    "text",
    "longtext",
];

/// The names of the built-in codecs, to recognise a codec written without its brackets.
const CODECS: [&str; 6] = ["blob", "npy", "attach", "object", "hash", "filepath"];

/// Reads a type; places are relative to `text`, which is trimmed and not empty.
pub(super) fn parse_type(text: &str) -> Read<Type> {
    if let Some(rest) = text.strip_prefix('<') {
        let Some(close) = rest.find('>') else {
            return Err(Fault::at(
                0,
                text.len(),
                format!("the codec `{text}` has no closing `>`"),
            ));
        };
        let (after, tail) = trimmed(text, close + 2, text.len());
        if !tail.is_empty() {
            return Err(Fault::at(
                after,
                text.len(),
                format!("unexpected `{tail}` after the codec"),
            )
            .hint("Only a comment, beginning with `#`, may follow.".to_owned()));
        }
        return parse_codec(&rest[..close])
            .map(Type::Codec)
            .map_err(|f| f.shift(1));
    }
    Words::new(text)?.read()
}

/// Reads what stands between `<` and `>`.
fn parse_codec(inner: &str) -> Read<CodecSpec> {
    let (name, store) = match inner.split_once('@') {
        Some((name, store)) => (name.trim(), Some(store.trim())),
        None => (inner.trim(), None),
    };
    if name.is_empty() {
        return Err(Fault::at(0, inner.len(), "the codec has no name").hint(
            "A codec is written `<blob>`, `<npy@>` (default store) or `<npy@store>`.".to_owned(),
        ));
    }
    for (what, part) in [("codec", name), ("store", store.unwrap_or(""))] {
        if let Some(c) = part
            .chars()
            .find(|c| c.is_whitespace() || matches!(c, '<' | ':' | '"' | '\'' | '#' | '@'))
        {
            return Err(Fault::at(
                0,
                inner.len(),
                format!("the {what} name `{part}` contains {c:?}"),
            ));
        }
    }
    if inner.ends_with('-') {
        // `->` would make the line a foreign key.
        return Err(Fault::at(
            0,
            inner.len(),
            format!("`{inner}` ends with `-`"),
        ));
    }
    Ok(CodecSpec {
        name: name.to_owned(),
        store: store.map(str::to_owned),
    })
}

/// A type taken apart: `keyword (arguments) modifiers`.
struct Words<'a> {
    text: &'a str,
    /// Lower-cased.
    keyword: String,
    /// Where the arguments stand, and they.
    args: Option<(usize, &'a str)>,
    /// Where the rest stands, and its words, lower-cased.
    rest_at: usize,
    rest: Vec<String>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Read<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        let keyword = text[..end].to_ascii_lowercase();
        if !keyword.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Fault::at(0, text.len(), format!("`{text}` is not a type")));
        }
        let (mut at, after) = trimmed(text, end, text.len());
        let mut args = None;
        if after.starts_with('(') {
            let mut depth = 0_usize;
            let close = find_outside_quotes(after, |c| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let Some(close) = close else {
                return Err(Fault::at(
                    at,
                    text.len(),
                    format!("`{text}` has no closing parenthesis"),
                ));
            };
            args = Some((at + 1, &after[1..close]));
            at = trimmed(text, at + close + 1, text.len()).0;
        }
        let rest = text[at..]
            .split_whitespace()
            .map(str::to_ascii_lowercase)
            .collect();
        Ok(Words {
            text,
            keyword,
            args,
            rest_at: at,
            rest,
        })
    }

    fn read(self) -> Read<Type> {
        if let Some(core) = self.core()? {
            return Ok(Type::Core(core));
        }
        if let Some(kind) = self.native()? {
            let mut text = self.keyword.clone();
            if let Some((_, args)) = self.args {
                let args: Vec<&str> = split_list(args).into_iter().map(|(_, a)| a).collect();
                text = format!("{text}({})", args.join(","));
            }
            for word in &self.rest {
                text = format!("{text} {word}");
            }
            return Ok(Type::Native(NativeType { text, kind }));
        }
        let keyword = self.keyword.as_str();
        let hint = match keyword {
            "uint8" | "uint16" | "uint32" | "uint64" => {
                Some("There are no unsigned types; take the next larger signed one.".to_owned())
            }
            "string" | "str" => Some("Write `varchar(n)` with the greatest length n.".to_owned()),
            "boolean" => Some("Did you mean `bool`?".to_owned()),
            "bytea" | "binary" | "varbinary" => Some("Did you mean `bytes`?".to_owned()),
            "set" => Some("There are no sets: use a part table, or `json`.".to_owned()),
            "timestamptz" => Some("Write `datetime` (UTC).".to_owned()),
            "float16" => Some("Did you mean `float32`?".to_owned()),
            codec if CODECS.contains(&codec) => {
                Some(format!("Codecs stand in angle brackets: `<{codec}@>`."))
            }
            other => did_you_mean(other, KEYWORDS),
        };
        Err(Fault::at(0, self.text.len(), format!("unknown type `{}`", self.text)).hint(hint))
    }

    /// The core type, if the keyword and the arguments are those of one.
    fn core(&self) -> Read<Option<CoreType>> {
        let plain =
            match self.keyword.as_str() {
                "int8" => CoreType::Int8,
                "int16" => CoreType::Int16,
                "int32" => CoreType::Int32,
                "int64" => CoreType::Int64,
                "float32" => CoreType::Float32,
                "float64" => CoreType::Float64,
                "bool" => CoreType::Bool,
                "date" => CoreType::Date,
                "json" => CoreType::Json,
                "uuid" => CoreType::Uuid,
                "bytes" => CoreType::Bytes,
                "datetime" => {
                    let digits = match &self.numbers(0..=1)?[..] {
                        [] => None,
                        [digits @ 0..=6] => Some(*digits as u8),
                        _ => {
                            return Err(self
                                .bad_args("datetime has 0 to 6 fractional digits", "datetime(3)"));
                        }
                    };
                    self.no_modifiers()?;
                    return Ok(Some(CoreType::DateTime(digits)));
                }
                "char" | "varchar" => {
                    let example = if self.keyword == "char" {
                        "char(8)"
                    } else {
                        "varchar(64)"
                    };
                    let n = match &self.numbers(0..=1)?[..] {
                        [n] if *n > 0 => *n,
                        [_] => return Err(self.bad_args("the length is at least 1", example)),
                        _ => {
                            return Err(self
                                .bad_args(&format!("`{}` needs a length", self.keyword), example));
                        }
                    };
                    self.no_modifiers()?;
                    return Ok(Some(if self.keyword == "char" {
                        CoreType::Char(n)
                    } else {
                        CoreType::Varchar(n)
                    }));
                }
                // `decimal` with one argument, none or modifiers is a native type.
                "decimal" if self.rest.is_empty() => {
                    return match &self.numbers(0..=2)?[..] {
                        [precision, scale] if *precision > 0 && scale <= precision => {
                            Ok(Some(CoreType::Decimal {
                                precision: *precision,
                                scale: *scale,
                            }))
                        }
                        [_, _] => Err(self.bad_args(
                            "the first number counts all digits, the second those after the point",
                            "decimal(10,2)",
                        )),
                        _ => Ok(None),
                    };
                }
                "enum" => {
                    let values = self.enum_values()?;
                    self.no_modifiers()?;
                    return Ok(Some(CoreType::Enum(values)));
                }
                _ => return Ok(None),
            };
        if self.args.is_some() {
            return Err(Fault::at(
                0,
                self.text.len(),
                format!("`{plain}` takes no arguments"),
            ));
        }
        self.no_modifiers()?;
        Ok(Some(plain))
    }

    fn enum_values(&self) -> Read<Vec<String>> {
        let example = "enum('left','right')";
        let Some((at, args)) = self.args.filter(|(_, a)| !a.trim().is_empty()) else {
            return Err(self.bad_args("`enum` needs its values", example));
        };
        let mut values: Vec<String> = Vec::new();
        for (offset, piece) in split_list(args) {
            let place =
                |message: String| Fault::at(at + offset, at + offset + piece.len().max(1), message);
            let value = match unquote_sql(piece) {
                Some(value) => value,
                // Bare words run on PostgreSQL in the reference.
                None if !piece.is_empty()
                    && piece
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_-+.".contains(&b)) =>
                {
                    piece.to_owned()
                }
                None => {
                    return Err(place(format!("`{piece}` is not a quoted value"))
                        .hint(format!("Write `{example}`.")));
                }
            };
            if values.contains(&value) {
                return Err(place(format!("the value `{value}` is there twice")));
            }
            values.push(value);
        }
        Ok(values)
    }

    /// The native kind, if the keyword is that of one.
    fn native(&self) -> Read<Option<NativeKind>> {
        let keyword = self.keyword.as_str();
        let kind = match keyword {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => {
                self.numbers(0..=1)?;
                let (unsigned, auto_increment) = match self.modifiers().as_slice() {
                    [] => (false, false),
                    ["unsigned"] => (true, false),
                    ["auto_increment"] => (false, true),
                    ["unsigned", "auto_increment"] => (true, true),
                    _ => return Err(self.bad_modifiers()),
                };
                let bits = match keyword {
                    "tinyint" => 8,
                    "smallint" => 16,
                    "mediumint" => 24,
                    "bigint" => 64,
                    _ => 32,
                };
                return Ok(Some(match (bits, unsigned) {
                    (64, true) => NativeKind::UnsignedBig { auto_increment },
                    (64, false) => NativeKind::Int {
                        min: i64::MIN,
                        max: i64::MAX,
                        auto_increment,
                    },
                    (bits, true) => NativeKind::Int {
                        min: 0,
                        max: (1 << bits) - 1,
                        auto_increment,
                    },
                    (bits, false) => {
                        let half = 1_i64 << (bits - 1);
                        NativeKind::Int {
                            min: -half,
                            max: half - 1,
                            auto_increment,
                        }
                    }
                }));
            }
            "decimal" | "numeric" | "dec" | "fixed" => {
                let (precision, scale) = match &self.numbers(0..=2)?[..] {
                    [] => (10, 0),
                    [precision] => (*precision, 0),
                    [precision, scale, ..] => (*precision, *scale),
                };
                let unsigned = match self.modifiers().as_slice() {
                    [] => false,
                    ["unsigned"] | ["zerofill"] | ["unsigned", "zerofill"] => true,
                    _ => return Err(self.bad_modifiers()),
                };
                return Ok(Some(NativeKind::Decimal {
                    precision,
                    scale,
                    unsigned,
                }));
            }
            "float" | "double" | "real" => {
                self.numbers(0..=2)?;
                return match self.modifiers().as_slice() {
                    [] | ["unsigned"] => Ok(Some(NativeKind::Float)),
                    ["precision"] => Err(self.bad_modifiers().hint("Write `float64`.".to_owned())),
                    _ => Err(self.bad_modifiers()),
                };
            }
            "time" | "timestamp" | "year" => {
                self.numbers(0..=1)?;
                match keyword {
                    "time" => NativeKind::Time,
                    "timestamp" => NativeKind::Timestamp,
                    _ => NativeKind::Year,
                }
            }
            "serial" => NativeKind::Int {
                min: 0,
                max: i64::MAX,
                auto_increment: true,
            },
            "blob" | "tinyblob" | "smallblob" | "mediumblob" | "longblob" => NativeKind::Blob,
            "tinytext" => NativeKind::Text {
                max_chars: Some(255),
            },
            "text" | "smalltext" => NativeKind::Text {
                max_chars: Some(65_535),
            },
            "mediumtext" => NativeKind::Text {
                max_chars: Some(16_777_215),
            },
            "longtext" => NativeKind::Text { max_chars: None },
            _ => return Ok(None),
        };
        if self.args.is_some() && !matches!(keyword, "time" | "timestamp" | "year") {
            return Err(Fault::at(
                0,
                self.text.len(),
                format!("`{keyword}` takes no arguments"),
            ));
        }
        self.no_modifiers()?;
        Ok(Some(kind))
    }

    fn modifiers(&self) -> Vec<&str> {
        self.rest.iter().map(String::as_str).collect()
    }

    fn no_modifiers(&self) -> Read<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.bad_modifiers())
        }
    }

    fn bad_modifiers(&self) -> Fault {
        let rest = self.rest.join(" ");
        let hint = match self.rest.first().map(String::as_str) {
            Some("not" | "null") => Some(
                "Attributes are required unless their default is null: `name = null : type`."
                    .to_owned(),
            ),
            Some("default") => {
                Some("A default stands before the colon: `name = value : type`.".to_owned())
            }
            Some("unsigned") => {
                Some("There are no unsigned core types; take the next larger one.".to_owned())
            }
            Some(word) if word.starts_with("--") || word.starts_with("//") => {
                Some("A comment begins with `#`.".to_owned())
            }
            _ => None,
        };
        Fault::at(
            self.rest_at,
            self.text.len(),
            format!("unexpected `{rest}` after the type"),
        )
        .hint(hint)
    }

    fn bad_args(&self, why: &str, example: &str) -> Fault {
        Fault::at(
            0,
            self.text.len(),
            format!("bad type `{}`: {why}", self.text),
        )
        .hint(format!("For example `{example}`."))
    }

    /// The arguments as whole numbers, so many as `count` allows.
    fn numbers(&self, count: std::ops::RangeInclusive<usize>) -> Read<Vec<u32>> {
        let Some((at, args)) = self.args else {
            return Ok(Vec::new());
        };
        let pieces = split_list(args);
        if !count.contains(&pieces.len()) {
            return Err(Fault::at(
                at,
                at + args.len(),
                format!(
                    "`{}` takes {} number{}",
                    self.keyword,
                    count.end(),
                    if *count.end() == 1 { "" } else { "s" }
                ),
            ));
        }
        pieces
            .into_iter()
            .map(|(offset, piece)| {
                let digits = !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit());
                piece.parse().ok().filter(|_| digits).ok_or_else(|| {
                    let place = at + offset;
                    Fault::at(
                        place,
                        place + piece.len().max(1),
                        format!("`{piece}` is not a whole number"),
                    )
                })
            })
            .collect()
    }
}

impl CoreType {
    /// True for integers, floats, decimals and truth values.
    pub fn is_numeric(&self) -> bool {
        matches!(
            self,
            CoreType::Int8
                | CoreType::Int16
                | CoreType::Int32
                | CoreType::Int64
                | CoreType::Float32
                | CoreType::Float64
                | CoreType::Bool
                | CoreType::Decimal { .. }
        )
    }
}

impl NativeKind {
    /// True for integers, floats and decimals.
    pub fn is_numeric(&self) -> bool {
        matches!(
            self,
            NativeKind::Int { .. }
                | NativeKind::UnsignedBig { .. }
                | NativeKind::Float
                | NativeKind::Decimal { .. }
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn spelled(text: &str) -> String {
        Type::parse(text)
            .unwrap_or_else(|e| panic!("{text}: {e}"))
            .to_string()
    }

    fn refused(text: &str) -> String {
        Type::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn types_are_kept_in_normal_spelling() {
        for (written, normal) in [
            ("int32", "int32"),
            ("INT32", "int32"),
            ("DATETIME(3)", "datetime(3)"),
            ("datetime (3)", "datetime(3)"),
            ("datetime", "datetime"),
            ("decimal(10, 2)", "decimal(10,2)"),
            ("Decimal (10,2)", "decimal(10,2)"),
            ("varchar (30)", "varchar(30)"),
            ("ENUM( 'M' , \"F\")", "enum('M','F')"),
            ("enum(a,b-1)", "enum('a','b-1')"),
            (
                "enum('it''s', 'a,b', ':', '#')",
                "enum(\"it's\",'a,b',':','#')",
            ),
            ("<blob>", "<blob>"),
            ("< npy @ raw >", "<npy@raw>"),
            ("<object@>", "<object@>"),
            (
                "int  UNSIGNED  auto_increment",
                "int unsigned auto_increment",
            ),
            ("int(11)", "int(11)"),
            ("decimal", "decimal"),
            ("decimal(9)", "decimal(9)"),
            ("decimal(9,2) unsigned", "decimal(9,2) unsigned"),
            ("numeric(9, 2)", "numeric(9,2)"),
            ("LONGTEXT", "longtext"),
            ("time (3)", "time(3)"),
        ] {
            assert_eq!(spelled(written), normal, "{written}");
            assert_eq!(spelled(normal), normal, "{normal}");
        }
    }

    #[test]
    fn core_types_are_not_native_types() {
        for core in [
            "decimal(9,2)",
            "char(3)",
            "bool",
            "json",
            "datetime(6)",
            "enum('a')",
        ] {
            assert!(
                matches!(Type::parse(core).unwrap(), Type::Core(_)),
                "{core}"
            );
        }
        for native in [
            "decimal",
            "decimal(9)",
            "int",
            "float",
            "text",
            "timestamp",
            "serial",
            "blob",
        ] {
            assert!(
                matches!(Type::parse(native).unwrap(), Type::Native(_)),
                "{native}"
            );
        }
    }

    #[test]
    fn native_integers_have_the_bounds_of_their_namesake() {
        let bounds = |text: &str| match Type::parse(text).unwrap() {
            Type::Native(NativeType {
                kind:
                    NativeKind::Int {
                        min,
                        max,
                        auto_increment,
                    },
                ..
            }) => (min, max, auto_increment),
            other => panic!("{other:?}"),
        };
        assert_eq!(bounds("tinyint"), (-128, 127, false));
        assert_eq!(bounds("smallint unsigned"), (0, 65_535, false));
        assert_eq!(bounds("mediumint"), (-8_388_608, 8_388_607, false));
        assert_eq!(
            bounds("int unsigned auto_increment"),
            (0, 4_294_967_295, true)
        );
        assert_eq!(bounds("bigint"), (i64::MIN, i64::MAX, false));
        assert_eq!(bounds("serial"), (0, i64::MAX, true));
        assert_eq!(
            Type::parse("bigint unsigned").unwrap(),
            Type::Native(NativeType {
                text: "bigint unsigned".into(),
                kind: NativeKind::UnsignedBig {
                    auto_increment: false
                }
            })
        );
    }

    #[test]
    fn wrong_types_are_refused_with_advice() {
        for (text, message) in [
            (
                "varchr(10)",
                "unknown type `varchr(10)`\nDid you mean `varchar`?",
            ),
            (
                "uint8",
                "unknown type `uint8`\nThere are no unsigned types; take the next larger signed one.",
            ),
            (
                "string",
                "unknown type `string`\nWrite `varchar(n)` with the greatest length n.",
            ),
            (
                "npy",
                "unknown type `npy`\nCodecs stand in angle brackets: `<npy@>`.",
            ),
            ("jsonb", "unknown type `jsonb`\nDid you mean `json`?"),
            ("int24", "unknown type `int24`\nDid you mean `int64`?"),
            (
                "set('a')",
                "unknown type `set('a')`\nThere are no sets: use a part table, or `json`.",
            ),
            (
                "varchar",
                "bad type `varchar`: `varchar` needs a length\nFor example `varchar(64)`.",
            ),
            (
                "char(0)",
                "bad type `char(0)`: the length is at least 1\nFor example `char(8)`.",
            ),
            ("varchar(x)", "`x` is not a whole number"),
            ("varchar(-1)", "`-1` is not a whole number"),
            (
                "varchar(99999999999)",
                "`99999999999` is not a whole number",
            ),
            ("varchar(1,2)", "`varchar` takes 1 number"),
            ("varchar(10", "`varchar(10` has no closing parenthesis"),
            (
                "datetime(7)",
                "bad type `datetime(7)`: datetime has 0 to 6 fractional digits\nFor example `datetime(3)`.",
            ),
            (
                "decimal(2,10)",
                "bad type `decimal(2,10)`: the first number counts all digits, the second those after the point\n\
                 For example `decimal(10,2)`.",
            ),
            ("decimal(1,2,3)", "`decimal` takes 2 numbers"),
            (
                "enum",
                "bad type `enum`: `enum` needs its values\nFor example `enum('left','right')`.",
            ),
            ("enum('a','a')", "the value `a` is there twice"),
            (
                "enum('a' 'b')",
                "`'a' 'b'` is not a quoted value\nWrite `enum('left','right')`.",
            ),
            (
                "enum('a',)",
                "`` is not a quoted value\nWrite `enum('left','right')`.",
            ),
            (
                "int32 not null",
                "unexpected `not null` after the type\n\
                 Attributes are required unless their default is null: `name = null : type`.",
            ),
            (
                "int32 unsigned",
                "unexpected `unsigned` after the type\nThere are no unsigned core types; take the next larger one.",
            ),
            (
                "int auto_increment unsigned",
                "unexpected `auto_increment unsigned` after the type",
            ),
            (
                "double precision",
                "unexpected `precision` after the type\nWrite `float64`.",
            ),
            ("int32(4)", "`int32` takes no arguments"),
            (
                "<>",
                "the codec has no name\nA codec is written `<blob>`, `<npy@>` (default store) or `<npy@store>`.",
            ),
            ("<blob", "the codec `<blob` has no closing `>`"),
            (
                "<blob> x",
                "unexpected `x` after the codec\nOnly a comment, beginning with `#`, may follow.",
            ),
            ("<blob@a b>", "the store name `a b` contains ' '"),
            ("(3)", "`(3)` is not a type"),
            ("", "`` is not a type"),
        ] {
            assert_eq!(refused(text), message, "{text}");
        }
    }

    #[test]
    fn markers_are_read_with_quotes_respected() {
        for (comment, type_text, rest) in [
            (":int32:unique id", Some("int32"), "unique id"),
            (":<object@cold>:zarr", Some("<object@cold>"), "zarr"),
            (":bool:", Some("bool"), ""),
            (
                ":enum('a:b','c'):with: colons",
                Some("enum('a:b','c')"),
                "with: colons",
            ),
            (":odd type:x", Some("odd type"), "x"),
            (":it's odd:x's", Some("it's odd"), "x's"),
            ("plain", None, "plain"),
            ("a:b:c", None, "a:b:c"),
            ("::x", None, "::x"),
            (":x", None, ":x"),
            ("", None, ""),
        ] {
            let marker = Marker::parse(comment);
            assert_eq!(
                (marker.type_text.as_deref(), marker.comment.as_str()),
                (type_text, rest),
                "{comment}"
            );
        }
    }

    /// Any type, well formed.
    pub(crate) fn any_type() -> impl Strategy<Value = Type> {
        let native = prop::sample::select(vec![
            "int",
            "int(11) unsigned",
            "bigint unsigned auto_increment",
            "serial",
            "decimal(9)",
            "numeric(9,2) zerofill",
            "float unsigned",
            "double",
            "time(3)",
            "timestamp",
            "year",
            "longblob",
            "tinytext",
            "text",
        ]);
        prop_oneof![
            prop::sample::select(vec![
                CoreType::Int8,
                CoreType::Int16,
                CoreType::Int32,
                CoreType::Int64,
                CoreType::Float32,
                CoreType::Float64,
                CoreType::Bool,
                CoreType::Date,
                CoreType::DateTime(None),
                CoreType::Json,
                CoreType::Uuid,
                CoreType::Bytes,
            ])
            .prop_map(Type::Core),
            (0..=6_u8).prop_map(|n| Type::Core(CoreType::DateTime(Some(n)))),
            (1..=60_u32, 0..=60_u32).prop_map(|(a, b)| {
                Type::Core(CoreType::Decimal {
                    precision: a.max(b),
                    scale: a.min(b),
                })
            }),
            (1..=9000_u32).prop_map(|n| Type::Core(CoreType::Varchar(n))),
            (1..=9000_u32).prop_map(|n| Type::Core(CoreType::Char(n))),
            prop::collection::hash_set("[^\\p{C}]{0,6}", 1..5)
                .prop_map(|values| Type::Core(CoreType::Enum(values.into_iter().collect()))),
            native.prop_map(|text| Type::parse(text).unwrap()),
            (
                "[a-z]{1,8}",
                prop::option::of("([a-z0-9_-]{0,7}[a-z0-9_])?")
            )
                .prop_map(|(name, store)| Type::Codec(CodecSpec { name, store })),
        ]
    }

    proptest! {
        #[test]
        fn a_printed_type_reads_back(type_ in any_type(), comment in "[^\\p{C}]{0,20}") {
            let text = type_.to_string();
            prop_assert_eq!(&Type::parse(&text).unwrap(), &type_, "{}", text);
            let marker = Marker::parse(&Marker::compose(&type_, &comment));
            prop_assert_eq!(marker.type_(), Some(type_));
            prop_assert_eq!(marker.comment, comment);
        }

        #[test]
        fn no_text_panics(text in ".*", typish in "[a-z<>@(),'\" 0-9:#]{0,30}") {
            let _ = (Type::parse(&text), Type::parse(&typish), Marker::parse(&text), Marker::parse(&typish));
            let _ = (CodecSpec::parse(&text), StorageType::parse(&typish));
        }
    }
}
