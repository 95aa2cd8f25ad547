//! Everything that reads bytes or text from outside, one function each: whatever comes, no panic, and memory in
//! proportion to the input. Shared by the fuzz targets and by `crates/lodestore/tests/fuzz_smoke.rs`.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use lodestore::codec::blob::{self, Compress, UnpackOptions};
use lodestore::codec::{Manifest, NpyRef, ObjectRef, Selection, StoreLink};
use lodestore::config::Config;
use lodestore::definition::{self, Marker, TableName, Target, Type};
use lodestore::progress::Silent;
use lodestore::query::{Projection, Query, Top};
use lodestore::store::path::{self, ObjectPath};
use lodestore::store::{RemoteStore, Store, StoreOptions, StoreSpec};
use lodestore::value::{DType, npy};
use lodestore::{Lode, Result, Row, Table, Value};

/// A reader of input from outside.
pub type Entry = fn(&[u8]);

/// All of them by name.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("blob", blob),
    ("npy", npy),
    ("definition", definition),
    ("metadata", metadata),
    ("config", config),
    ("paths", paths),
    ("query", query),
];

/// Stored blobs. What can be read can be written, and reads back the same.
pub fn blob(data: &[u8]) {
    for dims32 in [None, Some(false), Some(true)] {
        let options = UnpackOptions { dims32 };
        let read = shown(blob::unpack_with(Bytes::copy_from_slice(data), options));
        let Some(value) = read else { continue };
        let Some(packed) = shown(blob::pack(&value, Compress::No)) else {
            continue;
        };
        let again =
            shown(blob::unpack(packed.clone())).and_then(|v| shown(blob::pack(&v, Compress::No)));
        assert_eq!(again.as_deref(), Some(&packed[..]), "{value:?}");
    }
}

/// Arrays in `.npy` files, and the texts of element types.
pub fn npy(data: &[u8]) {
    shown(npy::header_size(data));
    shown(npy::parse_header(data));
    if let Some(array) = shown(npy::decode(Bytes::copy_from_slice(data))) {
        let file = shown(npy::encode(&array)).map(|parts| Bytes::from(parts.concat()));
        let again = file.and_then(|file| shown(npy::decode(file)));
        assert!(again.is_some_and(|again| again.same(&array)), "{array:?}");
    }
    let text = String::from_utf8_lossy(data);
    if let Some(dtype) = shown(DType::parse_text(&text)) {
        dtype.text();
    }
    shown(DType::parse_descr(&text));
}

/// Definitions, and the pieces of them that stand in databases.
pub fn definition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    shown(definition::parse(&text));
    shown(Type::parse(&text));
    shown(Target::parse(&text));
    Marker::parse(&text).type_();
    shown(TableName::parse(&text));
    if let Some(table) = shown(definition::class_to_table(&text)) {
        definition::table_to_class(&table);
    }
    definition::table_to_class(&text);
}

/// The JSON of references in rows (first line), with the file that it leads to (the rest).
pub fn metadata(data: &[u8]) {
    let (json, content) = split(data);
    shown(Manifest::parse(data));
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(json) else {
        return;
    };
    let link = || {
        let store = RemoteStore::memory(StoreSpec::memory("m"), StoreOptions::default()).unwrap();
        for path in ["x", "folder/x", "folder.manifest.json"] {
            store.put_bytes(path, content).expect("a store in memory");
        }
        StoreLink::Handle(Arc::new(store))
    };
    if let Some(array) = shown(NpyRef::from_json(&json, link())) {
        shown(array.read_rows(0..2));
        let mut selections = vec![Selection::All; array.ndim()];
        if let Some(first) = selections.first_mut() {
            *first = Selection::Indices(vec![0, 2]);
        }
        shown(array.read_selection(&selections));
        shown(array.verify(&Silent));
        shown(array.load());
        shown(array.nbytes());
        array.to_json();
    }
    if let Some(object) = shown(ObjectRef::from_json(&json, link())) {
        shown(object.read());
        shown(object.read_sub(Some("x")));
        shown(object.listdir(""));
        shown(object.walk());
        shown(object.verify(&Silent));
        shown(object.url());
        object.to_json();
    }
}

