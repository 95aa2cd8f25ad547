//! Server errors into kinds (spec: manipulation §8, §12.13; python-api §7), with schema, table and attribute read from
//! the message.

use std::io;

use crate::error::{Error, ErrorKind};
use crate::sql::ServerOptions;

/// The error of a statement. `sql` is shown where the text is at fault.
pub(super) fn map(error: mysql::Error, sql: &str) -> Error {
    let mapped = match &error {
        mysql::Error::MySqlError(e) => server_error(e.code, &e.message, sql),
        mysql::Error::IoError(_) | mysql::Error::CodecError(_) | mysql::Error::TlsError(_) => {
            lost(&error)
        }
        other => Error::new(ErrorKind::Query, other.to_string()),
    };
    mapped.with_source(error)
}

fn lost(error: &mysql::Error) -> Error {
    if let mysql::Error::CodecError(e) = error
        && e.to_string().contains("large")
    {
        return too_large("the statement");
    }
    Error::new(
        ErrorKind::LostConnection,
        format!("the connection to the database was lost: {error}"),
    )
}

/// What is larger than the server takes.
pub(super) fn too_large(what: &str) -> Error {
    Error::new(
        ErrorKind::Data,
        format!("{what} is larger than the server's max_allowed_packet"),
    )
    .hint(
        "Raise `max_allowed_packet` in the server's configuration, or keep such values in a store \
         (`<blob@>`, `<npy@>`, `<object@>`).",
    )
}

pub(super) fn statement_hint(sql: &str) -> String {
    match sql.char_indices().nth(600) {
        Some((at, _)) => format!("In the statement: {}…", &sql[..at]),
        None => format!("In the statement: {sql}"),
    }
}

fn server_error(code: u16, message: &str, sql: &str) -> Error {
    let plain = |kind| Error::new(kind, message);
    let with_sql = |e: Error| match sql.is_empty() {
        true => e,
        false => e.hint(statement_hint(sql)),
    };
    match code {
        // The attribute is added by the insert, which knows the columns of the index.
        1062 | 1022 | 1169 | 1586 => {
            Error::new(ErrorKind::Duplicate, "a row with this key exists already")
        }
        1452 | 1216 => match parse_constraint(message) {
            Some(c) => Error::new(
                ErrorKind::Integrity,
                format!(
                    "the foreign key ({}) names a row that `{}` does not have",
                    c.columns, c.parent
                ),
            )
            .table(c.schema, c.table)
            .attribute(c.columns)
            .hint("Insert the parent row first."),
            None => Error::new(
                ErrorKind::Integrity,
                "a foreign key names a row that the parent table does not have",
            ),
        },
        1451 | 1217 => match parse_constraint(message) {
            Some(c) => Error::new(
                ErrorKind::Integrity,
                format!(
                    "the row is still referenced by `{}.{}` ({})",
                    c.schema, c.table, c.columns
                ),
            )
            .hint("Delete the rows that reference it first."),
            None => Error::new(ErrorKind::Integrity, "the row is still referenced by another table"),
        },
        // Dropping a referenced table.
        3730 | 1701 => plain(ErrorKind::Integrity).hint("Drop the table that references it first."),
        1364 | 1048 | 1263 => {
            let attribute = quoted(message, 0).unwrap_or("?").to_owned();
            Error::new(
                ErrorKind::MissingAttribute,
                format!("attribute `{attribute}` has no default and must be given a value"),
            )
            .attribute(attribute)
        }
        1054 | 1166 => {
            let name = quoted(message, 0).unwrap_or("?");
            let name = name.rsplit('.').next().unwrap_or(name).to_owned();
            with_sql(Error::new(
                ErrorKind::UnknownAttribute,
                format!("there is no attribute `{name}`"),
            ))
            .attribute(name)
        }
        1146 | 1051 | 1109 => {
            let full = quoted(message, 0).unwrap_or("?");
            let error = Error::new(ErrorKind::MissingTable, format!("there is no table `{full}`"));
            match full.split_once('.') {
                Some((schema, table)) => error.table(schema, table),
                None => error,
            }
        }
        1049 => Error::new(
            ErrorKind::MissingTable,
            format!("there is no schema `{}`", quoted(message, 0).unwrap_or("?")),
        ),
        1050 => plain(ErrorKind::Invalid),
        // Can't create database 'lab'; …
        1007 => Error::invalid(format!(
            "the schema `{}` exists already",
            message.split('\'').nth(2).unwrap_or("?")
        )),
        1064 | 1149 | 1305 | 1582 | 1583 | 1630 | 1055 | 1056 | 1111 | 1140 | 1222 | 1241 | 1248 | 1052 => {
            with_sql(plain(ErrorKind::QuerySyntax))
        }
        1213 => Error::new(
            ErrorKind::Deadlock,
            "the database ended a deadlock by undoing this transaction",
        )
        .hint("Run the transaction again."),
        1205 | 3572 => Error::new(
            ErrorKind::LockTimeout,
            "another connection kept the rows or the table locked for too long",
        )
        .hint("Try again, or end the transaction that holds the lock (`SHOW ENGINE INNODB STATUS` names it)."),
        1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1416 | 1426 | 1441 | 1525 | 1690 | 1365 | 3140 | 3141
        | 3144 | 3156 | 3819 | 4025 | 1300 | 1367 | 1423 | 1074 | 3854 | 4038 | 4042 => {
            let error = plain(ErrorKind::Data);
            match column_of(message) {
                Some(column) => error.attribute(column),
                None => error,
            }
        }
        1153 | 1301 => too_large("the statement or a value in it"),
        1044 | 1142 | 1143 | 1227 | 1370 | 1419 | 1698 | 1820 | 1862 => access(code, message),
        1045 => plain(ErrorKind::Access).hint("Check the user name and the password."),
        1290 | 1792 | 1836 | 3989 => plain(ErrorKind::Access)
            .hint("The server, or this transaction, takes no writes; connect to the primary server."),
        1317 | 1969 | 3024 | 1028 => plain(ErrorKind::Interrupted),
        0 | 1053 | 1077 | 1079 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 4031 | 3169 => Error::new(
            ErrorKind::LostConnection,
            format!("the connection to the database was lost: {message}"),
        ),
        1040 | 1203 | 1226 => plain(ErrorKind::LostConnection)
            .hint("Close connections that are not needed, or raise `max_connections` on the server."),
        1412 => plain(ErrorKind::Serialization)
            .hint("The table was declared or altered after this transaction began: run the transaction again."),
        1020 | 1180 => plain(ErrorKind::Serialization).hint("Run the transaction again."),
        1005 | 1215 | 3780 | 1822 | 6125 => {
            let error = plain(ErrorKind::Definition);
            match message.contains("150") || code != 1005 {
                true => error.hint(
                    "A foreign key could not be made: the columns on both sides need equal types and collations, and \
                     those of the parent must be its primary key.",
                ),
                false => error,
            }
        }
        1067 | 1068 | 1071 | 1072 | 1073 | 1101 | 1103 | 1117 | 1118 | 1163 | 1170 | 1171 | 1059 | 1060 | 1061
        | 1063 | 1075 | 1089 | 1113 | 1115 | 1273 | 1253 | 1628 | 1629 | 1280 | 1291 | 3152 | 3757 | 3837 => {
            with_sql(plain(ErrorKind::Definition))
        }
        _ => with_sql(plain(ErrorKind::Query)),
    }
}

