//! Hidden columns that record how a row was made: start, duration, code version (spec: compute §8).

use std::time::Duration;

use jiff::civil::DateTime;

use crate::error::Result;
use crate::schema::Lode;
use crate::sql::Statement;
use crate::table::Table;
use crate::table::provenance::code_version;
use crate::value::{Row, Value};

/// Fills the columns of the rows of a key, if the table has them; inside the transaction that made the rows.
pub(super) fn record(
    lode: &Lode,
    target: &Table,
    key: &Row,
    start: DateTime,
    duration: Duration,
) -> Result<()> {
    let heading = lode.heading(target.name())?;
    let dialect = lode.dialect();
    let (mut sets, mut params) = (Vec::new(), Vec::new());
    for attribute in &heading.hidden {
        let value = match &*attribute.name {
            "_job_start_time" => Value::from(start),
            "_job_duration" => Value::from(duration.as_secs_f64()),
            "_job_version" => Value::from(code_version(lode)),
            _ => continue,
        };
        let value = match &attribute.storage {
            Some(storage) => dialect.stored(storage, &value)?,
            None => value,
        };
        params.push(value);
        sets.push(format!(
            "{} = {}",
            dialect.quote(&attribute.name),
            dialect.placeholder(params.len())
        ));
    }
    if sets.is_empty() {
        return Ok(());
    }
    let mut conditions = Vec::new();
    for (name, value) in key.iter() {
        let Some(attribute) = heading.get(name) else {
            continue;
        };
        params.push(match &attribute.storage {
            Some(storage) => dialect.stored(storage, value)?,
            None => value.clone(),
        });
        conditions.push(format!(
            "{} = {}",
            dialect.quote(name),
            dialect.placeholder(params.len())
        ));
    }
    let table = dialect.full_name(&target.name().schema, &target.name().name);
    let mut text = format!("UPDATE {table} SET {}", sets.join(", "));
    if !conditions.is_empty() {
        text.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    lode.backend()
        .execute(&Statement { text, params })
        .map(|_| ())
}
