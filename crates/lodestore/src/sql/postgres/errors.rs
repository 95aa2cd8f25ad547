//! What the server says into kinds (spec: manipulation §8, §12.13, python-api §7), with schema, table and attribute
//! from its fields.

use std::error::Error as StdError;
use std::io;

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::{Error, ErrorKind};
use crate::sql::{Dialect, ServerOptions};

use super::PostgresDialect;

/// The error of a statement. `sql` is shown where the text is at fault.
pub(super) fn map(error: tokio_postgres::Error, sql: &str, user: &str) -> Error {
    let Some(db) = error.as_db_error() else {
        if let Some(inner) = error.source().and_then(|e| e.downcast_ref::<Error>()) {
            // One of ours, from binding a parameter.
            return inner.clone();
        }
        // What is not an answer of the server is a failure to talk to it.
        return Error::new(
            ErrorKind::LostConnection,
            format!("the connection to the server was lost: {}", told(&error)),
        )
        .with_source(error);
    };
    from_server(db.clone(), sql, user)
}

/// The innermost reason in words.
fn told(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

/// The SQLSTATE behind an error of this module.
pub(super) fn code(error: &Error) -> Option<&SqlState> {
    server(error).map(DbError::code)
}

/// What the server said.
pub(super) fn server(error: &Error) -> Option<&DbError> {
    StdError::source(error)?.downcast_ref::<DbError>()
}

fn from_server(db: DbError, sql: &str, user: &str) -> Error {
    let kind = kind(&db);
    let columns = db.detail().and_then(key_columns);
    let message = match kind {
        ErrorKind::Duplicate => "a row with this key exists already".to_owned(),
        ErrorKind::Integrity => integrity(&db),
        ErrorKind::MissingAttribute => format!(
            "attribute `{}` has no default and must be given a value",
            db.column().unwrap_or("?")
        ),
        ErrorKind::LockTimeout => "another session kept a lock for too long".to_owned(),
        ErrorKind::Deadlock => {
            "two sessions waited for each other; the server stopped this statement".to_owned()
        }
        ErrorKind::LostConnection => {
            format!("the server ended the connection: {}", db.message())
        }
        _ => match db.detail() {
            Some(detail) => format!("{}: {detail}", db.message()),
            None => db.message().to_owned(),
        },
    };
    let mut mapped = Error::new(kind, message);
    if let (Some(schema), Some(table)) = (db.schema(), db.table()) {
        mapped = mapped.table(schema, table);
    } else if kind == ErrorKind::MissingTable
        && let Some((schema, table)) = quoted(db.message()).and_then(|n| n.split_once('.'))
    {
        mapped = mapped.table(schema, table);
    }
    let attribute = match (db.column(), kind) {
        (Some(column), _) => Some(column.to_owned()),
        (None, ErrorKind::UnknownAttribute) => unknown_column(db.message()),
        (None, ErrorKind::Duplicate | ErrorKind::Integrity) => columns,
        _ => None,
    };
    if let Some(attribute) = attribute {
        mapped = mapped.attribute(attribute);
    }
    if let Some(hint) = hint(kind, &db, sql, user) {
        mapped = mapped.hint(hint);
    }
    mapped.with_source(db)
}

fn kind(db: &DbError) -> ErrorKind {
    let code = db.code();
    if matches!(
        db.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    ) {
        return ErrorKind::LostConnection;
    }
    if *code == SqlState::UNIQUE_VIOLATION || *code == SqlState::EXCLUSION_VIOLATION {
        ErrorKind::Duplicate
    } else if *code == SqlState::FOREIGN_KEY_VIOLATION
        || *code == SqlState::RESTRICT_VIOLATION
        || *code == SqlState::DEPENDENT_OBJECTS_STILL_EXIST
    {
        ErrorKind::Integrity
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        ErrorKind::MissingAttribute
    } else if *code == SqlState::UNDEFINED_COLUMN {
        ErrorKind::UnknownAttribute
    } else if *code == SqlState::UNDEFINED_TABLE {
        ErrorKind::MissingTable
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
    {
        ErrorKind::Access
    } else if *code == SqlState::T_R_DEADLOCK_DETECTED {
        ErrorKind::Deadlock
    } else if *code == SqlState::T_R_SERIALIZATION_FAILURE {
        ErrorKind::Serialization
    } else if *code == SqlState::LOCK_NOT_AVAILABLE {
        ErrorKind::LockTimeout
    } else if *code == SqlState::QUERY_CANCELED {
        match db.message() {
            m if m.contains("user request") => ErrorKind::Interrupted,
            m if m.contains("lock timeout") => ErrorKind::LockTimeout,
            _ => ErrorKind::Query,
        }
    } else if *code == SqlState::DUPLICATE_SCHEMA || *code == SqlState::DUPLICATE_TABLE {
        ErrorKind::Invalid
    } else if *code == SqlState::CHECK_VIOLATION
        || *code == SqlState::DATATYPE_MISMATCH
        || code.code().starts_with("22")
    {
        ErrorKind::Data
    } else if *code == SqlState::SYNTAX_ERROR
        || *code == SqlState::UNDEFINED_FUNCTION
        || *code == SqlState::UNDEFINED_PARAMETER
        // Too few parameters.
        || *code == SqlState::PROTOCOL_VIOLATION
        || *code == SqlState::GROUPING_ERROR
        || *code == SqlState::AMBIGUOUS_COLUMN
    {
        ErrorKind::QuerySyntax
    } else if code.code().starts_with("08")
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::CANNOT_CONNECT_NOW
    {
        ErrorKind::LostConnection
    } else {
        ErrorKind::Query
    }
}

fn integrity(db: &DbError) -> String {
    let columns = db.detail().and_then(key_columns);
    match (columns, db.detail().and_then(absent_parent)) {
        (Some(columns), Some(parent)) => {
            let parent = match db.schema() {
                Some(schema) if !parent.contains('.') => format!("{schema}.{parent}"),
                _ => parent,
            };
            format!("the foreign key ({columns}) names a row that `{parent}` does not have")
        }
        _ if *db.code() == SqlState::DEPENDENT_OBJECTS_STILL_EXIST => match db.detail() {
            Some(detail) => format!("{}: {detail}", db.message()),
            None => db.message().to_owned(),
        },
        _ => match db.detail() {
            Some(detail) => format!("the row is still referenced. {detail}"),
            None => "a foreign key stands in the way: a referenced row is absent, or the row is still referenced"
                .to_owned(),
        },
    }
}

/// The columns of `Key (a, b)=(1, x) …`.
fn key_columns(detail: &str) -> Option<String> {
    let inner = detail.strip_prefix("Key (")?;
    let (columns, _) = inner.split_once(")=(")?;
    let bare = columns
        .split(", ")
        .map(|c| c.trim_matches('"').replace("\"\"", "\""));
    Some(bare.collect::<Vec<_>>().join(", "))
}

/// The values of `Key (a, b)=(1, x) …`, as the server writes them.
pub(super) fn key_values(detail: &str) -> Option<&str> {
    let (_, rest) = detail.strip_prefix("Key (")?.split_once(")=(")?;
    let end = [
        ") already exists",
        ") is not present in table",
        ") is still referenced",
        ") conflicts with",
    ];
    end.iter().find_map(|end| Some(rest.split_once(end)?.0))
}

/// The table of `Key (…)=(…) is not present in table "x".`
fn absent_parent(detail: &str) -> Option<String> {
    let (_, rest) = detail.split_once("is not present in table \"")?;
    Some(rest.trim_end_matches(['.', '"']).to_owned())
}

fn quoted(message: &str) -> Option<&str> {
    message.split('"').nth(1)
}

/// `column "x" does not exist`, `column s.x does not exist`, `column "x" of relation "t" does not exist`.
fn unknown_column(message: &str) -> Option<String> {
    let rest = message.strip_prefix("column ")?;
    let name = match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next()?,
        None => rest.split(' ').next()?.rsplit('.').next()?,
    };
    Some(name.to_owned())
}

fn hint(kind: ErrorKind, db: &DbError, sql: &str, user: &str) -> Option<String> {
    match kind {
        ErrorKind::QuerySyntax | ErrorKind::UnknownAttribute | ErrorKind::Query
            if !sql.is_empty() =>
        {
            Some(match db.hint() {
                Some(hint) => format!("{hint} {}", statement_hint(sql)),
                None => statement_hint(sql),
            })
        }
        ErrorKind::Integrity if *db.code() == SqlState::DEPENDENT_OBJECTS_STILL_EXIST => {
            Some("Drop what depends on it first.".to_owned())
        }
        ErrorKind::Integrity if db.detail().is_some_and(|d| d.contains("is not present")) => {
            Some("Insert the parent row first.".to_owned())
        }
        ErrorKind::LockTimeout | ErrorKind::Deadlock | ErrorKind::Serialization => {
            Some("Try again.".to_owned())
        }
        ErrorKind::Access => Some(grant(db.message(), sql, user)),
        _ => db.hint().map(str::to_owned),
    }
}

fn statement_hint(sql: &str) -> String {
    match sql.char_indices().nth(600) {
        Some((at, _)) => format!("In the statement: {}…", &sql[..at]),
        None => format!("In the statement: {sql}"),
    }
}

/// The statement that would help.
fn grant(message: &str, sql: &str, user: &str) -> String {
    let dialect = PostgresDialect;
    let to = dialect.quote(user);
    let verb = sql
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let Some(object) = message.strip_prefix("permission denied for ") else {
        return "Only its owner, or a superuser, may do this.".to_owned();
    };
    let (what, name) = object.split_once(' ').unwrap_or((object, ""));
    let quoted = dialect.quote(name);
    match what {
        "table" => {
            let right = match verb.as_str() {
                "INSERT" | "UPDATE" | "DELETE" => verb.as_str(),
                "COPY" => "INSERT",
                "CREATE" => "REFERENCES",
                _ => "SELECT",
            };
            let full = schema_before(sql, &quoted)
                .map_or_else(|| quoted.clone(), |schema| format!("{schema}.{quoted}"));
            format!("The owner of the table can allow it: GRANT {right} ON TABLE {full} TO {to}")
        }
        "schema" => {
            let right = if verb == "CREATE" {
                "CREATE, USAGE"
            } else {
                "USAGE"
            };
            format!("Its owner can allow it: GRANT {right} ON SCHEMA {quoted} TO {to}")
        }
        "database" => format!("Its owner can allow it: GRANT CREATE ON DATABASE {quoted} TO {to}"),
        "sequence" => format!("Its owner can allow it: GRANT USAGE ON SEQUENCE {quoted} TO {to}"),
        _ => format!("Ask its owner, or an administrator, to grant it to {to}."),
    }
}

/// The quoted identifier before `."table"` in a statement.
fn schema_before(sql: &str, table: &str) -> Option<String> {
    let before = &sql[..sql.find(&format!(".{table}"))?];
    let inner = before.strip_suffix('"')?;
    let start = inner.rfind('"')?;
    Some(before[start..].to_owned())
}

/// The error of connecting. The password is nowhere in it.
pub(super) fn connecting(error: tokio_postgres::Error, options: &ServerOptions) -> Error {
    let shown = options.shown();
    let place = match options.is_socket() {
        true => options.host.clone(),
        false => format!("{}:{}", options.host, options.port),
    };
    let database = options.database.as_deref().unwrap_or(&options.user);
    if let Some(db) = error.as_db_error() {
        let db = db.clone();
        let code = db.code();
        let answer = db.message().to_owned();
        let (kind, message, hint) = if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        {
            (
                ErrorKind::Access,
                format!(
                    "the server at {place} does not let `{}` in: {answer}",
                    options.user
                ),
                "Check `database.user` and `database.password`.".to_owned(),
            )
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            (
                ErrorKind::Access,
                format!("there is no database `{database}` at {place}"),
                format!(
                    "Set `database.name`, or create it: CREATE DATABASE {}",
                    PostgresDialect.quote(database)
                ),
            )
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            (
                ErrorKind::Access,
                format!(
                    "`{}` may not connect to `{database}`: {answer}",
                    options.user
                ),
                format!(
                    "Its owner can allow it: GRANT CONNECT ON DATABASE {} TO {}",
                    PostgresDialect.quote(database),
                    PostgresDialect.quote(&options.user)
                ),
            )
        } else if *code == SqlState::TOO_MANY_CONNECTIONS {
            (
                ErrorKind::LostConnection,
                format!("the server at {place} has no free connection: {answer}"),
                "End programs that hold connections, or raise `max_connections` there.".to_owned(),
            )
        } else {
            (
                ErrorKind::LostConnection,
                format!("no connection to {shown}: {answer}"),
                "Try again later.".to_owned(),
            )
        };
        return Error::new(kind, message).hint(hint).with_source(db);
    }
    let io = error
        .source()
        .and_then(|e| e.downcast_ref::<io::Error>())
        .map(|e| (e.kind(), e.to_string()));
    let (kind, message, hint) = match (&io, error.to_string()) {
        (Some((io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, _)), _) => (
            ErrorKind::LostConnection,
            format!("no PostgreSQL server answers at {place}"),
            "Start it, or check `database.host` and `database.port`.",
        ),
        (Some((_, told)), _) if told.contains("lookup") => (
            ErrorKind::LostConnection,
            format!("the host `{}` is not known", options.host),
            "Check `database.host`.",
        ),
        (_, text) if text.contains("TLS") => (
            ErrorKind::LostConnection,
            format!("no encrypted connection to {shown}: {}", told(&error)),
            "Check `database.use_tls`: the mode, and the authority's certificate.",
        ),
        (_, text) if text.contains("authentication") || text.contains("invalid configuration") => (
            ErrorKind::Access,
            format!(
                "the server at {place} does not let `{}` in: {}",
                options.user,
                told(&error)
            ),
            "Check `database.user` and `database.password`.",
        ),
        _ => (
            ErrorKind::LostConnection,
            format!("no connection to {shown}: {}", told(&error)),
            "Check `database.host` and `database.port`.",
        ),
    };
    Error::new(kind, message).hint(hint).with_source(error)
}

/// True if the failure is one of encryption, after which a connection without it may do.
pub(super) fn is_tls(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none() && error.to_string().contains("TLS")
}
