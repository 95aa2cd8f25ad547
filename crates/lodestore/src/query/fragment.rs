//! SQL text written by people, with bound arguments, and the names that it mentions (spec: queries §12).

use std::fmt;

use crate::error::{Error, Result};
use crate::value::Value;

/// A piece of SQL with bound arguments, one per `{}` outside of quotes. Made from text alone, a `{}` is just text.
#[derive(Clone)]
pub struct Fragment {
    text: String,
    /// None: the text has no arguments and `{}` means nothing.
    params: Option<Vec<Value>>,
}

impl Fragment {
    /// Text with one argument per `{}`. A wrong number of arguments is an error of the query that uses it.
    pub fn bound(text: impl Into<String>, params: Vec<Value>) -> Fragment {
        Fragment {
            text: text.into(),
            params: Some(params),
        }
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The arguments.
    pub(crate) fn params(&self) -> &[Value] {
        self.params.as_deref().unwrap_or_default()
    }

    /// The text with each argument's place marked by [`MARK`], so that it survives translation in one piece.
    pub(crate) fn marked(&self) -> String {
        if self.params.is_none() {
            return self.text.clone();
        }
        let mut out = String::with_capacity(self.text.len());
        for (token, text) in tokens(&self.text) {
            match token {
                Token::Argument => out.push(MARK),
                _ => out.push_str(text),
            }
        }
        out
    }

    /// What the text mentions; an error if it is no single, balanced expression.
    pub(crate) fn names(&self) -> Result<Names> {
        if self.text.trim().is_empty() {
            return Err(Error::invalid("an SQL text is empty"));
        }
        if self.text.contains(MARK) {
            return Err(Error::invalid(format!(
                "the SQL text `{}` holds a reserved character",
                self.text.trim()
            )));
        }
        let names = scan(&self.text)?;
        if let Some(params) = &self.params
            && params.len() != names.arguments
        {
            return Err(Error::invalid(format!(
                "the SQL text `{}` has {} `{{}}` but {} arguments",
                self.text.trim(),
                names.arguments,
                params.len()
            )));
        }
        Ok(names)
    }
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

/// Stands for an argument in [`Fragment::marked`]; a private-use character, which no SQL grammar knows.
pub(crate) const MARK: char = '\u{E000}';

/// The names in an SQL text.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Must be attributes: names outside of sub-selects that are neither keywords nor functions nor types.
    pub(crate) attributes: Vec<Mention>,
    /// May be attributes: keywords, names in double quotes, and everything inside sub-selects; lower-case.
    pub(crate) possible: Vec<String>,
    arguments: usize,
}

/// A name, and where it stands.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) name: String,
    /// Inside the parentheses of a function that may be an aggregate.
    pub(crate) aggregated: bool,
}

impl Names {
    /// Everything that may mention an attribute.
    pub(crate) fn any(&self) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .map(|m| m.name.as_str())
            .chain(self.possible.iter().map(String::as_str))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Space,
    Word,
    Number,
    /// `'…'`
    Text,
    /// `"…"`
    Double,
    /// `` `…` ``
    Backtick,
    /// `::`
    Cast,
    /// `{}`
    Argument,
    /// Anything else, one character.
    Other(char),
}

/// Splits SQL into tokens that together are the text. An unclosed quote runs to the end (see [`scan`]).
fn tokens(sql: &str) -> impl Iterator<Item = (Token, &str)> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let while_ = |test: &dyn Fn(char) -> bool| rest.find(|c| !test(c)).unwrap_or(rest.len());
        let (token, end) = match first {
            c if c.is_whitespace() => (Token::Space, while_(&char::is_whitespace)),
            c if c.is_alphabetic() || c == '_' => (
                Token::Word,
                while_(&|c: char| c.is_alphanumeric() || c == '_' || c == '$'),
            ),
            c if c.is_ascii_digit() => (
                Token::Number,
                while_(&|c: char| c.is_alphanumeric() || c == '.'),
            ),
            '\'' => (Token::Text, quoted_end(rest, '\'')),
            '"' => (Token::Double, quoted_end(rest, '"')),
            '`' => (Token::Backtick, quoted_end(rest, '`')),
            '-' if rest.starts_with("--") => (Token::Space, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (
                Token::Space,
                rest.find("*/").map_or(rest.len(), |at| at + 2),
            ),
            ':' if rest.starts_with("::") => (Token::Cast, 2),
            '{' if rest.starts_with("{}") => (Token::Argument, 2),
            c => (Token::Other(c), c.len_utf8()),
        };
        let (text, after) = rest.split_at(end);
        rest = after;
        Some((token, text))
    })
}

