//! Database URLs into settings.

use percent_encoding::percent_decode_str;
use serde_json::json;
use url::Url;

use super::Config;
use crate::error::{Error, ErrorKind, Result};

/// Points the settings at a database URL. What the URL of a server does not say keeps its setting, but for the
/// password, which belongs to the user.
pub(super) fn apply(config: &Config, url: &str) -> Result<()> {
    let backend = match url.split_once(':') {
        Some(("sqlite", rest)) => {
            return file(config, url, rest.strip_prefix("//").unwrap_or(rest));
        }
        Some(("postgresql" | "postgres", _)) => "postgresql",
        Some(("mysql" | "mariadb", _)) => "mysql",
        _ => return file(config, url, url),
    };
    let wrong = |what: &str| {
        // The URL itself may hold a password.
        Error::new(
            ErrorKind::Config,
            format!("the database URL cannot be read: {what}"),
        )
        .hint(format!(
            "The form is {backend}://user:password@host:port/database."
        ))
    };
    let parsed = Url::parse(url).map_err(|e| wrong(&e.to_string()))?;
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(|t| t.into_owned())
            .map_err(|_| wrong("it is not UTF-8"))
    };
    config.set("database.backend", json!(backend))?;
    if !parsed.username().is_empty() {
        config.set("database.user", json!(decoded(parsed.username())?))?;
        match parsed.password() {
            Some(password) => config.set("database.password", json!(decoded(password)?))?,
            None => config.unset("database.password")?,
        }
    }
    if let Some(host) = parsed.host_str().filter(|h| !h.is_empty()) {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        config.set("database.host", json!(decoded(host)?))?;
    }
    match parsed.port() {
        Some(port) => config.set("database.port", json!(port))?,
        None => config.unset("database.port")?,
    }
    match decoded(parsed.path().trim_start_matches('/'))? {
        name if name.is_empty() => config.unset("database.name")?,
        name => config.set("database.name", json!(name))?,
    }
    let (mut mode, mut ca) = (None, None);
    for (key, value) in parsed.query_pairs() {
        match &*key {
            "host" | "socket" => config.set("database.host", json!(value))?,
            "sslrootcert" => ca = Some(value.into_owned()),
            "sslmode" => {
                mode = Some(match &*value {
                    "disable" => "off",
                    "prefer" => "prefer",
                    "require" => "require",
                    "verify-full" => "verify",
                    other => {
                        return Err(wrong(&format!("`{other}` is not a known sslmode"))
                            .hint("Known are disable, prefer, require and verify-full."));
                    }
                })
            }
            other => return Err(wrong(&format!("there is no option `{other}`"))),
        }
    }
    match (mode, ca) {
        (None, None) => Ok(()),
        (None, Some(ca)) => config.set("database.use_tls", json!({"mode": "verify", "ca": ca})),
        (Some(mode), None) => config.set("database.use_tls", json!({"mode": mode})),
        (Some(mode), Some(ca)) => config.set("database.use_tls", json!({"mode": mode, "ca": ca})),
    }
}

fn file(config: &Config, url: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            format!("the database URL `{url}` names no file"),
        ));
    }
    config.set("database.backend", json!("sqlite"))?;
    config.set("database.name", json!(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn settings(url: &str) -> Result<Vec<String>> {
        let config = Config::defaults("/somewhere");
        apply(&config, url)?;
        let names = [
            "backend", "host", "port", "user", "password", "name", "use_tls",
        ];
        Ok(names
            .iter()
            .map(|n| config.get(&format!("database.{n}")).unwrap().to_string())
            .collect())
    }

    #[test]
    fn urls_of_servers_become_settings() {
        assert_eq!(
            settings(
                "postgresql://ann:s%40crt@db.lab:5433/data?sslmode=verify-full&sslrootcert=/ca.pem"
            )
            .unwrap(),
            [
                "\"postgresql\"",
                "\"db.lab\"",
                "5433",
                "\"ann\"",
                "\"s@crt\"",
                "\"data\"",
                "{\"mode\":\"verify\",\"ca\":\"/ca.pem\"}"
            ]
        );
        assert_eq!(
            settings("mysql://root@localhost?socket=/run/mysqld/mysqld.sock").unwrap(),
            [
                "\"mysql\"",
                "\"/run/mysqld/mysqld.sock\"",
                "3306",
                "\"root\"",
                "null",
                "null",
                "null"
            ]
        );
        assert_eq!(settings("postgres://ann@[::1]/x").unwrap()[1], "\"::1\"");
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for bad in [
            "mysql://ann:secret@host:port/x",
            "postgresql://ann:secret@host?sslmode=maybe",
            "postgresql://ann:secret@host?colour=red",
        ] {
            let error = settings(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
