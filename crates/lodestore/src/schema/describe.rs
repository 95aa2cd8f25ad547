//! `describe()`: the definition that would declare a table as it is (spec: definition §7.3).

use super::Lode;
use super::reading::type_of;
use crate::definition::{DescribeLine, Marker, TableName};
use crate::error::Result;
use crate::sql::{CatalogForeignKey, CatalogTable};

pub(super) fn describe(
    lode: &Lode,
    table: &TableName,
    name: &dyn Fn(&TableName) -> Option<String>,
) -> Result<String> {
    let snapshot = lode.snapshot_with(table)?;
    let found = snapshot.require(&table.name)?;
    let heading = lode.heading(table)?;
    let mut lines = Vec::new();
    if !found.comment.is_empty() {
        lines.push(DescribeLine::Comment(found.comment.clone()));
    }
    let mut separated = false;
    let mut printed = vec![false; found.foreign_keys.len()];
    let mut seen: Vec<&str> = Vec::new();
    for column in found.columns.iter().filter(|c| !c.name.starts_with('_')) {
        let in_key = found.primary_key.contains(&column.name);
        if !in_key && !separated {
            lines.push(DescribeLine::Separator);
            separated = true;
        }
        seen.push(&column.name);
        let mut inherited = false;
        for (key, printed) in found.foreign_keys.iter().zip(&mut printed) {
            if !key.columns.contains(&column.name) {
                continue;
            }
            inherited = true;
            if !*printed && key.columns.iter().all(|c| seen.contains(&c.as_str())) {
                *printed = true;
                lines.push(foreign_key(lode, found, key, name));
            }
        }
        if inherited {
            continue;
        }
        let marker = Marker::parse(&column.comment);
        let attribute = heading.get(&column.name);
        let mut type_ = match (&marker.type_text, type_of(lode, &snapshot, found, column)) {
            (Some(_), Some(type_)) => type_.to_string(),
            (Some(text), None) => text.clone(),
            (None, _) => column.database_type.clone(),
        };
        if column.auto_increment && !type_.contains("auto_increment") && type_ != "serial" {
            type_ = lode.dialect().numbering_type(&type_);
        }
        lines.push(DescribeLine::Attribute {
            name: column.name.clone(),
            default: attribute.and_then(|a| a.default.clone()),
            type_,
            comment: marker.comment,
        });
    }
    for index in &found.indexes {
        let matched = found
            .foreign_keys
            .iter()
            .any(|key| key.columns == index.terms);
        if !matched {
            lines.push(DescribeLine::Index {
                unique: index.unique,
                terms: index.terms.clone(),
            });
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn foreign_key(
    lode: &Lode,
    table: &CatalogTable,
    key: &CatalogForeignKey,
    name: &dyn Fn(&TableName) -> Option<String>,
) -> DescribeLine {
    let parent = TableName {
        schema: key.parent_schema.clone(),
        name: key.parent_table.clone(),
    };
    let nullable = |column: &String| {
        table
            .columns
            .iter()
            .any(|c| c.name == *column && c.nullable)
    };
    DescribeLine::ForeignKey {
        nullable: key.columns.iter().any(nullable),
        unique: table
            .indexes
            .iter()
            .any(|i| i.unique && i.terms == key.columns),
        target: name(&parent)
            .unwrap_or_else(|| lode.dialect().full_name(&parent.schema, &parent.name)),
        renames: key
            .columns
            .iter()
            .zip(&key.parent_columns)
            .filter(|(child, parent)| child != parent)
            .map(|(child, parent)| (child.clone(), parent.clone()))
            .collect(),
    }
}
