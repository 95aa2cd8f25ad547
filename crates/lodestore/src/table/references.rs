//! Which objects rows refer to: found by the type marker of the column, not by codec classes (spec: stores §9.4).
//!
//! Used when rows are deleted or replaced, after a failed insert, and by `gc/`. Reading is strict: a table that cannot
//! be read, or a column whose content nobody here understands, is an error and never "no references".

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::keys::output_column;
use crate::codec::{Chain, ObjectReader, Stores};
use crate::definition::{CoreType, StorageType, TableName, Type};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Heading, Lode};
use crate::sql::Statement;
use crate::store::StoreSet;
use crate::value::{Batch, ColumnKind, Value};

/// Where the objects of a column lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// At content-addressed paths.
    Hash,
    /// At paths that mirror the schema.
    Schema,
    /// The user's own files, which are referred to and never collected.
    Filepath,
}

/// A column whose values may refer to objects.
pub(crate) struct ObjectColumn {
    pub(crate) name: Arc<str>,
    pub(crate) section: Section,
    /// The codecs, if they are known here.
    chain: Option<Chain>,
    json: bool,
    /// Metadata of a built-in codec that name no object are an error, for nobody can tell what they meant. Such rows can
    /// be deleted all the same.
    strict: bool,
}

/// The columns of a table, hidden ones included, whose values may refer to objects.
///
/// An error ([`ErrorKind::Invalid`]) for a column of an unknown codec that is not JSON: nobody can tell what it refers to.
pub(crate) fn object_columns(heading: &Heading) -> Result<Vec<ObjectColumn>> {
    let mut columns = Vec::new();
    for column in columns_of(heading) {
        columns.push(ObjectColumn {
            strict: true,
            ..column?
        });
    }
    Ok(columns)
}

/// As [`object_columns`], without those that nobody here understands: for records that only save the collector a search.
pub(crate) fn known_object_columns(heading: &Heading) -> Vec<ObjectColumn> {
    columns_of(heading)
        .into_iter()
        .filter_map(Result::ok)
        .collect()
}

fn columns_of(heading: &Heading) -> Vec<Result<ObjectColumn>> {
    let mut columns = Vec::new();
    for attribute in heading.attributes.values().chain(&heading.hidden) {
        let Some(Type::Codec(spec)) = &attribute.type_ else {
            continue;
        };
        let chain = attribute
            .chain
            .as_ref()
            .and_then(|c| c.as_ref().as_ref().ok())
            .cloned();
        // A store column of an unknown codec is taken for JSON; content that is none is an error when read.
        let json = is_json(attribute) || (chain.is_none() && spec.store.is_some());
        let known_plain = chain.as_ref().is_some_and(|c| {
            !c.is_store()
                && !json
                && c.codecs
                    .iter()
                    .all(|c| matches!(c.name(), "blob" | "attach"))
        });
        if known_plain {
            continue;
        }
        if chain.is_none() && !json {
            columns.push(Err(Error::invalid(format!(
                "attribute `{}` has the codec <{}>, which is not known here, and what its values refer to cannot be told",
                attribute.name, spec.name
            ))
            .attribute(&*attribute.name)
            .hint("Import the module that defines the codec.")));
            continue;
        }
        let section = match &chain {
            Some(chain) if chain.is_hash_addressed() => Section::Hash,
            _ if matches!(&*spec.name, "blob" | "attach" | "hash") => Section::Hash,
            _ if spec.name == "filepath" => Section::Filepath,
            _ => Section::Schema,
        };
        columns.push(Ok(ObjectColumn {
            name: Arc::clone(&attribute.name),
            section,
            chain,
            json,
            strict: false,
        }));
    }
    columns
}

fn is_json(attribute: &Attribute) -> bool {
    attribute.kind == ColumnKind::Json
        || matches!(attribute.storage, Some(StorageType::Core(CoreType::Json)))
}

impl ObjectColumn {
    /// The objects that one stored value refers to.
    pub(crate) fn paths(&self, stored: &Value) -> Result<Vec<(String, Option<String>)>> {
        let mut paths = Vec::new();
        match stored {
            Value::Null => return Ok(paths),
            Value::Json(json) => collect_paths(json.as_str(), &mut paths)?,
            Value::Text(text) if self.json => collect_paths(text, &mut paths)?,
            other if self.chain.is_none() => {
                return Err(Error::new(
                    ErrorKind::CorruptObject,
                    format!("object metadata are {}, not JSON", other.type_name()),
                ));
            }
            _ => {}
        }
        let Some(chain) = &self.chain else {
            return Ok(paths);
        };
        if is_builtin(chain) {
            if self.strict && paths.is_empty() {
                return Err(Error::new(
                    ErrorKind::CorruptObject,
                    "object metadata name no `path`",
                ));
            }
        } else {
            for reference in chain.referenced_paths(stored)? {
                if !paths.contains(&reference) {
                    paths.push(reference);
                }
            }
        }
        Ok(paths)
    }
}

