//! The commands: each asks the engine and lays out the answer.

use lodestore::config::{Config, Origin};
use lodestore::error::did_you_mean;
use lodestore::gc::{self, GcOptions};
use lodestore::schema::Lode;
use lodestore::{Error, ErrorKind, Result};
use serde_json::json;

use crate::output::{self, Bars};
use crate::{GcArgs, Global};

/// `lode config`.
pub fn config(global: &Global, keys: &[String], changed: bool) -> Result<String> {
    let config = configuration(global)?;
    let wanted = |key: &str| {
        keys.is_empty()
            || keys.iter().any(|k| {
                key == k
                    || key
                        .strip_prefix(k.as_str())
                        .is_some_and(|r| r.starts_with('.'))
            })
    };
    let entries: Vec<_> = config
        .entries()
        .into_iter()
        .filter(|e| wanted(&e.key))
        .collect();
    if let Some(unknown) = keys.iter().find(|k| {
        !entries
            .iter()
            .any(|e| e.key == **k || e.key.starts_with(&format!("{k}.")))
    }) {
        let error = Error::new(
            ErrorKind::UnknownKey,
            format!("there is no setting `{unknown}`"),
        );
        return Err(match did_you_mean(unknown, Config::known_keys()) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let entries: Vec<_> = entries
        .into_iter()
        .filter(|e| !changed || e.origin != Origin::Default)
        .collect();
    if global.json {
        let list: Vec<_> = entries
            .iter()
            .map(|e| json!({"key": e.key, "value": e.value, "origin": e.origin.to_string()}))
            .collect();
        return Ok(output::json(&json!(list)));
    }
    let rows = entries
        .iter()
        .map(|e| vec![e.key.clone(), e.value.to_string(), e.origin.to_string()]);
    Ok(output::table(&["setting", "value", "from"], rows, &[]))
}

/// `lode ls`.
pub fn ls(global: &Global, schema: Option<&str>) -> Result<String> {
    let lode = open(global)?;
    match schema {
        None => {
            let schemas = lode
                .schemas()?
                .iter()
                .map(|s| lode.schema_summary(s))
                .collect::<Result<Vec<_>>>()?;
            if global.json {
                let list: Vec<_> = schemas
                    .iter()
                    .map(|s| json!({"schema": s.schema, "tables": s.tables, "rows": s.rows, "objects": s.objects}))
                    .collect();
                return Ok(output::json(&json!(list)));
            }
            let rows = schemas.iter().map(|s| {
                vec![
                    s.schema.clone(),
                    s.tables.to_string(),
                    s.rows.to_string(),
                    s.objects.to_string(),
                ]
            });
            Ok(output::table(
                &["schema", "tables", "rows", "objects"],
                rows,
                &[1, 2, 3],
            ))
        }
        Some(schema) => {
            let tables = lode.table_summaries(schema)?;
            if global.json {
                let list: Vec<_> = tables
                    .iter()
                    .map(|t| {
                        json!({
                            "schema": t.table.schema, "table": t.table.name, "class": t.class, "tier": t.tier.name(),
                            "rows": t.rows, "objects": t.objects, "comment": t.comment
                        })
                    })
                    .collect();
                return Ok(output::json(&json!(list)));
            }
            let rows = tables.iter().map(|t| {
                vec![
                    t.class.clone(),
                    t.tier.name().to_string(),
                    t.rows.to_string(),
                    t.objects.to_string(),
                    t.comment.clone(),
                ]
            });
            Ok(output::table(
                &["table", "tier", "rows", "objects", "comment"],
                rows,
                &[2, 3],
            ))
        }
    }
}

/// `lode gc scan` and `lode gc collect`.
pub fn collect(global: &Global, args: &GcArgs, delete: bool, force: bool) -> Result<String> {
    let lode = open(global)?;
    let bars = Bars::default();
    let schemas: Vec<&str> = args.schemas.iter().map(String::as_str).collect();
    let options = GcOptions {
        store: args.store.clone(),
        force,
        progress: &bars,
        ..GcOptions::default()
    };
    let plan = gc::scan(&lode, &schemas, &options)?;
    if args.verbose && !global.json {
        for orphan in plan.orphans() {
            eprintln!("{} ({})", orphan.path, gc::format_bytes(orphan.size));
        }
    }
    let stats = if delete {
        plan.execute(&bars)?
    } else {
        plan.stats().clone()
    };
    if global.json {
        return Ok(output::json(&serde_json::Value::Object(stats.to_json())));
    }
    Ok(stats.format())
}

pub(crate) fn configuration(global: &Global) -> Result<Config> {
    let (config, warnings) = Config::from_env()?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(file) = &global.config {
        config.load_file(file)?;
    }
    if let Some(url) = &global.database {
        config.set_url(url)?;
    }
    Ok(config)
}

/// Opens the database that exists; looking must not create one.
fn open(global: &Global) -> Result<Lode> {
    let config = configuration(global)?;
    if config.get_str("database.backend").as_deref() == Some("sqlite")
        && let Some(file) = config.sqlite_file()
        && !file.exists()
    {
        return Err(Error::new(
            ErrorKind::FileNotFound,
            format!("there is no database {}", file.display()),
        )
        .hint("Name it with --database, or run from the directory that holds it."));
    }
    Lode::connect(config)
}
