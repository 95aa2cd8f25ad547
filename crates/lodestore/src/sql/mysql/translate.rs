//! User-written SQL text, as MySQL and PostgreSQL users write it, into MySQL's (spec: queries §12).
//!
//! A tokenizer, not a parser: text between the recognised pieces is passed on as it stands.

use super::MySqlDialect;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::tokens::{
    Token, after_as, dotted, is_table_position, next_is, significant, tokens_with,
};
use crate::sql::{Dialect, JsonStep};

pub(super) fn translate(
    dialect: &MySqlDialect,
    sql: &str,
    is_attribute: &dyn Fn(&str) -> bool,
) -> Result<String> {
    let tokens = tokens_with(sql, true)?;
    let mut out = String::with_capacity(sql.len() + 8);
    write(dialect, &tokens, is_attribute, &mut out)?;
    Ok(out)
}

fn write(
    dialect: &MySqlDialect,
    tokens: &[Token<'_>],
    is_attribute: &dyn Fn(&str) -> bool,
    out: &mut String,
) -> Result<()> {
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            Token::Space(s) | Token::Text(s) | Token::Other(s) => out.push_str(s),
            Token::Word(word) => {
                if word.eq_ignore_ascii_case("string_agg")
                    && next_is(tokens, i, "(")
                    && let Some((open, close)) = parentheses(tokens, i + 1)
                {
                    string_agg(dialect, &tokens[open + 1..close], is_attribute, out)?;
                    i = close + 1;
                    continue;
                }
                out.push_str(word);
            }
            Token::Backtick(name) | Token::Double(name) => {
                let before = &tokens[..i];
                let table = is_table_position(before);
                if table
                    && !next_is(tokens, i, ".")
                    && let Some((schema, name)) = name.split_once('.')
                {
                    out.push_str(&dialect.full_name(schema, name));
                } else if table && let Some((end, second)) = dotted(tokens, i) {
                    out.push_str(&dialect.full_name(name, &second));
                    i = end;
                    continue;
                } else if table
                    || matches!(tokens[i], Token::Backtick(_))
                    || is_attribute(name)
                    || after_as(before)
                    || next_is(tokens, i, ".")
                    || matches!(significant(before), Some(Token::Other(".")))
                {
                    out.push_str(&dialect.quote(name));
                } else {
                    // Backslashes mean the same between both kinds of quotes.
                    out.push_str(&format!("'{}'", name.replace('\'', "''")));
                }
            }
        }
        i += 1;
    }
    Ok(())
}

/// The parenthesis that opens at or after token `from`, and the one that closes it.
fn parentheses(tokens: &[Token<'_>], from: usize) -> Option<(usize, usize)> {
    let open = (from..tokens.len()).find(|i| tokens[*i] == Token::Other("("))?;
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Other("(") => depth += 1,
            Token::Other(")") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((open, i));
        }
    }
    None
}

/// `STRING_AGG(x[::text], 's' [ORDER BY y])` → `GROUP_CONCAT(x [ORDER BY y] SEPARATOR 's')`.
fn string_agg(
    dialect: &MySqlDialect,
    inner: &[Token<'_>],
    is_attribute: &dyn Fn(&str) -> bool,
    out: &mut String,
) -> Result<()> {
    let mut depth = 0;
    let comma = inner.iter().position(|t| {
        match t {
            Token::Other("(") => depth += 1,
            Token::Other(")") => depth -= 1,
            _ => {}
        }
        depth == 0 && *t == Token::Other(",")
    });
    let wrong = || {
        Error::new(
            ErrorKind::QuerySyntax,
            "STRING_AGG takes an expression and a separator",
        )
    };
    let comma = comma.ok_or_else(wrong)?;
    let mut after = comma + 1;
    while matches!(inner.get(after), Some(Token::Space(_))) {
        after += 1;
    }
    let separator = match inner.get(after) {
        Some(Token::Text(s)) => (*s).to_owned(),
        Some(Token::Double(s)) => format!("'{}'", s.replace('\'', "''")),
        _ => return Err(wrong()),
    };
    out.push_str("GROUP_CONCAT(");
    let mut expression = &inner[..comma];
    if let [
        rest @ ..,
        Token::Other(":"),
        Token::Other(":"),
        Token::Word(_),
    ] = expression
    {
        expression = rest;
    }
    write(dialect, expression, is_attribute, out)?;
    write(dialect, &inner[after + 1..], is_attribute, out)?;
    if separator != "','" {
        out.push_str(&format!(" SEPARATOR {separator}"));
    }
    out.push(')');
    Ok(())
}

/// SQL of a JSON path (spec: queries §2, §16). Without a cast the result is text, and a JSON null is NULL, as on
/// PostgreSQL.
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
    let literal = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let extract = format!("JSON_EXTRACT({column},{literal})");
    let plain = format!("IF(JSON_TYPE({extract})='NULL',NULL,JSON_UNQUOTE({extract}))");
    let Some(cast) = cast else {
        return Ok(plain);
    };
    let cast = cast.trim().to_ascii_lowercase();
    let base = cast.split('(').next().unwrap_or_default().trim();
    Ok(match base {
        "signed" | "int" | "integer" | "bigint" | "smallint" | "tinyint" | "mediumint" | "int8"
        | "int16" | "int32" | "int64" => format!("CAST({plain} AS SIGNED)"),
        "unsigned" => format!("CAST({plain} AS UNSIGNED)"),
        "double" | "double precision" | "float" | "real" | "decimal" | "numeric" | "float32"
        | "float64" => format!("CAST({plain} AS DOUBLE)"),
        "bool" | "boolean" => format!("CASE {plain} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"),
        "json" | "jsonb" => extract,
        "char" | "varchar" | "text" | "date" | "datetime" | "timestamp" | "time"
        | "character varying" => plain,
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
        translate(&MySqlDialect::default(), sql, &|name| {
            matches!(name, "sex" | "notes")
        })
        .unwrap()
    }

    #[test]
    fn quotes_become_identifiers_or_texts() {
        assert_eq!(
            translated(r#"`sex` = "M" and "sex" <> 'it\'s "x"'"#),
            r#"`sex` = 'M' and `sex` <> 'it\'s "x"'"#
        );
        assert_eq!(translated(r#"notes = "O'B\"""#), r#"notes = 'O''B\"'"#);
        assert_eq!(
            translated(
                r##"x in (select x from "lab"."#rig") or y in (select y from "lab.#rig" as "z")"##
            ),
            "x in (select x from `lab`.`#rig`) or y in (select y from `lab`.`#rig` as `z`)"
        );
    }

    #[test]
    fn functions_of_postgresql_are_spelled_for_mysql() {
        for (given, expected) in [
            (
                "STRING_AGG(notes::text, ';')",
                "GROUP_CONCAT(notes SEPARATOR ';')",
            ),
            (
                "string_agg(concat(sex, notes), ',')",
                "GROUP_CONCAT(concat(sex, notes))",
            ),
            (
                "STRING_AGG(\"notes\", '-' ORDER BY \"sex\" DESC)",
                "GROUP_CONCAT(`notes` ORDER BY `sex` DESC SEPARATOR '-')",
            ),
            (
                "TIMESTAMPDIFF(DAY, a, NOW())",
                "TIMESTAMPDIFF(DAY, a, NOW())",
            ),
        ] {
            assert_eq!(translated(given), expected);
        }
    }
}
