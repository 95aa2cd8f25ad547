//! How much is stored, by schema and table.
//!
//! Told from the paths alone, so that it is told of what no database knows any more, too. Memory grows with the number of
//! tables and not with that of objects.

use std::collections::BTreeMap;

use super::spec::within;
use super::{Store, StoreSpec};
use crate::error::Result;
use crate::progress::Progress;

/// What one schema has in the hash section, or one table in the schema section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Schema.
    pub schema: String,
    /// Table, as the database names it; none for content-addressed objects, which tables share.
    pub table: Option<String>,
    /// Objects; each file of a folder is one, and its manifest.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is stored in the hash and schema sections of a store, sorted by schema and table; content-addressed objects
/// first. `<filepath@>` files are the user's own and not counted.
pub fn usage(store: &dyn Store, progress: &dyn Progress) -> Result<Vec<Usage>> {
    let spec = store.spec();
    let mut sums: BTreeMap<(String, Option<String>), (u64, u64)> = BTreeMap::new();
    progress.begin("listing", None);
    let listed = sections(spec).into_iter().try_for_each(|section| {
        store.visit(section, &mut |file| {
            progress.advance(1);
            if let Some(owner) = owner(spec, &file.path) {
                let (objects, bytes) = sums.entry(owner).or_default();
                *objects += 1;
                *bytes += file.size;
            }
            Ok(())
        })
    });
    progress.end();
    listed?;
    let rows = sums.into_iter();
    Ok(rows
        .map(|((schema, table), (objects, bytes))| Usage {
            schema,
            table,
            objects,
            bytes,
        })
        .collect())
}

/// What to list: both sections, or everything if one of them has no prefix.
fn sections(spec: &StoreSpec) -> Vec<&str> {
    match (spec.hash_prefix.as_str(), spec.schema_prefix.as_str()) {
        ("", _) | (_, "") => vec![""],
        (hash, schema) => vec![hash, schema],
    }
}

/// The schema, and the table unless the object is content-addressed, that a path belongs to; none for what is not in
/// either section.
fn owner(spec: &StoreSpec, path: &str) -> Option<(String, Option<String>)> {
    let below = |prefix: &str| match prefix {
        "" => Some(path),
        _ => path.strip_prefix(prefix)?.strip_prefix('/'),
    };
    if let Some(schema) = below(&spec.hash_prefix).and_then(hash_owner) {
        return Some((schema.to_owned(), None));
    }
    let user = spec.filepath_prefix.as_deref();
    let taken = [Some(spec.hash_prefix.as_str()), user];
    if taken
        .into_iter()
        .flatten()
        .any(|p| !p.is_empty() && within(path, p))
    {
        return None;
    }
    // Partitions come before the schema.
    let parts = below(&spec.schema_prefix)?.split('/');
    let mut parts = parts.skip_while(|part| part.contains('='));
    let (schema, table) = (parts.next()?, parts.next()?);
    // A file directly below a schema's folder is no table's.
    parts.next()?;
    Some((schema.to_owned(), Some(table.to_owned())))
}

/// The schema of `{schema}/{folds}{hash}`.
fn hash_owner(path: &str) -> Option<&str> {
    let (schema, rest) = path.split_once('/')?;
    let name = rest.rsplit('/').next()?;
    let is_hash = name.len() == 26 && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    is_hash.then_some(schema)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn spec(keys: serde_json::Value) -> StoreSpec {
        let mut all = serde_json::json!({"protocol": "memory"});
        for (key, value) in keys.as_object().unwrap() {
            all[key] = value.clone();
        }
        StoreSpec::from_json("main", all.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_path_tells_its_schema_and_table() {
        let hash = "lvauakv4jmvhnolrtwiraf6fsi";
        let of = |spec: &StoreSpec, path: &str| {
            owner(spec, path).map(|(s, t)| format!("{s}.{}", t.unwrap_or_default()))
        };
        let plain = spec(serde_json::json!({}));
        let hashed = format!("_hash/lab/lv/au/{hash}");
        assert_eq!(of(&plain, &hashed).as_deref(), Some("lab."));
        assert_eq!(of(&plain, &format!("{hashed}.saving")), None);
        assert_eq!(
            of(&plain, "_schema/lab/#rig/id=1/o_12345678/x/y").as_deref(),
            Some("lab.#rig")
        );
        assert_eq!(
            of(&plain, "_schema/day=1/lab/rig/o_12345678").as_deref(),
            Some("lab.rig")
        );
        assert_eq!(of(&plain, "_schema/lab/stray"), None);
        assert_eq!(of(&plain, "_schemata/lab/rig/x"), None);
        let open = spec(serde_json::json!({"schema_prefix": "", "filepath_prefix": "raw"}));
        assert_eq!(of(&open, &hashed).as_deref(), Some("lab."));
        assert_eq!(
            of(&open, "lab/rig/id=1/o_12345678").as_deref(),
            Some("lab.rig")
        );
        assert_eq!(of(&open, "raw/a/b/c"), None);
        assert_eq!(of(&open, "_hash/lab/notes/x"), None);
    }
}
