//! Codecs by name, and chains of codecs (spec: codecs §1).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use super::{
    AttachCodec, Codec, DecodeContext, EncodeContext, Encoded, FilepathCodec, HashCodec, NpyCodec,
    ObjectCodec, Stores,
};
use crate::definition::Type;
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::value::Value;

/// A column type resolved through its codecs (spec: codecs §1 "Resolution").
#[derive(Clone)]
pub struct Chain {
    /// Codecs, outermost first; empty for a core or native type.
    pub codecs: Vec<Arc<dyn Codec>>,
    /// The final type text (`bytes`, `json`, `varchar(32)`).
    pub dtype: String,
    /// The effective store as written: none without `@`, `""` for the default.
    pub store: Option<String>,
}

impl Chain {
    /// True if values end up in a store.
    pub fn is_store(&self) -> bool {
        self.store.is_some()
    }

    /// True if the column holds JSON.
    pub fn is_json(&self) -> bool {
        self.dtype == "json"
    }

    /// The outermost codec; none for a core or native type.
    pub fn outermost(&self) -> Option<&Arc<dyn Codec>> {
        self.codecs.first()
    }

    /// The name of the store that new values go to: as written, or the default for a bare `@`. None without store.
    pub fn resolve_store(&self, stores: &dyn Stores) -> Result<Option<String>> {
        let Some(name) = &self.store else {
            return Ok(None);
        };
        let handle = if self.codecs.iter().any(|c| c.uses_filepath_default()) {
            stores.get_filepath(Some(name))?
        } else {
            stores.get(Some(name))?
        };
        Ok(Some(handle.name().to_owned()))
    }

    /// Checks a value with the outermost codec. NULL passes.
    pub fn validate(&self, value: &Value) -> Result<()> {
        match self.codecs.first() {
            Some(codec) if !value.is_null() => codec.validate(value),
            _ => Ok(()),
        }
    }

    /// Encodes a value that [`Chain::validate`] has passed, outermost codec first. NULL stays NULL and no codec is
    /// called; so it is when a codec of the chain answers NULL. `context.store` must be [`Chain::resolve_store`]'s answer.
    pub fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        let mut encoded = Encoded::from(value);
        for codec in &self.codecs {
            if encoded.value.is_null() {
                break;
            }
            let next = codec.encode(encoded.value, context)?;
            encoded.value = next.value;
            encoded.puts.extend(next.puts);
        }
        Ok(encoded)
    }

    /// Decodes a stored value, innermost codec first. NULL stays NULL and no codec is called.
    pub fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        let mut value = stored;
        for codec in self.codecs.iter().rev() {
            if value.is_null() {
                break;
            }
            value = codec.decode(value, context)?;
        }
        Ok(value)
    }

    /// The objects that a stored value refers to, as (path, store), by the chain's innermost codec, which is the one
    /// that wrote the column's value.
    pub fn referenced_paths(&self, stored: &Value) -> Result<Vec<(String, Option<String>)>> {
        match self.codecs.last() {
            Some(codec) => codec.referenced_paths(stored),
            None => Ok(Vec::new()),
        }
    }

    /// True if the objects of this chain lie at content-addressed paths.
    pub fn is_hash_addressed(&self) -> bool {
        self.is_store() && self.codecs.last().is_some_and(|c| c.name() == "hash")
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.codecs.iter().map(|c| c.name()).collect();
        f.debug_struct("Chain")
            .field("codecs", &names)
            .field("dtype", &self.dtype)
            .field("store", &self.store)
            .finish()
    }
}

type Loader = Box<dyn FnOnce(&Registry) + Send>;

/// Codecs by name. One per process for the front doors ([`Registry::global`]); tests make their own.
pub struct Registry {
    codecs: RwLock<BTreeMap<String, Arc<dyn Codec>>>,
    loader: Mutex<Option<Loader>>,
}

