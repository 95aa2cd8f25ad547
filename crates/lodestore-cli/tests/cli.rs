//! What `lode` prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use lodestore::config::Config;
use lodestore::definition::Tier;
use lodestore::schema::{Declare, HiddenColumns, Lode};
use lodestore::value::{Array, Row};
use lodestore::{Error, row};

fn lode(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lode"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

fn text(directory: &Path, arguments: &[&str]) -> String {
    let output = lode(directory, arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn failure(directory: &Path, arguments: &[&str]) -> String {
    let output = lode(directory, arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn json(directory: &Path, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&text(directory, arguments)).unwrap()
}

/// A directory with a database of two tables, three rows, one object and one orphan.
fn laboratory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::defaults(directory.path());
    let lode = Lode::connect(config).unwrap();
    lode.create_schema("lab").unwrap();
    let declare = |class_name: &str, tier, definition: &str| {
        lode.declare(Declare {
            schema: "lab",
            class_name,
            tier,
            master: None,
            definition,
            hidden: HiddenColumns::default(),
            resolve: &mut |_| Err(Error::invalid("no foreign keys here")),
        })
        .unwrap()
    };
    declare("Rig", Tier::Lookup, "# where we record\nrig : varchar(8)");
    declare(
        "Recording",
        Tier::Manual,
        "# what we record\nid : int32\n---\ntrace = null : <npy@>",
    );
    lode.table("lab.Rig")
        .unwrap()
        .insert1(row! { rig: "r1" })
        .unwrap();
    let recording = lode.table("lab.Recording").unwrap();
    let rows: Vec<Row> = (1..=3)
        .map(|id: i32| {
            let trace = (id < 3).then(|| Array::from_ndarray(ndarray::arr1(&[id; 10])));
            row! { id: id, trace: trace }
        })
        .collect();
    recording.insert(rows, &Default::default()).unwrap();
    let first = recording.restrict(row! { id: 1 }).unwrap();
    first.delete(Default::default()).unwrap();
    directory
}

#[test]
fn version_and_help() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        text(directory.path(), &["--version"]),
        format!("lode {}\n", env!("CARGO_PKG_VERSION"))
    );
    insta::assert_snapshot!(text(directory.path(), &["--help"]));
}

#[test]
fn config_shows_values_and_origins_and_hides_secrets() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("datajoint.json"),
        r#"{"display": {"limit": 5}, "stores": {"cold": {"protocol": "s3", "endpoint": "e", "bucket": "b",
            "location": "", "access_key": "AK", "secret_key": "SK"}}}"#,
    )
    .unwrap();
    let shown = text(directory.path(), &["config", "--changed"]);
    let shown = shown.replace(
        &*directory.path().canonicalize().unwrap().to_string_lossy(),
        "DIR",
    );
    insta::assert_snapshot!(
        shown
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    );
    let all = text(directory.path(), &["config", "--json"]);
    assert!(!all.contains("\"SK\"") && !all.contains("\"AK\""));
    assert_eq!(
        json(directory.path(), &["config", "display.limit", "--json"])[0]["value"],
        5
    );
    assert!(
        failure(directory.path(), &["config", "display.limt"])
            .contains("Did you mean `display.limit`?")
    );
}

