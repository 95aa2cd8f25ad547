//! `ALTER TABLE` for PostgreSQL; all statements run in one transaction.

use super::{PostgresDialect, ddl};
use crate::definition::{CoreType, NativeKind, StorageType};
use crate::error::Result;
use crate::sql::{AlterSpec, ColumnChange, ColumnSpec, Conversion, Dialect, Statement};

pub(super) fn alter_table(alter: &AlterSpec) -> Result<Vec<Statement>> {
    let dialect = PostgresDialect;
    let table = &alter.table;
    let name = dialect.full_name(&table.schema, &table.table);
    let (mut types, mut texts) = (Vec::new(), Vec::new());
    let comment = |column: &ColumnSpec| {
        format!(
            "COMMENT ON COLUMN {name}.{} IS {}",
            dialect.quote(&column.name),
            ddl::literal(&column.comment)
        )
    };
    let action = |text: String| format!("ALTER TABLE {name} {text}");
    for change in &alter.changes {
        if let ColumnChange::Drop(column) = change {
            texts.push(action(format!("DROP COLUMN {}", dialect.quote(column))));
        }
    }
    texts.extend(renames(alter).into_iter().map(action));
    for change in &alter.changes {
        match change {
            ColumnChange::Drop(_) => {}
            ColumnChange::Add { column, .. } => {
                let type_ = ddl::spelled_type(table, column, &mut types)?;
                texts.push(action(format!(
                    "ADD COLUMN {} {type_}{}",
                    dialect.quote(&column.name),
                    ddl::default_clause(column)
                )));
                texts.push(comment(column));
            }
            ColumnChange::Modify {
                old,
                column,
                conversion,
                ..
            } => {
                let quoted = dialect.quote(&column.name);
                let retyped = old.storage != column.storage;
                let had = ddl::default_value(&old.default);
                let default = ddl::default_value(&column.default);
                if had.is_some() && (retyped || default.is_none()) {
                    texts.push(action(format!("ALTER COLUMN {quoted} DROP DEFAULT")));
                }
                if retyped {
                    let type_ = ddl::spelled_type(table, column, &mut types)?;
                    let using = using(&quoted, &type_, old, column, *conversion);
                    texts.push(action(format!("ALTER COLUMN {quoted} TYPE {type_}{using}")));
                }
                if let Some(default) = default
                    && (retyped || old.default != column.default)
                {
                    texts.push(action(format!(
                        "ALTER COLUMN {quoted} SET DEFAULT {default}"
                    )));
                }
                if old.takes_null() != column.takes_null() {
                    let verb = if column.takes_null() { "DROP" } else { "SET" };
                    texts.push(action(format!("ALTER COLUMN {quoted} {verb} NOT NULL")));
                }
                if old.comment != column.comment {
                    texts.push(comment(column));
                }
            }
        }
    }
    if alter.comment {
        texts.push(format!(
            "COMMENT ON TABLE {name} IS {}",
            ddl::literal(&table.comment)
        ));
    }
    types.append(&mut texts);
    Ok(types.into_iter().map(Statement::new).collect())
}

/// In two steps where names change places.
fn renames(alter: &AlterSpec) -> Vec<String> {
    let pairs: Vec<(&str, &str)> = alter
        .changes
        .iter()
        .filter_map(|change| match change {
            ColumnChange::Modify { old, column, .. } if old.name != column.name => {
                Some((old.name.as_str(), column.name.as_str()))
            }
            _ => None,
        })
        .collect();
    let rename = |from: &str, to: &str| {
        let (from, to) = (PostgresDialect.quote(from), PostgresDialect.quote(to));
        format!("RENAME COLUMN {from} TO {to}")
    };
    let clash = pairs
        .iter()
        .any(|(_, new)| pairs.iter().any(|(old, _)| old == new));
    if !clash {
        return pairs.iter().map(|(old, new)| rename(old, new)).collect();
    }
    let away = pairs
        .iter()
        .enumerate()
        .map(|(n, (old, _))| rename(old, &format!("~lode_{n}")));
    let back = pairs
        .iter()
        .enumerate()
        .map(|(n, (_, new))| rename(&format!("~lode_{n}"), new));
    away.chain(back).collect()
}

/// How the values get their new type. Where nothing is said the server assigns, which refuses what does not fit; a cast
/// would cut it.
fn using(
    quoted: &str,
    type_: &str,
    old: &ColumnSpec,
    column: &ColumnSpec,
    conversion: Conversion,
) -> String {
    use CoreType::{Bool, Char, Enum, Varchar};
    let text = |storage: &StorageType| match storage {
        StorageType::Core(core) => matches!(core, Char(_) | Varchar(_) | Enum(_)),
        StorageType::Native(native) => matches!(native.kind, NativeKind::Text { .. }),
    };
    let is = |storage: &StorageType, core: &CoreType| *storage == StorageType::Core(core.clone());
    let (from, to) = (&old.storage, &column.storage);
    match conversion {
        Conversion::Empty => format!(" USING NULL::{type_}"),
        Conversion::Keep => String::new(),
        Conversion::Convert if matches!(to, StorageType::Core(Enum(_))) => {
            format!(" USING {quoted}::text::{type_}")
        }
        Conversion::Convert if text(to) => format!(" USING {quoted}::text"),
        Conversion::Convert if text(from) => format!(" USING {quoted}::text::{type_}"),
        Conversion::Convert if is(from, &Bool) && !is(to, &Bool) => {
            format!(" USING {quoted}::int")
        }
        Conversion::Convert if is(to, &Bool) && !is(from, &Bool) => {
            format!(" USING {quoted}::int::boolean")
        }
        Conversion::Convert => String::new(),
    }
}
