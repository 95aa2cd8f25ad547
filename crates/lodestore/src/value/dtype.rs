//! NumPy element types. Their spellings are in `dtype_text`.

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

impl ByteOrder {
    /// The order of this machine.
    pub const fn native() -> Self {
        if cfg!(target_endian = "big") {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        }
    }
}

impl TimeUnit {
    const SUFFIXES: [(TimeUnit, &'static str); 13] = [
        (TimeUnit::Year, "Y"),
        (TimeUnit::Month, "M"),
        (TimeUnit::Week, "W"),
        (TimeUnit::Day, "D"),
        (TimeUnit::Hour, "h"),
        (TimeUnit::Minute, "m"),
        (TimeUnit::Second, "s"),
        (TimeUnit::Millisecond, "ms"),
        (TimeUnit::Microsecond, "us"),
        (TimeUnit::Nanosecond, "ns"),
        (TimeUnit::Picosecond, "ps"),
        (TimeUnit::Femtosecond, "fs"),
        (TimeUnit::Attosecond, "as"),
    ];

    /// NumPy's abbreviation; none for the generic unit.
    pub fn suffix(self) -> Option<&'static str> {
        Self::SUFFIXES
            .iter()
            .find(|(unit, _)| *unit == self)
            .map(|(_, text)| *text)
    }

    /// The unit of an abbreviation.
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        Self::SUFFIXES
            .iter()
            .find(|(_, text)| *text == suffix)
            .map(|(unit, _)| *unit)
    }

    /// `Y` is 0, `as` is 12; the order of the blob format's classes (spec: codecs §2.1).
    pub fn index(self) -> Option<u32> {
        Self::SUFFIXES
            .iter()
            .position(|(unit, _)| *unit == self)
            .map(|i| i as u32)
    }

    /// The unit of an index.
    pub fn from_index(index: u32) -> Option<Self> {
        Self::SUFFIXES.get(index as usize).map(|(unit, _)| *unit)
    }
}

/// A Rust type that is the element of a NumPy array.
pub trait Element: Copy + Send + Sync + private::Sealed + 'static {
    /// Its element type, in this machine's byte order.
    fn dtype() -> DType;
    /// Reads one element from little-endian bytes; `bytes` has exactly the element's size.
    #[doc(hidden)]
    fn from_le(bytes: &[u8]) -> Self;
}

mod private {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($ty:ty => $kind:ident),* $(,)?) => {$(
        impl private::Sealed for $ty {}
        impl Element for $ty {
            fn dtype() -> DType {
                DType::number(Kind::$kind, size_of::<$ty>())
            }
            fn from_le(bytes: &[u8]) -> Self {
                let mut buffer = [0; size_of::<$ty>()];
                buffer.copy_from_slice(bytes);
                <$ty>::from_le_bytes(buffer)
            }
        }
    )*};
}

elements! {
    i8 => Int, i16 => Int, i32 => Int, i64 => Int, u8 => UInt, u16 => UInt, u32 => UInt, u64 => UInt,
    f32 => Float, f64 => Float,
}

impl private::Sealed for bool {}
impl Element for bool {
    fn dtype() -> DType {
        DType::number(Kind::Bool, 1)
    }
    fn from_le(bytes: &[u8]) -> Self {
        bytes != [0]
    }
}

impl Field {
    /// Size of the field in bytes, sub-array included.
    pub fn nbytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.itemsize
    }
}

impl DType {
    /// The element type of a Rust type.
    pub fn of<T: Element>() -> DType {
        T::dtype()
    }

    /// A number of a kind and size in this machine's byte order. Also for `bool`.
    pub fn number(kind: Kind, itemsize: usize) -> DType {
        let order = if itemsize == 1 {
            ByteOrder::None
        } else {
            ByteOrder::native()
        };
        DType {
            kind,
            itemsize,
            order,
        }
    }

    /// `O`.
    pub fn object() -> DType {
        DType {
            kind: Kind::Object,
            itemsize: 8,
            order: ByteOrder::None,
        }
    }

    /// `S`: `len` bytes.
    pub fn bytes(len: usize) -> DType {
        DType {
            kind: Kind::Bytes,
            itemsize: len,
            order: ByteOrder::None,
        }
    }

    /// `U`: `len` characters, little-endian.
    pub fn str(len: usize) -> DType {
        DType {
            kind: Kind::Str,
            itemsize: 4 * len,
            order: ByteOrder::Little,
        }
    }

    /// `V`: `len` bytes of raw memory.
    pub fn void(len: usize) -> DType {
        DType {
            kind: Kind::Void,
            itemsize: len,
            order: ByteOrder::None,
        }
    }

    /// `datetime64` of one unit, little-endian.
    pub fn datetime(unit: TimeUnit) -> DType {
        DType {
            kind: Kind::DateTime(unit, 1),
            itemsize: 8,
            order: ByteOrder::Little,
        }
    }

    /// A structured type of packed fields (name, type).
    pub fn packed(fields: impl IntoIterator<Item = (String, DType)>) -> DType {
        let mut itemsize = 0;
        let fields = fields
            .into_iter()
            .map(|(name, dtype)| {
                let offset = itemsize;
                itemsize += dtype.itemsize;
                Field {
                    name,
                    title: None,
                    dtype,
                    shape: Vec::new(),
                    offset,
                }
            })
            .collect();
        DType {
            kind: Kind::Struct {
                fields,
                aligned: false,
                record: false,
            },
            itemsize,
            order: ByteOrder::None,
        }
    }

    /// True if elements are references and cannot be raw memory, also inside a structure.
    pub fn has_objects(&self) -> bool {
        match &self.kind {
            Kind::Object => true,
            Kind::Struct { fields, .. } => fields.iter().any(|f| f.dtype.has_objects()),
            _ => false,
        }
    }

    /// Size of the unit whose bytes a change of byte order turns round: half of a complex number, one character of
    /// text, the whole of other numbers; none where order does not apply.
    pub fn swap_unit(&self) -> Option<usize> {
        match self.kind {
            _ if self.order == ByteOrder::None => None,
            Kind::Complex => Some(self.itemsize / 2),
            Kind::Str => Some(4),
            _ => Some(self.itemsize),
        }
    }

    /// The same type, little-endian. Structured types are left alone.
    pub fn little(&self) -> DType {
        let order = if self.order == ByteOrder::Big {
            ByteOrder::Little
        } else {
            self.order
        };
        DType {
            order,
            ..self.clone()
        }
    }
}
