//! How NumPy spells its element types: `str(dtype)`, `dtype.descr`, and a parser for both.
//!
//! Both come from untrusted places (a column's JSON, a `.npy` header), so they are read as literals, never evaluated,
//! and sizes are checked (spec: codecs §8, §11).

use super::literal::{self, Literal, repr};
use super::{ByteOrder, DType, Field, Kind, TimeUnit};
use crate::error::{Error, Result};

/// NumPy keeps the size of an element in 31 bits.
const MAX_ITEMSIZE: usize = i32::MAX as usize;

impl DType {
    /// Reads `str(dtype)` as NumPy prints it (`int64`, `>i4`, `datetime64[25s]`, `[('x', '<f8')]`, the dictionary of
    /// an aligned or padded structure, `(numpy.record, …)`), and the short codes of `descr`.
    pub fn parse_text(text: &str) -> Result<DType> {
        let trimmed = text.trim();
        if trimmed.starts_with(['[', '{', '(', '\'', '"']) {
            let literal = literal::parse(trimmed)?;
            // NumPy's text does not say whether lists within an aligned structure are aligned themselves. They are,
            // as NumPy would read it, unless that does not fit.
            return DType::from_literal(&literal, Some(false))
                .or_else(|error| DType::from_literal(&literal, None).map_err(|_| error));
        }
        from_name(trimmed).map_or_else(|| from_code(trimmed), Ok)
    }

    /// Reads the literal of a `.npy` header's `descr`: a quoted code, or a list of fields.
    pub fn parse_descr(text: &str) -> Result<DType> {
        DType::from_literal(&literal::parse(text)?, None)
    }

    /// `align`: whether lists of fields stand for C-aligned structures, which changes to yes within the dictionary of
    /// one; or (none) they never do.
    pub(super) fn from_literal(literal: &Literal, align: Option<bool>) -> Result<DType> {
        match member(literal, align)? {
            (dtype, shape) if shape.is_empty() => Ok(dtype),
            _ => Err(Error::invalid(
                "a sub-array is an element type only inside a structure",
            )),
        }
    }

    /// The code: `<i8`, `|S2`, `>M8[25s]`; `|V<size>` for a structure.
    pub fn code(&self) -> String {
        let order = match self.order {
            ByteOrder::Little => '<',
            ByteOrder::Big => '>',
            ByteOrder::None => '|',
        };
        format!("{order}{}", self.short())
    }

    fn short(&self) -> String {
        let size = self.itemsize;
        match &self.kind {
            Kind::Bool => "b1".into(),
            Kind::Int => format!("i{size}"),
            Kind::UInt => format!("u{size}"),
            Kind::Float => format!("f{size}"),
            Kind::Complex => format!("c{size}"),
            Kind::Bytes => format!("S{size}"),
            Kind::Str => format!("U{}", size / 4),
            Kind::Void | Kind::Struct { .. } => format!("V{size}"),
            Kind::DateTime(unit, multiple) => format!("M8{}", time_suffix(*unit, *multiple)),
            Kind::TimeDelta(unit, multiple) => format!("m8{}", time_suffix(*unit, *multiple)),
            Kind::Object => "O".into(),
        }
    }

    /// The literal of `dtype.descr` as `numpy.save` writes it: a quoted code, or a list of fields where padding shows
    /// as unnamed `|V` fields. An error for structures whose fields overlap or are out of order.
    pub fn descr(&self) -> Result<String> {
        let Kind::Struct { fields, .. } = &self.kind else {
            return Ok(repr(&self.code()));
        };
        let mut parts = Vec::new();
        let mut at = 0;
        for field in fields {
            if field.offset < at {
                return Err(Error::invalid(format!(
                    "the structured type cannot be written: its field {} overlaps another or is out of order",
                    field.name
                )));
            }
            if field.offset > at {
                parts.push(format!("('', '|V{}')", field.offset - at));
            }
            let shape = if field.shape.is_empty() {
                String::new()
            } else {
                format!(", {}", tuple(&field.shape))
            };
            parts.push(format!(
                "({}, {}{shape})",
                field_name(field),
                field.dtype.descr()?
            ));
            at = field.offset + field.nbytes();
        }
        if self.itemsize > at {
            parts.push(format!("('', '|V{}')", self.itemsize - at));
        }
        Ok(format!("[{}]", parts.join(", ")))
    }