/// End of a quoted token that begins the text; a doubled quote does not end it.
fn quoted_end(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

fn is_closed(text: &str, quote: char) -> bool {
    text.len() >= 2
        && text.ends_with(quote)
        && text[1..text.len() - 1]
            .matches(quote)
            .count()
            .is_multiple_of(2)
}

/// Finds the names, without knowing the attributes.
fn scan(sql: &str) -> Result<Names> {
    let fault = |why: &str| {
        Err(Error::invalid(format!(
            "the SQL text `{}` {why}",
            sql.trim()
        )))
    };
    let all: Vec<(Token, &str)> = tokens(sql)
        .filter(|(token, _)| *token != Token::Space)
        .collect();
    let mut names = Names::default();
    // One entry per open parenthesis: inside a sub-select; inside an aggregate; inside CAST, and after its AS.
    struct Open {
        sub_select: bool,
        aggregated: bool,
        cast: bool,
    }
    let mut open: Vec<Open> = Vec::new();
    let mut skip_word = false;
    for (at, (token, text)) in all.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|b| all.get(b));
        let after = all.get(at + 1);
        let is_other = |t: Option<&(Token, &str)>, c: char| {
            t.is_some_and(|(token, _)| *token == Token::Other(c))
        };
        let sub_select = open.last().is_some_and(|o| o.sub_select);
        let aggregated = open.last().is_some_and(|o| o.aggregated);
        match token {
            Token::Argument => names.arguments += 1,
            Token::Text if !is_closed(text, '\'') => return fault("has an open quote"),
            Token::Double if !is_closed(text, '"') => return fault("has an open quote"),
            Token::Backtick if !is_closed(text, '`') => return fault("has an open quote"),
            Token::Other('(') => {
                let select = matches!(after, Some((Token::Word, w)) if ["select", "with", "values"]
                    .contains(&w.to_ascii_lowercase().as_str()));
                let function = match before {
                    Some((Token::Word, w)) => Some(w.to_ascii_lowercase()),
                    _ => None,
                };
                let function = function
                    .as_deref()
                    .filter(|f| !is_keyword(f) || *f == "left" || *f == "right");
                open.push(Open {
                    sub_select: sub_select || select,
                    aggregated: aggregated || function.is_some_and(|f| !SCALARS.contains(&f)),
                    cast: matches!(
                        function,
                        Some("cast" | "try_cast" | "safe_cast" | "convert")
                    ),
                });
            }
            Token::Other(')') if open.pop().is_none() => {
                return fault("closes a parenthesis that is not open");
            }
            Token::Other(';') => return fault("holds a `;`"),
            Token::Backtick => {
                let name = text[1..text.len() - 1].replace("``", "`");
                if sub_select || is_other(after, '.') {
                    names.possible.push(name.to_lowercase());
                } else {
                    names.attributes.push(Mention { name, aggregated });
                }
            }
            Token::Double => names.possible.push(text[1..text.len() - 1].to_lowercase()),
            Token::Word if std::mem::take(&mut skip_word) => {}
            Token::Word => {
                let word = text.to_ascii_lowercase();
                let in_cast = open.last().is_some_and(|o| o.cast);
                match word.as_str() {
                    "collate" => skip_word = true,
                    "as" if in_cast => skip_word = true,
                    _ => {}
                }
                let type_name = matches!(before, Some((Token::Cast, _)));
                let typed_literal = matches!(after, Some((Token::Text, _)));
                let variable = is_other(before, '@') || is_other(before, ':');
                let function = is_other(after, '(');
                let qualifier = is_other(after, '.');
                let qualified = is_other(before, '.');
                if type_name || variable || (function && !is_keyword(&word)) {
                } else if is_keyword(&word) || sub_select || typed_literal || qualified {
                    names.possible.push(word);
                } else if qualifier {
                    // A table's name, or an attribute with a JSON path: the caller knows which.
                    names.possible.push(word);
                } else {
                    names.attributes.push(Mention {
                        name: (*text).to_owned(),
                        aggregated,
                    });
                }
            }
            _ => {}
        }
    }
    if open.is_empty() {
        Ok(names)
    } else {
        fault("leaves a parenthesis open")
    }
}

/// Words that mean something in SQL outside of sub-selects. A word that is also an attribute is taken for the attribute.
pub(crate) fn is_keyword(lower: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "all",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "at",
        "between",
        "binary",
        "both",
        "by",
        "case",
        "collate",
        "current",
        "current_date",
        "current_time",
        "current_timestamp",
        "day",
        "day_hour",
        "day_minute",
        "day_second",
        "desc",
        "distinct",
        "div",
        "else",
        "end",
        "epoch",
        "escape",
        "exclude",
        "exists",
        "false",
        "filter",
        "first",
        "following",
        "for",
        "from",
        "glob",
        "group",
        "hour",
        "hour_minute",
        "hour_second",
        "ilike",
        "in",
        "interval",
        "is",
        "isnull",
        "last",
        "leading",
        "left",
        "like",
        "localtime",
        "localtimestamp",
        "match",
        "microsecond",
        "millisecond",
        "minute",
        "minute_second",
        "mod",
        "month",
        "not",
        "notnull",
        "null",
        "nulls",
        "of",
        "on",
        "or",
        "order",
        "over",
        "overlaps",
        "partition",
        "preceding",
        "quarter",
        "range",
        "regexp",
        "right",
        "rlike",
        "row",
        "rows",
        "second",
        "select",
        "separator",
        "similar",
        "some",
        "sounds",
        "symmetric",
        "then",
        "time",
        "to",
        "trailing",
        "true",
        "unbounded",
        "unknown",
        "using",
        "values",
        "week",
        "when",
        "where",
        "window",
        "with",
        "within",
        "xor",
        "year",
        "year_month",
        "zone",
    ];
    KEYWORDS.binary_search(&lower).is_ok()
}

