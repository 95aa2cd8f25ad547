//! Looking and deleting: metadata, listings, and the ends of objects.
//!
//! Listings are complete or an error, and never answered from memory: deletion is decided by them.

use std::collections::{BTreeMap, HashSet};
use std::future::ready;
use std::sync::mpsc::sync_channel;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta as Found, ObjectStoreExt};

use super::explain::is_absent;
use super::read::Version;
use super::{Client, key, runtime};
use crate::codec::{ObjectMeta, manifest_path};
use crate::error::{Error, ErrorKind, Result};
use crate::store::PutOutcome;
use crate::store::spec::OWN_SECTION;

/// Fewer paths than this are asked for one by one.
const FEW: usize = 64;

/// Objects that one request for a listing brings.
const PAGE: usize = 1000;

/// Pages of a listing that wait for whoever looks at them.
const PAGES: usize = 4;

impl Client {
    /// Metadata of an object or a folder.
    pub(super) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        if let Some(found) = self.head_object(path).await? {
            return Ok(Some(ObjectMeta {
                path: path.to_owned(),
                size: found.size,
                is_dir: false,
                modified: Some(seconds(&found)),
            }));
        }
        let files = self.list(path).await?;
        if files.is_empty() {
            return Ok(None);
        }
        let modified = files.iter().filter_map(|f| f.modified).reduce(f64::max);
        Ok(Some(ObjectMeta {
            path: path.to_owned(),
            size: files.iter().map(|f| f.size).sum(),
            is_dir: true,
            modified,
        }))
    }

    /// What the store says of an object now; none if it is not there.
    pub(super) async fn head_object(&self, path: &str) -> Result<Option<Found>> {
        let key = self.at.key(path)?;
        match self.session.clients.store.head(&key).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(self.at.failed("look for", path, &e)),
        }
    }

    /// The content that is there now.
    pub(super) async fn version(&self, path: &str) -> Result<Version> {
        match self.head_object(path).await? {
            Some(found) => Ok(Version {
                key: self.at.key(path)?,
                size: found.size,
                etag: found.e_tag,
            }),
            None if self.is_folder(path).await? => Err(self.at.is_folder(path)),
            None => Err(self.at.missing(path)),
        }
    }

    /// True if there are objects below a path.
    pub(super) async fn is_folder(&self, path: &str) -> Result<bool> {
        let (folder, _) = self.folder(path).await?;
        let mut below = self.session.clients.store.list(folder.as_ref());
        while let Some(found) = below.next().await {
            let found = found.map_err(|e| self.at.failed("list", path, &e))?;
            if self.relative(&found.location).is_some() && Some(&found.location) != folder.as_ref()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which of the paths are there, as objects or folders. Many are looked up in a fresh listing of the folder that they
    /// share, as long as that takes fewer requests; what it does not show is asked for by itself.
    pub(super) fn exist_many(&self, paths: &[&str]) -> Result<Vec<bool>> {
        let listed = match paths.len() < FEW {
            true => HashSet::new(),
            false => {
                let client = self.clone();
                let wanted: HashSet<String> = paths.iter().map(|p| (*p).to_owned()).collect();
                runtime::wait(async move { client.listed_among(wanted).await })?
            }
        };
        let begin = |path: &&str| {
            if listed.contains(*path) {
                return Ok(None);
            }
            let (client, path) = (self.clone(), (*path).to_owned());
            let looked = runtime::start(async move {
                let _leave = client.session.request().await;
                match client.head_object(&path).await? {
                    Some(_) => Ok(true),
                    None => client.is_folder(&path).await,
                }
            });
            looked.map(Some)
        };
        let begun: Vec<_> = paths.iter().map(begin).collect::<Result<_>>()?;
        let found = begun.into_iter().map(|looked| match looked {
            Some(pending) => pending.wait()?,
            None => Ok(true),
        });
        found.collect()
    }

    /// Those of many paths that a listing of a bounded length shows.
    async fn listed_among(&self, wanted: HashSet<String>) -> Result<HashSet<String>> {
        let mut found = HashSet::new();
        let folder = common_folder(wanted.iter().map(String::as_str));
        if folder.is_empty() || self.collapses(&folder).await? {
            return Ok(found);
        }
        let first = wanted.iter().min().map(String::as_str).unwrap_or_default();
        let before = first.rsplit_once('/').map_or("", |(parent, _)| parent);
        let (folder, before) = (self.at.key(&folder)?, self.at.key(before)?);
        let store = &self.session.clients.store;
        let mut all = match before == folder {
            true => store.list(Some(&folder)),
            false => store.list_with_offset(Some(&folder), &before),
        };
        let mut left = PAGE * (2 + wanted.len() / 200);
        while left > 0 && found.len() < wanted.len() {
            let Some(one) = all.next().await else { break };
            let one = one.map_err(|e| self.unlisted(folder.as_ref(), &e))?;
            left -= 1;
            found.extend(
                self.relative(&one.location)
                    .filter(|path| wanted.contains(path)),
            );
        }
        Ok(found)
    }

    /// Every object below a folder, sorted by path.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let mut files: Vec<ObjectMeta> = self.files(prefix).await?.try_collect().await?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Shows every object below a folder; a few pages are in memory at once.
    pub(super) fn visit(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(ObjectMeta) -> Result<()>,
    ) -> Result<()> {
        let (client, prefix) = (self.clone(), prefix.to_owned());
        let (send, receive) = sync_channel(PAGES);
        let listing = runtime::start(async move {
            let mut pages = client.files(&prefix).await?.try_chunks(PAGE);
            while let Some(page) = pages.next().await {
                let (page, end) = match page {
                    Ok(page) => (page, Ok(())),
                    Err(broken) => (broken.0, Err(broken.1)),
                };
                let send = send.clone();
                let sent = runtime::blocking(move || send.send(page)).await?;
                end?;
                if sent.is_err() {
                    // Nobody wants the rest.
                    break;
                }
            }
            Ok(())
        })?;
        for page in receive {
            page.into_iter().try_for_each(&mut *each)?;
        }
        listing.wait()?
    }

    /// Every object below a folder, as the store lists them.
    async fn files(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let (folder, whole) = self.folder(prefix).await?;
        let found = self.session.clients.store.list(folder.as_ref());
        let (client, prefix) = (self.clone(), prefix.to_owned());
        let file = move |one: Result<Found, _>| {
            let one = match one {
                Ok(one) => one,
                Err(e) => return Some(Err(client.unlisted(&prefix, &e))),
            };
            let path = client.relative(&one.location)?;
            let own = path.split('/').next() == Some(OWN_SECTION);
            // What lies at the folder's own path is not below it.
            if (whole && own) || Some(&one.location) == folder.as_ref() {
                return None;
            }
            Some(Ok(ObjectMeta {
                path,
                size: one.size,
                is_dir: false,
                modified: Some(seconds(&one)),
            }))
        };
        Ok(found.filter_map(move |one| ready(file(one))).boxed())
    }

    /// Names directly below a folder.
    pub(super) async fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>> {
        let (folder, whole) = self.folder(prefix).await?;
        let found = self
            .session
            .clients
            .store
            .list_with_delimiter(folder.as_ref())
            .await
            .map_err(|e| self.unlisted(prefix, &e))?;
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        let files = found.objects.iter().map(|o| (&o.location, false));
        let folders = found.common_prefixes.iter().map(|p| (p, true));
        for (location, is_dir) in files.chain(folders) {
            let Some(path) = self.relative(location) else {
                continue;
            };
            let Some(name) = path.rsplit('/').next().filter(|n| !n.is_empty()) else {
                continue;
            };
            if Some(location) != folder.as_ref() && !(whole && name == OWN_SECTION) {
                names.insert(name.to_owned(), is_dir);
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Copies an object.
    pub(super) async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (source, target) = (self.at.key(from)?, self.at.target(to)?);
        let _leave = self.session.request().await;
        match self.session.clients.store.copy(&source, &target).await {
            Ok(()) => Ok(()),
            Err(e) if is_absent(&e) => Err(self.at.missing(from)),
            Err(e) => Err(self.at.failed("copy", from, &e)),
        }
    }

    /// Deletes an object. True if it was there: stores do not say, so it is asked first.
    pub(super) async fn delete(&self, path: &str) -> Result<bool> {
        if self.head_object(path).await?.is_none() {
            return Ok(false);
        }
        let key = self.at.key(path)?;
        match self.session.clients.single.delete(&key).await {
            Ok(()) => Ok(true),
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(self.at.failed("delete", path, &e)),
        }
    }

    /// As [`Client::delete`], for many.
    pub(super) fn delete_many(&self, paths: &[&str]) -> Vec<Result<bool>> {
        let begun: Vec<_> = paths
            .iter()
            .map(|path| {
                let (client, path) = (self.clone(), (*path).to_owned());
                runtime::start(async move {
                    let _leave = client.session.request().await;
                    client.delete(&path).await
                })
            })
            .collect();
        begun
            .into_iter()
            .map(|pending| pending.and_then(|p| p.wait()?))
            .collect()
    }

    /// Deletes every object below a folder. Returns their number.
    pub(super) async fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let (folder, whole) = self.folder(prefix).await?;
        if whole {
            return Err(self
                .at
                .key("")
                .err()
                .unwrap_or_else(|| Error::invalid("no folder to delete")));
        }
        let below = self.session.clients.store.list(folder.as_ref());
        let keys: Vec<Path> = below
            .map_ok(|found| found.location)
            .try_filter(|location| ready(Some(location) != folder.as_ref()))
            .try_collect()
            .await
            .map_err(|e| self.unlisted(prefix, &e))?;
        let count = keys.len() as u64;
        self.delete_keys(prefix, keys).await?;
        Ok(count)
    }

    /// Deletes objects in bulk.
    async fn delete_keys(&self, path: &str, keys: Vec<Path>) -> Result<()> {
        let clients = &self.session.clients;
        // Names are written out in addresses, and not in the body of a request for many.
        let client = match keys.iter().any(|k| key::is_escaped(k.as_ref())) {
            true => &clients.single,
            false => &clients.store,
        };
        let mut deleted = client.delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
        let mut first = None;
        while let Some(one) = deleted.next().await {
            match one {
                Err(e) if !is_absent(&e) => {
                    first.get_or_insert(self.at.failed("delete", path, &e));
                }
                _ => {}
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Removes what a call created at fresh paths. Failures are left to the collector.
    pub(super) fn discard(&self, outcomes: &[PutOutcome]) {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for outcome in outcomes.iter().filter(|o| o.created && o.fresh) {
            match outcome.item_count {
                Some(_) => folders.push(outcome.path.clone()),
                None => files.push(outcome.path.clone()),
            }
        }
        if files.is_empty() && folders.is_empty() {
            return;
        }
        let client = self.clone();
        let work = async move {
            // A manifest goes first: a folder with a manifest is complete.
            let manifests = folders.iter().map(|f| manifest_path(f));
            let keys = files.iter().cloned().chain(manifests);
            let keys = keys.filter_map(|path| client.at.key(&path).ok()).collect();
            let _ = client.delete_keys("", keys).await;
            for folder in &folders {
                let _ = client.delete_prefix(folder).await;
            }
            Ok(())
        };
        let _ = runtime::wait(work);
    }

    /// The key of a folder to list, none for the whole bucket; and whether it is the whole store.
    async fn folder(&self, prefix: &str) -> Result<(Option<Path>, bool)> {
        let whole = prefix.is_empty() || prefix == "/";
        let key = match (whole, self.at.location()) {
            (false, _) => self.at.key(prefix)?,
            (true, "") => return Ok((None, true)),
            (true, location) => self.at.named(key::to_path(location))?,
        };
        if !self.collapses(prefix).await? {
            return Ok((Some(key), whole));
        }
        let key = collapsed(&key::from_path(&key));
        let key = self.at.named(key::to_path(key.trim_end_matches('/')))?;
        Ok((Some(key).filter(|k| !k.is_root()), whole))
    }

    /// True if the server takes several slashes for one, as those do that keep their objects in folders (SeaweedFS): it
    /// finds objects by any spelling, and lists them by the short one only. Matters where `location` has such slashes.
    async fn collapses(&self, prefix: &str) -> Result<bool> {
        let base = self.at.base();
        let short = collapsed(&base);
        if base == short {
            return Ok(false);
        }
        if let Some(known) = self.session.collapses.get() {
            return Ok(*known);
        }
        let folder = self.at.named(key::to_path(short.trim_end_matches('/')))?;
        let folder = Some(folder).filter(|f| !f.is_root());
        let first = self
            .session
            .clients
            .store
            .list(folder.as_ref())
            .next()
            .await;
        let Some(first) = first.transpose().map_err(|e| self.unlisted(prefix, &e))? else {
            // Nothing to tell by.
            return Ok(false);
        };
        let key = key::from_path(&first.location);
        let long = format!("{base}{}", key.strip_prefix(&short).unwrap_or_default());
        let long = self.at.named(key::to_path(&long))?;
        let known = match self.session.clients.store.head(&long).await {
            Ok(found) => {
                let time = |f: &Found| f.last_modified.timestamp();
                found.e_tag == first.e_tag
                    && found.size == first.size
                    && time(&found) == time(&first)
            }
            Err(e) if is_absent(&e) => false,
            Err(e) => return Err(self.unlisted(prefix, &e)),
        };
        Ok(*self.session.collapses.get_or_init(|| known))
    }

    /// The path of a key of this store; none for the keys of others, and for the empty objects by which some programs
    /// mark folders.
    fn relative(&self, location: &Path) -> Option<String> {
        let key = key::from_path(location);
        let base = self.at.base();
        let short = || match self.session.collapses.get() {
            Some(true) => key.strip_prefix(&collapsed(&base)),
            _ => None,
        };
        let path = key.strip_prefix(&base).or_else(short)?;
        Some(path.to_owned()).filter(|p| !p.is_empty() && !p.ends_with('/'))
    }

    fn unlisted(&self, prefix: &str, failure: &object_store::Error) -> Error {
        match failure {
            object_store::Error::InvalidPath { source } => Error::new(
                ErrorKind::Store,
                format!(
                    "could not list {prefix} in store `{}`: an object there has a name that cannot be held: {source}",
                    self.at.name()
                ),
            )
            .store(self.at.name())
            .hint("Lodestore did not write it. Rename or remove it with the tool that made it."),
            _ => self.at.failed("list", prefix, failure),
        }
    }
}

/// The deepest folder that all paths share; empty if there is none.
fn common_folder<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    let folder = |path: &'a str| path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let shared = paths.map(folder).reduce(|a, b| {
        let same = a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b);
        let length: usize = same.map(|(part, _)| part.len() + 1).sum();
        &a[..length.saturating_sub(1)]
    });
    shared.unwrap_or_default().to_owned()
}

/// A key prefix without empty parts.
fn collapsed(base: &str) -> String {
    let parts = base.split('/').filter(|part| !part.is_empty());
    parts.fold(String::new(), |out, part| out + part + "/")
}

/// Seconds since the epoch.
fn seconds(found: &Found) -> f64 {
    found.last_modified.timestamp_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_is_made_of_whole_names() {
        let of = |paths: &[&str]| common_folder(paths.iter().copied());
        assert_eq!(of(&["a/b/c/x", "a/b/cd/y", "a/b/c/z"]), "a/b");
        assert_eq!(of(&["a/b/x", "a/b/y"]), "a/b");
        assert_eq!(of(&["a/x", "b/x"]), "");
        assert_eq!(of(&["x", "a/x"]), "");
        assert_eq!(of(&[]), "");
    }
}