/// Configuration files, single settings, database URLs, and stores.
pub fn config(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), data).expect("a temporary file");
    let config = Config::defaults("/nowhere");
    shown(config.load_file(file.path()));
    config.entries();
    let stores = config.get("stores").unwrap_or_default();
    for name in stores
        .as_object()
        .into_iter()
        .flat_map(|stores| stores.keys())
    {
        let Some(spec) = shown(config.store_spec(Some(name), false)) else {
            continue;
        };
        if let Some(spec) = shown(StoreSpec::from_json(name, &spec)) {
            shown(path::hash_path(&spec, "lab", "abcdefghijklmnopqrstuvwxyz"));
            shown(path::schema_path(
                &spec,
                "lab",
                "t",
                &row("a", "b"),
                "x",
                "",
            ));
        }
    }
    let text = String::from_utf8_lossy(data);
    let other = Config::defaults("/nowhere");
    shown(other.set_url(&text));
    let (key, value) = split(data);
    let value = String::from_utf8_lossy(value).into_owned();
    shown(other.set(&String::from_utf8_lossy(key), value.into()));
}

/// Paths of objects, and what is made part of them. No path leads out of the store.
pub fn paths(data: &[u8]) {
    let (first, rest) = split(data);
    let (first, rest) = (
        String::from_utf8_lossy(first),
        String::from_utf8_lossy(rest),
    );
    let inside = |path: &str| {
        assert!(
            !path.starts_with('/') && path.split('/').all(|p| p != ".." && !p.is_empty()),
            "{path:?}"
        );
    };
    if let Some(path) = shown(ObjectPath::new(&first)) {
        inside(path.as_str());
        shown(path.check_names());
    }
    let spec = StoreSpec::file("s", "/nowhere");
    let key = row("key", &first);
    let made = [
        shown(path::schema_path(&spec, "lab", "table", &key, "x", &rest)),
        shown(path::hash_path(&spec, "lab", &first)),
        shown(path::filepath(&spec, Some("/nowhere"), &first)),
    ];
    made.iter().flatten().for_each(|path| inside(path));
    path::is_hash_name(&first);
}

/// Conditions, projections and orders as text, and text as a value of each type. Values are bound, hence run too.
pub fn query(data: &[u8]) {
    let table = table();
    let text = String::from_utf8_lossy(data);
    let planned = |query: Result<Query>| {
        if let Some(query) = shown(query) {
            shown(query.plan(&Default::default()));
            shown(query.make_sql(table.lode().dialect(), None));
        }
    };
    planned(table.restrict(&*text));
    planned(table.proj(Projection::from_args([&*text], [("new", &*text)])));
    planned(table.proj(Projection::from_args(["..."], [(&*text, "number")])));
    planned(table.top(Top {
        order_by: Some(vec![text.to_string()]),
        ..Top::default()
    }));
    for attribute in [
        "id", "number", "exact", "day", "moment", "label", "kind", "document", &*text,
    ] {
        let query = table.restrict(row(attribute, &text));
        if let Some(query) = shown(query) {
            shown(query.count());
        }
    }
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| make_table().expect("a table in memory"))
}

fn make_table() -> Result<Table> {
    let config = Config::defaults("/nowhere");
    config.set_url("sqlite::memory:")?;
    let definition = "id : uuid\n---\nnumber : int32\nexact : decimal(8,2)\nday : date\nmoment : datetime\n\
         label : varchar(20)\nkind : enum('a','b')\ndocument : json";
    Lode::connect(config)?
        .schema("lab")?
        .manual("Thing", definition)
}

fn row(name: &str, value: &str) -> Row {
    let mut row = Row::new();
    row.set(name, Value::from(value));
    row
}

/// The first line and the rest.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|b| *b == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// The result, its error having been shown: making the message must not panic either.
fn shown<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| format!("{error} {error:?}")).ok()
}
