//! Catalogue → heading (spec: definition §8).

use std::sync::Arc;

use std::collections::HashSet;

use super::snapshot::Snapshot;
use super::{Attribute, Heading, Lode, Source};
use crate::codec::Registry;
use crate::definition::{CoreType, Default, Marker, NativeKind, NativeType, StorageType, Type};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{CatalogColumn, CatalogTable};
use crate::value::ColumnKind;

pub(super) fn read_heading(
    lode: &Lode,
    snapshot: &Snapshot,
    table: &CatalogTable,
) -> Result<Heading> {
    let mut heading = Heading {
        comment: table.comment.clone(),
        lineage_available: snapshot.lineage_available,
        ..Heading::default()
    };
    for column in &table.columns {
        let attribute = read_attribute(lode, snapshot, table, column).map_err(|e| {
            e.table(&snapshot.schema, &table.name)
                .attribute(&column.name)
        })?;
        if column.name.starts_with('_') {
            heading.hidden.push(attribute);
        } else {
            heading.attributes.insert(attribute.name.clone(), attribute);
        }
    }
    Ok(heading)
}

fn read_attribute(
    lode: &Lode,
    snapshot: &Snapshot,
    table: &CatalogTable,
    column: &CatalogColumn,
) -> Result<Attribute> {
    let marker = Marker::parse(&column.comment);
    if marker
        .type_text
        .as_deref()
        .is_some_and(|t| t.starts_with("external"))
    {
        return Err(
            Error::invalid("the column is of a format older than version 2.0")
                .hint("Migrate the schema with the reference's tools first."),
        );
    }
    let type_ = type_of(lode, snapshot, table, column);
    let (storage, chain) = resolve(type_.as_ref(), lode.codecs());
    let kind = storage.as_ref().map_or(ColumnKind::Any, column_kind);
    Ok(Attribute {
        name: column.name.as_str().into(),
        database_type: column.database_type.clone(),
        kind,
        in_key: table.primary_key.contains(&column.name),
        nullable: column.nullable,
        default: default_of(column, type_.as_ref()).and_then(|d| match &type_ {
            Some(type_) => d.to_text(type_),
            None => None,
        }),
        comment: marker.comment,
        auto_increment: column.auto_increment,
        chain: chain.map(Arc::new),
        lineage: snapshot.origin(&table.name, &column.name).cloned(),
        source: Source::Column,
        type_,
        storage,
    })
}

/// The type that the marker tells; for a column without one that came through a foreign key that of the parent's
/// column (the reference writes no markers there); else what the database calls it. None if nothing can be read.
pub(super) fn type_of(
    lode: &Lode,
    snapshot: &Snapshot,
    table: &CatalogTable,
    column: &CatalogColumn,
) -> Option<Type> {
    let marked = Marker::parse(&column.comment);
    if marked.type_text.is_some() {
        return marked.type_().or_else(|| database_type(column));
    }
    inherited_type(lode, snapshot, table, &column.name, &mut HashSet::new())
        .or_else(|| database_type(column))
}

fn database_type(column: &CatalogColumn) -> Option<Type> {
    let text = column.type_text.as_ref().unwrap_or(&column.database_type);
    StorageType::parse(text).ok().map(Type::from)
}

/// The type by the marker of the nearest ancestor that has one.
fn inherited_type(
    lode: &Lode,
    snapshot: &Snapshot,
    table: &CatalogTable,
    column: &str,
    seen: &mut HashSet<(String, String, String)>,
) -> Option<Type> {
    for key in &table.foreign_keys {
        let Some(at) = key.columns.iter().position(|c| c == column) else {
            continue;
        };
        let name = &key.parent_columns[at];
        // Other tools can have made a cycle.
        if !seen.insert((
            key.parent_schema.clone(),
            key.parent_table.clone(),
            name.clone(),
        )) {
            continue;
        }
        // A schema that cannot be read tells nothing.
        let other;
        let parents = if key.parent_schema == snapshot.schema {
            snapshot
        } else if let Ok(found) = lode.snapshot(&key.parent_schema) {
            other = found;
            &*other
        } else {
            continue;
        };
        let Some(parent) = parents.table(&key.parent_table) else {
            continue;
        };
        let Some(origin) = parent.columns.iter().find(|c| c.name == *name) else {
            continue;
        };
        let found = Marker::parse(&origin.comment)
            .type_()
            .or_else(|| inherited_type(lode, parents, parent, name, seen));
        if let Some(type_) = found {
            return Some(without_numbering(type_));
        }
    }
    None
}

