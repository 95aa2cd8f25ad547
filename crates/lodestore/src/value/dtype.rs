//! NumPy element types.

/// Byte order of a fixed-size element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Little-endian (`<`).
    Little,
    /// Big-endian (`>`).
    Big,
    /// Does not apply (`|`).
    None,
}

/// Unit of `datetime64` and `timedelta64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TimeUnit {
    Generic,
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Picosecond,
    Femtosecond,
    Attosecond,
}

/// What the elements are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// Signed integer.
    Int,
    /// Unsigned integer.
    UInt,
    /// Float of 2, 4, 8 or 16 bytes.
    Float,
    /// Complex of 8, 16 or 32 bytes.
    Complex,
    /// `S`: bytes of fixed length.
    Bytes,
    /// `U`: text of fixed length, four bytes a character.
    Str,
    /// `V`: raw memory.
    Void,
    /// `datetime64` with unit and multiple.
    DateTime(TimeUnit, u32),
    /// `timedelta64` with unit and multiple.
    TimeDelta(TimeUnit, u32),
    /// `O`: any object.
    Object,
    /// Named fields.
    Struct {
        /// The fields, in order.
        fields: Vec<Field>,
        /// C-aligned layout.
        aligned: bool,
        /// The scalar type is `numpy.record`.
        record: bool,
    },
}

/// One field of a structured type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Title, if any.
    pub title: Option<String>,
    /// Element type.
    pub dtype: DType,
    /// Sub-array shape; empty for a plain field.
    pub shape: Vec<usize>,
    /// Offset in bytes.
    pub offset: usize,
}

/// A NumPy element type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DType {
    /// What the elements are.
    pub kind: Kind,
    /// Size of one element in bytes.
    pub itemsize: usize,
    /// Byte order.
    pub order: ByteOrder,
}
