//! The one error type of the crate.
//!
//! An [`Error`] has a [`kind`](Error::kind) that callers match on, a message for the person, the place it concerns
//! (schema, table, attribute, key, store, path) as fields, and an optional hint that says what to do.
//! The Python layer maps kinds to exception classes (spec: python-api §7, manipulation §8 and §12.13).

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a program needs to know.
///
/// Each kind has one Python class; kinds that stand for a Python builtin (`Type`, `Value`, …) are raised as a class
/// that derives from both that builtin and `DataJointError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A request that makes no sense as given (`DataJointError`).
    Invalid,
    /// A table definition that cannot be read; the message carries the line and a caret (`DataJointError`).
    Definition,
    /// Something that this version does not offer (`NotImplementedError`).
    Unsupported,
    /// Wrong configuration (`DataJointError`).
    Config,
    /// A wrong type of value (`TypeError`).
    Type,
    /// A wrong value (`ValueError`).
    Value,
    /// An unknown name where a mapping was addressed (`KeyError`).
    UnknownKey,
    /// A local file is absent (`FileNotFoundError`).
    FileNotFound,
    /// A local file is there already (`FileExistsError`).
    FileExists,
    /// A folder where a file was expected (`IsADirectoryError`).
    IsADirectory,
    /// Any database failure that has no kind of its own (`QueryError`).
    Query,
    /// `QuerySyntaxError`.
    QuerySyntax,
    /// Missing privilege, or a read-only database (`AccessError`).
    Access,
    /// `DuplicateError`.
    Duplicate,
    /// A foreign key stands in the way (`IntegrityError`).
    Integrity,
    /// `UnknownAttributeError`.
    UnknownAttribute,
    /// `MissingAttributeError`.
    MissingAttribute,
    /// `MissingTableError`.
    MissingTable,
    /// A value that the column cannot hold (`DataError`).
    Data,
    /// `DeadlockError`.
    Deadlock,
    /// The database stayed locked by someone else (`LockTimeoutError`).
    LockTimeout,
    /// `SerializationError`.
    Serialization,
    /// `LostConnectionError`.
    LostConnection,
    /// An object named by a row is not in its store (`MissingExternalFile`).
    MissingObject,
    /// An object differs from what its row says: hash, size or header (`DataJointError`; `objectref.IntegrityError` from `verify`).
    CorruptObject,
    /// A store could not be reached or written (`DataJointError`).
    Store,
    /// The person, or the program, stopped it.
    Interrupted,
    /// An error of foreign code (a user codec, a `make`): [`Error::source`] holds it and Python re-raises it unchanged.
    Foreign,
}

/// Where it went wrong. Every field is optional; what is known is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Schema name.
    pub schema: Option<String>,
    /// Stored table name.
    pub table: Option<String>,
    /// Attribute name.
    pub attribute: Option<String>,
    /// The key, as text.
    pub key: Option<String>,
    /// Zero-based index of the row within a batch.
    pub row: Option<usize>,
    /// Store name.
    pub store: Option<String>,
    /// Path of an object or file.
    pub path: Option<String>,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Place,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync + 'static>>,
}

/// The crate's error. Cheap to move and to clone.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

