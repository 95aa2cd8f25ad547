//! What is there: a handful of queries for any number of schemas.

use std::collections::HashMap;

use futures_util::future::try_join3;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::session::Link;
use super::{PostgresDialect, ddl};
use crate::definition::{CoreType, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{
    CatalogColumn, CatalogForeignKey, CatalogIndex, CatalogTable, Dialect, TableSpec,
};

const SCHEMAS: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace \
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname COLLATE \"C\"";

const TABLES: &str = "SELECT c.oid, n.nspname::text, c.relname::text, \
    coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY($1) AND c.relname = coalesce($2, c.relname) ORDER BY c.relname COLLATE \"C\"";

const COLUMNS: &str = "SELECT a.attrelid, a.attname::text, \
    pg_catalog.format_type(a.atttypid, a.atttypmod), t.typname::text, a.attnotnull, \
    pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity <> '', \
    coalesce(pg_catalog.col_description(a.attrelid, a.attnum), ''), \
    CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e \
    WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY($1) AND c.relname = coalesce($2, c.relname) AND a.attnum > 0 AND NOT a.attisdropped \
    ORDER BY a.attrelid, a.attnum";

/// Primary keys, then foreign keys in the order in which they were made.
const CONSTRAINTS: &str = "SELECT k.conrelid, k.contype = 'p', \
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i) \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i), \
    coalesce(pn.nspname::text, ''), coalesce(p.relname::text, ''), \
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i) \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i) \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_class p ON p.oid = k.confrelid \
    LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype IN ('p', 'f') AND n.nspname = ANY($1) AND c.relname = coalesce($2, c.relname) ORDER BY k.conrelid, k.oid";

const INDEXES: &str = "SELECT x.indrelid, i.relname::text, x.indisunique, \
    ARRAY(SELECT coalesce(a.attname::text, pg_catalog.pg_get_indexdef(x.indexrelid, u.i::int, true)) \
    || CASE WHEN x.indoption[u.i - 1] & 1 = 1 THEN ' desc' ELSE '' END \
    FROM unnest(x.indkey::int2[]) WITH ORDINALITY u(n, i) \
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.n AND u.n > 0 \
    WHERE u.i <= x.indnkeyatts ORDER BY u.i) \
    FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid \
    JOIN pg_catalog.pg_class c ON c.oid = x.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE NOT x.indisprimary AND n.nspname = ANY($1) AND c.relname = coalesce($2, c.relname) ORDER BY x.indrelid, x.indexrelid";

const REFERENCING: &str = "SELECT DISTINCT n.nspname::text, c.relname::text \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid \
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype = 'f' AND pn.nspname = $1 ORDER BY 1, 2";

const PARENT: &str = "SELECT pn.nspname::text, p.relname::text \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid \
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2 AND k.conname = $3";

/// The exact types of a table's columns; enum types with the schema that they are in.
const TYPES: &str = "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
    tn.nspname::text, t.typname::text, t.typtype = 'e' \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace \
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";

/// The values of a schema's enum type.
const ENUM: &str = "SELECT ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e \
    WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    WHERE n.nspname = $1 AND t.typname = $2 AND t.typtype = 'e'";

/// Enum types under the names that the reference gives them: of a schema, or those that columns of one table have.
const ENUMS: &str = "SELECT DISTINCT t.typname::text FROM pg_catalog.pg_type t \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    WHERE t.typtype = 'e' AND n.nspname = $1 AND starts_with(t.typname::text, 'enum_') \
    AND ($2::text IS NULL OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a \
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relnamespace = n.oid \
    WHERE c.relname = $2 AND a.atttypid = t.oid)) ORDER BY 1";

async fn rows(
    link: &Link,
    statement: &tokio_postgres::Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>> {
    let rows = link.client.query(statement, params).await;
    rows.map_err(|e| link.fail(e, ""))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(|e| {
        Error::new(
            ErrorKind::Query,
            "the catalogue of the server cannot be read",
        )
        .with_source(e)
    })
}

pub(super) async fn schemas(link: &mut Link) -> Result<Vec<String>> {
    let statement = link.prepare(SCHEMAS).await?;
    let rows = rows(link, &statement, &[]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

pub(super) async fn referencing(link: &mut Link, schema: &str) -> Result<Vec<(String, String)>> {
    let statement = link.prepare(REFERENCING).await?;
    let rows = rows(link, &statement, &[&schema]).await?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect()
}

/// The enum types of a schema, or of one table in it.
pub(super) async fn enum_types(
    link: &mut Link,
    schema: &str,
    table: Option<&str>,
) -> Result<Vec<String>> {
    let statement = link.prepare(ENUMS).await?;
    let rows = rows(link, &statement, &[&schema, &table]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// The parent (schema, table) of a foreign key.
pub(super) async fn parent(
    link: &mut Link,
    schema: &str,
    table: &str,
    constraint: &str,
) -> Result<Option<(String, String)>> {
    let statement = link.prepare(PARENT).await?;
    let rows = rows(link, &statement, &[&schema, &table, &constraint]).await?;
    match rows.first() {
        Some(row) => Ok(Some((get(row, 0)?, get(row, 1)?))),
        None => Ok(None),
    }
}

/// The tables of schemas, in their order, each sorted by name; only the one of this name, if a name is given.
pub(super) async fn catalogs(
    link: &mut Link,
    schemas: &[&str],
    only: Option<&str>,
) -> Result<Vec<Vec<CatalogTable>>> {
    let (tables, columns) = (link.prepare(TABLES).await?, link.prepare(COLUMNS).await?);
    let (constraints, indexes) = (
        link.prepare(CONSTRAINTS).await?,
        link.prepare(INDEXES).await?,
    );
    let params: [&(dyn ToSql + Sync); 2] = [&schemas, &only];
    let tables = rows(link, &tables, &params).await?;
    if tables.is_empty() {
        return Ok(vec![Vec::new(); schemas.len()]);
    }
    let (columns, constraints, indexes) = try_join3(
        rows(link, &columns, &params),
        rows(link, &constraints, &params),
        rows(link, &indexes, &params),
    )
    .await?;

    let mut out: Vec<Vec<CatalogTable>> = schemas.iter().map(|_| Vec::new()).collect();
    let mut at: HashMap<u32, (usize, usize)> = HashMap::new();
    for row in &tables {
        let schema: &str = get(row, 1)?;
        let Some(n) = schemas.iter().position(|s| *s == schema) else {
            continue;
        };
        at.insert(get(row, 0)?, (n, out[n].len()));
        out[n].push(CatalogTable {
            name: get(row, 2)?,
            comment: get(row, 3)?,
            columns: Vec::new(),
            primary_key: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
        });
    }
    for row in &columns {
        if let Some((s, t)) = at.get(&get(row, 0)?) {
            out[*s][*t].columns.push(column(row)?);
        }
    }
    for row in &constraints {
        let Some((s, t)) = at.get(&get(row, 0)?) else {
            continue;
        };
        let table = &mut out[*s][*t];
        match get(row, 1)? {
            true => table.primary_key = get(row, 2)?,
            false => table.foreign_keys.push(CatalogForeignKey {
                columns: get(row, 2)?,
                parent_schema: get(row, 3)?,
                parent_table: get(row, 4)?,
                parent_columns: get(row, 5)?,
            }),
        }
    }
    for row in &indexes {
        if let Some((s, t)) = at.get(&get(row, 0)?) {
            out[*s][*t].indexes.push(CatalogIndex {
                name: get(row, 1)?,
                unique: get(row, 2)?,
                terms: get::<Vec<String>>(row, 3)?
                    .into_iter()
                    .map(|term| json_term(&term).unwrap_or(term))
                    .collect(),
            });
        }
    }
    Ok(out)
}

fn column(row: &Row) -> Result<CatalogColumn> {
    let formatted: String = get(row, 2)?;
    let values: Option<Vec<String>> = get(row, 8)?;
    let default: Option<String> = get(row, 5)?;
    let comment: String = get(row, 7)?;
    let sequence = default.as_ref().is_some_and(|d| d.starts_with("nextval("));
    Ok(CatalogColumn {
        name: get(row, 1)?,
        database_type: match values {
            Some(_) => get(row, 3)?,
            None => database_type(&formatted),
        },
        type_text: type_text(&formatted, values),
        nullable: !get::<bool>(row, 4)?,
        default: default
            .filter(|_| !sequence)
            .and_then(|d| written_default(&d)),
        // The reference writes `\"` for `"`.
        comment: comment.replace("\\\"", "\""),
        auto_increment: sequence || get(row, 6)?,
    })
}

/// The JSON path as it was written: `jsonb_extract_path_text(m, VARIADIC ARRAY['a'::text])` → `m.a`.
fn json_term(term: &str) -> Option<String> {
    let inner = term
        .strip_prefix("jsonb_extract_path_text(")?
        .strip_suffix("])")?;
    let (column, path) = inner.split_once(", VARIADIC ARRAY[")?;
    let mut out = column.to_owned();
    for step in path.split(", ") {
        let step = step.strip_prefix('\'')?.strip_suffix("'::text")?;
        if step.is_empty() || !step.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        match step.bytes().all(|b| b.is_ascii_digit()) {
            true => out.push_str(&format!("[{step}]")),
            false => out.push_str(&format!(".{step}")),
        }
    }
    Some(out)
}

/// What the reference calls a type (spec: definition §8.1).
fn database_type(formatted: &str) -> String {
    let (base, rest) = formatted.split_once('(').unwrap_or((formatted, ""));
    let (arguments, after) = rest.split_once(')').unwrap_or(("", ""));
    match base {
        "character varying" if !arguments.is_empty() => format!("varchar({arguments})"),
        "character" if !arguments.is_empty() => format!("char({arguments})"),
        "numeric" if !arguments.is_empty() => match arguments.strip_suffix(",0") {
            Some(precision) => format!("decimal({precision})"),
            None => format!("decimal({arguments})"),
        },
        "timestamp" | "time" | "interval" => format!("{}{after}", base.trim_end()),
        _ => formatted.to_owned(),
    }
}

/// The type in the words of the definition language, where the database's are none of them.
fn type_text(formatted: &str, values: Option<Vec<String>>) -> Option<String> {
    if let Some(values) = values {
        return Some(CoreType::Enum(values).to_string());
    }
    let digits = |after: &str| {
        let inner = formatted.strip_prefix(after)?.strip_prefix('(')?;
        inner.split(')').next().map(str::to_owned)
    };
    Some(match formatted {
        "boolean" => "bool".to_owned(),
        "double precision" => "float64".to_owned(),
        "bytea" => "bytes".to_owned(),
        "jsonb" | "json" => "json".to_owned(),
        "character varying" => "text".to_owned(),
        "timestamp without time zone" | "timestamp with time zone" => "datetime".to_owned(),
        "time without time zone" => "time(6)".to_owned(),
        _ if formatted.starts_with("timestamp(") => format!("datetime({})", digits("timestamp")?),
        _ if formatted.starts_with("time(") => format!("time({})", digits("time")?),
        _ if formatted.starts_with("numeric(") => format!("decimal({})", digits("numeric")?),
        _ => return None,
    })
}

/// The default as it was written: without the server's casts, truth values as 1 and 0.
fn written_default(expression: &str) -> Option<String> {
    let mut text = expression.trim();
    loop {
        let bare = without_cast(text);
        let bare = bare
            .strip_prefix('(')
            .and_then(|t| t.strip_suffix(')'))
            .filter(|t| !t.contains(['(', ')']))
            .unwrap_or(bare);
        if bare == text {
            break;
        }
        text = bare;
    }
    match text {
        "true" => Some("1".to_owned()),
        "false" => Some("0".to_owned()),
        _ if text.eq_ignore_ascii_case("null") => None,
        _ => Some(text.to_owned()),
    }
}

/// `'U'::lab.enum_e54fc739` → `'U'`.
fn without_cast(text: &str) -> &str {
    let mut quote = None;
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ':') if depth == 0 && text[at..].starts_with("::") => {
                return text[..at].trim_end();
            }
            _ => {}
        }
    }
    text
}

/// The types that the columns of a new table share with what is there: inherited columns have exactly the parent's; an
/// enum that is there already under the reference's name is used if it has these very values in this order, and left
/// alone otherwise (spec: definition §14).
pub(super) async fn known_types(link: &mut Link, table: &TableSpec) -> Result<Vec<Option<String>>> {
    let mut known: Vec<Option<String>> = vec![None; table.columns.len()];
    let types = link.prepare(TYPES).await?;
    for key in &table.foreign_keys {
        let parent = rows(link, &types, &[&key.parent_schema, &key.parent_table]).await?;
        for (child, of_parent) in key.columns.iter().zip(&key.parent_columns) {
            let Some(at) = table
                .columns
                .iter()
                .position(|c| c.name == *child && c.inherited)
            else {
                continue;
            };
            for row in &parent {
                if get::<&str>(row, 0)? == of_parent && known[at].is_none() {
                    known[at] = Some(spelled(row)?);
                }
            }
        }
    }
    let labels = link.prepare(ENUM).await?;
    for (at, column) in table.columns.iter().enumerate() {
        let StorageType::Core(CoreType::Enum(values)) = &column.storage else {
            continue;
        };
        if known[at].is_some() {
            continue;
        }
        let name = ddl::enum_name(values);
        let found = rows(link, &labels, &[&table.schema, &name]).await?;
        if let Some(row) = found.first()
            && get::<Vec<String>>(row, 0)? != *values
        {
            let name = ddl::own_enum_name(values);
            known[at] = Some(PostgresDialect.full_name(&table.schema, &name));
        }
    }
    Ok(known)
}

/// A column's type as DDL; of enums the schema and name.
fn spelled(row: &Row) -> Result<String> {
    if get::<bool>(row, 4)? {
        let (schema, name): (&str, &str) = (get(row, 2)?, get(row, 3)?);
        return Ok(PostgresDialect.full_name(schema, name));
    }
    let formatted: String = get(row, 1)?;
    Ok(formatted
        .replace("character varying", "varchar")
        .replace("character(", "char(")
        .replace(" without time zone", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_read_as_they_were_written() {
        for (found, written) in [
            ("'U'::lab.enum_e54fc739", Some("'U'")),
            ("'1.5'::real", Some("'1.5'")),
            ("true", Some("1")),
            ("CURRENT_TIMESTAMP(3)", Some("CURRENT_TIMESTAMP(3)")),
            ("'it''s :: x'::character varying", Some("'it''s :: x'")),
            ("NULL::numeric", None),
            ("(0)::numeric", Some("0")),
            ("'x'::\"odd::schema\".enum_1", Some("'x'")),
            ("'-1'::integer", Some("'-1'")),
        ] {
            assert_eq!(written_default(found).as_deref(), written, "{found}");
        }
    }

    #[test]
    fn types_have_the_names_that_the_reference_gives_them() {
        for (found, name, text) in [
            ("character varying(16)", "varchar(16)", None),
            ("character(5)", "char(5)", None),
            ("numeric(10,2)", "decimal(10,2)", Some("decimal(10,2)")),
            ("numeric(4,0)", "decimal(4)", Some("decimal(4,0)")),
            (
                "timestamp(3) without time zone",
                "timestamp without time zone",
                Some("datetime(3)"),
            ),
            ("double precision", "double precision", Some("float64")),
            ("uuid", "uuid", None),
        ] {
            assert_eq!(database_type(found), name);
            assert_eq!(type_text(found, None).as_deref(), text);
        }
    }
}
