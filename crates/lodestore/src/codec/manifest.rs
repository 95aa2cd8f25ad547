//! Manifests of folder objects, and the walk that makes them (spec: stores §4 "Folder objects").
//!
//! The reference writes `files` (path and size), `total_size`, `item_count`, `created`; we add `hash` to each file, so
//! that a folder can be verified by content. The manifest lies beside the folder and is written after its files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// One file of a folder object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Path below the folder, `/`-separated.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Content hash; absent in manifests of the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// The list of a folder object's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files in walk order: of each folder first its files, then its folders, both by name.
    pub files: Vec<ManifestEntry>,
    /// Sum of their sizes.
    pub total_size: u64,
    /// Their number.
    pub item_count: u64,
    /// When it was made, ISO 8601 with UTC offset.
    pub created: String,
}

impl Manifest {
    /// The manifest of some files, made now.
    pub fn new(files: Vec<ManifestEntry>) -> Self {
        let total_size = files.iter().map(|f| f.size).sum();
        let item_count = files.len() as u64;
        Manifest {
            files,
            total_size,
            item_count,
            created: super::timestamp_now(),
        }
    }

    /// The text: JSON indented by two, ASCII only, as the reference writes it.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(ErrorKind::Value, format!("cannot write a manifest: {e}")))?;
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c.is_ascii() {
                out.push(c);
            } else {
                // Outside strings JSON is ASCII, so whatever is not stands in a string and may be escaped.
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        Ok(out.into_bytes())
    }

    /// Reads a manifest. [`ErrorKind::CorruptObject`] if it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::new(
                ErrorKind::CorruptObject,
                format!("not a folder manifest: {e}"),
            )
        })
    }
}

/// Where the manifest of a folder object lies.
pub fn manifest_path(folder: &str) -> String {
    format!("{folder}.manifest.json")
}

/// The files below a local folder in manifest order: (path below the folder, size). Symbolic links are followed; a link
/// that leads to a folder containing it is an error.
pub fn walk_folder(root: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    let walk = walkdir::WalkDir::new(root)
        .follow_links(true)
        .sort_by(|a, b| {
            // Files before folders, each by name.
            (a.file_type().is_dir(), a.file_name()).cmp(&(b.file_type().is_dir(), b.file_name()))
        });
    for entry in walk {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(root).to_owned();
            match e.into_io_error() {
                Some(io) => Error::io("read", path, io),
                None => Error::invalid(format!(
                    "{} contains a link to a folder that contains it",
                    path.display()
                )),
            }
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let parts: Option<Vec<&str>> = relative.iter().map(|p| p.to_str()).collect();
        let Some(parts) = parts else {
            return Err(Error::new(
                ErrorKind::Value,
                format!("the file name {} is not UTF-8", relative.display()),
            )
            .path(entry.path().display().to_string()));
        };
        if !entry.file_type().is_file() {
            return Err(Error::new(
                ErrorKind::Value,
                format!("{} is neither file nor folder", entry.path().display()),
            ));
        }
        let size = entry
            .metadata()
            .map_err(|e| Error::io("read", entry.path(), e.into()))?
            .len();
        files.push((parts.join("/"), size));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_manifest_is_indented_by_two_and_ascii_only() {
        let mut manifest = Manifest::new(vec![ManifestEntry {
            path: "é/😀".into(),
            size: 3,
            hash: None,
        }]);
        manifest.created = "2026-11-21T09:18:47.373265+00:00".into();
        insta::assert_snapshot!(String::from_utf8(manifest.to_json().unwrap()).unwrap(), @r#"
        {
          "files": [
            {
              "path": "\u00e9/\ud83d\ude00",
              "size": 3
            }
          ],
          "total_size": 3,
          "item_count": 1,
          "created": "2026-11-21T09:18:47.373265+00:00"
        }
        "#);
        assert_eq!(
            Manifest::parse(&manifest.to_json().unwrap()).unwrap(),
            manifest
        );
    }

    #[test]
    fn a_folder_is_walked_files_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.bin", "a.bin", "Z/deep/x", "c/y"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        let names: Vec<_> = walk_folder(dir.path())
            .unwrap()
            .into_iter()
            .map(|(p, _)| p)
            .collect();
        assert_eq!(names, ["a.bin", "b.bin", "Z/deep/x", "c/y"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_a_circle_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        assert!(walk_folder(dir.path()).is_err());
    }
}
