//! `<attach>`: a local file, its name and content (spec: codecs §5).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::byte_stream::{HashedContent, SMALL, read_up_to};
use super::{ByteSource, ByteStream, Codec, DecodeContext, EncodeContext, Encoded};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Value;

/// `<attach>`, `<attach@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttachCodec;

impl Codec for AttachCodec {
    fn name(&self) -> &str {
        "attach"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        Ok(if is_store { "<hash>" } else { "bytes" }.into())
    }

    fn validate(&self, value: &Value) -> Result<()> {
        if let Some(stream) = value.foreign::<ByteStream>() {
            return stream_name(stream).map(|_| ());
        }
        let path = local_path(value)?;
        let metadata = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        if metadata.is_dir() {
            return Err(Error::new(
                ErrorKind::IsADirectory,
                format!("{} is a folder", path.display()),
            )
            .hint("<attach> takes one file; use <object@> for folders."));
        }
        file_name(path).map(|_| ())
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        if let Some(stream) = value.foreign::<ByteStream>() {
            return attach(stream_name(stream)?, stream.take()?, context);
        }
        let path = local_path(&value)?;
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        attach(
            file_name(path)?,
            ByteStream::of_file(None, file)?.take()?,
            context,
        )
    }

    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        let Value::Bytes(stored) = stored else {
            return Err(Error::new(
                ErrorKind::CorruptObject,
                format!(
                    "the stored value of <attach> is {}, not bytes",
                    stored.type_name()
                ),
            ));
        };
        let (name, content) = take_apart(&stored)?;
        let path = place(context.download_path, name, &content)?;
        Ok(Value::Text(path.to_string_lossy().into_owned()))
    }
}

/// Name, NUL, content. Large content for a store is not read into memory: its path needs its hash first, so it is read
/// twice.
fn attach(
    name: &str,
    mut source: Box<dyn ByteSource>,
    context: &EncodeContext<'_>,
) -> Result<Encoded> {
    let mut content = [name.as_bytes(), &[0]].concat();
    let most = match context.store {
        Some(_) => SMALL,
        None => usize::MAX,
    };
    let start = read_up_to(&mut *source, most)?;
    let whole = start.len() < most;
    content.extend(start);
    if whole {
        return Ok(Value::Bytes(content.into()).into());
    }
    let hashed = HashedContent::of(content.into(), name.len() + 1, source)?;
    Ok(Value::Foreign(std::sync::Arc::new(hashed)).into())
}

/// The name that an open file is attached by.
fn stream_name(stream: &ByteStream) -> Result<&str> {
    match stream.name() {
        Some(name) => file_name(Path::new(name)),
        None => Err(Error::new(
            ErrorKind::Value,
            "<attach> needs a file's name, and this stream has none",
        )
        .hint("Open it by its path, or give it an attribute `name`.")),
    }
}

fn local_path(value: &Value) -> Result<&Path> {
    match value {
        Value::Text(path) => Ok(Path::new(path)),
        Value::Path(path) => Ok(path),
        other => Err(Error::new(
            ErrorKind::Type,
            format!(
                "<attach> takes the path of a file, or an open file, not {}",
                other.type_name()
            ),
        )),
    }
}

fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.ok_or_else(|| {
        Error::new(
            ErrorKind::Value,
            format!("{} has no file name that is text", path.display()),
        )
    })?;
    if !is_plain(name) {
        return Err(Error::new(
            ErrorKind::Value,
            format!("the file name {name:?} could not be restored on every system"),
        )
        .hint("Rename the file: no separators and no control characters."));
    }
    Ok(name)
}

/// True for a name that stays in its folder on every system.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name
            .chars()
            .any(|c| matches!(c, '/' | '\\') || c.is_control())
}

/// Name and content. The bytes may come from anyone: a name that would leave the download folder is refused.
fn take_apart(stored: &Bytes) -> Result<(&str, Bytes)> {
    let corrupt = |why: String| {
        Err(Error::new(
            ErrorKind::CorruptObject,
            format!("the attachment {why}"),
        ))
    };
    let Some(end) = stored.iter().position(|b| *b == 0) else {
        return corrupt("has no file name".into());
    };
    match std::str::from_utf8(&stored[..end]) {
        Ok(name) if is_plain(name) => Ok((name, stored.slice(end + 1..))),
        Ok(name) => corrupt(format!(
            "names the file {name:?}, which is not the plain name of a file"
        )),
        Err(_) => corrupt("has a file name that is not UTF-8".into()),
    }
}

