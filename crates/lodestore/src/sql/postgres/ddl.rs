//! Types, tables, indexes and comments (spec: definition §3, §7), and what is dropped.

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use super::PostgresDialect;
use super::catalog;
use super::session::Link;
use crate::definition::{CoreType, Default, NativeKind, NativeType, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::indexes::{all_indexes, index_name, index_term};
use crate::sql::{ColumnSpec, Dialect, Statement, TableSpec};

/// The longest name of anything.
pub(super) const LONGEST_NAME: usize = 63;

pub(super) fn check_schema_name(schema: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::invalid(format!(
            "`{schema}` cannot be the name of a schema on PostgreSQL: {why}"
        )))
    };
    if schema.is_empty() || schema.contains('.') {
        return wrong("it is empty or holds a dot");
    }
    if schema.len() > LONGEST_NAME {
        return wrong("it has more than 63 characters");
    }
    if schema.starts_with("pg_") {
        return wrong("names that begin with `pg_` belong to the server");
    }
    Ok(())
}

pub(super) fn lineage_table(schema: &str) -> Statement {
    Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\"table_name\" VARCHAR(64) NOT NULL,\n\
         \"attribute_name\" VARCHAR(64) NOT NULL,\n\"lineage\" VARCHAR(255) NOT NULL,\n\
         PRIMARY KEY (\"table_name\", \"attribute_name\")\n)",
        PostgresDialect.full_name(schema, "~lineage")
    ))
}

pub(super) fn dropped_table(schema: &str) -> Statement {
    Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\"store\" text,\n\"path\" text NOT NULL,\n\
         \"dropped_at\" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)\n)",
        PostgresDialect.full_name(schema, "~lode_dropped")
    ))
}

