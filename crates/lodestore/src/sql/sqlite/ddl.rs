//! `CREATE TABLE` and its indexes for SQLite (spec: definition §12).

use data_encoding::HEXLOWER;

use super::SqliteDialect;
use crate::definition::{CoreType, Default, NativeKind, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::convert;
use crate::sql::indexes::{all_indexes, index_name, index_term};
use crate::sql::{ColumnSpec, Dialect, Statement, TableSpec};
use crate::value::Value;

/// The catalogue tables, made when a file is first opened.
pub(super) const CATALOG: &str = r#"CREATE TABLE "~schema"  ("schema_name" TEXT NOT NULL COLLATE NOCASE, PRIMARY KEY ("schema_name")) STRICT;
CREATE TABLE "~comment" ("schema_name" TEXT NOT NULL, "table_name" TEXT NOT NULL,
  "column_name" TEXT NOT NULL DEFAULT '',
  "comment" TEXT NOT NULL, PRIMARY KEY ("schema_name","table_name","column_name")) STRICT;"#;

const SECONDS: &str = "strftime('%Y-%m-%d %H:%M:%S','now')";
const MILLIS: &str = "strftime('%Y-%m-%d %H:%M:%f','now')";

pub(super) fn lineage_table(dialect: &SqliteDialect, schema: &str) -> Statement {
    Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\"table_name\" TEXT NOT NULL,\n\"attribute_name\" TEXT NOT NULL,\n\
         \"lineage\" TEXT NOT NULL,\nPRIMARY KEY (\"table_name\", \"attribute_name\")\n) STRICT",
        dialect.full_name(schema, "~lineage")
    ))
}

pub(super) fn dropped_table(dialect: &SqliteDialect, schema: &str) -> Statement {
    Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\"store\" TEXT,\n\"path\" TEXT NOT NULL,\n\
         \"dropped_at\" TEXT NOT NULL DEFAULT ({MILLIS})\n) STRICT",
        dialect.full_name(schema, "~lode_dropped")
    ))
}

pub(super) fn create_table(dialect: &SqliteDialect, table: &TableSpec) -> Result<Vec<Statement>> {
    let name = dialect.full_name(&table.schema, &table.table);
    let mut statements = vec![self::table(dialect, table, &name)?];
    statements.extend(indexes(dialect, table)?);
    statements.extend(comments(table));
    Ok(statements)
}

/// The table itself, under a quoted name that need not be its own.
pub(super) fn table(
    dialect: &SqliteDialect,
    table: &TableSpec,
    quoted_name: &str,
) -> Result<Statement> {
    let names = |columns: &[String]| {
        columns
            .iter()
            .map(|c| dialect.quote(c))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let automatic = automatic_column(table)?;

    let mut lines = Vec::new();
    for column in &table.columns {
        let line = column_line(dialect, column, automatic == Some(column.name.as_str()));
        lines.push(line.map_err(|e| e.table(&table.schema, &table.table).attribute(&column.name))?);
    }
    if automatic.is_none() {
        lines.push(format!("PRIMARY KEY ({})", names(&table.primary_key)));
    }
    for key in &table.foreign_keys {
        lines.push(format!(
            "FOREIGN KEY ({}) REFERENCES {} ({}) ON UPDATE CASCADE ON DELETE RESTRICT",
            names(&key.columns),
            dialect.full_name(&key.parent_schema, &key.parent_table),
            names(&key.parent_columns)
        ));
    }
    Ok(Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {quoted_name} (\n{}\n) STRICT",
        lines.join(",\n")
    )))
}

pub(super) fn indexes(dialect: &SqliteDialect, table: &TableSpec) -> Result<Vec<Statement>> {
    let full_name = dialect.full_name(&table.schema, &table.table);
    let mut statements = Vec::new();
    for index in all_indexes(table) {
        let terms: Result<Vec<String>> = index
            .terms
            .iter()
            .map(|t| index_term(dialect, table, t, &no_prefix))
            .collect();
        let unique = if index.unique { "UNIQUE " } else { "" };
        let name = dialect.full_name(&table.schema, &index_name(&table.table, &index.terms));
        statements.push(Statement::new(format!(
            "CREATE {unique}INDEX {name} ON {full_name} ({})",
            terms?.join(", ")
        )));
    }
    Ok(statements)
}

/// What is told in comments, as rows of the catalogue.
pub(super) fn comments(table: &TableSpec) -> Vec<Statement> {
    let mut statements = Vec::new();
    let comments = std::iter::once(("", table.comment.as_str())).chain(
        table
            .columns
            .iter()
            .map(|c| (c.name.as_str(), c.comment.as_str())),
    );
    for (column, comment) in comments.filter(|(_, comment)| !comment.is_empty()) {
        statements.push(Statement {
            text: "INSERT OR REPLACE INTO \"~comment\" (\"schema_name\", \"table_name\", \"column_name\", \"comment\") \
                   VALUES (?1, ?2, ?3, ?4)"
                .to_owned(),
            params: [table.schema.as_str(), &table.table, column, comment].map(Value::from).to_vec(),
        });
    }
    statements
}

