//! Where a row came from: the hidden column `_prov` of Manual tables (spec: manipulation §1.6).

use std::process::Command;
use std::sync::Arc;

use serde_json::{Map, Value as J};

use super::permit::InsertPermit;
use crate::codec;
use crate::definition::{StorageType, TableName, Tier};
use crate::schema::{Heading, Lode};
use crate::value::{Json, Row, Value};

/// Name of the column.
pub(super) const COLUMN: &str = "_prov";

/// The column, its type, and what rows that are inserted now get; none if the table or the settings do not ask for it.
pub(super) fn stamp(
    lode: &Lode,
    table: &TableName,
    heading: &Heading,
) -> Option<(Arc<str>, StorageType, Value)> {
    let column = heading.hidden.iter().find(|a| &*a.name == COLUMN)?;
    if table.tier() != Tier::Manual || !lode.config().get_bool("provenance.capture") {
        return None;
    }
    let storage = column.storage.clone()?;
    // What cannot be told is left out; it is no reason to refuse rows.
    let value = lode.dialect().into_stored(&storage, record(lode)).ok()?;
    Some((Arc::clone(&column.name), storage, value))
}

fn record(lode: &Lode) -> Value {
    let mut record = Map::new();
    if let Some(agent) = agent(lode) {
        record.insert("agent".to_owned(), agent);
    }
    let version = code_version(lode);
    if !version.is_empty() {
        record.insert("version".to_owned(), version.clone().into());
    }
    if let Some(source) = lode.config().get("provenance.source") {
        let told = source.as_object().is_some_and(|s| !s.is_empty());
        if told {
            record.insert("source".to_owned(), source);
        }
    }
    if let Some((table, key)) = InsertPermit::current() {
        let mut context = Map::new();
        let full_name = lode.dialect().full_name(&table.schema, &table.name);
        context.insert("table".to_owned(), full_name.into());
        if let Some(key) = key {
            context.insert("key".to_owned(), key_json(&key));
        }
        if !version.is_empty() {
            context.insert("version".to_owned(), version.into());
        }
        record.insert("context".to_owned(), context.into());
    }
    if record.is_empty() {
        return Value::Null;
    }
    record.insert("time".to_owned(), codec::timestamp_now().into());
    Value::Json(Json::from(J::Object(record)))
}

fn agent(lode: &Lode) -> Option<J> {
    let who = lode.backend().user().ok()?;
    let (user, host) = who.rsplit_once('@').unwrap_or((&who, ""));
    let mut agent = Map::new();
    agent.insert("user".to_owned(), user.into());
    if !host.is_empty() {
        agent.insert("host".to_owned(), host.into());
    }
    if let Some(name) = lode.config().get_str("database.name") {
        agent.insert("database_name".to_owned(), name.into());
    }
    Some(agent.into())
}

fn key_json(key: &Row) -> J {
    let entry = |(name, value): (&str, &Value)| {
        let plain = codec::to_json(value).unwrap_or_else(|_| super::rows::value_text(value).into());
        (name.to_owned(), plain)
    };
    J::Object(key.iter().map(entry).collect())
}

/// The code version as `jobs.version_method` says; empty if there is none to tell.
pub(crate) fn code_version(lode: &Lode) -> String {
    if lode.config().get_str("jobs.version_method").as_deref() != Some("git") {
        return String::new();
    }
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .trim()
            .chars()
            .take(64)
            .collect(),
        _ => String::new(),
    }
}
