//! User-written SQL text, as MySQL and PostgreSQL users write it, into SQLite's (spec: queries §12, §16).
//!
//! A tokenizer, not a parser: text between the recognised pieces is passed on as it stands.

use super::SqliteDialect;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::tokens::{
    Token, after_as, dotted, find_word, is_table_position, last_word, next_is, opening,
    significant, tokens,
};
use crate::sql::{Dialect, JsonStep};

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
}