pub(super) fn create_table(table: &TableSpec) -> Result<Vec<Statement>> {
    let dialect = PostgresDialect;
    let full_name = dialect.full_name(&table.schema, &table.table);
    let names = |columns: &[String]| {
        let quoted: Vec<String> = columns.iter().map(|c| dialect.quote(c)).collect();
        quoted.join(", ")
    };
    let mut texts = Vec::new();
    let mut lines = Vec::new();
    for column in &table.columns {
        let type_ = spelled_type(table, column, &mut texts)?;
        lines.push(format!(
            "{} {type_}{}",
            dialect.quote(&column.name),
            default_clause(column)
        ));
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
    texts.push(format!(
        "CREATE TABLE IF NOT EXISTS {full_name} (\n{}\n)",
        lines.join(",\n")
    ));
    for index in all_indexes(table) {
        let terms: Result<Vec<String>> = index.terms.iter().map(|t| term(table, t)).collect();
        let unique = if index.unique { "UNIQUE " } else { "" };
        let name = dialect.quote(&index_name(&table.table, &index.terms));
        texts.push(format!(
            "CREATE {unique}INDEX {name} ON {full_name} ({})",
            terms?.join(", ")
        ));
    }
    texts.push(format!(
        "COMMENT ON TABLE {full_name} IS {}",
        literal(&table.comment)
    ));
    for column in table.columns.iter().filter(|c| !c.comment.is_empty()) {
        texts.push(format!(
            "COMMENT ON COLUMN {full_name}.{} IS {}",
            dialect.quote(&column.name),
            literal(&column.comment)
        ));
    }
    Ok(texts.into_iter().map(Statement::new).collect())
}

/// The SQL of a column's type. If it is an enum, what creates it goes to `texts`.
pub(super) fn spelled_type(
    table: &TableSpec,
    column: &ColumnSpec,
    texts: &mut Vec<String>,
) -> Result<String> {
    let place = |e: Error| e.table(&table.schema, &table.table).attribute(&column.name);
    Ok(match (&column.storage, &column.known_type) {
        (StorageType::Core(CoreType::Enum(values)), known)
            if known.is_none() || !column.inherited =>
        {
            let default = || PostgresDialect.full_name(&table.schema, &enum_name(values));
            let name = known.clone().unwrap_or_else(default);
            let create = create_enum(&name, values).map_err(place)?;
            if !texts.contains(&create) {
                texts.push(create);
            }
            name
        }
        (_, Some(known)) => known.clone(),
        (storage, None) => column_type(storage).map_err(place)?,
    })
}

/// The name that the reference gives an enum type (spec: definition §3.2).
pub(super) fn enum_name(values: &[String]) -> String {
    let mut sorted: Vec<&str> = values.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let hash = Md5::digest(sorted.join("_").as_bytes());
    format!("enum_{}", HEXLOWER.encode(&hash[..4]))
}

/// Where that name stands for other values: of the ordered list, and longer, so that the two never meet.
pub(super) fn own_enum_name(values: &[String]) -> String {
    let list: String = values.iter().map(|v| format!("{}:{v}", v.len())).collect();
    let hash = Md5::digest(list.as_bytes());
    format!("enum_{}", HEXLOWER.encode(&hash[..8]))
}

/// Creates an enum type, unless it is there with these very values.
fn create_enum(name: &str, values: &[String]) -> Result<String> {
    if let Some(long) = values.iter().find(|v| v.len() > LONGEST_NAME) {
        return Err(Error::new(
            ErrorKind::Definition,
            format!("the enum value `{long}` has more than 63 bytes, PostgreSQL's limit"),
        ));
    }
    let labels: Vec<String> = values.iter().map(|v| literal(v)).collect();
    let labels = labels.join(", ");
    let mut tag = "$lode$".to_owned();
    while labels.contains(&tag) || name.contains(&tag) {
        tag.insert(1, 'x');
    }
    let as_text = literal(name);
    Ok(format!(
        "DO {tag} BEGIN\nCREATE TYPE {name} AS ENUM ({labels});\n\
         EXCEPTION WHEN duplicate_object OR unique_violation THEN\n\
         IF ARRAY(SELECT enumlabel::text FROM pg_catalog.pg_enum WHERE enumtypid = {as_text}::regtype \
         ORDER BY enumsortorder) <> ARRAY[{labels}]::text[] THEN\n\
         RAISE EXCEPTION 'the type % has other values', {as_text};\nEND IF;\nEND {tag}"
    ))
}

fn column_type(storage: &StorageType) -> Result<String> {
    Ok(match storage {
        StorageType::Core(core) => match core {
            CoreType::Int8 | CoreType::Int16 => "smallint".to_owned(),
            CoreType::Int32 => "integer".to_owned(),
            CoreType::Int64 => "bigint".to_owned(),
            CoreType::Float32 => "real".to_owned(),
            CoreType::Float64 => "double precision".to_owned(),
            CoreType::Bool => "boolean".to_owned(),
            CoreType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
            CoreType::Char(n) => format!("char({n})"),
            CoreType::Varchar(n) => format!("varchar({n})"),
            CoreType::Enum(values) => enum_name(values),
            CoreType::Date => "date".to_owned(),
            CoreType::DateTime(None) => "timestamp".to_owned(),
            CoreType::DateTime(Some(n)) => format!("timestamp({n})"),
            CoreType::Json => "jsonb".to_owned(),
            CoreType::Uuid => "uuid".to_owned(),
            CoreType::Bytes => "bytea".to_owned(),
        },
        StorageType::Native(native) => native_type(native)?,
    })
}

/// A native type, verbatim, if the server has it.
fn native_type(native: &NativeType) -> Result<String> {
    let text = native.text.as_str();
    let word = text.split(['(', ' ']).next().unwrap_or_default();
    let instead = match &native.kind {
        _ if text.contains("auto_increment") => Some("serial"),
        _ if text.contains("unsigned") || text.contains("zerofill") => Some("int64"),
        NativeKind::Int { .. } if word == "tinyint" => Some("int8"),
        NativeKind::Int { .. } if word == "mediumint" => Some("int32"),
        NativeKind::Int { .. } if text.contains('(') => Some("int32"),
        NativeKind::Float if word == "double" || text.contains('(') => Some("float64"),
        NativeKind::Decimal { .. } if word == "fixed" => Some("decimal"),
        NativeKind::Text { .. } if word.ends_with("text") && word != "text" => Some("text"),
        NativeKind::Blob => Some("bytes"),
        NativeKind::Year => Some("int16"),
        NativeKind::UnsignedBig { .. } => Some("int64"),
        _ => None,
    };
    match instead {
        None => Ok(text.to_owned()),
        Some(instead) => Err(Error::new(
            ErrorKind::Definition,
            format!("PostgreSQL has no type `{text}`"),
        )
        .hint(format!("Use `{instead}`."))),
    }
}

pub(super) fn default_clause(column: &ColumnSpec) -> String {
    if column.nullable {
        return String::new();
    }
    match default_value(&column.default) {
        Some(value) => format!(" NOT NULL DEFAULT {value}"),
        None if column.default == Default::Null => " DEFAULT NULL".to_owned(),
        None => " NOT NULL".to_owned(),
    }
}

/// A default that is a value.
pub(super) fn default_value(default: &Default) -> Option<String> {
    match default {
        Default::Required | Default::Null => None,
        Default::CurrentTimestamp(text) => Some(text.trim().to_owned()),
        Default::Literal(text) => Some(literal(text)),
    }
}

/// An index term; what is not a column stands in parentheses.
fn term(table: &TableSpec, text: &str) -> Result<String> {
    let prefix = |column: &str, length: u32| {
        Ok(format!("left({}, {length})", PostgresDialect.quote(column)))
    };
    let term = index_term(&PostgresDialect, table, text, &prefix)?;
    let column = term.trim_end_matches(" DESC").trim_end_matches(" ASC");
    let plain = |c: &ColumnSpec| PostgresDialect.quote(&c.name) == column;
    Ok(match table.columns.iter().any(plain) {
        true => term,
        false => format!("({term})"),
    })
}

/// A string literal. Only for DDL, where nothing can be bound; sessions have `standard_conforming_strings` on.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Drops a table, and the enum types that only it used.
pub(super) async fn drop_table(link: &mut Link, schema: &str, table: &str) -> Result<()> {
    let full_name = PostgresDialect.full_name(schema, table);
    let types = catalog::enum_types(link, schema, Some(table)).await?;
    link.batch(&format!("DROP TABLE {full_name}"))
        .await
        .map_err(|e| e.table(schema, table))?;
    drop_types(link, schema, &types).await?;
    link.forget();
    Ok(())
}

/// A type that a column still uses stays.
async fn drop_types(link: &mut Link, schema: &str, types: &[String]) -> Result<()> {
    for type_ in types {
        let name = PostgresDialect.full_name(schema, type_);
        let mut tag = "$lode$".to_owned();
        while name.contains(&tag) {
            tag.insert(1, 'x');
        }
        link.batch(&format!(
            "DO {tag} BEGIN DROP TYPE IF EXISTS {name}; \
             EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END {tag}"
        ))
        .await?;
    }
    Ok(())
}

/// Drops a schema of which only hidden tables are left.
pub(super) async fn drop_schema(link: &mut Link, schema: &str) -> Result<()> {
    let tables = catalog::catalogs(link, &[schema], None).await?.pop();
    for table in tables.unwrap_or_default() {
        if !table.name.starts_with('~') {
            return Err(Error::new(
                ErrorKind::Integrity,
                format!("the schema `{schema}` still has tables"),
            )
            .table(schema, table.name));
        }
        drop_table(link, schema, &table.name).await?;
    }
    let types = catalog::enum_types(link, schema, None).await?;
    drop_types(link, schema, &types).await?;
    let name = PostgresDialect.quote(schema);
    link.batch(&format!("DROP SCHEMA IF EXISTS {name}")).await
}