/// The type of a column that references a self-numbering one: the same integers, but given.
pub(super) fn without_numbering(type_: Type) -> Type {
    match type_ {
        Type::Native(NativeType {
            text,
            kind:
                NativeKind::Int {
                    min,
                    max,
                    auto_increment: true,
                },
        }) => {
            let text = match text.as_str() {
                "serial" => "bigint".to_owned(),
                text => text.replace("auto_increment", "").trim().to_owned(),
            };
            Type::Native(NativeType {
                text,
                kind: NativeKind::Int {
                    min,
                    max,
                    auto_increment: false,
                },
            })
        }
        other => other,
    }
}

type Resolved = (Option<StorageType>, Option<Result<crate::codec::Chain>>);

/// What a type finally is in the database. An unknown codec is kept as an error until it is used.
pub(super) fn resolve(type_: Option<&Type>, codecs: &Registry) -> Resolved {
    let Some(type_) = type_ else {
        return (None, None);
    };
    if let Some(storage) = type_.storage() {
        return (Some(storage), None);
    }
    let chain = codecs.resolve(&type_.to_string()).and_then(|chain| {
        StorageType::parse(&chain.dtype)
            .map(|storage| (storage, chain))
            .map_err(|e| {
                e.with_kind(ErrorKind::Definition)
                    .hint(format!("This is what {type_} resolves to."))
            })
    });
    match chain {
        Ok((storage, chain)) => (Some(storage), Some(Ok(chain))),
        Err(error) => (None, Some(Err(error))),
    }
}

/// The default in the terms of the definition language.
pub(super) fn default_of(column: &CatalogColumn, type_: Option<&Type>) -> Option<Default> {
    if column.nullable {
        return Some(Default::Null);
    }
    let text = column.default.as_deref()?;
    if text
        .get(..17)
        .is_some_and(|t| t.eq_ignore_ascii_case("CURRENT_TIMESTAMP"))
    {
        return Some(Default::CurrentTimestamp(text.to_owned()));
    }
    let literal = match text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        Some(inner) => inner.replace("''", "'"),
        None => match text.strip_prefix("X'").and_then(|t| t.strip_suffix('\'')) {
            Some(hex) => {
                uuid::Uuid::try_parse(hex).map_or_else(|_| hex.to_owned(), |u| u.to_string())
            }
            None => text.to_owned(),
        },
    };
    Some(Default::Literal(match type_ {
        // The stored double of a float32 is shown as the short number it is.
        Some(Type::Core(CoreType::Float32)) => literal
            .parse::<f64>()
            .map_or(literal.clone(), |f| (f as f32).to_string()),
        _ => literal,
    }))
}

/// The kind of column that values of a storage type are fetched as.
pub fn column_kind(storage: &StorageType) -> ColumnKind {
    match storage {
        StorageType::Core(core) => match core {
            CoreType::Int8 | CoreType::Int16 | CoreType::Int32 | CoreType::Int64 => ColumnKind::Int,
            CoreType::Float32 | CoreType::Float64 => ColumnKind::Float,
            CoreType::Bool => ColumnKind::Bool,
            CoreType::Decimal { .. } => ColumnKind::Decimal,
            CoreType::Char(_) | CoreType::Varchar(_) | CoreType::Enum(_) => ColumnKind::Text,
            CoreType::Date => ColumnKind::Date,
            CoreType::DateTime(_) => ColumnKind::DateTime,
            CoreType::Json => ColumnKind::Json,
            CoreType::Uuid => ColumnKind::Uuid,
            CoreType::Bytes => ColumnKind::Bytes,
        },
        StorageType::Native(native) => match native.kind {
            NativeKind::Int { .. } | NativeKind::UnsignedBig { .. } | NativeKind::Year => {
                ColumnKind::Int
            }
            NativeKind::Float => ColumnKind::Float,
            NativeKind::Decimal { .. } => ColumnKind::Decimal,
            NativeKind::Text { .. } => ColumnKind::Text,
            NativeKind::Blob => ColumnKind::Bytes,
            NativeKind::Time => ColumnKind::Time,
            NativeKind::Timestamp => ColumnKind::DateTime,
        },
    }
}
