//! Configuration: precedence, files, secrets, validation (spec: stores §1, §2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use lodestore::ErrorKind;
use lodestore::config::{Config, MASK, Origin, Sources};
use serde_json::json;

fn sources(directory: &Path, env: &[(&str, &str)]) -> Sources {
    Sources {
        directory: directory.to_path_buf(),
        env: env
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
        system_secrets: directory.join("no-such-directory"),
    }
}

fn load(directory: &Path, env: &[(&str, &str)]) -> (Config, Vec<String>) {
    Config::load(&sources(directory, env)).unwrap()
}

#[test]
fn nothing_configured_is_sqlite_with_a_store_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let (config, warnings) = load(dir.path(), &[]);
    assert!(warnings.is_empty());
    assert_eq!(config.get("database.backend"), Some(json!("sqlite")));
    assert_eq!(
        config.sqlite_file().unwrap(),
        dir.path().join("lodestore.db")
    );
    assert_eq!(config.store_names(), ["local"]);
    let spec = config.store_spec(None, false).unwrap();
    assert_eq!(spec["protocol"], "file");
    assert_eq!(
        spec["location"],
        json!(dir.path().join("lodestore.db.objects"))
    );
    assert_eq!(spec["token_length"], 8);
    assert_eq!(
        config.store_spec(Some(""), true).unwrap()["hash_prefix"],
        "_hash"
    );
    assert_eq!(config.origin("database.host"), Some(Origin::Default));
}

#[test]
fn a_host_or_user_means_the_reference_default_backend() {
    let dir = tempfile::tempdir().unwrap();
    let (config, _) = load(dir.path(), &[("DJ_HOST", "db.lab.org")]);
    assert_eq!(config.get("database.backend"), Some(json!("mysql")));
    assert_eq!(config.get("database.port"), Some(json!(3306)));
    assert!(config.store_names().is_empty());
}

#[test]
fn precedence_is_the_reference_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("datajoint.json"),
        r#"{"safemode": false, "database": {"host": "file"}, "database.port": 7}"#,
    )
    .unwrap();
    // Unguarded: the file wins. Guarded: the variable wins.
    let (config, _) = load(
        dir.path(),
        &[
            ("DJ_SAFEMODE", "true"),
            ("dj_host", "env"),
            ("DJ_JOBS_STALE_TIMEOUT", "5"),
        ],
    );
    assert_eq!(config.get("safemode"), Some(json!(false)));
    assert_eq!(config.get("database.host"), Some(json!("env")));
    assert_eq!(config.get("database.port"), Some(json!(7)));
    assert_eq!(config.get("jobs.stale_timeout"), Some(json!(5)));
    assert_eq!(
        config.origin("database.host"),
        Some(Origin::Env("DJ_HOST".into()))
    );
    assert_eq!(
        config.origin("safemode"),
        Some(Origin::File(dir.path().join("datajoint.json")))
    );
    config.set("database.host", json!("now")).unwrap();
    assert_eq!(config.origin("database.host"), Some(Origin::Runtime));
    config.unset("database.host").unwrap();
    assert_eq!(
        config.get_str("database.host").as_deref(),
        Some("localhost")
    );
}

#[test]
fn secrets_fill_only_gaps_and_are_masked() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("datajoint.json"),
        r#"{"stores": {"a": {"protocol": "s3", "endpoint": "e", "bucket": "b", "location": "", "secret_key": "kept"}}}"#,
    )
    .unwrap();
    let secrets = dir.path().join(".secrets");
    fs::create_dir(&secrets).unwrap();
    for (name, text) in [
        ("database.user", "alice\n"),
        ("database.password", "pw"),
        ("database.host", "ignored"),
        ("stores.a.secret_key", "other"),
        ("stores.a.access_key", "ak"),
        ("stores.new.location", "/x"),
        (".hidden", "x"),
    ] {
        fs::write(secrets.join(name), text).unwrap();
    }
    let (config, warnings) = load(dir.path(), &[("DJ_USER", "bob")]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.get_str("database.user").as_deref(), Some("bob"));
    assert_eq!(config.get_str("database.password").as_deref(), Some("pw"));
    assert_eq!(
        config.get_str("database.host").as_deref(),
        Some("localhost")
    );
    assert_eq!(
        config.get_str("stores.a.secret_key").as_deref(),
        Some("kept")
    );
    assert_eq!(config.get_str("stores.a.access_key").as_deref(), Some("ak"));
    assert_eq!(config.get_str("stores.new.location").as_deref(), Some("/x"));
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("kept") && !shown.contains("\"pw\"") && shown.contains(MASK),
        "{shown}"
    );
}