/// Functions that are known to be no aggregates; sorted by use, not by name.
const SCALARS: &[&str] = &[
    "abs",
    "ceil",
    "ceiling",
    "floor",
    "round",
    "truncate",
    "trunc",
    "sign",
    "sqrt",
    "power",
    "pow",
    "exp",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "pi",
    "radians",
    "degrees",
    "length",
    "char_length",
    "octet_length",
    "upper",
    "lower",
    "trim",
    "ltrim",
    "rtrim",
    "substr",
    "substring",
    "left",
    "right",
    "replace",
    "concat",
    "concat_ws",
    "instr",
    "locate",
    "hex",
    "lpad",
    "rpad",
    "reverse",
    "coalesce",
    "ifnull",
    "nullif",
    "if",
    "iif",
    "greatest",
    "least",
    "cast",
    "convert",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "date",
    "time",
    "datetime",
    "strftime",
    "julianday",
    "timestampdiff",
    "datediff",
    "date_format",
    "extract",
    "curdate",
    "now",
    "json_extract",
    "json_value",
    "jsonb_extract_path_text",
    "typeof",
    "in",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn attributes(sql: &str) -> Vec<String> {
        Fragment::from(sql)
            .names()
            .unwrap()
            .attributes
            .into_iter()
            .map(|m| m.name)
            .collect()
    }

    #[test]
    fn only_names_of_attributes_are_found() {
        for (sql, names) in [
            ("sex='M'", vec!["sex"]),
            ("`sex`='M' and weight > 1.5e3", vec!["sex", "weight"]),
            ("name like 'it''s sex'", vec!["name"]),
            ("case when a is null then true else false end", vec!["a"]),
            ("CASE WHEN a IN (1, 2) THEN b END = 0x1F", vec!["a", "b"]),
            ("count(session_no) > 1", vec!["session_no"]),
            ("a::text = b :: integer", vec!["a", "b"]),
            ("cast(a as signed) = cast(b as varchar(5))", vec!["a", "b"]),
            ("d > date '2024-01-01' - interval 1 day", vec!["d"]),
            ("extract(year from d) = 2024", vec!["d"]),
            ("a in (select x from t where y = 1) and b", vec!["a", "b"]),
            ("a between 1 and 2 collate nocase", vec!["a"]),
            ("t.a = 1", vec![]),
            ("a = @var -- and c\n and b /* d */", vec!["a", "b"]),
            ("\"x\" = 1", vec![]),
            ("Année = 1", vec!["Année"]),
            ("left(name, 2) = 'ab'", vec!["name"]),
        ] {
            assert_eq!(attributes(sql), names, "{sql}");
        }
    }

    #[test]
    fn text_that_would_leave_its_parentheses_is_refused() {
        for sql in [
            "a=1) or (1=1",
            "(a=1",
            "a='x",
            "a=1; drop table t",
            "",
            "  ",
            "`a",
            "\"a",
        ] {
            assert!(Fragment::from(sql).names().is_err(), "{sql}");
        }
    }

    #[test]
    fn arguments_are_counted_outside_of_quotes_only() {
        let fragment = Fragment::bound("a = {} and b = '{}' and c > {}", vec![1.into(), 2.into()]);
        assert_eq!(fragment.names().unwrap().attributes.len(), 3);
        assert_eq!(
            fragment.marked(),
            format!("a = {MARK} and b = '{{}}' and c > {MARK}")
        );
        assert!(Fragment::bound("a = {}", vec![]).names().is_err());
        assert!(Fragment::from("a = '{}'").names().is_ok());
    }

    #[test]
    fn a_name_outside_of_every_possible_aggregate_is_told_apart() {
        let bare = |sql: &str| {
            let names = Fragment::from(sql).names().unwrap();
            names
                .attributes
                .into_iter()
                .filter(|m| !m.aggregated)
                .map(|m| m.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(bare("sum(a) + b"), ["b"]);
        assert_eq!(bare("abs(a) + max(abs(b))"), ["a"]);
        assert_eq!(bare("my_aggregate(a)"), Vec::<String>::new());
    }

    #[test]
    fn keywords_are_sorted_for_the_search() {
        for word in [
            "all",
            "and",
            "is",
            "zone",
            "current_date",
            "xor",
            "not",
            "notnull",
        ] {
            assert!(is_keyword(word), "{word}");
        }
        assert!(!is_keyword("subject_id"));
    }
}
