//! User-written SQL text, as MySQL and PostgreSQL users write it, into SQLite's (spec: queries §12, §16).
//!
//! A tokenizer, not a parser: text between the recognised pieces is passed on as it stands.

use super::SqliteDialect;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{Dialect, JsonStep};

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
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

fn tokens(sql: &str) -> Result<Vec<Token<'_>>> {
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
                at = closing(bytes, at, quote).ok_or_else(|| {
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
                    at = closing(bytes, at, b'\'').ok_or_else(|| {
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
fn closing(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let mut i = at + 1;
    loop {
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

pub(super) fn translate(
    dialect: &SqliteDialect,
    sql: &str,
    is_attribute: &dyn Fn(&str) -> bool,
) -> Result<String> {
    let tokens = tokens(sql)?;
    let mut out = String::with_capacity(sql.len() + 8);
    // For each open parenthesis: a GROUP_CONCAT call, and whether its separator was written.
    let mut calls: Vec<Option<bool>> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            Token::Space(s) | Token::Text(s) => out.push_str(s),
            Token::Other("(") => {
                out.push('(');
                let name = last_word(&tokens[..i]);
                calls.push(
                    name.is_some_and(|n| n.eq_ignore_ascii_case("group_concat"))
                        .then_some(false),
                );
            }
            Token::Other(")") => {
                calls.pop();
                out.push(')');
            }
            Token::Other(",") => {
                if let Some(Some(written)) = calls.last_mut() {
                    *written = true;
                }
                out.push(',');
            }
            Token::Other(s) => out.push_str(s),
            Token::Word(word) => {
                if is_table_position(&tokens[..i])
                    && let Some((end, second)) = dotted(&tokens, i)
                {
                    out.push_str(&dialect.full_name(word, &second));
                    i = end;
                    continue;
                }
                let upper = word.to_ascii_uppercase();
                let calls_next = next_is(&tokens, i, "(");
                match upper.as_str() {
                    "SEPARATOR" if matches!(calls.last(), Some(Some(_))) => {
                        while out.ends_with(char::is_whitespace) {
                            out.pop();
                        }
                        // SQLite wants the separator before the ordering: `group_concat(x, ',' ORDER BY y)`.
                        move_separator(&mut out, &tokens, &mut i)?;
                        if let Some(Some(written)) = calls.last_mut() {
                            *written = true;
                        }
                        continue;
                    }
                    "TIMESTAMPDIFF" if calls_next => {
                        out.push_str(word);
                        i = quote_unit(&tokens, i, &mut out);
                        calls.push(None);
                        continue;
                    }
                    "IF" if calls_next => out.push_str("iif"),
                    _ => out.push_str(word),
                }
            }
            Token::Backtick(name) | Token::Double(name) => {
                let identifier = matches!(tokens[i], Token::Backtick(_))
                    || is_attribute(name)
                    || is_table_position(&tokens[..i])
                    || after_as(&tokens[..i])
                    || next_is(&tokens, i, ".")
                    || matches!(significant(&tokens[..i]), Some(Token::Other(".")));
                if is_table_position(&tokens[..i])
                    && let Some((end, second)) = dotted(&tokens, i)
                {
                    out.push_str(&dialect.full_name(name, &second));
                    i = end;
                    continue;
                }
                if identifier {
                    out.push_str(&dialect.quote(name));
                } else {
                    out.push('\'');
                    out.push_str(&name.replace('\'', "''"));
                    out.push('\'');
                }
            }
        }
        i += 1;
    }
    Ok(out)
}

/// The last token that is not white space.
fn significant<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    tokens.iter().rev().find(|t| !matches!(t, Token::Space(_)))
}

fn last_word<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    match significant(tokens) {
        Some(Token::Word(w)) => Some(w),
        _ => None,
    }
}

fn is_table_position(before: &[Token<'_>]) -> bool {
    last_word(before).is_some_and(|w| {
        ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "REFERENCES"]
            .iter()
            .any(|k| w.eq_ignore_ascii_case(k))
    })
}

fn after_as(before: &[Token<'_>]) -> bool {
    last_word(before).is_some_and(|w| w.eq_ignore_ascii_case("as"))
}

fn next_is(tokens: &[Token<'_>], i: usize, what: &str) -> bool {
    tokens[i + 1..]
        .iter()
        .find(|t| !matches!(t, Token::Space(_)))
        == Some(&Token::Other(what))
}

/// `schema.table` beginning at token `i`: the index after it, and the table's name.
fn dotted(tokens: &[Token<'_>], i: usize) -> Option<(usize, String)> {
    if tokens.get(i + 1)? != &Token::Other(".") {
        return None;
    }
    match tokens.get(i + 2)? {
        Token::Word(w) => Some((i + 3, (*w).to_owned())),
        Token::Double(name) | Token::Backtick(name) => Some((i + 3, name.clone())),
        _ => None,
    }
}

/// `… [ORDER BY y] SEPARATOR 's'` → `…, 's' [ORDER BY y]`.
fn move_separator(out: &mut String, tokens: &[Token<'_>], i: &mut usize) -> Result<()> {
    let mut at = *i + 1;
    while matches!(tokens.get(at), Some(Token::Space(_))) {
        at += 1;
    }
    let separator = match tokens.get(at) {
        Some(Token::Text(s)) => (*s).to_owned(),
        Some(Token::Double(s)) => format!("'{}'", s.replace('\'', "''")),
        _ => {
            return Err(Error::new(
                ErrorKind::QuerySyntax,
                "SEPARATOR is followed by a quoted text",
            ));
        }
    };
    let call = out.rfind('(').map_or(0, |_| opening(out));
    let inner = &out[call..];
    let upper = inner.to_ascii_uppercase();
    if upper.trim_start().starts_with("DISTINCT") {
        if separator != "','" {
            return Err(Error::unsupported(
                "SQLite joins DISTINCT values with a comma only",
            ));
        }
    } else {
        match find_word(&upper, "ORDER") {
            Some(order) => {
                let order = call + order;
                let ordering = out.split_off(order);
                let trimmed = out.trim_end().len();
                out.truncate(trimmed);
                out.push_str(&format!(",{separator} {ordering}"));
            }
            None => out.push_str(&format!(",{separator}")),
        }
    }
    *i = at + 1;
    Ok(())
}

/// The position after the last parenthesis that is still open.
fn opening(out: &str) -> usize {
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

fn find_word(upper: &str, word: &str) -> Option<usize> {
    let boundary = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_');
    upper.match_indices(word).map(|(at, _)| at).find(|at| {
        let bytes = upper.as_bytes();
        boundary(at.checked_sub(1).and_then(|b| bytes.get(b)))
            && boundary(bytes.get(at + word.len()))
    })
}

/// `TIMESTAMPDIFF(DAY, …`: the unit is a word of the grammar there; here it is a text. Writes up to and including the
/// unit, or only the parenthesis if no word follows; returns the next token. The parenthesis must follow.
fn quote_unit(tokens: &[Token<'_>], i: usize, out: &mut String) -> usize {
    let skip_space = |mut at: usize| {
        while matches!(tokens.get(at), Some(Token::Space(_))) {
            at += 1;
        }
        at
    };
    out.push('(');
    let unit = skip_space(skip_space(i + 1) + 1);
    match tokens.get(unit) {
        Some(Token::Word(word)) => {
            out.push_str(&format!("'{}'", word.to_ascii_uppercase()));
            unit + 1
        }
        _ => unit,
    }
}

/// SQL of a JSON path (spec: queries §2, §16). Without a cast the result is text as on PostgreSQL.
pub(super) fn json_path(column: &str, path: &[JsonStep], cast: Option<&str>) -> Result<String> {
    let mut text = String::from("$");
    for step in path {
        match step {
            JsonStep::Member(name) if name.contains('"') => {
                return Err(Error::unsupported(format!(
                    "the JSON member `{name}` holds a double quote"
                )));
            }
            JsonStep::Member(name) => text.push_str(&format!(".\"{name}\"")),
            JsonStep::Index(n) => text.push_str(&format!("[{n}]")),
        }
    }
    let literal = format!("'{}'", text.replace('\'', "''"));
    let extract = format!("json_extract({column},{literal})");
    let Some(cast) = cast else {
        return Ok(format!(
            "CASE json_type({column},{literal}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' \
             ELSE CAST({extract} AS TEXT) END"
        ));
    };
    let cast = cast.trim().to_ascii_lowercase();
    let base = cast.split('(').next().unwrap_or_default().trim();
    Ok(match base {
        "signed" | "unsigned" | "int" | "integer" | "bigint" | "smallint" | "tinyint"
        | "mediumint" | "int8" | "int16" | "int32" | "int64" => {
            format!("CAST({extract} AS INTEGER)")
        }
        "double" | "double precision" | "float" | "real" | "decimal" | "numeric" | "float32"
        | "float64" => {
            format!("CAST({extract} AS REAL)")
        }
        "bool" | "boolean" => extract,
        "json" | "jsonb" => format!("({column} -> {literal})"),
        "char" | "varchar" | "text" | "date" | "datetime" | "timestamp" | "time"
        | "character varying" => {
            format!("CAST({extract} AS TEXT)")
        }
        _ => {
            return Err(Error::new(
                ErrorKind::QuerySyntax,
                format!("unknown type `{cast}` after a JSON path"),
            )
            .hint("Known are signed, unsigned, bigint, double, boolean, char and json."));
        }
    })
}

/// `attr.path[0]:type` taken apart; none if the text is something else.
pub(super) fn parse_json_term(term: &str) -> Option<(String, Vec<JsonStep>, Option<String>)> {
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

    fn translated(sql: &str) -> String {
        translate(&SqliteDialect, sql, &|name| {
            matches!(name, "sex" | "notes" | "session_date")
        })
        .unwrap()
    }

    #[test]
    fn quotes_become_identifiers_or_texts() {
        assert_eq!(
            translated(r#"`sex` = "M" and "sex" <> 'it''s "x"'"#),
            r#""sex" = 'M' and "sex" <> 'it''s "x"'"#
        );
        assert_eq!(translated(r#"notes = "O'B""#), "notes = 'O''B'");
        assert_eq!(
            translated("tag = X'00ff' -- gone\n or 1"),
            "tag = X'00ff'  \n or 1"
        );
    }

    #[test]
    fn table_names_become_one_identifier() {
        let expected = r#"x in (select x from "lab.#rig")"#;
        assert_eq!(translated("x in (select x from `lab`.`#rig`)"), expected);
        assert_eq!(
            translated(r##"x in (select x from "lab"."#rig")"##),
            expected
        );
        assert_eq!(translated(r##"x in (select x from "lab.#rig")"##), expected);
        assert_eq!(
            translated("select * from lab.rig r join `b`.`c` using (x)"),
            r#"select * from "lab.rig" r join "b.c" using (x)"#
        );
        assert_eq!(translated(r#"a."sex" = 1"#), r#"a."sex" = 1"#);
    }

    #[test]
    fn functions_of_mysql_are_spelled_for_sqlite() {
        assert_eq!(
            translated("GROUP_CONCAT(notes SEPARATOR ';')"),
            "GROUP_CONCAT(notes,';')"
        );
        assert_eq!(
            translated("group_concat(concat(sex, notes) ORDER BY notes DESC SEPARATOR ', ')"),
            "group_concat(concat(sex, notes),', ' ORDER BY notes DESC)"
        );
        assert_eq!(
            translated("TIMESTAMPDIFF(DAY, session_date, NOW()) > 3"),
            "TIMESTAMPDIFF('DAY', session_date, NOW()) > 3"
        );
        assert_eq!(translated("IF(sex='M', 1, 0)"), "iif(sex='M', 1, 0)");
    }

    #[test]
    fn an_open_quote_is_a_syntax_error() {
        for bad in ["x = 'a", "x = \"a", "`x = 1", "x = X'0"] {
            let error = translate(&SqliteDialect, bad, &|_| false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::QuerySyntax, "{bad}");
        }
    }

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