/// The index that a duplicate was found in: `Duplicate entry '1-2' for key 'PRIMARY'`, or `'table.PRIMARY'`.
pub(super) fn duplicate_index(error: &Error) -> Option<String> {
    let native = native(error)?;
    let (_, rest) = native.message.rsplit_once(" for key ")?;
    let name = rest.trim().trim_matches('\'');
    Some(name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// What the server said, where an error came from it.
pub(super) fn native(error: &Error) -> Option<&mysql::MySqlError> {
    match std::error::Error::source(error)?.downcast_ref::<mysql::Error>()? {
        mysql::Error::MySqlError(native) => Some(native),
        _ => None,
    }
}

/// The server's error number.
pub(super) fn code(error: &Error) -> Option<u16> {
    native(error).map(|e| e.code)
}

struct Constraint {
    schema: String,
    table: String,
    columns: String,
    /// `schema.table`
    parent: String,
}

/// ``…fails (`s`.`t`, CONSTRAINT `c` FOREIGN KEY (`a`, `b`) REFERENCES `p` (`a`, `b`) …)``. The parent is without its
/// schema if that is the child's.
fn parse_constraint(message: &str) -> Option<Constraint> {
    let (_, rest) = message.split_once('(')?;
    let (schema, rest) = identifier(rest)?;
    let (table, rest) = identifier(rest.strip_prefix('.')?)?;
    let (_, rest) = rest.split_once("FOREIGN KEY (")?;
    let (columns, rest) = identifiers(rest)?;
    let (_, rest) = rest.split_once("REFERENCES ")?;
    let (first, rest) = identifier(rest)?;
    let parent = match rest.strip_prefix('.').and_then(identifier) {
        Some((second, _)) => format!("{first}.{second}"),
        None => format!("{schema}.{first}"),
    };
    Some(Constraint {
        schema,
        table,
        columns: columns.join(", "),
        parent,
    })
}

/// A backticked identifier at the beginning, and the rest.
fn identifier(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('`')?;
    let mut from = 0;
    loop {
        let end = from + text[from..].find('`')?;
        match text[end + 1..].strip_prefix('`') {
            Some(_) => from = end + 2,
            None => return Some((text[..end].replace("``", "`"), &text[end + 1..])),
        }
    }
}

fn identifiers(mut text: &str) -> Option<(Vec<String>, &str)> {
    let mut names = Vec::new();
    loop {
        let (name, rest) = identifier(text)?;
        names.push(name);
        match rest.strip_prefix(", ") {
            Some(rest) => text = rest,
            None => return Some((names, rest)),
        }
    }
}

/// The n-th piece between single quotes.
fn quoted(message: &str, n: usize) -> Option<&str> {
    message.split('\'').nth(2 * n + 1)
}

/// ``for column 'x'`` or ``for column `s`.`t`.`x` ``; for a failed check, its name, which is the column's on MariaDB.
fn column_of(message: &str) -> Option<String> {
    if let Some((_, rest)) = message.split_once("column ") {
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('\'') {
            return rest.split('\'').next().map(str::to_owned);
        }
        let (mut name, mut rest) = identifier(rest)?;
        while let Some((next, after)) = rest.strip_prefix('.').and_then(identifier) {
            (name, rest) = (next, after);
        }
        return Some(name);
    }
    let (_, rest) = message.split_once("CONSTRAINT `")?;
    let name = rest.split('`').next()?;
    Some(name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// Says which privilege is missing, and how it is given.
fn access(code: u16, message: &str) -> Error {
    let error = Error::new(ErrorKind::Access, message);
    let user = message
        .split_once("for user ")
        .or_else(|| message.split_once("to user "))
        .map_or("'…'@'…'", |(_, rest)| {
            let end = rest
                .find(" for ")
                .or_else(|| rest.find(" to "))
                .unwrap_or(rest.len());
            rest[..end].trim()
        });
    match code {
        // INSERT command denied to user 'a'@'b' for table `s`.`t` (MySQL: 't')
        1142 | 1143 => {
            let privilege = message
                .split(" command denied")
                .next()
                .unwrap_or("ALL")
                .trim();
            let privilege = privilege.rsplit(", ").next().unwrap_or(privilege);
            let schema = message
                .split_once("for table ")
                .and_then(|(_, rest)| identifier(rest))
                .filter(|(_, rest)| rest.starts_with('.'))
                .map_or_else(|| "`schema`".to_owned(), |(name, _)| format!("`{name}`"));
            error.hint(format!(
                "Ask for it: GRANT {privilege} ON {schema}.* TO {user};"
            ))
        }
        1044 => {
            let schema = message
                .split_once("to database '")
                .and_then(|(_, rest)| rest.strip_suffix('\''))
                .unwrap_or("schema");
            error.hint(format!(
                "Ask for it: GRANT ALL PRIVILEGES ON `{schema}`.* TO {user};"
            ))
        }
        1370 => error.hint(format!("Ask for it: GRANT EXECUTE ON … TO {user};")),
        1227 => error.hint("Ask for the privilege that the message names: GRANT … ON *.* TO …;"),
        1820 | 1862 => error.hint("Give the account a new password with ALTER USER."),
        _ => error.hint("Ask the server's administrator for the privilege."),
    }
}

/// The error of connecting. The password is in none of the messages.
pub(super) fn connecting(error: mysql::Error, options: &ServerOptions) -> Error {
    let place = match options.is_socket() {
        true => format!("the socket {}", options.host),
        false => format!("{}:{}", options.host, options.port),
    };
    let fail = |kind, message: String| Error::new(kind, message);
    let mapped = match &error {
        mysql::Error::IoError(e) => io_error(e.kind(), &e.to_string(), &place, options),
        // What the encryption says comes this way too.
        mysql::Error::CodecError(e) => {
            io_error(io::ErrorKind::Other, &e.to_string(), &place, options)
        }
        mysql::Error::DriverError(mysql::DriverError::ConnectTimeout) => {
            io_error(io::ErrorKind::TimedOut, "", &place, options)
        }
        mysql::Error::DriverError(mysql::DriverError::CouldNotConnect(Some((_, text, kind)))) => {
            io_error(*kind, text, &place, options)
        }
        mysql::Error::MySqlError(e) => match e.code {
            1045 | 1698 => {
                let how = match &options.password {
                    Some(password) if !password.is_empty() => "with the password that was given",
                    _ => "without a password",
                };
                fail(
                    ErrorKind::Access,
                    format!(
                        "the server at {place} refuses user `{}` {how}",
                        options.user
                    ),
                )
                .hint("Check `database.user` and `database.password` (DJ_USER, DJ_PASS).")
            }
            1049 => fail(
                ErrorKind::Access,
                format!(
                    "there is no database `{}` on the server",
                    options.database.as_deref().unwrap_or("?")
                ),
            )
            .hint("`database.name` is not needed for MySQL: each schema is a database."),
            1044 => access(1044, &e.message),
            1130 => fail(
                ErrorKind::Access,
                format!("the server at {place} takes no connections from this machine"),
            )
            .hint("Ask its administrator to let this machine in (CREATE USER … @'this host')."),
            1040 | 1203 | 1226 => fail(
                ErrorKind::LostConnection,
                format!("the server at {place} has too many connections already"),
            )
            .hint(
                "Close connections that are not needed, or raise `max_connections` on the server.",
            ),
            _ => server_error(e.code, &e.message, ""),
        },
        mysql::Error::DriverError(mysql::DriverError::TlsNotSupported) => fail(
            ErrorKind::LostConnection,
            format!("the server at {place} does not offer TLS, which `database.use_tls` asks for"),
        )
        .hint("Set `database.use_tls` to null, or configure TLS on the server."),
        mysql::Error::TlsError(e) => fail(
            ErrorKind::LostConnection,
            format!("no encrypted connection to {place}: {e}"),
        )
        .hint("Check `database.use_tls` and the certificate that it names."),
        other => fail(
            ErrorKind::LostConnection,
            format!("no connection to {place}: {other}"),
        ),
    };
    mapped.with_source(error)
}

fn io_error(kind: io::ErrorKind, text: &str, place: &str, options: &ServerOptions) -> Error {
    let fail = |message: String| Error::new(ErrorKind::LostConnection, message);
    match kind {
        io::ErrorKind::ConnectionRefused => fail(format!("no database server listens at {place}"))
            .hint("Start the server, or correct `database.host` and `database.port`."),
        io::ErrorKind::NotFound if options.is_socket() => {
            fail(format!("there is no socket {}", options.host))
                .hint("Start the server, or correct `database.host`.")
        }
        io::ErrorKind::PermissionDenied => fail(format!("{place} may not be opened: {text}")),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => fail(format!(
            "the server at {place} did not answer within {} s",
            options.connect_timeout.as_secs_f64()
        ))
        .hint("Check host, port and firewall; `lode.connect_timeout` sets how long to wait."),
        // The resolver's errors have no kind of their own.
        _ if text.contains("lookup") || text.contains("resolve") || text.contains("not known") => {
            fail(format!("the host name `{}` is not known", options.host))
                .hint("Correct `database.host`.")
        }
        _ if text.contains("certificate") || text.contains("tls") || text.contains("TLS") => {
            fail(format!("no encrypted connection to {place}: {text}"))
                .hint("Check `database.use_tls` and the certificate that it names.")
        }
        _ => fail(format!("no connection to {place}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn mapped(code: u16, message: &str) -> Error {
        server_error(code, message, "")
    }

    #[test]
    fn a_failed_foreign_key_names_columns_and_parent() {
        let error = mapped(
            1452,
            "Cannot add or update a child row: a foreign key constraint fails (`lab`.`subject`, CONSTRAINT \
             `subject_ibfk_1` FOREIGN KEY (`species`, `o``dd`) REFERENCES `#species` (`species`, `o``dd`) ON UPDATE CASCADE)",
        );
        assert_eq!(error.place().attribute.as_deref(), Some("species, o`dd"));
        assert!(error.message().contains("`lab.#species`"), "{error}");
        let error = mapped(
            1451,
            "Cannot delete or update a parent row: a foreign key constraint fails (`a`.`c`, CONSTRAINT `x` FOREIGN KEY \
             (`k`) REFERENCES `b`.`p` (`k`))",
        );
        assert_eq!(error.message(), "the row is still referenced by `a.c` (k)");
    }

    #[test]
    fn columns_are_found_in_data_errors() {
        for message in [
            "Data too long for column 'note' at row 1",
            "Incorrect integer value: 'x' for column `lab`.`t`.`note` at row 1",
            "Incorrect integer value: 'x' for column 'note' at row 1",
            "CONSTRAINT `t.note` failed for `lab`.`t`",
        ] {
            assert_eq!(
                mapped(1366, message).place().attribute.as_deref(),
                Some("note"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_missing_privilege_names_the_grant() {
        let error = mapped(
            1142,
            "INSERT command denied to user 'ann'@'localhost' for table `lab`.`subject`",
        );
        assert_eq!(
            error.hint_text(),
            Some("Ask for it: GRANT INSERT ON `lab`.* TO 'ann'@'localhost';")
        );
        let error = mapped(1044, "Access denied for user 'ann'@'%' to database 'lab'");
        assert_eq!(
            error.hint_text(),
            Some("Ask for it: GRANT ALL PRIVILEGES ON `lab`.* TO 'ann'@'%';")
        );
    }
}
