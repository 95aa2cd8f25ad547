//! The target of a foreign-key line (spec: definition §2 `target`, §4): a table, or a projection that renames.

use super::TableName;
use super::fault::{Fault, Read};
use crate::error::Result;

/// `Name.Part.proj(new='old')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Dotted name of a class (`Session.Trial`, `lab.Subject`), or the unquoted full name of a table
    /// (`lab.#species`, from `"lab"."#species"` as `describe` prints it).
    pub name: String,
    /// (new, old) renames.
    pub renames: Vec<(String, String)>,
}

impl Target {
    /// Reads a target by the grammar of the language: `Name`, `Name.Part`, `Name()`, `Name.proj(new='old')`, or a quoted
    /// full table name. Error kind `Definition`.
    pub fn parse(text: &str) -> Result<Target> {
        read_target(text.trim()).map_err(|fault| {
            let message = format!(
                "`{}` is not a table or a projection of one: {}",
                text.trim(),
                fault.message
            );
            Fault { message, ..fault }.into_plain()
        })
    }

    /// The name as it can be written in a definition: class names as they are, stored names quoted.
    pub(super) fn spelled(&self) -> String {
        if is_dotted_name(&self.name) {
            self.name.clone()
        } else {
            format!("\"{}\"", self.name)
        }
    }
}

/// Reads a target. What does not follow the grammar may still mean something to the Python layer.
pub(super) fn read_target(text: &str) -> Read<Target> {
    let mut cursor = Cursor { text, at: 0 };
    let name = cursor.table_name()?;
    if cursor.eat('(') {
        cursor.expect(')')?;
    }
    let mut renames = Vec::new();
    if cursor.eat('.') {
        let place = cursor.at;
        if cursor.word() != "proj" {
            return Err(Fault::at(place, text.len(), "only `.proj(…)` may follow"));
        }
        cursor.expect('(')?;
        while !cursor.eat(')') {
            match cursor.quoted() {
                // A name that is kept changes nothing: the whole primary key is always referenced.
                Some(_) => {}
                None => {
                    let place = cursor.at;
                    let new = cursor.word();
                    if new.is_empty() {
                        return Err(Fault::at(place, text.len(), "expected `new='old'`"));
                    }
                    cursor.expect('=')?;
                    let place = cursor.at;
                    let old = cursor.quoted().filter(|old| !old.is_empty());
                    let old = old.ok_or_else(|| {
                        Fault::at(place, text.len(), "expected the old name in quotes")
                    })?;
                    renames.push((new.to_owned(), old.to_owned()));
                }
            }
            if !cursor.eat(',') {
                cursor.expect(')')?;
                break;
            }
        }
    }
    cursor.blanks();
    if cursor.at < text.len() {
        return Err(Fault::at(
            cursor.at,
            text.len(),
            format!("unexpected `{}`", &text[cursor.at..]),
        ));
    }
    Ok(Target { name, renames })
}

/// True for `Name.Name.name`, each an identifier.
fn is_dotted_name(name: &str) -> bool {
    name.split('.').all(|word| {
        word.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// A place in a target text. White space is free between tokens.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.blanks();
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Read<()> {
        if self.eat(wanted) {
            Ok(())
        } else {
            Err(Fault::at(
                self.at,
                self.text.len(),
                format!("expected `{wanted}`"),
            ))
        }
    }

    /// An identifier; empty if there is none.
    fn word(&mut self) -> &'a str {
        self.blanks();
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let word = if rest.starts_with(|c: char| c.is_numeric()) {
            ""
        } else {
            &rest[..end]
        };
        self.at += word.len();
        word
    }

    fn quoted(&mut self) -> Option<&'a str> {
        self.quoted_by(&['"', '\''])
    }

    fn quoted_by(&mut self, quotes: &[char]) -> Option<&'a str> {
        self.blanks();
        let rest = &self.text[self.at..];
        let quote = rest.chars().next().filter(|c| quotes.contains(c))?;
        let length = rest[1..].find(quote)?;
        self.at += length + 2;
        Some(&rest[1..=length])
    }

    /// A dotted name up to, not including, `.proj(`; or a quoted full name.
    fn table_name(&mut self) -> Read<String> {
        let table_quotes = ['"', '`'];
        if let Some(first) = self.quoted_by(&table_quotes) {
            let after = self.at;
            let second = if self.eat('.') {
                self.quoted_by(&table_quotes)
            } else {
                None
            };
            let name = match second {
                Some(second) => format!("{first}.{second}"),
                None => {
                    // Not the second half of a name: `.proj(` perhaps.
                    self.at = after;
                    first.to_owned()
                }
            };
            return match TableName::parse(&name) {
                Ok(table) => Ok(table.to_string()),
                Err(e) => Err(Fault::at(0, self.at, e.message())),
            };
        }
        let mut name = String::new();
        loop {
            let place = self.at;
            let word = self.word();
            if word.is_empty() {
                return Err(Fault::at(
                    place,
                    self.text.len(),
                    "expected the name of a table",
                ));
            }
            name.push_str(word);
            let after = self.at;
            if !self.eat('.') {
                return Ok(name);
            }
            // `.proj(` belongs to what follows the name.
            let before_next = self.at;
            if self.word() == "proj" && self.eat('(') {
                self.at = after;
                return Ok(name);
            }
            self.at = before_next;
            name.push('.');
        }
    }
}
