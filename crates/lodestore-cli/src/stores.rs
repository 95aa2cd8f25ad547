//! `lode store`: each command asks the engine and lays out the answer.

use lodestore::Result;
use lodestore::gc::format_bytes;
use lodestore::store::{self, Outcome, Step, StoreSet, Trial};
use serde_json::{Value as Json, json};

use crate::Global;
use crate::commands::configuration;
use crate::output::{self, Bars};

/// `lode store list`.
pub fn list(global: &Global) -> Result<String> {
    let stores = StoreSet::new(configuration(global)?).describe();
    if global.json {
        let list: Vec<Json> = stores
            .iter()
            .map(|s| {
                json!({
                    "store": s.name, "protocol": s.protocol, "location": s.location, "default": s.is_default,
                    "filepath_default": s.is_filepath_default, "problem": s.problem.as_ref().map(ToString::to_string)
                })
            })
            .collect();
        return Ok(output::json(&json!(list)));
    }
    let rows = stores.iter().map(|s| {
        let marks = [
            (s.is_default, "default"),
            (s.is_filepath_default, "filepath"),
        ];
        let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark);
        let location = match &s.problem {
            Some(problem) => format!("wrong: {}", problem.message()),
            None => output::plain(&s.location),
        };
        vec![
            s.name.clone(),
            s.protocol.clone(),
            location,
            marks.collect::<Vec<_>>().join(", "),
        ]
    });
    let header = ["store", "protocol", "location", "default for"];
    Ok(output::table(&header, rows, &[]))
}

/// `lode store test`. False if something failed.
pub fn test(global: &Global, names: &[String]) -> Result<(String, bool)> {
    let stores = StoreSet::new(configuration(global)?);
    let names = match names {
        [] => stores.names(),
        names => names.to_vec(),
    };
    let trials: Vec<Trial> = names
        .iter()
        .map(|name| store::try_out(&stores, Some(name)))
        .collect();
    let passed = trials.iter().all(Trial::passed);
    let text = if global.json {
        output::json(&trials.iter().map(trial_json).collect())
    } else if trials.is_empty() {
        "No store is configured.".to_owned()
    } else {
        let shown: Vec<String> = trials.iter().map(trial_text).collect();
        shown.join("\n\n")
    };
    Ok((text, passed))
}

fn trial_json(trial: &Trial) -> Json {
    let step = |step: &Step| {
        let (outcome, note, error) = match &step.outcome {
            Outcome::Passed(note) => ("passed", note.clone(), None),
            Outcome::Failed(error) => ("failed", None, Some(error)),
            Outcome::Skipped => ("skipped", None, None),
        };
        json!({
            "step": step.name, "seconds": step.time.as_secs_f64(), "outcome": outcome, "note": note,
            "error": error.map(|e| e.message()), "hint": error.and_then(|e| e.hint_text())
        })
    };
    json!({
        "store": trial.store, "protocol": trial.protocol, "location": trial.location, "passed": trial.passed(),
        "steps": trial.steps.iter().map(step).collect::<Vec<_>>()
    })
}

fn trial_text(trial: &Trial) -> String {
    let mut text = match trial.location.as_str() {
        "" => format!("store {}", trial.store),
        location => format!(
            "store {} ({}, {})",
            trial.store,
            trial.protocol,
            output::plain(location)
        ),
    };
    for step in &trial.steps {
        let time = format!("{:.1} ms", step.time.as_secs_f64() * 1e3);
        let line = match &step.outcome {
            Outcome::Passed(None) => format!("ok       {:<16}{time:>10}", step.name),
            Outcome::Passed(Some(note)) => format!("ok       {:<16}{time:>10}  {note}", step.name),
            Outcome::Failed(error) => {
                let why = error.to_string().replace('\n', "\n           ");
                format!("FAILED   {:<16}{time:>10}\n           {why}", step.name)
            }
            Outcome::Skipped => format!("skipped  {}", step.name),
        };
        text.push_str("\n  ");
        text.push_str(&line);
    }
    text
}

/// `lode store du`.
pub fn du(global: &Global, name: Option<&str>) -> Result<String> {
    let store = StoreSet::new(configuration(global)?).get_store(name)?;
    let used = store::usage(&*store, &Bars::default())?;
    let objects: u64 = used.iter().map(|u| u.objects).sum();
    let bytes: u64 = used.iter().map(|u| u.bytes).sum();
    if global.json {
        let list: Vec<Json> = used
            .iter()
            .map(|u| json!({"schema": u.schema, "table": u.table, "objects": u.objects, "bytes": u.bytes}))
            .collect();
        return Ok(output::json(
            &json!({"store": store.name(), "objects": objects, "bytes": bytes, "usage": list}),
        ));
    }
    let row = |schema: &str, table: &str, objects: u64, bytes: u64| {
        vec![
            output::plain(schema),
            output::plain(table),
            objects.to_string(),
            format_bytes(bytes),
        ]
    };
    let mut rows: Vec<_> = used
        .iter()
        .map(|u| {
            let table = u.table.as_deref().unwrap_or("(by content)");
            row(&u.schema, table, u.objects, u.bytes)
        })
        .collect();
    rows.push(row("total", "", objects, bytes));
    let header = ["schema", "table", "objects", "size"];
    Ok(output::table(&header, rows, &[2, 3]))
}