impl Error {
    /// A new error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            place: Place::default(),
            hint: None,
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Wraps an error of foreign code.
    pub fn foreign(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Foreign, source.to_string()).with_source(source)
    }

    /// An input/output failure on a path.
    pub fn io(action: &str, path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::FileNotFound,
            std::io::ErrorKind::IsADirectory => ErrorKind::IsADirectory,
            _ => ErrorKind::Store,
        };
        let path = path.as_ref().display().to_string();
        Self::new(kind, format!("could not {action} {path}: {source}"))
            .path(path)
            .with_source(source)
    }

    /// Attaches the underlying error.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Says what to do about it. Hints add up.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.0.hint = Some(match self.0.hint.take() {
            Some(first) => format!("{first} {hint}"),
            None => hint,
        });
        self
    }

    /// Adds the schema and stored table name, unless already known.
    pub fn table(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.0.place.schema.get_or_insert(schema.into());
        self.0.place.table.get_or_insert(table.into());
        self
    }

    /// Adds the attribute, unless already known.
    pub fn attribute(mut self, attribute: impl Into<String>) -> Self {
        self.0.place.attribute.get_or_insert(attribute.into());
        self
    }

    /// Adds the key, unless already known.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.place.key.get_or_insert(key.into());
        self
    }

    /// Adds the row index within the batch, unless already known.
    pub fn row(mut self, row: usize) -> Self {
        self.0.place.row.get_or_insert(row);
        self
    }

    /// Replaces a row index that counts within a part of the batch: it is a place in `numbers`, the indices of the part's
    /// rows.
    pub fn renumber_row(mut self, numbers: &[usize]) -> Self {
        let row = self.0.place.row.and_then(|row| numbers.get(row).copied());
        if row.is_some() {
            self.0.place.row = row;
        }
        self
    }

    /// Adds the store, unless already known.
    pub fn store(mut self, store: impl Into<String>) -> Self {
        self.0.place.store.get_or_insert(store.into());
        self
    }

    /// Adds the path, unless already known.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.0.place.path.get_or_insert(path.into());
        self
    }

    /// The kind, for matching.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The bare message, without place and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it went wrong.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What to do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The same error in other words.
    pub(crate) fn reword(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The same error under another kind.
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            message,
            place,
            hint,
            ..
        } = &*self.0;
        // A place belongs to the sentence, not under a picture that follows it.
        let (sentence, picture) = match message.split_once('\n') {
            Some((sentence, picture)) => (sentence, Some(picture)),
            None => (message.as_str(), None),
        };
        f.write_str(sentence)?;
        let table = match (&place.schema, &place.table) {
            (Some(schema), Some(table)) => Some(format!("{schema}.{table}")),
            (None, Some(table)) => Some(table.clone()),
            (Some(schema), None) => Some(schema.clone()),
            (None, None) => None,
        };
        let mut parts = Vec::new();
        let mut add = |label: &str, value: Option<&str>| {
            let Some(value) = value.filter(|v| !v.is_empty()) else {
                return;
            };
            let labelled = format!("{label} {value}");
            // What the message already says is not said twice.
            let said = match label {
                "attribute" => message.contains(&format!("`{value}`")),
                "row" => says(message, &labelled),
                _ => says(message, value),
            };
            if !said {
                parts.push(labelled);
            }
        };
        add("table", table.as_deref());
        add("attribute", place.attribute.as_deref());
        add("key", place.key.as_deref());
        add("row", place.row.map(|r| r.to_string()).as_deref());
        add("store", place.store.as_deref());
        add("path", place.path.as_deref());
        if !parts.is_empty() {
            write!(f, " ({})", parts.join(", "))?;
        }
        if let Some(picture) = picture {
            write!(f, "\n{picture}")?;
        }
        if let Some(hint) = hint {
            write!(f, "\n{hint}")?;
        }
        Ok(())
    }
}

/// True if a text holds a word or phrase, not merely as a part of longer words.
fn says(text: &str, phrase: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(phrase).any(|(at, _)| {
        !in_word(text[..at].chars().next_back())
            && !in_word(text[at + phrase.len()..].chars().next())
    })
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|s| &**s as &(dyn StdError + 'static))
    }
}

/// The name in `known` nearest to `unknown`, for "did you mean" hints.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = unknown.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        .filter(|(d, k)| *d <= 1 + k.chars().count().min(unknown.chars().count()) / 3)
        .min()
        .map(|(_, k)| k)
}

/// A "did you mean" sentence, or nothing.
pub fn did_you_mean<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(unknown, known).map(|k| format!("Did you mean `{k}`?"))
}
