//! `CREATE TABLE` for MySQL and MariaDB: comments and indexes are part of it, so that it is one atomic statement (spec:
//! definition §7).

use data_encoding::HEXLOWER;

use super::{MySqlDialect, bind};
use crate::definition::{CoreType, Default, Marker, NativeKind, StorageType, Type};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::convert::fraction_digits;
use crate::sql::indexes::index_term;
use crate::sql::{
    AlterSpec, ColumnChange, ColumnSpec, Dialect, IndexSpec, Position, Statement, TableSpec,
};
use crate::value::Value;

/// Characters of a column's comment that the server takes.
const COLUMN_COMMENT: usize = 1024;
/// And of a table's.
const TABLE_COMMENT: usize = 2048;

pub(super) fn lineage_table(dialect: &MySqlDialect, schema: &str) -> Statement {
    Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\
         `table_name` VARCHAR(64) NOT NULL COMMENT \"table name within the schema\",\n\
         `attribute_name` VARCHAR(64) NOT NULL COMMENT \"attribute name\",\n\
         `lineage` VARCHAR(255) NOT NULL COMMENT \"origin: schema.table.attribute\",\n\
         PRIMARY KEY (`table_name`, `attribute_name`)\n) ENGINE=InnoDB",
        dialect.full_name(schema, "~lineage")
    ))
}

