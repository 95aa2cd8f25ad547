//! A reader and writer of the few Python literals that element types are spelled in. Never `eval`.
//!
//! Called by `dtype` (its text forms) and `npy` (the header). The reader takes untrusted text: depth is bounded, and
//! memory by the length of the text.

use crate::error::{Error, Result};

/// Deepest nesting that is read; NumPy's own spellings stay far below.
const MAX_DEPTH: usize = 32;

/// A parsed literal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Str(String),
    Int(i64),
    Bool(bool),
    None,
    /// A dotted name such as `numpy.record`; what it may mean is the caller's affair.
    Name(String),
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

/// Parses one literal that makes up the whole text, blanks around it aside.
pub(super) fn parse(text: &str) -> Result<Literal> {
    let mut reader = Reader { text, at: 0 };
    let literal = reader.value(0)?;
    reader.blanks();
    if reader.at != text.len() {
        return Err(reader.wrong("something follows the literal"));
    }
    Ok(literal)
}

/// Python's `repr` of a string.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable` for the characters that occur in names: controls, separators and format characters are not.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}'))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::invalid(format!(
            "not a readable element type or header: {what} at character {}",
            self.at
        ))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Literal> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("nested too deeply"));
        }
        self.blanks();
        match self.peek() {
            Some(b'(') => {
                self.at += 1;
                let (mut items, comma) = self.items(b')', depth)?;
                // Parentheses around one value without a comma only group.
                match items.len() {
                    1 if !comma => items.pop().ok_or_else(|| self.wrong("nothing")),
                    _ => Ok(Literal::Tuple(items)),
                }
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Literal::List(self.items(b']', depth)?.0))
            }
            Some(b'{') => {
                self.at += 1;
                self.dict(depth)
            }
            Some(b'\'' | b'"') => self.string().map(Literal::Str),
            Some(b'0'..=b'9' | b'-' | b'+') => self.int(),
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => Ok(self.name()),
            Some(_) => Err(self.wrong("unexpected character")),
            None => Err(self.wrong("unexpected end")),
        }
    }

    /// Items up to the closing bracket, and whether a comma was seen.
    fn items(&mut self, close: u8, depth: usize) -> Result<(Vec<Literal>, bool)> {
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            if self.take(close) {
                return Ok((items, comma));
            }
            if !items.is_empty() && !std::mem::take(&mut comma) {
                return Err(self.wrong("missing comma"));
            }
            items.push(self.value(depth + 1)?);
            comma = self.take(b',');
            if comma && items.len() == 1 && self.take(close) {
                return Ok((items, true));
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Literal> {
        let mut items = Vec::new();
        loop {
            if self.take(b'}') {
                return Ok(Literal::Dict(items));
            }
            let key = self.value(depth + 1)?;
            if !self.take(b':') {
                return Err(self.wrong("missing colon"));
            }
            items.push((key, self.value(depth + 1)?));
            if !self.take(b',') && self.peek() != Some(b'}') {
                return Err(self.wrong("missing comma"));
            }
        }
    }

    fn int(&mut self) -> Result<Literal> {
        let start = self.at;
        self.at += usize::from(matches!(self.peek(), Some(b'-' | b'+')));
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let number = self.text[start..self.at]
            .parse()
            .map_err(|_| self.wrong("not a number of 64 bits"))?;
        // Headers written by Python 2 may say `10L`.
        self.at += usize::from(self.peek() == Some(b'L'));
        Ok(Literal::Int(number))
    }

    fn name(&mut self) -> Literal {
        let start = self.at;
        while matches!(self.peek(), Some(c) if c.is_ascii_alphanumeric() || c == b'_' || c == b'.')
        {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            "None" => Literal::None,
            name => Literal::Name(name.into()),
        }
    }

    fn string(&mut self) -> Result<String> {
        let quote = self.peek();
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else {
                return Err(self.wrong("unfinished string"));
            };
            self.at += c.len_utf8();
            match c {
                c if Some(c as u32) == quote.map(u32::from) => return Ok(out),
                '\\' => self.escape(&mut out)?,
                '\n' => return Err(self.wrong("line break in a string")),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<()> {
        let code = self.peek().ok_or_else(|| self.wrong("unfinished string"))?;
        self.at += 1;
        let digits = match code {
            b'\\' | b'\'' | b'"' => {
                out.push(char::from(code));
                return Ok(());
            }
            b'n' => {
                out.push('\n');
                return Ok(());
            }
            b'r' => {
                out.push('\r');
                return Ok(());
            }
            b't' => {
                out.push('\t');
                return Ok(());
            }
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => {
                self.at -= 1;
                return Err(self.wrong("unknown escape"));
            }
        };
        let hex = self
            .text
            .get(self.at..self.at + digits)
            .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = hex
            .and_then(|h| u32::from_str_radix(h, 16).ok())
            .and_then(char::from_u32);
        out.push(c.ok_or_else(|| self.wrong("not a character"))?);
        self.at += digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn literals_are_read_as_python_reads_them() {
        let s = |t: &str| Literal::Str(t.into());
        assert_eq!(parse("(1)").unwrap(), Literal::Int(1));
        assert_eq!(
            parse("(1,)").unwrap(),
            Literal::Tuple(vec![Literal::Int(1)])
        );
        assert_eq!(parse("()").unwrap(), Literal::Tuple(vec![]));
        assert_eq!(
            parse(" [ 'a' , \"b'\" ,] ").unwrap(),
            Literal::List(vec![s("a"), s("b'")])
        );
        assert_eq!(parse(r"'\x41\u00e9\n\\'").unwrap(), s("Aé\n\\"));
        assert_eq!(
            parse("{'a': (2, 3L), 'b': True, }").unwrap(),
            Literal::Dict(vec![
                (
                    s("a"),
                    Literal::Tuple(vec![Literal::Int(2), Literal::Int(3)])
                ),
                (s("b"), Literal::Bool(true))
            ])
        );
        assert_eq!(parse("(numpy.record, [])").unwrap(), {
            Literal::Tuple(vec![
                Literal::Name("numpy.record".into()),
                Literal::List(vec![]),
            ])
        });
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for text in [
            "",
            "(",
            "[1 2]",
            "[,]",
            "(,)",
            "[1,,2]",
            "'a",
            "'\\x4'",
            "'\\",
            "'\\é'",
            "f(1)",
            "1 2",
            "{1}",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn strings_are_written_as_repr_does() {
        assert_eq!(repr("a'b"), "\"a'b\"");
        assert_eq!(repr("a'\"b"), "'a\\'\"b'");
        assert_eq!(repr("é\u{a0}\n\u{7f}"), "'é\\xa0\\n\\x7f'");
    }
}