    /// `str(dtype)` as NumPy prints it.
    pub fn text(&self) -> String {
        let bits = 8 * self.itemsize;
        match &self.kind {
            Kind::Struct { .. } => self.struct_text(true),
            Kind::Object => "object".into(),
            Kind::Bool => "bool".into(),
            Kind::Bytes | Kind::Str | Kind::Void => self.code(),
            _ if !matches!(self.order, ByteOrder::None) && self.order != ByteOrder::native() => {
                self.code()
            }
            Kind::Int => format!("int{bits}"),
            Kind::UInt => format!("uint{bits}"),
            Kind::Float => format!("float{bits}"),
            Kind::Complex => format!("complex{bits}"),
            Kind::DateTime(unit, multiple) => {
                format!("datetime64{}", time_suffix(*unit, *multiple))
            }
            Kind::TimeDelta(unit, multiple) => {
                format!("timedelta64{}", time_suffix(*unit, *multiple))
            }
        }
    }

    fn struct_text(&self, outermost: bool) -> String {
        let Kind::Struct {
            fields,
            aligned,
            record,
        } = &self.kind
        else {
            return self.member_text();
        };
        // Where each field lies if nothing is said: next to one another, or next but aligned.
        let natural = natural_layout(fields, *aligned);
        let packed = natural.1 == self.itemsize
            && fields
                .iter()
                .zip(&natural.0)
                .all(|(f, &offset)| f.offset == offset);
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        let text = if packed && !(outermost && *aligned) {
            list(
                fields
                    .iter()
                    .map(|f| {
                        let shape = if f.shape.is_empty() {
                            String::new()
                        } else {
                            format!(", {}", tuple(&f.shape))
                        };
                        format!("({}, {}{shape})", field_name(f), f.dtype.member_text())
                    })
                    .collect(),
            )
        } else {
            let names = list(fields.iter().map(|f| repr(&f.name)).collect());
            let formats = fields.iter().map(|f| match f.shape.is_empty() {
                true => f.dtype.member_text(),
                false => format!("({}, {})", f.dtype.member_text(), tuple(&f.shape)),
            });
            let formats = list(formats.collect());
            let offsets = list(fields.iter().map(|f| f.offset.to_string()).collect());
            let titles = if fields.iter().any(|f| f.title.is_some()) {
                let titles = fields
                    .iter()
                    .map(|f| f.title.as_deref().map_or("None".into(), repr));
                format!(", 'titles': {}", list(titles.collect()))
            } else {
                String::new()
            };
            let aligned = if outermost && *aligned {
                ", 'aligned': True"
            } else {
                ""
            };
            format!(
                "{{'names': {names}, 'formats': {formats}, 'offsets': {offsets}{titles}, 'itemsize': {}{aligned}}}",
                self.itemsize
            )
        };
        if *record {
            format!("(numpy.record, {text})")
        } else {
            text
        }
    }

    /// The multiple at which NumPy places such elements in an aligned structure.
    fn alignment(&self) -> usize {
        match &self.kind {
            Kind::Complex => self.itemsize / 2,
            Kind::Str => 4,
            Kind::Bytes | Kind::Void => 1,
            Kind::Struct {
                fields,
                aligned: true,
                ..
            } => fields
                .iter()
                .map(|f| f.dtype.alignment())
                .max()
                .unwrap_or(1),
            Kind::Struct { .. } => 1,
            _ => self.itemsize,
        }
        .max(1)
    }

    /// The type as a member of a structure's text: `'<f8'`, `'i1'`, `'?'`, or a nested structure.
    fn member_text(&self) -> String {
        match self.kind {
            Kind::Struct { .. } => self.struct_text(false),
            Kind::Bool => "'?'".into(),
            Kind::Bytes | Kind::Void if self.itemsize == 0 => format!("'{}'", &self.short()[..1]),
            Kind::Str if self.itemsize == 0 => format!("'{}'", self.code().trim_end_matches('0')),
            _ if self.order == ByteOrder::None => format!("'{}'", self.short()),
            _ => format!("'{}'", self.code()),
        }
    }
}