fn is_builtin(chain: &Chain) -> bool {
    let known = ["attach", "blob", "filepath", "hash", "npy", "object"];
    chain.codecs.iter().all(|c| known.contains(&c.name()))
}

#[derive(serde::Deserialize)]
struct Meta {
    path: Option<String>,
    #[serde(default)]
    store: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Nested>,
}

/// Tells whether a member holds other objects, without keeping it.
enum Nested {
    Plain,
    Deep,
}

impl<'de> serde::Deserialize<'de> for Nested {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let deep = match &value {
            serde_json::Value::Object(_) => true,
            serde_json::Value::Array(items) => items.iter().any(|i| i.is_object() || i.is_array()),
            _ => false,
        };
        Ok(if deep { Nested::Deep } else { Nested::Plain })
    }
}

/// Every `path` at any depth of a JSON document, with the `store` beside it.
fn collect_paths(text: &str, out: &mut Vec<(String, Option<String>)>) -> Result<()> {
    // Metadata are flat objects nearly always; the full walk is for those of user codecs.
    if let Ok(Meta {
        path: Some(path),
        store,
        rest,
    }) = serde_json::from_str::<Meta>(text)
        && !rest.values().any(|v| matches!(v, Nested::Deep))
    {
        out.push((path, store));
        return Ok(());
    }
    let document = serde_json::from_str::<serde_json::Value>(text).map_err(|e| {
        Error::new(
            ErrorKind::CorruptObject,
            format!("object metadata are not JSON: {e}"),
        )
    })?;
    walk(&document, out);
    Ok(())
}

fn walk(value: &serde_json::Value, out: &mut Vec<(String, Option<String>)>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(path) = map.get("path").and_then(|p| p.as_str()) {
                out.push((
                    path.to_owned(),
                    map.get("store").and_then(|s| s.as_str()).map(str::to_owned),
                ));
            }
            map.values().for_each(|v| walk(v, out));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|v| walk(v, out)),
        _ => {}
    }
}

/// Gets the column, path and store of a reference.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&ObjectColumn, String, Option<String>) -> Result<()>;

/// Reads the stored values of object columns, a batch at a time.
pub(crate) fn read_columns(
    lode: &Lode,
    table: &TableName,
    heading: &Heading,
    columns: &[ObjectColumn],
    condition: Option<(&str, Vec<Value>)>,
    each: Visit<'_>,
) -> Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let dialect = lode.dialect();
    let outputs = columns
        .iter()
        .map(|c| output_column(heading, &c.name))
        .collect::<Result<Vec<_>>>()?;
    let list: Vec<String> = columns.iter().map(|c| dialect.quote(&c.name)).collect();
    let mut text = format!(
        "SELECT {} FROM {}",
        list.join(", "),
        dialect.full_name(&table.schema, &table.name)
    );
    let mut params = Vec::new();
    let place = |e: Error| e.table(&table.schema, &table.name);
    let mut take = |batch: Batch| -> Result<()> {
        for (column, values) in columns.iter().zip(&batch.columns) {
            for row in 0..batch.rows {
                if values.is_null(row) {
                    continue;
                }
                let paths = column
                    .paths(&values.value(row))
                    .map_err(|e| place(e.attribute(&*column.name)))?;
                for (path, store) in paths {
                    each(column, path, store)?;
                }
            }
        }
        Ok(())
    };
    match condition {
        // A condition may speak of temporary tables, which only the session itself sees.
        Some((condition, bound)) => {
            text.push_str(" WHERE ");
            text.push_str(condition);
            params = bound;
            take(
                lode.backend()
                    .query(&Statement { text, params }, &outputs)
                    .map_err(place)?,
            )
        }
        None => {
            for batch in lode
                .backend()
                .stream(&Statement { text, params }, &outputs, 4096)
                .map_err(place)?
            {
                take(batch.map_err(place)?)?;
            }
            Ok(())
        }
    }
}

/// The objects that rows refer to, by the store as the rows name it.
#[derive(Debug, Default)]
pub struct References {
    by_store: BTreeMap<Option<String>, BTreeMap<Section, HashSet<String>>>,
}

impl References {
    /// Adds a reference.
    fn add(&mut self, section: Section, path: String, store: Option<String>) {
        let store = store.filter(|s| !s.is_empty());
        self.by_store
            .entry(store)
            .or_default()
            .entry(section)
            .or_default()
            .insert(path);
    }

    /// Number of distinct references.
    pub fn len(&self) -> usize {
        self.by_store
            .values()
            .flat_map(BTreeMap::values)
            .map(HashSet::len)
            .sum()
    }

