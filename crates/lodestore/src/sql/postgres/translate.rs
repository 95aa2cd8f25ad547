//! User-written SQL text, as MySQL users write it, into PostgreSQL's (spec: queries §12, §16).
//!
//! A tokenizer, not a parser: calls of known functions are taken apart, everything else is passed on as it stands.

use super::PostgresDialect;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::tokens::{
    Token, after_as, is_table_position, last_word, next_is, parse_json_term, significant, tokens,
};
use crate::sql::{Dialect, JsonStep};

pub(super) fn translate(sql: &str, is_attribute: &dyn Fn(&str) -> bool) -> Result<String> {
    let tokens = tokens(sql)?;
    Translator { is_attribute }.all(&tokens)
}

struct Translator<'f> {
    is_attribute: &'f dyn Fn(&str) -> bool,
}

impl Translator<'_> {
    fn all(&self, tokens: &[Token<'_>]) -> Result<String> {
        let mut out = String::new();
        let mut i = 0;
        while i < tokens.len() {
            match &tokens[i] {
                Token::Space(s) | Token::Text(s) | Token::Other(s) => out.push_str(s),
                Token::Word(word) => {
                    if let Some(hex) = hex_literal(word) {
                        out.push_str(&format!("'\\x{hex}'::bytea"));
                    } else if let Some((text, next)) = self.special(tokens, i, word)? {
                        out.push_str(&text);
                        i = next;
                        continue;
                    } else {
                        out.push_str(word);
                    }
                }
                Token::Backtick(name) => out.push_str(&PostgresDialect.quote(name)),
                Token::Double(name) => {
                    let identifier = (self.is_attribute)(name)
                        || is_table_position(&tokens[..i])
                        || after_as(&tokens[..i])
                        || next_is(tokens, i, ".")
                        || matches!(significant(&tokens[..i]), Some(Token::Other(".")));
                    match identifier {
                        true => out.push_str(&PostgresDialect.quote(name)),
                        false => out.push_str(&text(name)),
                    }
                }
            }
            i += 1;
        }
        Ok(out)
    }

    /// The translation of what begins with a word, and the token after it.
    fn special(
        &self,
        tokens: &[Token<'_>],
        i: usize,
        word: &str,
    ) -> Result<Option<(String, usize)>> {
        let upper = word.to_ascii_uppercase();
        if matches!(significant(&tokens[..i]), Some(Token::Other("."))) {
            return Ok(None);
        }
        match upper.as_str() {
            "INTERVAL" => return self.interval(tokens, i),
            "REGEXP" | "RLIKE" if !next_is(tokens, i, "(") => {
                return Ok(Some(("~".to_owned(), i + 1)));
            }
            "SIGNED" | "UNSIGNED"
                if last_word(&tokens[..i]).is_some_and(|w| w.eq_ignore_ascii_case("as")) =>
            {
                return Ok(Some(("bigint".to_owned(), i + 1)));
            }
            _ => {}
        }
        if !next_is(tokens, i, "(") {
            return Ok(None);
        }
        let Some((arguments, next)) = arguments(tokens, i + 1) else {
            return Ok(None);
        };
        let all = |args: &[&[Token<'_>]]| -> Result<Vec<String>> {
            args.iter()
                .map(|a| self.all(a).map(|t| t.trim().to_owned()))
                .collect()
        };
        let text = match (upper.as_str(), arguments.len()) {
            ("GROUP_CONCAT", _) => self.group_concat(tokens, i + 1, next)?,
            ("CURDATE", 0) => "CURRENT_DATE".to_owned(),
            ("NOW", 0) => "CURRENT_TIMESTAMP".to_owned(),
            ("NOW", 1) => format!("CURRENT_TIMESTAMP({})", all(&arguments)?[0]),
            ("UTC_TIMESTAMP", 0) => "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')".to_owned(),
            ("YEAR" | "MONTH" | "DAY" | "HOUR" | "MINUTE" | "QUARTER", 1) => {
                format!(
                    "EXTRACT({upper} FROM {})::int",
                    operand(&all(&arguments)?[0])
                )
            }
            ("SECOND", 1) => {
                format!(
                    "FLOOR(EXTRACT(SECOND FROM {}))::int",
                    operand(&all(&arguments)?[0])
                )
            }
            ("DATE", 1) => format!("({})::date", all(&arguments)?[0]),
            ("DATEDIFF", 2) => {
                let args = all(&arguments)?;
                format!("(({})::date - ({})::date)", args[0], args[1])
            }
            ("TIMESTAMPDIFF", 3) => {
                let args = all(&arguments)?;
                timestampdiff(&args[0], &args[1], &args[2])?
            }
            ("IF", 3) => {
                let args = all(&arguments)?;
                format!(
                    "CASE WHEN {} THEN {} ELSE {} END",
                    args[0], args[1], args[2]
                )
            }
            ("IFNULL", 2) => format!("COALESCE({})", all(&arguments)?.join(", ")),
            ("STD", 1) => format!("STDDEV_POP({})", all(&arguments)?[0]),
            ("RAND", 0) => "RANDOM()".to_owned(),
            ("UCASE", 1) => format!("UPPER({})", all(&arguments)?[0]),
            ("LCASE", 1) => format!("LOWER({})", all(&arguments)?[0]),
            ("ISNULL", 1) => format!("(({}) IS NULL)", all(&arguments)?[0]),
            ("JSON_VALUE", 2) => match json_value(&self.all(arguments[0])?, arguments[1])? {
                Some(text) => text,
                None => return Ok(None),
            },
            ("SUM" | "AVG", 1) if is_comparison(arguments[0]) => {
                format!("{word}(({})::int)", all(&arguments)?[0])
            }
            _ => return Ok(None),
        };
        Ok(Some((text, next)))
    }

    /// `GROUP_CONCAT([DISTINCT] x [ORDER BY y] [SEPARATOR 's'])` → `STRING_AGG([DISTINCT] (x)::text, 's' [ORDER BY y])`.
    fn group_concat(&self, tokens: &[Token<'_>], open: usize, next: usize) -> Result<String> {
        let start = open
            + tokens[open..]
                .iter()
                .position(|t| *t == Token::Other("("))
                .unwrap_or(0)
            + 1;
        let inner = &tokens[start..next - 1];
        let word_at = |wanted: &str| {
            let mut depth = 0;
            inner.iter().position(|t| {
                match t {
                    Token::Other("(") => depth += 1,
                    Token::Other(")") => depth -= 1,
                    _ => {}
                }
                depth == 0 && matches!(t, Token::Word(w) if w.eq_ignore_ascii_case(wanted))
            })
        };
        let separator_at = word_at("SEPARATOR").unwrap_or(inner.len());
        let order_at = word_at("ORDER").unwrap_or(separator_at).min(separator_at);
        let (distinct, from) = match word_at("DISTINCT") {
            Some(at) if at < order_at => ("DISTINCT ", at + 1),
            _ => ("", 0),
        };
        let mut separator = "','".to_owned();
        if let Some(rest) = inner.get(separator_at + 1..) {
            separator = match rest.iter().find(|t| !matches!(t, Token::Space(_))) {
                Some(Token::Text(s)) => (*s).to_owned(),
                Some(Token::Double(s)) => text(s),
                _ => {
                    return Err(Error::new(
                        ErrorKind::QuerySyntax,
                        "SEPARATOR is followed by a quoted text",
                    ));
                }
            };
        }
        // Several values are put together, as MySQL does; a second text is the separator in SQLite's spelling.
        let mut values = split(&inner[from..order_at]);
        if values.len() == 2
            && separator_at == inner.len()
            && let [Token::Text(s)] = trimmed(values[1])
        {
            separator = (*s).to_owned();
            values.pop();
        }
        let values: Result<Vec<String>> = values.iter().map(|v| self.all(v)).collect();
        let value = match &values?[..] {
            [one] => format!("({})::text", one.trim()),
            many => format!("CONCAT({})", many.join(",")),
        };
        let order = self.all(&inner[order_at..separator_at])?;
        let order = match order.trim() {
            "" => String::new(),
            order => format!(" {order}"),
        };
        Ok(format!("STRING_AGG({distinct}{value}, {separator}{order})"))
    }

    /// `INTERVAL 3 DAY` → `INTERVAL '3 DAY'`, `INTERVAL x DAY` → `(x * INTERVAL '1 DAY')`.
    fn interval(&self, tokens: &[Token<'_>], i: usize) -> Result<Option<(String, usize)>> {
        let mut words = (i + 1..tokens.len()).filter(|at| !matches!(tokens[*at], Token::Space(_)));
        let (Some(number), Some(unit)) = (words.next(), words.next()) else {
            return Ok(None);
        };
        let Token::Word(unit_word) = &tokens[unit] else {
            return Ok(None);
        };
        const UNITS: [&str; 9] = [
            "YEAR",
            "QUARTER",
            "MONTH",
            "WEEK",
            "DAY",
            "HOUR",
            "MINUTE",
            "SECOND",
            "MICROSECOND",
        ];
        let unit_word = unit_word.to_ascii_uppercase();
        if !UNITS.contains(&unit_word.as_str()) {
            return Ok(None);
        }
        let (factor, unit_word) = match unit_word.as_str() {
            "QUARTER" => (3, "MONTH"),
            other => (1, other),
        };
        let number = match &tokens[number] {
            Token::Word(w) => (*w).to_owned(),
            Token::Text(t) => t.trim_matches('\'').to_owned(),
            _ => return Ok(None),
        };
        Ok(Some((
            match number.parse::<i64>() {
                Ok(number) => format!("INTERVAL '{} {unit_word}'", number * factor),
                Err(_) => format!("({number} * INTERVAL '{factor} {unit_word}')"),
            },
            unit + 1,
        )))
    }
}

/// A literal is a moment where one is expected.
fn operand(text: &str) -> String {
    match text.starts_with('\'') {
        true => format!("{text}::timestamp"),
        false => text.to_owned(),
    }
}

fn text(inner: &str) -> String {
    format!("'{}'", inner.replace('\'', "''"))
}

/// The digits of `X'00ff'`, which is bytes elsewhere and a bit string here.
fn hex_literal(word: &str) -> Option<&str> {
    word.strip_prefix(['x', 'X'])?
        .strip_prefix('\'')?
        .strip_suffix('\'')
}

fn trimmed<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let space = |t: &Token<'_>| matches!(t, Token::Space(_));
    let start = tokens.iter().take_while(|t| space(t)).count();
    let end = tokens.len()
        - tokens[start..]
            .iter()
            .rev()
            .take_while(|t| space(t))
            .count();
    &tokens[start..end]
}

/// Parts between the commas outside parentheses.
fn split<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    if trimmed(tokens).is_empty() {
        return Vec::new();
    }
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Other("(") => depth += 1,
            Token::Other(")") => depth -= 1,
            Token::Other(",") if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// The arguments of the call whose parenthesis is the next token from `at`, and the index after the closing one.
fn arguments<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> Option<(Vec<&'t [Token<'a>]>, usize)> {
    let open = at + tokens[at..].iter().position(|t| *t == Token::Other("("))?;
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Other("(") => depth += 1,
            Token::Other(")") => {
                depth -= 1;
                if depth == 0 {
                    return Some((split(&tokens[open + 1..i]), i + 1));
                }
            }
            _ => {}
        }
    }
    None
}