#[test]
fn the_file_search_stops_at_a_repository_root() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("datajoint.json"),
        r#"{"loglevel": "DEBUG"}"#,
    )
    .unwrap();
    let repo = dir.path().join("repo");
    fs::create_dir_all(repo.join("deep")).unwrap();
    assert_eq!(
        load(&repo.join("deep"), &[])
            .0
            .get_str("loglevel")
            .as_deref(),
        Some("DEBUG")
    );
    fs::create_dir(repo.join(".git")).unwrap();
    assert_eq!(
        load(&repo.join("deep"), &[])
            .0
            .get_str("loglevel")
            .as_deref(),
        Some("INFO")
    );
}

#[test]
fn a_bad_file_warns_and_keeps_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("datajoint.json");
    fs::write(
        &file,
        r#"{"display.limit": "5", "loglevel": "loud", "display.width": 3}"#,
    )
    .unwrap();
    let (config, warnings) = load(dir.path(), &[]);
    assert_eq!(config.get("display.limit"), Some(json!(5)));
    assert_eq!(config.get("display.width"), Some(json!(14)));
    assert!(
        warnings[0].contains("loglevel") && warnings[0].contains("loud"),
        "{warnings:?}"
    );
    fs::write(&file, "{oops").unwrap();
    let (config, warnings) = load(dir.path(), &[]);
    assert!(warnings[0].contains("not a JSON object"), "{warnings:?}");
    assert_eq!(
        config.load_file(&file).unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(
        config
            .load_file(&dir.path().join("none.json"))
            .unwrap_err()
            .kind(),
        ErrorKind::FileNotFound
    );
    assert!(
        load(dir.path(), &[("DJ_IGNORE_CONFIG_FILE", "1")])
            .1
            .is_empty()
    );
}

#[test]
fn values_are_coerced_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::defaults(dir.path());
    config.set("display.limit", json!("77")).unwrap();
    assert_eq!(config.get("display.limit"), Some(json!(77)));
    config.set("safemode", json!("no")).unwrap();
    assert!(!config.get_bool("safemode"));
    for (key, value) in [
        ("display.limit", json!("x")),
        ("jobs.default_priority", json!(256)),
        ("loglevel", json!("debug")),
    ] {
        let error = config.set(key, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.message().contains(key));
    }
    let error = config.set("safemod", json!(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownKey);
    assert!(error.to_string().contains("safemode"), "{error}");
    assert_eq!(
        config.set("database.hots", json!("x")).unwrap_err().kind(),
        ErrorKind::Value
    );
    assert_eq!(config.get("nothing"), None);
    let error = config.set("database.password", json!(12)).unwrap_err();
    assert!(
        !error.to_string().contains("12"),
        "a secret must not be shown: {error}"
    );
}

#[test]
fn object_storage_of_the_seeds_is_the_same_block() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("datajoint.json"),
        r#"{"object_storage": {"default": "m", "stores": {"m": {"protocol": "file", "location": "/a"}, "n": {"protocol": "file", "location": "/b"}}},
            "stores": {"n": {"protocol": "file", "location": "/c"}}}"#,
    )
    .unwrap();
    let (config, warnings) = load(dir.path(), &[]);
    assert_eq!(config.store_spec(None, false).unwrap()["location"], "/a");
    assert_eq!(
        config.store_spec(Some("n"), false).unwrap()["location"],
        "/c"
    );
    assert_eq!(warnings.len(), 1);
}

