//! Driver errors into kinds (spec: manipulation §11, python-api §7), with table and attribute read from the message.

use rusqlite::ffi;

use crate::error::{Error, ErrorKind, Place};

/// The error of a statement. `sql` is shown where the text is at fault.
pub(super) fn map(error: rusqlite::Error, sql: &str) -> Error {
    let (code, message) = match &error {
        rusqlite::Error::SqliteFailure(e, message) => (
            e.extended_code,
            message.clone().unwrap_or_else(|| e.to_string()),
        ),
        rusqlite::Error::SqlInputError { error: e, msg, .. } => (e.extended_code, msg.clone()),
        rusqlite::Error::InvalidParameterCount(given, expected) => {
            return Error::new(
                ErrorKind::QuerySyntax,
                format!("the statement takes {expected} parameters, {given} were given"),
            )
            .hint(statement_hint(sql));
        }
        rusqlite::Error::MultipleStatement => {
            return Error::new(ErrorKind::QuerySyntax, "only one statement at a time")
                .hint(statement_hint(sql));
        }
        other => (ffi::SQLITE_ERROR, other.to_string()),
    };
    let (kind, place) = classify(code, &message);
    let text = match kind {
        ErrorKind::Duplicate => "a row with this key exists already".to_owned(),
        ErrorKind::Integrity => "a foreign key stands in the way: a referenced row is absent, or the row is still referenced".to_owned(),
        ErrorKind::MissingAttribute => format!(
            "attribute `{}` has no default and must be given a value",
            place.attribute.as_deref().unwrap_or("?")
        ),
        ErrorKind::LockTimeout => "the database stayed locked by another program".to_owned(),
        _ => message.clone(),
    };
    let mut mapped = Error::new(kind, text);
    if let (Some(schema), Some(table)) = (place.schema, place.table) {
        mapped = mapped.table(schema, table);
    }
    if let Some(attribute) = place.attribute {
        mapped = mapped.attribute(attribute);
    }
    match kind {
        ErrorKind::QuerySyntax | ErrorKind::UnknownAttribute | ErrorKind::Query
            if !sql.is_empty() =>
        {
            mapped = mapped.hint(statement_hint(sql));
        }
        ErrorKind::LockTimeout => {
            mapped = mapped.hint("Try again, or end the program that holds the lock.")
        }
        ErrorKind::Access => {
            mapped = mapped.hint("Check the permissions of the database file and of its folder.")
        }
        _ => {}
    }
    mapped.with_source(error)
}

fn statement_hint(sql: &str) -> String {
    match sql.char_indices().nth(600) {
        Some((at, _)) => format!("In the statement: {}…", &sql[..at]),
        None => format!("In the statement: {sql}"),
    }
}

fn classify(code: i32, message: &str) -> (ErrorKind, Place) {
    let mut place = Place::default();
    let kind = match code {
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            if let Some(columns) = message.strip_prefix("UNIQUE constraint failed: ") {
                columns.split(", ").for_each(|c| add_column(&mut place, c));
            }
            ErrorKind::Duplicate
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => ErrorKind::Integrity,
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            if let Some(column) = message.strip_prefix("NOT NULL constraint failed: ") {
                add_column(&mut place, column);
            }
            ErrorKind::MissingAttribute
        }
        ffi::SQLITE_CONSTRAINT_CHECK => {
            // The message quotes the condition; its first identifier is the column (every check here is of one).
            place.attribute = message.split('"').nth(1).map(str::to_owned);
            ErrorKind::Data
        }
        ffi::SQLITE_CONSTRAINT_DATATYPE => {
            if let Some((_, column)) = message.rsplit_once(" column ") {
                add_column(&mut place, column);
            }
            ErrorKind::Data
        }
        _ => match code & 0xff {
            ffi::SQLITE_CONSTRAINT
            | ffi::SQLITE_MISMATCH
            | ffi::SQLITE_TOOBIG
            | ffi::SQLITE_RANGE => ErrorKind::Data,
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => ErrorKind::LockTimeout,
            ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => ErrorKind::Access,
            ffi::SQLITE_CANTOPEN | ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => {
                ErrorKind::LostConnection
            }
            ffi::SQLITE_INTERRUPT => ErrorKind::Interrupted,
            ffi::SQLITE_ERROR => classify_text(message, &mut place),
            _ => ErrorKind::Query,
        },
    };
    (kind, place)
}

/// Code 1 stands for many things; the message tells which.
fn classify_text(message: &str, place: &mut Place) -> ErrorKind {
    if let Some(table) = message.strip_prefix("no such table: ") {
        if let Some((schema, table)) = table.strip_prefix("main.").unwrap_or(table).split_once('.')
        {
            place.schema = Some(schema.to_owned());
            place.table = Some(table.to_owned());
        }
        ErrorKind::MissingTable
    } else if let Some(column) = message.strip_prefix("no such column: ") {
        let column = column.split(" - ").next().unwrap_or(column);
        place.attribute = Some(column.trim_matches('"').to_owned());
        ErrorKind::UnknownAttribute
    } else if let Some((table, column)) = message.split_once(" has no column named ") {
        if let Some((schema, table)) = table
            .strip_prefix("table ")
            .unwrap_or(table)
            .split_once('.')
        {
            place.schema = Some(schema.to_owned());
            place.table = Some(table.to_owned());
        }
        place.attribute = Some(column.to_owned());
        ErrorKind::UnknownAttribute
    } else if message.contains("syntax error")
        || message.starts_with("unrecognized token")
        || message.starts_with("incomplete input")
        || message.starts_with("no such function")
        || message.starts_with("wrong number of arguments")
        || message.starts_with("misuse of aggregate")
    {
        ErrorKind::QuerySyntax
    } else {
        ErrorKind::Query
    }
}

/// `lab.subject.subject_id`: schema and attribute hold no dot, so the table is what is between the first and the last.
fn add_column(place: &mut Place, text: &str) {
    if let Some((table, attribute)) = text.trim().rsplit_once('.') {
        if let Some((schema, table)) = table.split_once('.') {
            place.schema = Some(schema.to_owned());
            place.table = Some(table.to_owned());
        }
        match &mut place.attribute {
            Some(known) => {
                known.push_str(", ");
                known.push_str(attribute);
            }
            None => place.attribute = Some(attribute.to_owned()),
        }
    }
}