    /// True without references.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Paths in one store, relative to its location. A reference counts unless the store that it names is configured
    /// here and is another one: two names of one location are one store, an unknown or absent name may be any.
    pub fn in_store(
        &self,
        store: &dyn ObjectReader,
        stores: &StoreSet,
    ) -> BTreeMap<Section, HashSet<String>> {
        let root = root_of(store);
        let mut out: BTreeMap<Section, HashSet<String>> = BTreeMap::new();
        for (name, sections) in &self.by_store {
            let other = name
                .as_deref()
                .and_then(|n| Stores::get(stores, Some(n)).ok());
            let other_root = other.as_ref().map(|o| root_of(&**o));
            for (section, paths) in sections {
                let set = out.entry(*section).or_default();
                for path in paths {
                    let clean = clean(path);
                    match &other_root {
                        None => {
                            set.insert(clean);
                        }
                        Some(other) if *other == root => {
                            set.insert(clean);
                        }
                        // One location may lie within the other.
                        Some(other) => {
                            let full = format!("{other}/{clean}");
                            if let Some(inner) = full.strip_prefix(&format!("{root}/")) {
                                set.insert(inner.to_owned());
                            }
                        }
                    }
                }
            }
        }
        out
    }
}

/// What a store's location really is: the resolved directory, or the URL (spec: stores H19, H4).
fn root_of(store: &dyn ObjectReader) -> String {
    let root = match store.local_path("") {
        Some(path) => std::fs::canonicalize(&path)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned(),
        // Memory stores are one each; their name tells them apart.
        None => match store.protocol() {
            "memory" => format!("memory:{}", store.name()),
            _ => store.url(""),
        },
    };
    root.trim_end_matches('/').to_owned()
}

/// The path in plain spelling: no empty or `.` components, `..` resolved.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let relative = parts.join("/");
    // An absolute path of a reference's <filepath> stays absolute: it names nothing below the location.
    if Path::new(path).is_absolute() && !path.starts_with("//") && relative.is_empty() {
        "/".into()
    } else {
        relative
    }
}

/// The references of all rows of these schemas, from tables of every kind, hidden ones included.
pub(crate) fn references(lode: &Lode, schemas: &[String]) -> Result<References> {
    // A table or column that someone else has made since may hold references too.
    lode.look_again_at(schemas)?;
    let mut references = References::default();
    for schema in schemas {
        for table in lode.all_tables(schema)? {
            let heading = lode
                .heading(&table)
                .map_err(|e| e.table(&table.schema, &table.name))?;
            let columns =
                object_columns(&heading).map_err(|e| e.table(&table.schema, &table.name))?;
            read_columns(
                lode,
                &table,
                &heading,
                &columns,
                None,
                &mut |column, path, store| {
                    references.add(column.section, path, store);
                    Ok(())
                },
            )?;
        }
    }
    Ok(references)
}

/// Everything that any row of the database refers to.
pub(crate) struct InUse(References, Arc<StoreSet>);

impl InUse {
    /// True if some row may refer to the object.
    pub(crate) fn contains(&self, store: &str, path: &str) -> bool {
        match Stores::get(&*self.1, Some(store)) {
            Ok(handle) => {
                let sections = self.0.in_store(&*handle, &self.1);
                sections.values().any(|paths| paths.contains(path))
            }
            Err(_) => true,
        }
    }
}

/// Reads the references of all schemas.
pub(crate) fn paths_in_use(lode: &Lode) -> Result<InUse> {
    let schemas = lode.schemas()?;
    Ok(InUse(references(lode, &schemas)?, lode.stores().clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn paths(text: &str) -> Vec<(String, Option<String>)> {
        let mut out = Vec::new();
        collect_paths(text, &mut out).unwrap();
        out
    }

    #[test]
    fn every_path_at_any_depth_is_a_reference() {
        assert_eq!(
            paths(r#"{"path": "a", "store": "s"}"#),
            [("a".into(), Some("s".into()))]
        );
        assert_eq!(
            paths(r#"{"path": "a", "shape": [2, 3]}"#),
            [("a".into(), None)]
        );
        assert_eq!(
            paths(
                r#"{"path": "a", "parts": [{"path": "b", "store": "t"}], "x": {"y": {"path": "c"}}}"#
            ),
            [
                ("a".into(), None),
                ("b".into(), Some("t".into())),
                ("c".into(), None)
            ]
        );
        assert_eq!(paths("[1, 2]"), []);
        assert!(collect_paths("{", &mut Vec::new()).is_err());
    }

    #[test]
    fn spellings_of_one_path_are_one_reference() {
        assert_eq!(clean("_hash//lab/./x"), "_hash/lab/x");
        assert_eq!(clean("d/../_hash/x"), "_hash/x");
        assert_eq!(clean("../../x"), "x");
    }
}