/// The one column that numbers its rows, if there is one: only a sole key may (anywhere else SQLite has no such thing).
pub(super) fn automatic_column(table: &TableSpec) -> Result<Option<&str>> {
    let mut found = None;
    for column in table
        .columns
        .iter()
        .filter(|c| is_automatic(&c.storage) && !c.inherited)
    {
        if table.primary_key != [column.name.clone()] {
            return Err(Error::new(
                ErrorKind::Definition,
                format!(
                    "`{}`: on SQLite only the sole primary-key attribute can be auto-increment",
                    column.name
                ),
            )
            .table(&table.schema, &table.table)
            .attribute(&column.name));
        }
        found = Some(column.name.as_str());
    }
    Ok(found)
}

fn is_automatic(storage: &StorageType) -> bool {
    match storage {
        StorageType::Native(n) => {
            n.text == "serial"
                || matches!(
                    n.kind,
                    NativeKind::Int {
                        auto_increment: true,
                        ..
                    } | NativeKind::UnsignedBig {
                        auto_increment: true
                    }
                )
        }
        StorageType::Core(_) => false,
    }
}

pub(super) fn column_line(
    dialect: &SqliteDialect,
    column: &ColumnSpec,
    automatic: bool,
) -> Result<String> {
    let name = dialect.quote(&column.name);
    let (type_, mut check) = column_type(&name, &column.storage)?;
    if column.name == "_singleton" {
        check = Some(format!("{name} = 1"));
    }
    let mut line = if automatic {
        // `INTEGER`, and nothing else, makes SQLite number the rows; hence it is written nowhere else.
        format!("{name} INTEGER PRIMARY KEY AUTOINCREMENT")
    } else {
        format!("{name} {type_}{}", default_clause(column)?)
    };
    if let Some(check) = check {
        line.push_str(&format!(" CHECK ({check})"));
    }
    Ok(line)
}

/// The storage class of a type's values; none for a type that SQLite does not have.
pub(super) fn storage_class(storage: &StorageType) -> Option<&'static str> {
    let (type_, _) = column_type("", storage).ok()?;
    type_.split(' ').next()
}

/// The type, and the condition its values meet.
fn column_type(name: &str, storage: &StorageType) -> Result<(&'static str, Option<String>)> {
    let range = |min: i64, max: i64| {
        ((min, max) != (i64::MIN, i64::MAX)).then(|| format!("{name} BETWEEN {min} AND {max}"))
    };
    let length = |n: u32| Some(format!("length({name}) <= {n}"));
    Ok(match storage {
        StorageType::Core(core) => match core {
            CoreType::Int8 => ("INT", range(i8::MIN.into(), i8::MAX.into())),
            CoreType::Int16 => ("INT", range(i16::MIN.into(), i16::MAX.into())),
            CoreType::Int32 => ("INT", range(i32::MIN.into(), i32::MAX.into())),
            CoreType::Int64 => ("INT", None),
            CoreType::Float32 | CoreType::Float64 => ("REAL", None),
            CoreType::Bool => ("INT", Some(format!("{name} IN (0,1)"))),
            CoreType::Decimal { .. } => ("TEXT COLLATE decimal", None),
            CoreType::Char(n) | CoreType::Varchar(n) => ("TEXT", length(*n)),
            CoreType::Enum(values) => {
                let values: Vec<String> = values.iter().map(|v| literal(v)).collect();
                ("TEXT", Some(format!("{name} IN ({})", values.join(","))))
            }
            CoreType::Date | CoreType::DateTime(_) => ("TEXT", None),
            CoreType::Json => (
                "TEXT",
                Some(format!("{name} IS NULL OR json_valid({name})")),
            ),
            CoreType::Uuid => ("BLOB", Some(format!("length({name}) = 16"))),
            CoreType::Bytes => ("BLOB", None),
        },
        StorageType::Native(native) => match &native.kind {
            _ if native.text == "serial" => ("INT", range(0, i64::MAX)),
            NativeKind::Int { min, max, .. } => ("INT", range(*min, *max)),
            NativeKind::UnsignedBig { .. } => {
                return Err(Error::new(
                    ErrorKind::Definition,
                    format!(
                        "`{}` does not fit SQLite's 64-bit signed integers",
                        native.text
                    ),
                )
                .hint("Use `int64`."));
            }
            NativeKind::Float => ("REAL", None),
            NativeKind::Decimal { unsigned, .. } => (
                "TEXT COLLATE decimal",
                unsigned.then(|| format!("{name} >= '0'")),
            ),
            NativeKind::Text { max_chars } => ("TEXT", max_chars.and_then(length)),
            NativeKind::Blob => ("BLOB", None),
            NativeKind::Time | NativeKind::Timestamp => ("TEXT", None),
            NativeKind::Year => ("INT", range(1901, 2155)),
        },
    })
}

