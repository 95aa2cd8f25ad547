//! Indexes of a table: which ones, their names, their terms (spec: definition §4, §5, §14).

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use super::tokens::parse_json_term;
use super::{Dialect, IndexSpec, TableSpec};
use crate::error::{Error, ErrorKind, Result};

/// Declared indexes without repetitions, then support indexes of foreign keys (spec: definition §4).
pub(in crate::sql) fn all_indexes(table: &TableSpec) -> Vec<IndexSpec> {
    let mut indexes: Vec<IndexSpec> = Vec::new();
    for index in &table.indexes {
        match indexes.iter_mut().find(|i| i.terms == index.terms) {
            Some(same) => same.unique |= index.unique,
            None => indexes.push(index.clone()),
        }
    }
    let mut candidates: Vec<&Vec<String>> = table.foreign_keys.iter().map(|k| &k.columns).collect();
    candidates.sort_by_key(|c| std::cmp::Reverse(c.len()));
    for columns in candidates {
        let served = std::iter::once(&table.primary_key)
            .chain(indexes.iter().map(|i| &i.terms))
            .any(|other| other.starts_with(columns));
        if !served {
            indexes.push(IndexSpec {
                unique: false,
                terms: columns.clone(),
            });
        }
    }
    indexes
}

/// `idx_<table>_<columns>`; what is too long keeps its beginning and gets a hash (spec: definition §5, §14).
pub(in crate::sql) fn index_name(table: &str, terms: &[String]) -> String {
    let columns = terms.join("_");
    let name = format!("idx_{table}_{columns}");
    if columns.chars().count() <= 30 && name.len() <= 63 {
        return name;
    }
    let hash = HEXLOWER.encode(&Md5::digest(name.as_bytes())[..4]);
    let columns: String = columns.chars().take(21).collect();
    let table: String = table
        .chars()
        .take(54 - 6 - columns.chars().count().min(21))
        .collect();
    format!("idx_{table}_{columns}_{hash}")
}

/// The SQL of one index term: a column, `column desc`, `column(n)` as `prefix` writes it, a JSON path, an expression.
pub(in crate::sql) fn index_term(
    dialect: &dyn Dialect,
    table: &TableSpec,
    term: &str,
    prefix: &dyn Fn(&str, u32) -> Result<String>,
) -> Result<String> {
    let is_column = |name: &str| table.columns.iter().any(|c| c.name == name);
    let term = term.trim();
    if is_column(term) {
        return Ok(dialect.quote(term));
    }
    let lower = term.to_ascii_lowercase();
    for (suffix, word) in [(" desc", "DESC"), (" asc", "ASC")] {
        if lower.ends_with(suffix) && is_column(term[..term.len() - suffix.len()].trim()) {
            return Ok(format!(
                "{} {word}",
                dialect.quote(term[..term.len() - suffix.len()].trim())
            ));
        }
    }
    if let Some((column, path, cast)) = parse_json_term(term)
        && is_column(&column)
        && !path.is_empty()
    {
        return dialect.json_path(&dialect.quote(&column), &path, cast.as_deref());
    }
    let bare = term.chars().all(|c| c.is_alphanumeric() || c == '_');
    if bare {
        let error = Error::new(
            ErrorKind::Definition,
            format!("the index names `{term}`, which the table does not have"),
        )
        .table(&table.schema, &table.table)
        .attribute(term);
        return Err(
            match crate::error::did_you_mean(term, table.columns.iter().map(|c| c.name.as_str())) {
                Some(hint) => error.hint(hint),
                None => error,
            },
        );
    }
    if let Some((column, rest)) = term.split_once('(')
        && is_column(column.trim())
        && let Ok(length) = rest.trim_end_matches(')').trim().parse()
    {
        return prefix(column.trim(), length);
    }
    dialect.translate(term, &is_column)
}