/// Paths may be longer than a key can be. They and the names of stores are compared exactly.
pub(super) fn dropped_table(dialect: &MySqlDialect, schema: &str) -> Statement {
    Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\
         `store` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,\n\
         `path` text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n\
         `dropped_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)\n) ENGINE=InnoDB",
        dialect.full_name(schema, "~lode_dropped")
    ))
}

/// One statement, which the server runs wholly or not at all.
pub(super) fn alter_table(dialect: &MySqlDialect, alter: &AlterSpec) -> Result<Statement> {
    let table = &alter.table;
    let place = |e: Error, column: &ColumnSpec| {
        e.table(&table.schema, &table.table).attribute(&column.name)
    };
    let line = |column: &ColumnSpec, position: &Option<Position>| {
        let line = column_line(dialect, column).map_err(|e| place(e, column))?;
        Ok::<_, Error>(match position {
            None => line,
            Some(Position::First) => format!("{line} FIRST"),
            Some(Position::After(other)) => format!("{line} AFTER {}", dialect.quote(other)),
        })
    };
    let mut actions = Vec::new();
    for change in &alter.changes {
        actions.push(match change {
            ColumnChange::Drop(name) => format!("DROP COLUMN {}", dialect.quote(name)),
            ColumnChange::Add { column, position } => {
                format!("ADD COLUMN {}", line(column, position)?)
            }
            ColumnChange::Modify {
                old,
                column,
                position,
                ..
            } => match old.name == column.name {
                true => format!("MODIFY COLUMN {}", line(column, position)?),
                false => format!(
                    "CHANGE COLUMN {} {}",
                    dialect.quote(&old.name),
                    line(column, position)?
                ),
            },
        });
    }
    if alter.comment {
        if table.comment.chars().count() > TABLE_COMMENT {
            return Err(too_long("table", TABLE_COMMENT).table(&table.schema, &table.table));
        }
        actions.push(format!("COMMENT = {}", comment(&table.comment)));
    }
    Ok(Statement::new(format!(
        "ALTER TABLE {}\n{}",
        dialect.full_name(&table.schema, &table.table),
        actions.join(",\n")
    )))
}

pub(super) fn create_table(dialect: &MySqlDialect, table: &TableSpec) -> Result<Statement> {
    let names = |columns: &[String]| {
        columns
            .iter()
            .map(|c| dialect.quote(c))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut lines = Vec::new();
    for column in &table.columns {
        let line = column_line(dialect, column);
        lines.push(line.map_err(|e| e.table(&table.schema, &table.table).attribute(&column.name))?);
    }
    lines.push(format!("PRIMARY KEY ({})", names(&table.primary_key)));
    for key in &table.foreign_keys {
        lines.push(format!(
            "FOREIGN KEY ({}) REFERENCES {} ({}) ON UPDATE CASCADE ON DELETE RESTRICT",
            names(&key.columns),
            dialect.full_name(&key.parent_schema, &key.parent_table),
            names(&key.parent_columns)
        ));
    }
    for index in declared_indexes(table) {
        let terms: Result<Vec<String>> = index
            .terms
            .iter()
            .map(|term| key_part(dialect, table, term))
            .collect();
        let unique = if index.unique { "UNIQUE " } else { "" };
        lines.push(format!("{unique}INDEX ({})", terms?.join(", ")));
    }
    let mut text = format!(
        "CREATE TABLE IF NOT EXISTS {} (\n{}\n) ENGINE=InnoDB",
        dialect.full_name(&table.schema, &table.table),
        lines.join(",\n")
    );
    if !table.comment.is_empty() {
        if table.comment.chars().count() > TABLE_COMMENT {
            return Err(too_long("table", TABLE_COMMENT).table(&table.schema, &table.table));
        }
        text.push_str(&format!(", COMMENT {}", comment(&table.comment)));
    }
    Ok(Statement::new(text))
}

/// Each once; one of the same terms that is unique serves the others too. The server adds those that foreign keys need.
fn declared_indexes(table: &TableSpec) -> Vec<IndexSpec> {
    let mut indexes: Vec<IndexSpec> = Vec::new();
    for index in &table.indexes {
        match indexes.iter_mut().find(|i| i.terms == index.terms) {
            Some(same) => same.unique |= index.unique,
            None => indexes.push(index.clone()),
        }
    }
    indexes
}

/// A column, possibly with an order or a length, is a key part as it stands. Anything else is an expression, which
/// only MySQL can index, between parentheses of its own.
fn key_part(dialect: &MySqlDialect, table: &TableSpec, term: &str) -> Result<String> {
    let prefix = |column: &str, length: u32| Ok(format!("{}({length})", dialect.quote(column)));
    let text = index_term(dialect, table, term, &prefix)?;
    let is_column = table.columns.iter().any(|c| {
        text.strip_prefix(&dialect.quote(&c.name))
            .is_some_and(|rest| {
                rest.is_empty() || rest == " DESC" || rest == " ASC" || is_length(rest)
            })
    });
    if is_column {
        return Ok(text);
    }
    if dialect.mariadb {
        return Err(Error::new(
            ErrorKind::Definition,
            format!("the index term `{term}` is an expression, and MariaDB has no indexes on expressions"),
        )
        .table(&table.schema, &table.table)
        .attribute(term)
        .hint("Index attributes, or keep the value in an attribute of its own."));
    }
    Ok(match text.starts_with("IF(JSON_TYPE(") {
        // A text of any length cannot be indexed.
        true => format!("(CAST({text} AS CHAR(255)))"),
        false => format!("({text})"),
    })
}

fn is_length(text: &str) -> bool {
    text.strip_prefix('(')
        .and_then(|t| t.strip_suffix(')'))
        .is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()))
}

fn column_line(dialect: &MySqlDialect, column: &ColumnSpec) -> Result<String> {
    let type_ = match &column.known_type {
        Some(type_) => type_.clone(),
        None => column_type(&column.storage),
    };
    let mut line = format!("{} {type_}", dialect.quote(&column.name));
    line.push_str(&default_clause(column)?);
    let text = fitting_comment(column)?;
    if !text.is_empty() {
        line.push_str(&format!(" COMMENT {}", comment(&text)));
    }
    Ok(line)
}

fn column_type(storage: &StorageType) -> String {
    let core = match storage {
        StorageType::Core(core) => core,
        StorageType::Native(native) => return native.text.clone(),
    };
    match core {
        CoreType::Int8 | CoreType::Bool => "tinyint".to_owned(),
        CoreType::Int16 => "smallint".to_owned(),
        CoreType::Int32 => "int".to_owned(),
        CoreType::Int64 => "bigint".to_owned(),
        CoreType::Float32 => "float".to_owned(),
        CoreType::Float64 => "double".to_owned(),
        CoreType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        CoreType::Char(n) => format!("char({n})"),
        CoreType::Varchar(n) => format!("varchar({n})"),
        CoreType::Enum(values) => {
            let values: Vec<String> = values.iter().map(|v| literal(v)).collect();
            format!("enum({})", values.join(","))
        }
        CoreType::Date => "date".to_owned(),
        CoreType::DateTime(None) => "datetime".to_owned(),
        CoreType::DateTime(Some(n)) => format!("datetime({n})"),
        CoreType::Json => "json".to_owned(),
        CoreType::Uuid => "binary(16)".to_owned(),
        CoreType::Bytes => "longblob".to_owned(),
    }
}

fn default_clause(column: &ColumnSpec) -> Result<String> {
    if column.nullable {
        // A `timestamp` would not be nullable unless it is said.
        return Ok(match is_timestamp(&column.storage) {
            true => " NULL".to_owned(),
            false => String::new(),
        });
    }
    Ok(match &column.default {
        Default::Required => " NOT NULL".to_owned(),
        Default::Null if is_timestamp(&column.storage) => " NULL DEFAULT NULL".to_owned(),
        Default::Null => " DEFAULT NULL".to_owned(),
        Default::CurrentTimestamp(text) => {
            format!(
                " NOT NULL DEFAULT {}",
                now_expression(text, &column.storage)?
            )
        }
        Default::Literal(text) => {
            format!(
                " NOT NULL DEFAULT {}",
                default_literal(&column.storage, text)?
            )
        }
    })
}

fn is_timestamp(storage: &StorageType) -> bool {
    matches!(storage, StorageType::Native(n) if n.kind == NativeKind::Timestamp)
}

/// As written, once it is known that the column can hold it.
fn default_literal(storage: &StorageType, text: &str) -> Result<String> {
    let refused = matches!(storage, StorageType::Core(CoreType::Json | CoreType::Bytes))
        || matches!(storage, StorageType::Native(n) if n.kind == NativeKind::Blob);
    if refused {
        return Err(Error::new(
            ErrorKind::Definition,
            "a blob or JSON attribute can only have the default null",
        ));
    }
    let wrong = |e: Error| {
        e.with_kind(ErrorKind::Definition)
            .hint(format!("This is the default `{text}` of the definition."))
    };
    let value = Value::Text(text.to_owned());
    let checked = bind::stored(storage, &value).map_err(wrong)?;
    let default = match checked.as_ref() {
        Value::Bool(b) => literal(if *b { "1" } else { "0" }),
        // An expression, as MariaDB shows the bytes of a literal in no readable form.
        Value::Uuid(u) => format!("(unhex('{}'))", HEXLOWER.encode(u.as_bytes())),
        Value::Text(s) => literal(s),
        _ => literal(text.trim()),
    };
    // MySQL takes no literal as the default of a text of any length, but takes an expression.
    Ok(match storage {
        StorageType::Native(n) if n.text.ends_with("text") => format!("({default})"),
        _ => default,
    })
}

/// MySQL wants as many digits as the column has.
fn now_expression(text: &str, storage: &StorageType) -> Result<String> {
    let digits = match storage {
        StorageType::Core(CoreType::Date) => return Ok("(CURRENT_DATE)".to_owned()),
        StorageType::Core(CoreType::DateTime(_)) => fraction_digits(storage).unwrap_or(0),
        StorageType::Native(n) if n.kind == NativeKind::Timestamp => {
            fraction_digits(storage).unwrap_or(0)
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Definition,
                format!("`{text}` can only be the default of a date or datetime"),
            ));
        }
    };
    let written = text.split_once('(').map_or("0", |(_, rest)| {
        match rest.trim_end().trim_end_matches(')').trim() {
            "" => "0",
            digits => digits,
        }
    });
    let asked: u8 = written.parse().ok().filter(|n| *n <= 6).ok_or_else(|| {
        Error::new(
            ErrorKind::Definition,
            format!("`{text}`: the number of digits is 0 to 6"),
        )
    })?;
    Ok(match (asked == digits, digits) {
        (true, _) => text.to_owned(),
        (false, 0) => "CURRENT_TIMESTAMP".to_owned(),
        (false, n) => format!("CURRENT_TIMESTAMP({n})"),
    })
}

/// The comment, without a marker that the type itself tells if it would be too long otherwise (spec: definition §14).
fn fitting_comment(column: &ColumnSpec) -> Result<String> {
    if column.comment.chars().count() <= COLUMN_COMMENT {
        return Ok(column.comment.clone());
    }
    let marker = Marker::parse(&column.comment);
    let told = matches!(
        marker.type_(),
        Some(Type::Core(
            CoreType::Enum(_)
                | CoreType::Char(_)
                | CoreType::Varchar(_)
                | CoreType::Decimal { .. }
                | CoreType::Date
                | CoreType::DateTime(_)
        ))
    );
    match told
        && marker.comment.chars().count() <= COLUMN_COMMENT
        && !marker.comment.starts_with(':')
    {
        true => Ok(marker.comment),
        false => Err(too_long("attribute", COLUMN_COMMENT)),
    }
}

fn too_long(what: &str, limit: usize) -> Error {
    Error::new(
        ErrorKind::Definition,
        format!(
            "the comment of this {what} is too long: MySQL keeps {limit} characters, with the type"
        ),
    )
    .hint("Shorten the comment.")
}

/// Between double quotes, as the reference writes comments.
fn comment(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A string literal. Only for DDL, where nothing can be bound.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