impl Registry {
    /// Only the built-in codecs: `attach`, `blob`, `filepath`, `hash`, `npy`, `object`.
    pub fn builtin() -> Self {
        let codecs: [Arc<dyn Codec>; 6] = [
            Arc::new(AttachCodec),
            Arc::new(super::BlobCodec),
            Arc::new(FilepathCodec),
            Arc::new(HashCodec),
            Arc::new(NpyCodec),
            Arc::new(ObjectCodec),
        ];
        Registry {
            codecs: RwLock::new(
                codecs
                    .into_iter()
                    .map(|c| (c.name().to_owned(), c))
                    .collect(),
            ),
            loader: Mutex::new(None),
        }
    }

    /// The registry of this process.
    pub fn global() -> &'static Arc<Registry> {
        static GLOBAL: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry::builtin()));
        &GLOBAL
    }

    /// Sets what loads plug-ins. It runs once: at the first name that is not found, or the first [`Registry::names`].
    pub fn set_loader(&self, loader: impl FnOnce(&Registry) + Send + 'static) {
        *self.loader.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(loader));
    }

    /// Adds a codec under its name. An error if the name is empty or taken.
    pub fn register(&self, codec: Arc<dyn Codec>) -> Result<()> {
        let name = codec.name().to_owned();
        self.register_as(&name, codec)
    }

    /// Adds a codec under another name than its own (plug-in entries do so). An error if the name is empty or taken.
    pub fn register_as(&self, name: &str, codec: Arc<dyn Codec>) -> Result<()> {
        if name.trim().is_empty() {
            return Err(Error::invalid("a codec needs a name"));
        }
        let mut codecs = self.codecs.write().unwrap_or_else(PoisonError::into_inner);
        if codecs.contains_key(name) {
            return Err(
                Error::invalid(format!("a codec named <{name}> is registered already"))
                    .hint("Choose another name, or unregister the other codec first."),
            );
        }
        codecs.insert(name.to_owned(), codec);
        Ok(())
    }

    /// Removes a codec. An error if there is none of that name.
    pub fn unregister(&self, name: &str) -> Result<()> {
        let mut codecs = self.codecs.write().unwrap_or_else(PoisonError::into_inner);
        match codecs.remove(name) {
            Some(_) => Ok(()),
            None => Err(unknown(name, codecs.keys().map(String::as_str))),
        }
    }

    /// True if a codec of that name is registered, after loading plug-ins if need be.
    pub fn contains(&self, name: &str) -> bool {
        self.lookup(name).is_ok()
    }

    /// The codec of `blob`, `<blob>`, `<blob@x>`. An error with the nearest name if it is unknown.
    pub fn get(&self, spec: &str) -> Result<Arc<dyn Codec>> {
        self.lookup(&parse_type_spec(spec).0)
    }

    /// The registered names, sorted, plug-ins included.
    pub fn names(&self) -> Vec<String> {
        self.load();
        self.codecs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Resolves a type text through its codecs. A text that is not in angle brackets is a chain without codecs.
    ///
    /// Errors: unknown codec, a codec met twice, a mode (with or without store) that a codec does not offer.
    pub fn resolve(&self, spec: &str) -> Result<Chain> {
        self.resolve_in(spec, None)
    }

    /// As [`Registry::resolve`], where a codec without `@` of its own inherits `store`.
    pub fn resolve_in(&self, spec: &str, store: Option<&str>) -> Result<Chain> {
        let mut chain = Chain {
            codecs: Vec::new(),
            dtype: spec.trim().to_owned(),
            store: store.map(str::to_owned),
        };
        let mut seen: Vec<String> = Vec::new();
        while is_codec_spec(&chain.dtype) {
            let (name, own_store) = parse_type_spec(&chain.dtype);
            if seen.contains(&name) {
                seen.push(name);
                return Err(Error::invalid(format!(
                    "the codecs of {} refer to each other in a circle: {}",
                    spec.trim(),
                    seen.iter()
                        .map(|n| format!("<{n}>"))
                        .collect::<Vec<_>>()
                        .join(" → ")
                )));
            }
            let codec = self.lookup(&name)?;
            if own_store.is_some() {
                chain.store = own_store;
            }
            chain.dtype = codec.dtype(chain.store.is_some())?.trim().to_owned();
            chain.codecs.push(codec);
            seen.push(name);
        }
        Ok(chain)
    }

    /// Resolves a parsed column type; none for core and native types.
    pub fn resolve_type(&self, type_: &Type) -> Result<Option<Chain>> {
        match type_ {
            Type::Codec(spec) => {
                let text = match &spec.store {
                    None => format!("<{}>", spec.name),
                    Some(store) => format!("<{}@{store}>", spec.name),
                };
                self.resolve(&text).map(Some)
            }
            Type::Core(_) | Type::Native(_) => Ok(None),
        }
    }

    fn lookup(&self, name: &str) -> Result<Arc<dyn Codec>> {
        let find = || {
            self.codecs
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .get(name)
                .cloned()
        };
        if let Some(codec) = find() {
            return Ok(codec);
        }
        self.load();
        find().ok_or_else(|| {
            unknown(
                name,
                self.codecs
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .keys()
                    .map(String::as_str),
            )
        })
    }

    fn load(&self) {
        // Taken out before it runs: a plug-in may itself ask for codecs.
        let loader = self
            .loader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(loader) = loader {
            loader(self);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codecs = self.codecs.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(codecs.keys()).finish()
    }
}

/// Takes a type spec apart: name, and store (none without `@`, `""` for a bare `@`). Blanks and outer angle brackets are
/// stripped; the split is at the first `@`.
pub fn parse_type_spec(spec: &str) -> (String, Option<String>) {
    let inner = spec.trim();
    let inner = inner.strip_prefix('<').unwrap_or(inner);
    let inner = inner.strip_suffix('>').unwrap_or(inner).trim();
    match inner.split_once('@') {
        Some((name, store)) => (name.trim().to_owned(), Some(store.trim().to_owned())),
        None => (inner.to_owned(), None),
    }
}

/// A JSON object's `path` and `store`.
pub(super) fn default_referenced_paths(stored: &Value) -> Result<Vec<(String, Option<String>)>> {
    let text = match stored {
        Value::Json(json) => json.as_str(),
        Value::Text(text) => text.as_str(),
        _ => return Ok(Vec::new()),
    };
    let Ok(serde_json::Value::Object(map)) = serde_json::from_str(text) else {
        return Ok(Vec::new());
    };
    Ok(match map.get("path").and_then(|p| p.as_str()) {
        Some(path) => {
            let store = map.get("store").and_then(|s| s.as_str()).map(str::to_owned);
            vec![(path.to_owned(), store)]
        }
        None => Vec::new(),
    })
}

fn is_codec_spec(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    let error = Error::new(
        ErrorKind::Invalid,
        format!("there is no codec named <{name}>"),
    );
    match did_you_mean(name, known.clone()) {
        Some(hint) => error.hint(hint),
        None => error.hint(format!(
            "Known codecs: {}. A codec of your own must be imported (registered) first.",
            known.collect::<Vec<_>>().join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    struct Link(&'static str, &'static str);
    impl Codec for Link {
        fn name(&self) -> &str {
            self.0
        }
        fn dtype(&self, _is_store: bool) -> Result<String> {
            Ok(self.1.into())
        }
        fn encode(&self, value: Value, _context: &EncodeContext<'_>) -> Result<Encoded> {
            Ok(value.into())
        }
        fn decode(&self, stored: Value, _context: &DecodeContext<'_>) -> Result<Value> {
            Ok(stored)
        }
    }

    fn names(chain: &Chain) -> Vec<&str> {
        chain.codecs.iter().map(|c| c.name()).collect()
    }

    #[test]
    fn a_user_codec_chains_to_the_builtin_ones_and_inherits_or_pins_the_store() {
        let registry = Registry::builtin();
        registry
            .register(Arc::new(Link("graph", "<attach>")))
            .unwrap();
        registry
            .register(Arc::new(Link("pinned", "<hash@loc>")))
            .unwrap();
        let chain = registry.resolve("<graph@cold>").unwrap();
        assert_eq!(
            (names(&chain), &*chain.dtype, chain.store.as_deref()),
            (vec!["graph", "attach", "hash"], "json", Some("cold"))
        );
        let chain = registry.resolve("<pinned@other>").unwrap();
        assert_eq!(
            (names(&chain), chain.store.as_deref()),
            (vec!["pinned", "hash"], Some("loc"))
        );
        let chain = registry.resolve("<graph@>").unwrap();
        assert_eq!(
            (names(&chain), chain.store.as_deref()),
            (vec!["graph", "attach", "hash"], Some(""))
        );
        let chain = registry.resolve("<graph>").unwrap();
        assert_eq!((&*chain.dtype, chain.store), ("bytes", None));
        assert!(registry.resolve("varchar(30)").unwrap().codecs.is_empty());
    }

    #[test]
    fn codecs_in_a_circle_are_an_error() {
        let registry = Registry::builtin();
        registry.register(Arc::new(Link("a", "<b>"))).unwrap();
        registry.register(Arc::new(Link("b", "<a>"))).unwrap();
        insta::assert_snapshot!(registry.resolve("<a>").unwrap_err(), @"the codecs of <a> refer to each other in a circle: <a> → <b> → <a>");
    }

    #[test]
    fn unknown_and_storeless_codecs_say_what_to_write() {
        let registry = Registry::builtin();
        insta::assert_snapshot!(registry.resolve("<atach>").unwrap_err(), @r"
        there is no codec named <atach>
        Did you mean `attach`?
        ");
        insta::assert_snapshot!(registry.resolve("<npy>").unwrap_err(), @r"
        the codec <npy> keeps its values in a store
        Write <npy@> for the default store, or <npy@store>.
        ");
        for name in ["hash", "object", "filepath"] {
            assert!(registry.resolve(&format!("<{name}>")).is_err());
            assert_eq!(
                registry.resolve(&format!("<{name}@>")).unwrap().dtype,
                "json"
            );
        }
    }

    #[test]
    fn a_name_is_registered_once() {
        let registry = Registry::builtin();
        assert!(registry.register(Arc::new(Link("hash", "json"))).is_err());
        assert!(registry.register(Arc::new(Link(" ", "json"))).is_err());
        registry.register(Arc::new(Link("mine", "json"))).unwrap();
        registry.unregister("mine").unwrap();
        assert!(registry.unregister("mine").is_err());
    }

    #[test]
    fn plug_ins_are_loaded_at_the_first_miss_only() {
        let registry = Registry::builtin();
        registry.set_loader(|r| r.register(Arc::new(Link("late", "json"))).unwrap());
        assert!(registry.get("<late@x>").is_ok());
        assert!(registry.get("never").is_err());
    }

    #[test]
    fn specs_are_taken_apart() {
        let parts = |s| parse_type_spec(s);
        assert_eq!(parts(" <blob> "), ("blob".into(), None));
        assert_eq!(parts("blob@"), ("blob".into(), Some(String::new())));
        assert_eq!(parts("<blob@a@b>"), ("blob".into(), Some("a@b".into())));
    }

    #[test]
    fn referenced_paths_come_from_json_objects_only() {
        let json = |t: &str| Value::Json(crate::value::Json::from_text(t));
        assert_eq!(
            default_referenced_paths(&json(r#"{"path": "p", "store": null}"#)).unwrap(),
            [("p".to_owned(), None)]
        );
        assert_eq!(
            default_referenced_paths(&json(r#"{"path": "p", "store": "s"}"#)).unwrap(),
            [("p".to_owned(), Some("s".to_owned()))]
        );
        assert!(default_referenced_paths(&json("[1]")).unwrap().is_empty());
        assert!(default_referenced_paths(&Value::Int(1)).unwrap().is_empty());
    }
}