/// True if the truth of a comparison is what is summed. (A cast `::` or an arrow `->` is none.)
fn is_comparison(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0;
    tokens.iter().enumerate().any(|(i, token)| {
        match token {
            Token::Other("(") => depth += 1,
            Token::Other(")") => depth -= 1,
            _ => {}
        }
        let arrow = *token == Token::Other(">")
            && i.checked_sub(1).is_some_and(|b| matches!(tokens[b], Token::Other("-" | ">")));
        let cased = matches!(tokens.iter().find(|t| !matches!(t, Token::Space(_))), Some(Token::Word(w)) if w.eq_ignore_ascii_case("case"));
        depth == 0 && !arrow && !cased && matches!(token, Token::Other("=" | "<" | ">" | "!"))
    })
}

/// Whole units from `from` to `to`, as MySQL counts them.
fn timestampdiff(unit: &str, from: &str, to: &str) -> Result<String> {
    let (from, to) = (format!("({from})::timestamp"), format!("({to})::timestamp"));
    let age = format!("AGE({to}, {from})");
    let months = format!("(EXTRACT(YEAR FROM {age}) * 12 + EXTRACT(MONTH FROM {age}))");
    let seconds = format!("EXTRACT(EPOCH FROM ({to} - {from}))");
    Ok(match unit.to_ascii_uppercase().as_str() {
        "YEAR" => format!("EXTRACT(YEAR FROM {age})::int"),
        "QUARTER" => format!("TRUNC({months} / 3)::int"),
        "MONTH" => format!("{months}::int"),
        "WEEK" => format!("TRUNC({seconds} / 604800)::int"),
        "DAY" => format!("TRUNC({seconds} / 86400)::int"),
        "HOUR" => format!("TRUNC({seconds} / 3600)::bigint"),
        "MINUTE" => format!("TRUNC({seconds} / 60)::bigint"),
        "SECOND" => format!("TRUNC({seconds})::bigint"),
        "MICROSECOND" => format!("({seconds} * 1000000)::bigint"),
        _ => {
            return Err(Error::new(
                ErrorKind::QuerySyntax,
                format!("TIMESTAMPDIFF: unknown unit {unit}"),
            ));
        }
    })
}

