//! Column types: core, native, codec (spec: definition §3).

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
    Decimal { precision: u32, scale: u32 },
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
    /// As written, lower-cased.
    pub text: String,
    /// What it is.
    pub kind: NativeKind,
}

/// Families of native types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum NativeKind {
    /// Bounds of the MySQL namesake.
    Int { min: i64, max: i64, auto_increment: bool },
    /// `bigint unsigned`.
    UnsignedBig { auto_increment: bool },
    Float,
    Decimal { precision: u32, scale: u32, unsigned: bool },
    Text { max_chars: Option<u32> },
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
