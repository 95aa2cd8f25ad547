//! SQL text written by people, with bound arguments.

use crate::value::Value;

/// A piece of SQL with bound arguments, one per `{}` outside of quotes. Made from text alone, a `{}` is just text.
#[derive(Debug, Clone)]
pub struct Fragment {
    pub(crate) text: String,
    /// None: the text has no arguments and `{}` means nothing.
    pub(crate) params: Option<Vec<Value>>,
}

impl Fragment {
    /// Text with one argument per `{}`. A wrong number of arguments is an error of the query that uses it.
    pub fn bound(text: impl Into<String>, params: Vec<Value>) -> Fragment {
        Fragment {
            text: text.into(),
            params: Some(params),
        }
    }
}

impl From<&str> for Fragment {
    fn from(text: &str) -> Fragment {
        Fragment {
            text: text.into(),
            params: None,
        }
    }
}

impl From<String> for Fragment {
    fn from(text: String) -> Fragment {
        Fragment { text, params: None }
    }
}
