//! What is wrong on one line, and its picture: the message, the line, and a caret under the place.

use crate::error::{Error, ErrorKind};

/// The result of reading a part of a line.
pub(super) type Read<T> = Result<T, Fault>;

/// A finding on one line. `start..end` are byte offsets into the text that was being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn at(start: usize, end: usize, message: impl Into<String>) -> Self {
        Fault {
            start,
            end,
            message: message.into(),
            hint: None,
        }
    }

    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = self.hint.or(hint.into());
        self
    }

    /// Moves the place by the offset of a part within its line.
    pub fn shift(mut self, by: usize) -> Self {
        self.start += by;
        self.end += by;
        self
    }

    /// The error for a line of a definition.
    pub fn into_error(self, number: usize, line: &str) -> Error {
        let mut error = Error::new(
            ErrorKind::Definition,
            format!(
                "definition line {number}: {}\n    {line}\n    {}",
                self.message,
                carets(line, self.start, self.end)
            ),
        );
        if let Some(hint) = self.hint {
            error = error.hint(hint);
        }
        error
    }

    /// The error for a text that stands alone (a type, a target) and is quoted in the message already.
    pub fn into_plain(self) -> Error {
        let error = Error::new(ErrorKind::Definition, self.message);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Blanks up to `start`, then carets up to `end` (at least one). Tabs stay tabs, so that the carets stand right.
fn carets(line: &str, start: usize, end: usize) -> String {
    let mut out = String::new();
    for (at, c) in line.char_indices() {
        if at >= end.max(start + 1) {
            break;
        }
        out.push(if at >= start {
            '^'
        } else if c == '\t' {
            '\t'
        } else {
            ' '
        });
    }
    if !out.ends_with('^') {
        out.push('^');
    }
    out
}
