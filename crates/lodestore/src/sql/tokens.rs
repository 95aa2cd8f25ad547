//! Tokens of user-written SQL text, and JSON paths in index terms: what every dialect's translation reads.

use super::JsonStep;
use crate::error::{Error, ErrorKind, Result};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sql) enum Token<'a> {
    Space(&'a str),
    /// A word or number; also `X'…'` literals.
    Word(&'a str),
    /// `'…'`, as written.
    Text(&'a str),
    /// `"…"`, the text inside.
    Double(String),
    /// `` `…` ``, the text inside.
    Backtick(String),
    Other(&'a str),
}

pub(in crate::sql) fn tokens(sql: &str) -> Result<Vec<Token<'_>>> {
    tokens_with(sql, false)
}

/// As [`tokens`]; with `escapes`, a backslash in a text quotes the next character, as MySQL has it.
pub(in crate::sql) fn tokens_with(sql: &str, escapes: bool) -> Result<Vec<Token<'_>>> {
    let bytes = sql.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b if b.is_ascii_whitespace() => {
                while at < bytes.len() && bytes[at].is_ascii_whitespace() {
                    at += 1;
                }
                out.push(Token::Space(&sql[start..at]));
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                out.push(Token::Space(" "));
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = sql[at + 2..]
                    .find("*/")
                    .map_or(bytes.len(), |n| at + 2 + n + 2);
                out.push(Token::Space(" "));
            }
            quote @ (b'\'' | b'"' | b'`') => {
                at = closing(bytes, at, quote, escapes).ok_or_else(|| {
                    Error::new(
                        ErrorKind::QuerySyntax,
                        format!("a {} is not closed in: {sql}", char::from(quote)),
                    )
                })?;
                let inner = &sql[start + 1..at - 1];
                let unescape = |q: &str| inner.replace(&q.repeat(2), q);
                out.push(match quote {
                    b'\'' => Token::Text(&sql[start..at]),
                    b'"' => Token::Double(unescape("\"")),
                    _ => Token::Backtick(unescape("`")),
                });
            }
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => {
                while at < bytes.len()
                    && (bytes[at].is_ascii_alphanumeric()
                        || bytes[at] == b'_'
                        || bytes[at] == b'$'
                        || bytes[at] >= 0x80)
                {
                    at += 1;
                }
                if matches!(&sql[start..at], "x" | "X") && bytes.get(at) == Some(&b'\'') {
                    at = closing(bytes, at, b'\'', false).ok_or_else(|| {
                        Error::new(
                            ErrorKind::QuerySyntax,
                            format!("a ' is not closed in: {sql}"),
                        )
                    })?;
                }
                out.push(Token::Word(&sql[start..at]));
            }
            _ => {
                at += 1;
                out.push(Token::Other(&sql[start..at]));
            }
        }
    }
    Ok(out)
}

/// The position after the quote that closes the one at `at`; doubled quotes are content.
fn closing(bytes: &[u8], at: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut i = at + 1;
    loop {
        if escapes && bytes.get(i) == Some(&b'\\') && quote != b'`' {
            i += 2;
            continue;
        }
        if *bytes.get(i)? == quote {
            if bytes.get(i + 1) == Some(&quote) {
                i += 2;
                continue;
            }
            return Some(i + 1);
        }
        i += 1;
    }
}

/// The last token that is not white space.
pub(in crate::sql) fn significant<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    tokens.iter().rev().find(|t| !matches!(t, Token::Space(_)))
}

pub(in crate::sql) fn last_word<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    match significant(tokens) {
        Some(Token::Word(w)) => Some(w),
        _ => None,
    }
}

pub(in crate::sql) fn is_table_position(before: &[Token<'_>]) -> bool {
    last_word(before).is_some_and(|w| {
        ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "REFERENCES"]
            .iter()
            .any(|k| w.eq_ignore_ascii_case(k))
    })
}

pub(in crate::sql) fn after_as(before: &[Token<'_>]) -> bool {
    last_word(before).is_some_and(|w| w.eq_ignore_ascii_case("as"))
}

pub(in crate::sql) fn next_is(tokens: &[Token<'_>], i: usize, what: &str) -> bool {
    tokens[i + 1..]
        .iter()
        .find(|t| !matches!(t, Token::Space(_)))
        == Some(&Token::Other(what))
}

/// `schema.table` beginning at token `i`: the index after it, and the table's name.
pub(in crate::sql) fn dotted(tokens: &[Token<'_>], i: usize) -> Option<(usize, String)> {
    if tokens.get(i + 1)? != &Token::Other(".") {
        return None;
    }
    match tokens.get(i + 2)? {
        Token::Word(w) => Some((i + 3, (*w).to_owned())),
        Token::Double(name) | Token::Backtick(name) => Some((i + 3, name.clone())),
        _ => None,
    }
}

/// The position after the last parenthesis that is still open.
pub(in crate::sql) fn opening(out: &str) -> usize {
    let mut depth = 0;
    for (at, b) in out.bytes().enumerate().rev() {
        match b {
            b')' => depth += 1,
            b'(' if depth == 0 => return at + 1,
            b'(' => depth -= 1,
            _ => {}
        }
    }
    0
}

pub(in crate::sql) fn find_word(upper: &str, word: &str) -> Option<usize> {
    let boundary = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_');
    upper.match_indices(word).map(|(at, _)| at).find(|at| {
        let bytes = upper.as_bytes();
        boundary(at.checked_sub(1).and_then(|b| bytes.get(b)))
            && boundary(bytes.get(at + word.len()))
    })
}

/// `attr.path[0]:type` taken apart; none if the text is something else.
pub(in crate::sql) fn parse_json_term(
    term: &str,
) -> Option<(String, Vec<JsonStep>, Option<String>)> {
    let (path, cast) = match term.split_once(':') {
        Some((path, cast)) => (path.trim(), Some(cast.trim().to_owned())),
        None => (term.trim(), None),
    };
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (column, mut rest) = path.split_at(end);
    let word = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !word(column) {
        return None;
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, next) = after.split_at(end);
            if !word(name) {
                return None;
            }
            steps.push(JsonStep::Member(name.to_owned()));
            rest = next;
        } else {
            let (index, next) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(JsonStep::Index(index.trim().parse().ok()?));
            rest = next;
        }
    }
    Some((column.to_owned(), steps, cast))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn json_terms_are_taken_apart() {
        let (column, path, cast) = parse_json_term("meta.a[2].b:signed").unwrap();
        assert_eq!((column.as_str(), cast.as_deref()), ("meta", Some("signed")));
        assert_eq!(
            path,
            [
                JsonStep::Member("a".into()),
                JsonStep::Index(2),
                JsonStep::Member("b".into())
            ]
        );
        assert!(parse_json_term("year(x)").is_none());
    }
}
