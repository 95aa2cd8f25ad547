//! JSON documents as text, in the spelling of Python's `json.dumps`.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// A JSON document, kept as its text.
///
/// Text made here follows Python's `json.dumps` defaults (`", "`, `": "`, ASCII escapes), which is what the reference
/// writes (spec: codecs §1, "Encoding one value"). Text read from a database is kept as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Takes text that is known to be JSON (it came from a serialiser or a JSON column).
    pub fn from_text(text: impl Into<Arc<str>>) -> Self {
        Json(text.into())
    }

    /// Checks that the text is JSON, and keeps it as it is.
    pub fn checked(text: impl Into<Arc<str>>) -> Result<Self> {
        let text = text.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&text)
            .map_err(|e| Error::new(ErrorKind::Value, format!("not valid JSON: {e}")))?;
        Ok(Json(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parsed document.
    pub fn parse(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.0)
            .map_err(|e| Error::new(ErrorKind::Value, format!("not valid JSON: {e}")))
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        let mut out = String::new();
        write_python(value, &mut out);
        Json(out.into())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Json::from(&value)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn write_python(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value as V;
    match value {
        V::Null => out.push_str("null"),
        V::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        V::Number(n) => out.push_str(&n.to_string()),
        V::String(s) => write_string(s, out),
        V::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_python(item, out);
            }
            out.push(']');
        }
        V::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_string(key, out);
                out.push_str(": ");
                write_python(item, out);
            }
            out.push('}');
        }
    }
}

fn write_string(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (' '..='\u{7e}').contains(&c) => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_spelled_as_python_does() {
        let value = serde_json::json!({"a": [1, 2.5, null], "é\u{1F600}": "x\ny"});
        assert_eq!(
            Json::from(&value).as_str(),
            r#"{"a": [1, 2.5, null], "\u00e9\ud83d\ude00": "x\ny"}"#
        );
    }
}