#[test]
fn ls_counts_rows_and_objects() {
    let directory = laboratory();
    insta::assert_snapshot!(text(directory.path(), &["ls"]), @r"
    schema  tables  rows  objects
    lab          2     3        1
    ");
    insta::assert_snapshot!(text(directory.path(), &["ls", "lab"]), @r"
    table      tier    rows  objects  comment
    Rig        lookup     1        0  where we record
    Recording  manual     2        1  what we record
    ");
    let listed = json(directory.path(), &["ls", "lab", "--json"]);
    assert_eq!(listed[1]["table"], "recording");
    assert_eq!(listed[1]["objects"], 1);
    assert!(failure(directory.path(), &["ls", "labb"]).contains("labb"));
}

#[test]
fn looking_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert!(failure(directory.path(), &["ls"]).contains("there is no database"));
    assert!(
        failure(
            directory.path(),
            &["-d", "sqlite://other.db", "gc", "scan", "lab"]
        )
        .contains("other.db")
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn gc_removes_only_when_told_to() {
    let directory = laboratory();
    let scan = json(directory.path(), &["gc", "scan", "lab", "--json"]);
    assert_eq!(
        (&scan["orphaned"], &scan["deleted"], &scan["dry_run"]),
        (&1.into(), &0.into(), &true.into())
    );
    let dry = json(directory.path(), &["gc", "collect", "lab", "--json"]);
    assert_eq!(dry["deleted"], 0);
    let done = json(
        directory.path(),
        &["gc", "collect", "lab", "--delete", "--json"],
    );
    assert_eq!(
        (&done["deleted"], &done["errors"], &done["dry_run"]),
        (&1.into(), &0.into(), &false.into())
    );
    insta::assert_snapshot!(text(directory.path(), &["gc", "scan", "lab"]));
    assert!(failure(directory.path(), &["gc", "scan"]).contains("SCHEMAS"));
}

/// A text with what differs from run to run written out.
fn steady(directory: &Path, text: &str) -> String {
    let place = directory.canonicalize().unwrap();
    let mut text = text.replace(&*place.to_string_lossy(), "DIR");
    while let Some(at) = text.find("_lode/test-") {
        text.replace_range(at..at + 47, "TEST");
    }
    let words = |line: &str| {
        let mut line = line.to_owned();
        if let Some(at) = line.find(" ms") {
            let number = line[..at].trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            line = format!("{}#{}", number.trim_end(), &line[at..]);
        }
        line.trim_end().to_owned()
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

/// Stores of several kinds, one of them wrong, in a configuration file.
fn configured(directory: &Path) {
    let stores = serde_json::json!({"stores": {
        "default": "main", "filepath_default": "raw",
        "main": {"protocol": "file", "location": "objects"},
        "raw": {"protocol": "s3", "endpoint": "https://user:SK@s3.lab.org", "bucket": "b", "location": "x/y",
            "access_key": "AK", "secret_key": "SK"},
        "gone": {"protocol": "s3", "endpoint": "http://127.0.0.1:1", "bucket": "b", "location": "",
            "access_key": "AK", "secret_key": "SK"},
        "tape": {"protocol": "tape", "location": "/dev/st0"},
    }, "lode": {"stores": {"gone": {"retries": 0, "timeout": 5}}}});
    std::fs::write(directory.join("datajoint.json"), stores.to_string()).unwrap();
}

#[test]
fn store_list_shows_places_and_defaults_and_no_secrets() {
    let directory = tempfile::tempdir().unwrap();
    configured(directory.path());
    let shown = text(directory.path(), &["store", "list"]);
    insta::assert_snapshot!(steady(directory.path(), &shown));
    let listed = text(directory.path(), &["store", "list", "--json"]);
    assert!(!listed.contains("SK") && !listed.contains("AK"), "{listed}");
    let listed = json(directory.path(), &["store", "list", "--json"]);
    assert_eq!(
        (&listed[0]["store"], &listed[0]["default"]),
        (&"main".into(), &true.into())
    );
}

#[test]
fn store_test_tries_everything_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    configured(directory.path());
    let shown = text(directory.path(), &["store", "test", "main"]);
    insta::assert_snapshot!(steady(directory.path(), &shown));
    let left = walk(&directory.path().join("objects"));
    assert_eq!(left, Vec::<String>::new());
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path.display().to_string()),
        }
    }
    files
}

#[test]
fn store_test_says_what_is_wrong_and_fails() {
    let directory = tempfile::tempdir().unwrap();
    configured(directory.path());
    let output = lode(
        directory.path(),
        &["store", "test", "gone", "tape", "nowhere"],
    );
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!(steady(directory.path(), &shown));
    let output = lode(
        directory.path(),
        &["store", "test", "main", "gone", "--json"],
    );
    assert_eq!(output.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found[0]["passed"], &found[1]["passed"]),
        (&true.into(), &false.into())
    );
    assert_eq!(found[1]["steps"][0]["outcome"], "failed");
    assert_eq!(found[1]["steps"][1]["outcome"], "skipped");
}

#[test]
fn store_du_adds_up_by_schema_and_table() {
    let directory = laboratory();
    let objects = directory.path().join("lodestore.db.objects");
    let hashed = objects.join("_hash/lab/lvauakv4jmvhnolrtwiraf6fsi");
    std::fs::create_dir_all(hashed.parent().unwrap()).unwrap();
    std::fs::write(hashed, "hello").unwrap();
    insta::assert_snapshot!(text(directory.path(), &["store", "du"]));
    let used = json(directory.path(), &["store", "du", "local", "--json"]);
    assert_eq!(used["objects"], 3);
    assert_eq!(used["usage"][0]["table"], serde_json::Value::Null);
    assert!(failure(directory.path(), &["store", "du", "nowhere"]).contains("nowhere"));
}