/// Offsets and size of a structure whose fields follow one another, at multiples of their alignment if `aligned`.
fn natural_layout(fields: &[Field], aligned: bool) -> (Vec<usize>, usize) {
    let place = |at: usize, alignment: usize| {
        if aligned {
            at.next_multiple_of(alignment)
        } else {
            at
        }
    };
    let mut at = 0;
    let offsets = fields
        .iter()
        .map(|f| {
            let offset = place(at, f.dtype.alignment());
            at = offset + f.nbytes();
            offset
        })
        .collect();
    let widest = fields.iter().map(|f| f.dtype.alignment()).max();
    (offsets, place(at, widest.unwrap_or(1)))
}

fn time_suffix(unit: TimeUnit, multiple: u32) -> String {
    match (unit.suffix(), multiple) {
        (None, _) => String::new(),
        (Some(unit), 1) => format!("[{unit}]"),
        (Some(unit), n) => format!("[{n}{unit}]"),
    }
}

fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!(
            "({})",
            shape
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

fn field_name(field: &Field) -> String {
    match &field.title {
        Some(title) => format!("({}, {})", repr(title), repr(&field.name)),
        None => repr(&field.name),
    }
}

fn unknown(text: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    Error::invalid(format!("{shown:?} is not an element type"))
}

/// Names that `str(dtype)` gives for native types.
fn from_name(name: &str) -> Option<DType> {
    match name {
        "bool" => return Some(DType::number(Kind::Bool, 1)),
        "object" => return Some(DType::object()),
        "str" => return Some(DType::str(0)),
        "bytes" => return Some(DType::bytes(0)),
        _ => {}
    }
    for (prefix, code) in [("datetime64", "M8"), ("timedelta64", "m8")] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return from_code(&format!("{code}{rest}")).ok();
        }
    }
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let bits: usize = name[digits..].parse().ok()?;
    let kind = match &name[..digits] {
        "int" => Kind::Int,
        "uint" => Kind::UInt,
        "float" => Kind::Float,
        "complex" => Kind::Complex,
        _ => return None,
    };
    (bits.is_multiple_of(8) && is_size_of(&kind, bits / 8)).then(|| DType::number(kind, bits / 8))
}

fn is_size_of(kind: &Kind, size: usize) -> bool {
    match kind {
        Kind::Bool => size == 1,
        Kind::Int | Kind::UInt => matches!(size, 1 | 2 | 4 | 8),
        Kind::Float => matches!(size, 2 | 4 | 8 | 12 | 16),
        Kind::Complex => matches!(size, 8 | 16 | 24 | 32),
        _ => false,
    }
}

/// Codes such as `<f8`, `i4`, `?`, `|S3`, `M8[25s]`.
fn from_code(code: &str) -> Result<DType> {
    let wrong = || unknown(code);
    let (order, rest) = match code.chars().next() {
        Some('<') => (ByteOrder::Little, &code[1..]),
        Some('>') => (ByteOrder::Big, &code[1..]),
        Some('|' | '=') => (ByteOrder::native(), &code[1..]),
        _ => (ByteOrder::native(), code),
    };
    let letter = rest
        .chars()
        .next()
        .filter(char::is_ascii)
        .ok_or_else(wrong)?;
    let rest = &rest[1..];
    let (kind, size) = match letter {
        '?' if rest.is_empty() => (Kind::Bool, 1),
        'O' if rest.is_empty() || rest == "8" || rest == "4" => (Kind::Object, 8),
        'M' | 'm' => {
            let rest = rest.strip_prefix('8').ok_or_else(wrong)?;
            let (unit, multiple) = parse_unit(rest).ok_or_else(wrong)?;
            (
                if letter == 'M' {
                    Kind::DateTime(unit, multiple)
                } else {
                    Kind::TimeDelta(unit, multiple)
                },
                8,
            )
        }
        'S' | 'a' | 'U' | 'V' => {
            // `int` would take a sign; a size has none.
            let len = if rest.is_empty() {
                0
            } else {
                parse_digits(rest).ok_or_else(wrong)?
            };
            let (kind, unit) = match letter {
                'U' => (Kind::Str, 4),
                'V' => (Kind::Void, 1),
                _ => (Kind::Bytes, 1),
            };
            (kind, len.checked_mul(unit).ok_or_else(wrong)?)
        }
        _ => {
            let kind = match letter {
                'b' => Kind::Bool,
                'i' => Kind::Int,
                'u' => Kind::UInt,
                'f' => Kind::Float,
                'c' => Kind::Complex,
                _ => return Err(wrong()),
            };
            let size = parse_digits(rest)
                .filter(|&size| is_size_of(&kind, size))
                .ok_or_else(wrong)?;
            (kind, size)
        }
    };
    if size > MAX_ITEMSIZE {
        return Err(Error::invalid(format!(
            "an element of {size} bytes is beyond NumPy's limit"
        )));
    }
    let ordered = match kind {
        Kind::Str | Kind::DateTime(..) | Kind::TimeDelta(..) => true,
        Kind::Int | Kind::UInt | Kind::Float | Kind::Complex => size > 1,
        _ => false,
    };
    Ok(DType {
        kind,
        itemsize: size,
        order: if ordered { order } else { ByteOrder::None },
    })
}

