//! What is stored: the files of a schema's sections in one store (spec: stores §3, §4, §7).

use std::collections::BTreeSet;

use crate::codec::ObjectMeta;
use crate::error::Result;
use crate::schema::Lode;
use crate::store::Store;

/// Files in the hash section of a schema: names of 26 characters `[a-z2-7]`, at any depth of folders.
pub(super) fn hash_files(store: &dyn Store, schema: &str) -> Result<Vec<ObjectMeta>> {
    let files = store.list(&join(&store.spec().hash_prefix, schema))?;
    Ok(files
        .into_iter()
        .filter(|f| is_hash(f.path.rsplit('/').next().unwrap_or_default()))
        .collect())
}

/// Files in the schema section of a schema.
///
/// Under an empty prefix the user's own files may lie in the same folders: then only names of the generated form, below
/// a table of the schema, count. With a partition pattern the schema's folder lies below folders `attribute=value`.
pub(super) fn schema_files(
    lode: &Lode,
    store: &dyn Store,
    schema: &str,
) -> Result<Vec<ObjectMeta>> {
    let spec = store.spec();
    let prefix = &spec.schema_prefix;
    let mut files = store.list(&join(prefix, schema))?;
    if !spec.partition.is_empty() && !prefix.is_empty() {
        let all = store.list(prefix)?;
        let inner = all.into_iter().filter(|f| {
            let relative = f
                .path
                .strip_prefix(prefix.as_str())
                .unwrap_or(&f.path)
                .trim_start_matches('/');
            let mut parts = relative.split('/').peekable();
            let mut partitioned = false;
            while parts.next_if(|p| p.contains('=')).is_some() {
                partitioned = true;
            }
            partitioned && parts.next() == Some(schema)
        });
        files.extend(inner);
    }
    if prefix.is_empty() {
        let tables: BTreeSet<String> = lode
            .all_tables(schema)?
            .into_iter()
            .map(|t| t.name)
            .collect();
        let token = spec.token_length;
        files.retain(|f| {
            let mut parts = f
                .path
                .trim_start_matches(schema)
                .trim_start_matches('/')
                .split('/');
            parts.next().is_some_and(|table| tables.contains(table))
                && parts.any(|p| has_token(p, token))
        });
    }
    Ok(files)
}

fn join(prefix: &str, schema: &str) -> String {
    if prefix.is_empty() {
        schema.to_owned()
    } else {
        format!("{prefix}/{schema}")
    }
}

fn is_hash(name: &str) -> bool {
    name.len() == 26
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
}

/// `{field}_{token}[ext]`.
fn has_token(part: &str, length: usize) -> bool {
    let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
    let is_token = |t: &str| {
        t.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    !part.contains('=')
        && stem.is_ascii()
        && stem.len() > length + 1
        && stem.as_bytes()[stem.len() - length - 1] == b'_'
        && is_token(&stem[stem.len() - length..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn only_generated_names_are_objects() {
        assert!(is_hash("lvauakv4jmvhnolrtwiraf6fsi"));
        assert!(!is_hash("lvauakv4jmvhnolrtwiraf6fsi.saving"));
        assert!(!is_hash("LVAUAKV4JMVHNOLRTWIRAF6FSI"));
        assert!(has_token("wave_kYBzUSGB.npy", 8));
        assert!(has_token("obj_fGU_XmVq", 8));
        assert!(!has_token("notes.txt", 8));
        assert!(!has_token("k_int=12345678", 8));
    }
}
