//! JSON paths: `attribute.a.b[1]:type` (spec: queries §2).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sql::JsonStep;

/// A place inside a JSON attribute, with the type that the value there is cast to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    pub(crate) attribute: Arc<str>,
    pub(crate) steps: Vec<JsonStep>,
    pub(crate) cast: Option<String>,
}

/// The attribute that a key of a row condition speaks of: its text before the path or type.
pub(crate) fn attribute_of(key: &str) -> &str {
    key.find(['.', '[', ':'])
        .map_or(key, |at| &key[..at])
        .trim()
}

/// Reads a key. A bare name is a path without steps.
///
/// Errors with kind `Invalid`, since keys come from callers and reach SQL text.
pub(crate) fn parse(key: &str) -> Result<JsonPath> {
    let bad = |why: &str| {
        Error::invalid(format!("`{key}` is not a JSON path: {why}"))
            .hint("A path is written `attribute.member[index].member:type`.")
    };
    let (path, cast) = match key.split_once(':') {
        Some((path, cast)) => (
            path.trim(),
            Some(cast_type(cast).ok_or_else(|| bad("unknown type after the colon"))?),
        ),
        None => (key.trim(), None),
    };
    let attribute = attribute_of(path);
    if !is_word(attribute) {
        return Err(bad("it does not begin with a name"));
    }
    let mut rest = &path[attribute.len()..];
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let member = &after[..end];
            if !is_word(member) {
                return Err(bad(if member.contains('*') {
                    "wildcards are not supported"
                } else {
                    "a member has no name"
                }));
            }
            steps.push(JsonStep::Member(member.to_owned()));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after
                .split_once(']')
                .ok_or_else(|| bad("`[` without `]`"))?;
            let index = index
                .trim()
                .parse()
                .map_err(|_| bad("an index is not a number"))?;
            steps.push(JsonStep::Index(index));
            rest = after;
        } else {
            return Err(bad("expected `.` or `[`"));
        }
    }
    Ok(JsonPath {
        attribute: attribute.into(),
        steps,
        cast,
    })
}

/// Letters, digits and underscores, at least one.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// A type of the fixed list, in lower case, with integer parameters at most.
fn cast_type(text: &str) -> Option<String> {
    const TYPES: [&str; 22] = [
        "signed",
        "unsigned",
        "integer",
        "int",
        "smallint",
        "bigint",
        "double",
        "double precision",
        "float",
        "real",
        "decimal",
        "numeric",
        "char",
        "varchar",
        "text",
        "date",
        "datetime",
        "timestamp",
        "time",
        "boolean",
        "bool",
        "json",
    ];
    let text = text.trim().to_ascii_lowercase();
    let (name, parameters) = match text.split_once('(') {
        Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')')?)),
        None => (text.as_str(), None),
    };
    if !TYPES.contains(&name) {
        return None;
    }
    let Some(parameters) = parameters else {
        return Some(name.to_owned());
    };
    let numbers: Vec<u32> = parameters
        .split(',')
        .map(|p| p.trim().parse().ok())
        .collect::<Option<_>>()?;
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    (numbers.len() <= 2).then(|| format!("{name}({})", numbers.join(",")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_path_has_members_indices_and_a_type() {
        let path = parse("meta.a.tags[1]:decimal(10, 2)").unwrap();
        assert_eq!(&*path.attribute, "meta");
        assert_eq!(
            path.steps,
            [
                JsonStep::Member("a".into()),
                JsonStep::Member("tags".into()),
                JsonStep::Index(1)
            ]
        );
        assert_eq!(path.cast.as_deref(), Some("decimal(10,2)"));
        assert_eq!(parse("name").unwrap().steps, []);
    }

    #[test]
    fn a_path_that_would_reach_beyond_itself_is_refused() {
        for key in [
            "meta.s:char(5)) is null or (1",
            "meta.a'b",
            "meta.a\"",
            "meta.*",
            "meta.",
            "meta[x]",
            "meta[1",
            "meta.a:int; drop",
            "meta.a:(5)",
            "meta.a:char(1,2,3)",
            "",
            ".a",
        ] {
            assert!(parse(key).is_err(), "{key}");
        }
    }
}