/// Writes the file, or finds it: same name and content are one file; another content takes `stem_1.suffix` and so on.
fn place(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    // As Python's pathlib spells it: `./x` is `x`.
    let spelled: PathBuf = folder
        .components()
        .filter(|c| !matches!(c, std::path::Component::CurDir))
        .collect();
    let (stem, suffix) = match name.rfind('.') {
        Some(dot) if dot > 0 && dot + 1 < name.len() => name.split_at(dot),
        _ => (name, ""),
    };
    let mut waiting = None;
    // Each name is looked at once more when someone takes it in between, perhaps for the same content.
    for n in (0_u64..).flat_map(|n| [n, n]) {
        let candidate = if n == 0 {
            name.to_owned()
        } else {
            format!("{stem}_{n}{suffix}")
        };
        let path = spelled.join(&candidate);
        let failed = |e| Error::io("write", &path, e);
        match std::fs::metadata(&path) {
            Ok(found) => {
                // Sizes first: contents are read only where they may agree. A folder of that name is in the way.
                if found.is_file() && found.len() == content.len() as u64 {
                    let same =
                        std::fs::read(&path).map_err(|e| Error::io("read", &path, e))? == content;
                    if same {
                        return Ok(path);
                    }
                }
                continue;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        let temporary = match waiting.take() {
            Some(temporary) => temporary,
            None => {
                let mut temporary = tempfile::Builder::new()
                    .prefix(".attach-")
                    .permissions(super::permissions(0o666))
                    .tempfile_in(folder)
                    .map_err(failed)?;
                temporary.write_all(content).map_err(failed)?;
                temporary
            }
        };
        match temporary.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            // Taken just now by someone else.
            Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => waiting = Some(e.file),
            Err(e) => return Err(failed(e.error)),
        }
    }
    Err(Error::new(
        ErrorKind::Store,
        format!("no free name for {name} in {}", folder.display()),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_name_nul_content() {
        let stored = Bytes::from_static(b"x.txt\0hello");
        assert_eq!(
            take_apart(&stored).unwrap(),
            ("x.txt", Bytes::from_static(b"hello"))
        );
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for bad in [
            "", ".", "..", "../x", "/abs/x", "a/b", "a\\b", "x\n", "no nul",
        ] {
            let stored = if bad == "no nul" {
                Bytes::from_static(b"no nul")
            } else {
                format!("{bad}\0c").into()
            };
            assert_eq!(
                take_apart(&stored).unwrap_err().kind(),
                ErrorKind::CorruptObject,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn equal_files_are_reused_and_others_get_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let name = |content: &[u8], name: &str| {
            place(dir.path(), name, content)
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(name(b"one", "a.tar.gz"), "a.tar.gz");
        assert_eq!(name(b"one", "a.tar.gz"), "a.tar.gz");
        assert_eq!(name(b"two", "a.tar.gz"), "a.tar_1.gz");
        assert_eq!(name(b"three", "a.tar.gz"), "a.tar_2.gz");
        assert_eq!(name(b"two", "a.tar.gz"), "a.tar_1.gz");
        assert_eq!(name(b"x", ".hid"), ".hid");
        assert_eq!(name(b"y", ".hid"), ".hid_1");
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        assert_eq!(name(b"z", "folder"), "folder_1");
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            7,
            "no temporaries stay"
        );
    }

    #[test]
    fn one_content_written_by_many_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let name = format!("{round}.bin");
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| place(dir.path(), &name, b"same").unwrap());
                }
            });
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 50);
    }

    #[test]
    fn the_path_is_relative_if_the_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = place(&dir.path().join("new/./sub"), "f", b"").unwrap();
        assert_eq!(path, dir.path().join("new/sub/f"));
    }

    proptest! {
        #[test]
        fn no_bytes_write_outside_the_folder(stored in proptest::collection::vec(any::<u8>(), 0..40)) {
            let dir = tempfile::tempdir().unwrap();
            let inner = dir.path().join("inner");
            if let Ok((name, content)) = take_apart(&stored.into()) {
                let path = place(&inner, name, &content).unwrap();
                prop_assert_eq!(path.parent(), Some(&*inner));
                prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
            }
        }
    }
}
