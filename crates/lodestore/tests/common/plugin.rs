//! A plug-in's file system for tests: files by name, in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use lodestore::store::adapter::{FileInfo, FileSystem, Page, Upload};
use lodestore::{Error, ErrorKind, Result};

type Files = Arc<Mutex<BTreeMap<String, FileContent>>>;

#[derive(Debug, Clone)]
struct FileContent {
    content: Bytes,
    written: SystemTime,
}

/// Files by name.
#[derive(Debug, Default)]
pub struct Drawer(Files);

fn info(path: &str, file: &FileContent) -> FileInfo {
    FileInfo {
        path: path.to_owned(),
        size: file.content.len() as u64,
        is_dir: false,
        modified: Some(file.written),
        version: Some(format!("{:?}", file.written)),
    }
}

fn insert(files: &Files, path: &str, content: Vec<u8>) {
    let file = FileContent {
        content: content.into(),
        written: SystemTime::now(),
    };
    files.lock().unwrap().insert(path.to_owned(), file);
}

impl Drawer {
    fn below(&self, folder: &str) -> Page {
        let prefix = match folder {
            "" => String::new(),
            _ => format!("{folder}/"),
        };
        let files = self.0.lock().unwrap();
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        files
            .range(from)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(path, file)| info(path, file))
            .collect()
    }
}

impl FileSystem for Drawer {
    fn info(&self, path: &str) -> Result<Option<FileInfo>> {
        let found = self.0.lock().unwrap().get(path).map(|f| info(path, f));
        let folder = || {
            (!self.below(path).is_empty()).then(|| FileInfo {
                path: path.to_owned(),
                size: 0,
                is_dir: true,
                modified: None,
                version: None,
            })
        };
        Ok(found.or_else(folder))
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let files = self.0.lock().unwrap();
        let file = files
            .get(path)
            .ok_or_else(|| Error::new(ErrorKind::MissingObject, "gone"))?;
        Ok(file.content.slice(range.start as usize..range.end as usize))
    }

    fn write(&self, path: &str, content: &[Bytes], create: bool) -> Result<bool> {
        if create && self.info(path)?.is_some() {
            return Ok(false);
        }
        insert(&self.0, path, content.concat());
        Ok(true)
    }

    fn upload(&self, path: &str) -> Result<Box<dyn Upload>> {
        Ok(Box::new(Pending {
            files: self.0.clone(),
            path: path.to_owned(),
            content: Vec::new(),
        }))
    }

    fn list(&self, folder: &str) -> Result<Box<dyn Iterator<Item = Result<Page>> + Send>> {
        let all = self.below(folder);
        let pages: Vec<Result<Page>> = all.chunks(2).map(|page| Ok(page.to_vec())).collect();
        Ok(Box::new(pages.into_iter()))
    }

    fn list_dir(&self, folder: &str) -> Result<Page> {
        let skip = if folder.is_empty() {
            0
        } else {
            folder.len() + 1
        };
        let mut found: BTreeMap<String, FileInfo> = BTreeMap::new();
        for file in self.below(folder) {
            let (path, is_dir) = match file.path[skip..].split_once('/') {
                Some((name, _)) => (format!("{}{name}", &file.path[..skip]), true),
                None => (file.path.clone(), false),
            };
            let entry = FileInfo {
                path: path.clone(),
                is_dir,
                ..file
            };
            found.insert(path, entry);
        }
        Ok(found.into_values().collect())
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let content = self.read(from, 0..self.info(from)?.map_or(0, |f| f.size))?;
        insert(&self.0, to, content.to_vec());
        Ok(())
    }

    fn delete(&self, path: &str) -> Result<bool> {
        Ok(self.0.lock().unwrap().remove(path).is_some())
    }

    fn full_path(&self, path: &str) -> String {
        format!("drawer/{path}")
    }

    fn url(&self, path: &str) -> String {
        format!("drawer://drawer/{path}")
    }
}

struct Pending {
    files: Files,
    path: String,
    content: Vec<u8>,
}

impl Upload for Pending {
    fn write(&mut self, content: &[u8]) -> Result<()> {
        self.content.extend_from_slice(content);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        insert(&self.files, &self.path, self.content);
        Ok(())
    }

    fn abort(self: Box<Self>) {}
}
