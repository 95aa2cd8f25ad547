//! Projection (spec: queries §3).

use std::sync::Arc;

use super::Fragment;
use super::select::Select;
use crate::error::{Error, Result};

/// Which attributes a projection keeps, drops, renames and computes. Start with [`all`] or [`keep`].
#[derive(Debug, Clone, Default)]
pub struct Projection {
    pub(crate) names: Vec<String>,
    pub(crate) named: Vec<(Arc<str>, Named)>,
}

/// What a new attribute is.
#[derive(Debug, Clone)]
pub enum Named {
    /// Decided by the text: `old` renames, `(old)` duplicates, `attr.path` is a JSON path, all else is SQL.
    Text(String),
    /// The attribute of this name, which is no longer there under its own.
    Rename(String),
    /// A second attribute with the values of this one.
    Duplicate(String),
    /// An SQL expression.
    Compute(Fragment),
}

/// Every attribute.
pub fn all() -> Projection {
    Projection {
        names: vec!["...".into()],
        named: Vec::new(),
    }
}

/// The primary key and these attributes.
pub fn keep(names: impl IntoNames) -> Projection {
    Projection {
        names: names.into_names(),
        named: Vec::new(),
    }
}

impl Projection {
    /// The arguments of Python's `proj(*names, **named)`: names may be `...` and `-name`, see [`Named::Text`].
    pub fn from_args<N: Into<String>, K: Into<Arc<str>>, T: Into<String>>(
        names: impl IntoIterator<Item = N>,
        named: impl IntoIterator<Item = (K, T)>,
    ) -> Projection {
        Projection {
            names: names.into_iter().map(Into::into).collect(),
            named: named
                .into_iter()
                .map(|(new, text)| (new.into(), Named::Text(text.into())))
                .collect(),
        }
    }

    /// Keeps more attributes.
    pub fn keep(mut self, names: impl IntoNames) -> Projection {
        self.names.extend(names.into_names());
        self
    }

    /// Drops attributes; one that is not there is no error.
    pub fn drop(mut self, names: impl IntoNames) -> Projection {
        self.names.extend(
            names
                .into_names()
                .into_iter()
                .map(|name| format!("-{name}")),
        );
        self
    }

    /// Renames an attribute.
    pub fn rename(mut self, new: impl Into<Arc<str>>, old: impl Into<String>) -> Projection {
        self.named.push((new.into(), Named::Rename(old.into())));
        self
    }

    /// Gives an attribute's values a second name.
    pub fn duplicate(mut self, new: impl Into<Arc<str>>, old: impl Into<String>) -> Projection {
        self.named.push((new.into(), Named::Duplicate(old.into())));
        self
    }

    /// Computes an attribute by an SQL expression.
    pub fn compute(mut self, new: impl Into<Arc<str>>, sql: impl Into<Fragment>) -> Projection {
        self.named.push((new.into(), Named::Compute(sql.into())));
        self
    }
}

/// One name or several.
pub trait IntoNames {
    /// The names.
    fn into_names(self) -> Vec<String>;
}

impl IntoNames for &str {
    fn into_names(self) -> Vec<String> {
        vec![self.into()]
    }
}

impl IntoNames for String {
    fn into_names(self) -> Vec<String> {
        vec![self]
    }
}

impl<S: Into<String>> IntoNames for Vec<S> {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: Into<String>, const N: usize> IntoNames for [S; N] {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: AsRef<str>> IntoNames for &[S] {
    fn into_names(self) -> Vec<String> {
        self.iter().map(|s| s.as_ref().to_owned()).collect()
    }
}

impl IntoNames for () {
    fn into_names(self) -> Vec<String> {
        Vec::new()
    }
}

pub(crate) fn project(_select: &Select, _projection: &Projection) -> Result<Select> {
    Err(Error::unsupported("being written"))
}