#[test]
fn store_specifications_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::defaults(dir.path());
    let spec = |json: serde_json::Value| json.as_object().unwrap().clone();
    let error = |json| {
        config.set_store("s", spec(json)).unwrap();
        config.store_spec(Some("s"), false).unwrap_err().to_string()
    };
    assert!(error(json!({"location": "/a"})).contains("`protocol` is missing"));
    assert!(error(json!({"protocol": "flie", "location": "/a"})).contains("Did you mean `file`?"));
    assert!(error(json!({"protocol": "file"})).contains("missing `location`"));
    assert!(
        error(json!({"protocol": "file", "location": "/a", "subfoldings": [2]}))
            .contains("Did you mean `subfolding`?")
    );
    assert!(
        error(json!({"protocol": "file", "location": "/a", "subfolding": [20, 20]})).contains("26")
    );
    assert!(
        error(json!({"protocol": "file", "location": "/a", "token_length": 99}))
            .contains("4 and 16")
    );
    assert!(error(json!({"protocol": "file", "location": "/a", "hash_prefix": "x", "schema_prefix": "x/y"})).contains("overlap"));
    let error = config.store_spec(Some("r"), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    // Configured stores without a default: an unnamed store is an error that says what to set.
    let error = config.store_spec(None, false).unwrap_err();
    assert!(error.to_string().contains("stores.default"), "{error}");
    // The implicit store stays reachable by name: rows may name it.
    assert!(config.store_spec(Some("local"), false).is_ok());
}

#[test]
fn saving_leaves_secrets_out_and_loads_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::defaults(dir.path());
    config.set("display.limit", json!(3)).unwrap();
    config.set("database.password", json!("pw")).unwrap();
    config.set("lode.fsync", json!(false)).unwrap();
    let spec = json!({"protocol": "s3", "endpoint": "e", "bucket": "b", "location": "l", "access_key": "ak", "secret_key": "sk"});
    config
        .set_store("cold", spec.as_object().unwrap().clone())
        .unwrap();
    let file = dir.path().join("datajoint.json");
    config.save(&file).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        !text.contains("pw") && !text.contains("\"sk\"") && !text.contains("\"ak\""),
        "{text}"
    );
    let (again, _) = load(dir.path(), &[]);
    assert_eq!(again.get("display.limit"), Some(json!(3)));
    assert_eq!(again.get("lode.fsync"), Some(json!(false)));
    assert_eq!(again.get_str("stores.cold.bucket").as_deref(), Some("b"));
}

#[test]
fn a_template_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("datajoint.json");
    Config::save_template(&file, false, true).unwrap();
    assert_eq!(
        fs::read_to_string(dir.path().join(".secrets/.gitignore")).unwrap(),
        "*\n"
    );
    assert!(Config::save_template(&file, true, true).is_err());
    let (config, warnings) = load(dir.path(), &[]);
    assert_eq!(warnings, Vec::<String>::new());
    assert!(config.store_spec(None, false).is_ok());
}

#[test]
fn lode_settings_live_in_a_block_and_unknown_ones_warn() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("datajoint.json"),
        r#"{"lode": {"gc": {"grace": 60}, "fsnc": true, "stores": {"a": {"blob_deflate": "zlib6"}}}}"#,
    )
    .unwrap();
    let (config, warnings) = load(dir.path(), &[("LODE_BUSY_TIMEOUT", "10")]);
    assert_eq!(config.get_f64("lode.gc.grace"), Some(60.0));
    assert_eq!(config.get_f64("lode.busy_timeout"), Some(10.0));
    assert_eq!(
        config.get_str("lode.stores.a.blob_deflate").as_deref(),
        Some("zlib6")
    );
    assert!(
        warnings.len() == 1 && warnings[0].contains("lode.fsync"),
        "{warnings:?}"
    );
}

#[test]
fn a_url_names_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::defaults(dir.path());
    config.set_url("sqlite:///abs/lab.db").unwrap();
    assert_eq!(config.sqlite_file().unwrap(), Path::new("/abs/lab.db"));
    config.set_url("sqlite::memory:").unwrap();
    assert_eq!(config.sqlite_file(), None);
    assert_eq!(
        config.store_spec(None, false).unwrap()["protocol"],
        "memory"
    );
    config.set_url("postgresql://h/d").unwrap();
    assert_eq!(
        config.get_str("database.backend").as_deref(),
        Some("postgresql")
    );
    assert_eq!(config.get_i64("database.port"), Some(5432));
}

#[test]
fn dj_stores_replaces_the_file_block() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("datajoint.json"),
        r#"{"stores": {"a": {"protocol": "file", "location": "/a"}}}"#,
    )
    .unwrap();
    let (config, _) = load(
        dir.path(),
        &[(
            "DJ_STORES",
            r#"{"default": "b", "b": {"protocol": "file", "location": "/b"}}"#,
        )],
    );
    assert_eq!(config.store_names(), ["b"]);
    assert!(Config::load(&sources(dir.path(), &[("DJ_STORES", "[1]")])).is_err());
}