fn parse_digits(text: &str) -> Option<usize> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn parse_unit(text: &str) -> Option<(TimeUnit, u32)> {
    if text.is_empty() {
        return Some((TimeUnit::Generic, 1));
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let split = inner
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(inner.len());
    let multiple = if split == 0 {
        1
    } else {
        inner[..split]
            .parse()
            .ok()
            .filter(|n| (1..=i32::MAX as u32).contains(n))?
    };
    match &inner[split..] {
        "generic" => Some((TimeUnit::Generic, 1)),
        unit => Some((TimeUnit::from_suffix(unit)?, multiple)),
    }
}

/// A type and the shape of a sub-array.
fn member(literal: &Literal, align: Option<bool>) -> Result<(DType, Vec<usize>)> {
    match literal {
        Literal::Str(code) => Ok((
            from_name(code).map_or_else(|| from_code(code), Ok)?,
            Vec::new(),
        )),
        Literal::List(fields) => Ok((from_list(fields, align)?, Vec::new())),
        Literal::Dict(entries) => Ok((from_dict(entries, align)?, Vec::new())),
        Literal::Tuple(pair) => match pair.as_slice() {
            [Literal::Name(name), inner] if name == "numpy.record" || name == "record" => {
                let mut dtype = DType::from_literal(inner, align)?;
                match &mut dtype.kind {
                    Kind::Struct { record, .. } => *record = true,
                    _ => {
                        return Err(Error::invalid(
                            "numpy.record without fields is not an element type",
                        ));
                    }
                }
                Ok((dtype, Vec::new()))
            }
            [base, shape] => sub_array(DType::from_literal(base, align)?, shape),
            _ => Err(Error::invalid("a tuple that is not an element type")),
        },
        _ => Err(Error::invalid(
            "an element type is a text, a list of fields or a dictionary",
        )),
    }
}

fn sub_array(dtype: DType, shape: &Literal) -> Result<(DType, Vec<usize>)> {
    let dims = match shape {
        Literal::Int(_) => vec![shape.clone()],
        Literal::Tuple(dims) => dims.clone(),
        _ => {
            return Err(Error::invalid(
                "the shape of a sub-array is a tuple of numbers",
            ));
        }
    };
    if dims.len() > super::array::MAX_DIMS {
        return Err(Error::invalid("a sub-array has too many dimensions"));
    }
    let mut total = dtype.itemsize;
    let mut out = Vec::with_capacity(dims.len());
    for dim in &dims {
        let dim = size_of_literal(dim)
            .ok_or_else(|| Error::invalid("the shape of a sub-array is a tuple of numbers"))?;
        total = total
            .checked_mul(dim)
            .filter(|&t| t <= MAX_ITEMSIZE)
            .ok_or_else(too_large)?;
        out.push(dim);
    }
    Ok((dtype, out))
}

fn too_large() -> Error {
    Error::invalid(format!(
        "an element type of more than {MAX_ITEMSIZE} bytes is beyond NumPy's limit"
    ))
}

fn size_of_literal(literal: &Literal) -> Option<usize> {
    match literal {
        Literal::Int(n) => usize::try_from(*n).ok().filter(|&n| n <= MAX_ITEMSIZE),
        _ => None,
    }
}

/// `[('x', '<f8'), (('title', 'y'), '>i4', (2,)), ('', '|V7')]`.
fn from_list(items: &[Literal], align: Option<bool>) -> Result<DType> {
    let mut fields = Vec::with_capacity(items.len());
    let mut at = 0usize;
    for item in items {
        let Literal::Tuple(parts) = item else {
            return Err(Error::invalid("a field is a tuple of name and type"));
        };
        let (name, base, shape) = match parts.as_slice() {
            [name, base] => (name, base, None),
            [name, base, shape] => (name, base, Some(shape)),
            _ => {
                return Err(Error::invalid(
                    "a field is a tuple of name, type and possibly a shape",
                ));
            }
        };
        let (title, name) = match name {
            Literal::Str(name) => (None, name.clone()),
            Literal::Tuple(pair) => match pair.as_slice() {
                [Literal::Str(title), Literal::Str(name)] => (Some(title.clone()), name.clone()),
                _ => return Err(Error::invalid("a titled field is named by two texts")),
            },
            _ => return Err(Error::invalid("a field's name is a text")),
        };
        let (dtype, shape) = match shape {
            Some(shape) => sub_array(DType::from_literal(base, align)?, shape)?,
            None => member(base, align)?,
        };
        let offset = if align == Some(true) {
            at.next_multiple_of(dtype.alignment())
        } else {
            at
        };
        let field = Field {
            name,
            title,
            dtype,
            shape,
            offset,
        };
        at = offset
            .checked_add(field.nbytes())
            .filter(|&t| t <= MAX_ITEMSIZE)
            .ok_or_else(too_large)?;
        // An unnamed void is how `descr` spells padding.
        if !(field.name.is_empty()
            && field.title.is_none()
            && matches!(field.dtype.kind, Kind::Void))
        {
            fields.push(field);
        }
    }
    let aligned = align == Some(true);
    let itemsize = if aligned {
        natural_layout(&fields, true).1
    } else {
        at
    };
    structure(fields, itemsize, aligned)
}

/// `{'names': […], 'formats': […], 'offsets': […], 'titles': […], 'itemsize': 16, 'aligned': True}`.
fn from_dict(entries: &[(Literal, Literal)], align: Option<bool>) -> Result<DType> {
    let entry = |key: &str| {
        entries
            .iter()
            .find(|(k, _)| matches!(k, Literal::Str(k) if k == key))
            .map(|(_, v)| v)
    };
    let list = |key: &str| match entry(key) {
        Some(Literal::List(items)) => Ok(Some(items.as_slice())),
        None => Ok(None),
        Some(_) => Err(Error::invalid(format!("{key} is not a list"))),
    };
    let missing = |key: &str| Error::invalid(format!("a structured type without {key}"));
    let aligned = align == Some(true) || matches!(entry("aligned"), Some(Literal::Bool(true)));
    let names = list("names")?.ok_or_else(|| missing("names"))?;
    let formats = list("formats")?.ok_or_else(|| missing("formats"))?;
    let offsets = list("offsets")?.ok_or_else(|| missing("offsets"))?;
    let titles = list("titles")?;
    if formats.len() != names.len()
        || offsets.len() != names.len()
        || titles.is_some_and(|t| t.len() != names.len())
    {
        return Err(Error::invalid(
            "a structured type whose lists differ in length",
        ));
    }
    let mut fields = Vec::with_capacity(names.len());
    let mut end = 0;
    for (i, ((name, format), offset)) in names.iter().zip(formats).zip(offsets).enumerate() {
        let Literal::Str(name) = name else {
            return Err(Error::invalid("a field's name is a text"));
        };
        let title = match titles.map(|t| &t[i]) {
            Some(Literal::Str(title)) => Some(title.clone()),
            Some(Literal::None) | None => None,
            Some(_) => return Err(Error::invalid("a field's title is a text")),
        };
        let (dtype, shape) = member(format, align.map(|_| aligned))?;
        let offset = size_of_literal(offset)
            .ok_or_else(|| Error::invalid("a field's offset is not a size"))?;
        let field = Field {
            name: name.clone(),
            title,
            dtype,
            shape,
            offset,
        };
        end = end.max(offset.checked_add(field.nbytes()).ok_or_else(too_large)?);
        fields.push(field);
    }
    let itemsize = match entry("itemsize") {
        Some(size) => {
            size_of_literal(size).ok_or_else(|| Error::invalid("itemsize is not a size"))?
        }
        None => end,
    };
    if end > itemsize {
        return Err(Error::invalid(
            "a field lies beyond the end of the structure",
        ));
    }
    structure(fields, itemsize, aligned)
}

fn structure(fields: Vec<Field>, itemsize: usize, aligned: bool) -> Result<DType> {
    if itemsize > MAX_ITEMSIZE {
        return Err(too_large());
    }
    let mut names = std::collections::HashSet::with_capacity(fields.len());
    for name in fields
        .iter()
        .flat_map(|f| [Some(&f.name), f.title.as_ref().filter(|t| **t != f.name)])
        .flatten()
    {
        if !names.insert(name) {
            return Err(Error::invalid(format!(
                "the structured type names the field {name:?} twice"
            )));
        }
    }
    Ok(DType {
        kind: Kind::Struct {
            fields,
            aligned,
            record: false,
        },
        itemsize,
        order: ByteOrder::None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn texts_of_numpy_come_back_unchanged() {
        for text in [
            "bool",
            "int8",
            "int64",
            "uint16",
            "float16",
            "float64",
            "float128",
            "complex64",
            "complex256",
            ">i4",
            ">f8",
            ">c16",
            "<U2",
            ">U3",
            "|S2",
            "|V3",
            "<U0",
            "|S0",
            "datetime64[D]",
            "datetime64[25s]",
            "datetime64",
            "timedelta64[ns]",
            ">M8[D]",
            "object",
            "[]",
            "[('x', '<f8'), ('y', '>i4', (2,))]",
            "[('p', [('x', 'u1'), ('f', '?')]), ('q', 'O'), ('s', 'S2'), ('u', '<U3', (2, 3))]",
            "[(('a title', 'x'), '<f8'), (\"it's\", '<M8[ns]')]",
            "{'names': ['a', 'b'], 'formats': ['i1', '<f8'], 'offsets': [0, 8], 'itemsize': 16, 'aligned': True}",
            "{'names': ['a', 'b'], 'formats': ['i1', ('<f8', (2,))], 'offsets': [0, 3], 'titles': ['t', None], 'itemsize': 20}",
            "(numpy.record, [('a', '<i4'), ('p', (numpy.record, [('x', '<f4')]))])",
        ] {
            assert_eq!(DType::parse_text(text).unwrap().text(), text);
        }
    }

    #[test]
    fn descr_shows_padding_and_comes_back() {
        let aligned =
            "{'names': ['a', 'b'], 'formats': ['i1', '<f8'], 'offsets': [0, 8], 'itemsize': 17}";
        let dtype = DType::parse_text(aligned).unwrap();
        let descr = dtype.descr().unwrap();
        assert_eq!(
            descr,
            "[('a', '|i1'), ('', '|V7'), ('b', '<f8'), ('', '|V1')]"
        );
        assert_eq!(DType::parse_descr(&descr).unwrap(), dtype);
        let overlap =
            "{'names': ['a', 'b'], 'formats': ['<i4', '<i4'], 'offsets': [0, 2], 'itemsize': 8}";
        assert!(DType::parse_text(overlap).unwrap().descr().is_err());
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in [
            "",
            "int7",
            "int",
            "f3",
            "<",
            "é8",
            "<é",
            "S-1",
            "S+1",
            "S99999999999",
            "U999999999",
            "M8[",
            "M8[q]",
            "M8[0s]",
            "m8[-1s]",
            "[('a', '<i4'), ('a', '<i4')]",
            "[('a',)]",
            "[1]",
            "{'names': ['a']}",
            "(numpy.record, '<i4')",
            "('<i4', (2,))",
            "[('a', '<i4', (-1,))]",
            "[('a', '<i4', (65536, 65536))]",
            "__import__('os')",
            "[('a', numpy.float64)]",
            "{'names': ['a'], 'formats': ['<i4'], 'offsets': [3], 'itemsize': 6}",
            "{'names': ['a'], 'formats': ['<i4'], 'offsets': [-1], 'itemsize': 6}",
        ] {
            assert!(DType::parse_text(text).is_err(), "{text:?}");
        }
    }
}