fn default_clause(column: &ColumnSpec) -> Result<String> {
    if column.nullable {
        return Ok(String::new());
    }
    Ok(match &column.default {
        Default::Required => " NOT NULL".to_owned(),
        Default::Null => " DEFAULT NULL".to_owned(),
        Default::CurrentTimestamp(text) => format!(
            " NOT NULL DEFAULT ({})",
            now_expression(text, &column.storage)?
        ),
        Default::Literal(text) => format!(
            " NOT NULL DEFAULT {}",
            default_literal(&column.storage, text)?
        ),
    })
}

/// A default in stored form, so that a row that got it equals a row that was given the value.
fn default_literal(storage: &StorageType, text: &str) -> Result<String> {
    let value = Value::Text(text.to_owned());
    let wrong = |e: Error| {
        e.with_kind(ErrorKind::Definition)
            .hint(format!("This is the default `{text}` of the definition."))
    };
    if matches!(storage, StorageType::Core(CoreType::Json | CoreType::Bytes))
        || matches!(storage, StorageType::Native(n) if n.kind == NativeKind::Blob)
    {
        return Err(Error::new(
            ErrorKind::Definition,
            "a blob or JSON attribute can only have the default null",
        ));
    }
    Ok(
        match super::bind::stored(storage, &value)
            .map_err(wrong)?
            .as_ref()
        {
            Value::Bool(b) => literal(if *b { "1" } else { "0" }),
            Value::Int(i) => literal(&i.to_string()),
            Value::Float(f) if f.to_string() == text.trim() => literal(text.trim()),
            Value::Float(f) => literal(&f.to_string()),
            Value::Text(s) | Value::Decimal(s) => literal(s),
            Value::Uuid(u) => format!("X'{}'", HEXLOWER.encode(u.as_bytes())),
            _ => {
                return Err(Error::new(
                    ErrorKind::Definition,
                    format!("`{text}` cannot be the default of this type"),
                ));
            }
        },
    )
}

/// `CURRENT_TIMESTAMP(k)` for a column that stores n digits. SQLite's clock has three.
fn now_expression(text: &str, storage: &StorageType) -> Result<String> {
    let asked: usize = match text.split_once('(') {
        Some((_, rest)) => match rest.trim_end().trim_end_matches(')').trim() {
            "" => 0,
            digits => digits.parse().ok().filter(|n| *n <= 6).ok_or_else(|| {
                Error::new(
                    ErrorKind::Definition,
                    format!("`{text}`: the number of digits is 0 to 6"),
                )
            })?,
        },
        None => 0,
    };
    match storage {
        StorageType::Core(CoreType::Date) => Ok("date('now')".to_owned()),
        StorageType::Core(CoreType::DateTime(None)) if asked == 0 => Ok(SECONDS.to_owned()),
        // Plain datetime: six digits, and none if they are zero.
        StorageType::Core(CoreType::DateTime(None)) => {
            Ok(format!("replace({MILLIS}||'000','.000000','')"))
        }
        StorageType::Core(CoreType::DateTime(Some(_))) => Ok(padded_now(asked, storage)),
        StorageType::Native(n) if n.kind == NativeKind::Timestamp => Ok(padded_now(asked, storage)),
        _ => Err(Error::new(
            ErrorKind::Definition,
            format!("`{text}` can only be the default of a date or datetime"),
        )),
    }
}

fn padded_now(asked: usize, storage: &StorageType) -> String {
    let stored = usize::from(convert::fraction_digits(storage).unwrap_or(0));
    let taken = asked.min(stored).min(3);
    let (base, point) = match taken {
        0 => (SECONDS.to_owned(), "."),
        3 => (MILLIS.to_owned(), ""),
        n => (format!("substr({MILLIS},1,{})", 20 + n), ""),
    };
    match stored - taken {
        0 => base,
        missing => format!("{base}||'{point}{}'", "0".repeat(missing)),
    }
}

/// The written form of a default expression found in the catalogue.
pub(super) fn written_default(expression: &str) -> String {
    let expression = expression.trim();
    if expression == "date('now')" {
        return "CURRENT_TIMESTAMP".to_owned();
    }
    let padding = expression
        .rsplit_once("||'")
        .map_or(0, |(_, p)| p.bytes().filter(|b| *b == b'0').count());
    if expression.starts_with("replace(strftime(") {
        "CURRENT_TIMESTAMP(3)".to_owned()
    } else if expression.starts_with(SECONDS) {
        match padding {
            0 => "CURRENT_TIMESTAMP".to_owned(),
            n => format!("CURRENT_TIMESTAMP({n})"),
        }
    } else if expression.starts_with(MILLIS) {
        format!("CURRENT_TIMESTAMP({})", 3 + padding)
    } else if let Some(rest) = expression.strip_prefix(&format!("substr({MILLIS},1,")) {
        let length: usize = rest
            .split(')')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(21);
        format!("CURRENT_TIMESTAMP({})", length.saturating_sub(20) + padding)
    } else {
        expression.to_owned()
    }
}

fn no_prefix(column: &str, length: u32) -> Result<String> {
    Err(Error::unsupported(format!(
        "`{column}({length})`: SQLite has no index on a prefix of a column"
    )))
}

/// A string literal. Only for DDL, where nothing can be bound.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