/// `JSON_VALUE(column, '$.a.b')`; none if the path is written in another way.
fn json_value(column: &str, path: &[Token<'_>]) -> Result<Option<String>> {
    let [Token::Text(path)] = trimmed(path) else {
        return Ok(None);
    };
    let Some(path) = path.trim_matches('\'').strip_prefix('$') else {
        return Ok(None);
    };
    match parse_json_term(&format!("x{path}")) {
        Some((_, steps, None)) => json_path(column.trim(), &steps, None).map(Some),
        _ => Ok(None),
    }
}

/// SQL of a JSON path (spec: queries §2).
pub(super) fn json_path(column: &str, path: &[JsonStep], cast: Option<&str>) -> Result<String> {
    let mut steps = String::new();
    for step in path {
        match step {
            JsonStep::Member(name) => steps.push_str(&format!(", {}", text(name))),
            JsonStep::Index(n) => steps.push_str(&format!(", '{n}'")),
        }
    }
    let extract = format!("jsonb_extract_path_text({column}{steps})");
    let Some(cast) = cast else {
        return Ok(extract);
    };
    let cast = cast.trim().to_ascii_lowercase();
    let (base, arguments) = match cast.split_once('(') {
        Some((base, rest)) => (base.trim(), rest.strip_suffix(')')),
        None => (cast.as_str(), Some("")),
    };
    let unknown = || {
        Error::new(
            ErrorKind::QuerySyntax,
            format!("unknown type `{cast}` after a JSON path"),
        )
        .hint("Known are signed, unsigned, bigint, double, boolean, char and json.")
    };
    let arguments = arguments.filter(|a| {
        let digits = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        a.is_empty() || a.split(',').all(|n| digits(n.trim()))
    });
    let arguments = match arguments.ok_or_else(unknown)? {
        "" => String::new(),
        a => format!("({a})"),
    };
    let type_ = match base {
        "signed" | "unsigned" | "int" | "integer" | "bigint" | "smallint" | "tinyint"
        | "mediumint" | "int8" | "int16" | "int32" | "int64" => "bigint".to_owned(),
        "double" | "double precision" | "float" | "real" | "float32" | "float64" => {
            "double precision".to_owned()
        }
        "decimal" | "numeric" => format!("numeric{arguments}"),
        "bool" | "boolean" => "boolean".to_owned(),
        "json" | "jsonb" => return Ok(format!("jsonb_extract_path({column}{steps})")),
        "char" | "varchar" | "text" | "character varying" if arguments.is_empty() => {
            return Ok(extract);
        }
        "char" | "varchar" | "character varying" => format!("varchar{arguments}"),
        "date" => "date".to_owned(),
        "datetime" | "timestamp" => format!("timestamp{arguments}"),
        "time" => format!("time{arguments}"),
        _ => return Err(unknown()),
    };
    Ok(format!("({extract})::{type_}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn translated(sql: &str) -> String {
        translate(sql, &|name| {
            matches!(name, "sex" | "notes" | "session_date")
        })
        .unwrap()
    }

    #[test]
    fn quotes_become_identifiers_or_texts() {
        for (given, expected) in [
            (
                r#"`sex` = "M" and "sex" <> 'it''s "x"'"#,
                r#""sex" = 'M' and "sex" <> 'it''s "x"'"#,
            ),
            (r#"notes = "O'B""#, "notes = 'O''B'"),
            ("tag = X'00ff'", "tag = '\\x00ff'::bytea"),
            (
                "x in (select x from `lab`.`#rig`)",
                r##"x in (select x from "lab"."#rig")"##,
            ),
            (r#"a."sex" = 1"#, r#"a."sex" = 1"#),
        ] {
            assert_eq!(translated(given), expected);
        }
    }

    #[test]
    fn functions_of_mysql_are_spelled_for_postgresql() {
        for (given, expected) in [
            (
                "GROUP_CONCAT(notes SEPARATOR ';')",
                "STRING_AGG((notes)::text, ';')",
            ),
            ("group_concat(notes)", "STRING_AGG((notes)::text, ',')"),
            (
                "group_concat(DISTINCT concat(sex, notes) ORDER BY notes DESC SEPARATOR ', ')",
                "STRING_AGG(DISTINCT (concat(sex, notes))::text, ', ' ORDER BY notes DESC)",
            ),
            (
                "IF(sex='M', IFNULL(a, 1), 0)",
                "CASE WHEN sex='M' THEN COALESCE(a, 1) ELSE 0 END",
            ),
            (
                "YEAR(session_date) = 2024",
                "EXTRACT(YEAR FROM session_date)::int = 2024",
            ),
            (
                "session_date > CURDATE() - INTERVAL 3 DAY",
                "session_date > CURRENT_DATE - INTERVAL '3 DAY'",
            ),
            ("SUM(sex = 'M')", "SUM((sex = 'M')::int)"),
            ("SUM(weight)", "SUM(weight)"),
            (
                "JSON_VALUE(notes, '$.a[1]')",
                "jsonb_extract_path_text(notes, 'a', '1')",
            ),
            (
                "now() > DATEDIFF(a, b)",
                "CURRENT_TIMESTAMP > ((a)::date - (b)::date)",
            ),
            (
                "a % 2 = 0 and notes like '%x'",
                "a % 2 = 0 and notes like '%x'",
            ),
        ] {
            assert_eq!(translated(given), expected);
        }
    }

    #[test]
    fn a_type_after_a_path_is_one_of_a_list() {
        let member = [JsonStep::Member("it's".into())];
        assert_eq!(
            json_path("\"m\"", &member, Some("decimal(5, 2)")).unwrap(),
            "(jsonb_extract_path_text(\"m\", 'it''s'))::numeric(5, 2)"
        );
        for bad in [
            "char(5)) is null or (1",
            "nonsense",
            "char(5",
            "decimal(1,)",
        ] {
            assert!(json_path("m", &member, Some(bad)).is_err(), "{bad}");
        }
    }
}
