//! Codecs across the boundary: user codecs written in Python for the engine, the engine's codecs for Python.

use std::path::Path;
use std::sync::Arc;

use lodestore::codec::{
    Codec, DecodeContext, EncodeContext, Encoded, Registry, Stores, parse_type_spec, record_write,
};
use lodestore::config::Config;
use lodestore::progress::Silent;
use lodestore::value::Json;
use lodestore::{Result, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::config::PyConfig;
use crate::error::{ToPyResult, from_pyerr};
use crate::staged::key_row;
use crate::value::{Lazy, Mode, from_py, mode_of_spec, row_to_dict, to_py};

/// Adds the registry's functions, and arranges for plug-ins to be found.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(register_codec, m)?)?;
    m.add_function(wrap_pyfunction!(unregister_codec, m)?)?;
    m.add_function(wrap_pyfunction!(codec_names, m)?)?;
    m.add_function(wrap_pyfunction!(find_codec, m)?)?;
    m.add_function(wrap_pyfunction!(resolve_codecs, m)?)?;
    m.add_function(wrap_pyfunction!(split_type_spec, m)?)?;
    m.add_function(wrap_pyfunction!(codec_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(codec_encode, m)?)?;
    m.add_function(wrap_pyfunction!(codec_decode, m)?)?;
    m.add_function(wrap_pyfunction!(codec_validate, m)?)?;
    m.add_function(wrap_pyfunction!(decode_chain, m)?)?;
    Registry::global().set_loader(|_| {
        static LOAD: Lazy = Lazy::new("lodestore.codecs", "_load_plugins");
        Python::attach(|py| {
            if let Err(error) = LOAD.get(py).and_then(|load| load.call0()) {
                error.write_unraisable(py, None);
            }
        });
    });
    Ok(())
}

/// A codec written in Python. What its methods raise goes through the engine unchanged.
struct PyCodec {
    name: String,
    object: Py<PyAny>,
    encode_takes: Extras,
    decode_takes: Extras,
    schema_addressed: bool,
    restrictable: bool,
}

/// Which of the optional arguments a method names in its signature.
#[derive(Clone, Copy)]
struct Extras {
    context: bool,
    store_name: bool,
}

impl Extras {
    fn of(method: &Bound<'_, PyAny>) -> PyResult<Extras> {
        static SIGNATURE: Lazy = Lazy::new("inspect", "signature");
        let parameters = SIGNATURE
            .get(method.py())?
            .call1((method,))?
            .getattr(intern!(method.py(), "parameters"))?;
        Ok(Extras {
            context: parameters.contains("context")?,
            store_name: parameters.contains("store_name")?,
        })
    }
}

/// The settings that codecs see, those of the connection, as the object that Python has for them.
fn config_to_py<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyAny>> {
    static KNOWN: Lazy = Lazy::new("lodestore.settings", "_known_config");
    static CONFIG: Lazy = Lazy::new("lodestore.settings", "Config");
    let known = KNOWN.get(py)?.call1((config.id(),))?;
    if !known.is_none() {
        return Ok(known);
    }
    CONFIG.get(py)?.call1((PyConfig::new(config.clone()),))
}

impl PyCodec {
    fn call_encode<'py>(
        &self,
        py: Python<'py>,
        value: Value,
        context: &EncodeContext<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let config = config_to_py(py, context.config)?;
        let key = PyDict::new(py);
        key.set_item("_schema", context.schema)?;
        key.set_item("_table", context.table)?;
        key.set_item("_field", context.attribute)?;
        key.set_item("_config", &config)?;
        for (name, value) in row_to_dict(py, context.key.clone())? {
            key.set_item(name, value)?;
        }
        let arguments = PyDict::new(py);
        arguments.set_item("key", key)?;
        if self.encode_takes.context {
            let about = PyDict::new(py);
            about.set_item("schema", context.schema)?;
            about.set_item("table", context.table)?;
            about.set_item("field", context.attribute)?;
            about.set_item("config", &config)?;
            arguments.set_item("context", about)?;
        }
        if self.encode_takes.store_name {
            arguments.set_item("store_name", context.store)?;
        }
        self.object.bind(py).call_method(
            intern!(py, "encode"),
            (to_py(py, value)?,),
            Some(&arguments),
        )
    }

    fn call_decode<'py>(
        &self,
        py: Python<'py>,
        stored: Value,
        context: &DecodeContext<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let config = config_to_py(py, context.config)?;
        let arguments = PyDict::new(py);
        let about = PyDict::new(py);
        about.set_item("_config", &config)?;
        arguments.set_item("key", about)?;
        if self.decode_takes.context {
            let about = PyDict::new(py);
            about.set_item("config", &config)?;
            arguments.set_item("context", about)?;
        }
        self.object.bind(py).call_method(
            intern!(py, "decode"),
            (to_py(py, stored)?,),
            Some(&arguments),
        )
    }
}

impl Codec for PyCodec {
    fn name(&self) -> &str {
        &self.name
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        Python::attach(|py| {
            self.object
                .bind(py)
                .call_method1(intern!(py, "get_dtype"), (is_store,))?
                .extract()
        })
        .map_err(from_pyerr)
    }

    fn validate(&self, value: &Value) -> Result<()> {
        Python::attach(|py| {
            let object = self.object.bind(py);
            // Plug-ins need not derive from `Codec`.
            if object.hasattr(intern!(py, "validate"))? {
                object.call_method1(intern!(py, "validate"), (to_py(py, value.clone())?,))?;
            }
            Ok(())
        })
        .map_err(from_pyerr)
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        let next = mode_of_spec(&self.dtype(context.store.is_some())?);
        Python::attach(|py| from_py(&self.call_encode(py, value, context)?, next))
            .map(Encoded::from)
            .map_err(from_pyerr)
    }

    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        Python::attach(|py| from_py(&self.call_decode(py, stored, context)?, Mode::Foreign))
            .map_err(from_pyerr)
    }

    fn referenced_paths(&self, stored: &Value) -> Result<Vec<(String, Option<String>)>> {
        Python::attach(|py| {
            let object = self.object.bind(py);
            let stored = to_py(py, stored.clone())?;
            if object.hasattr(intern!(py, "referenced_paths"))? {
                return object
                    .call_method1(intern!(py, "referenced_paths"), (stored,))?
                    .extract();
            }
            static DEFAULT: Lazy = Lazy::new("lodestore.codecs", "_referenced_paths");
            DEFAULT.get(py)?.call1((stored,))?.extract()
        })
        .map_err(from_pyerr)
    }

    fn wants_foreign(&self) -> bool {
        true
    }

    fn is_schema_addressed(&self) -> bool {
        self.schema_addressed
    }

    fn restrictable(&self) -> bool {
        self.restrictable
    }
}

/// Registers a codec instance under a name.
#[pyfunction]
fn register_codec(codec: &Bound<'_, PyAny>, name: String, schema_addressed: bool) -> PyResult<()> {
    let py = codec.py();
    let restrictable = match codec.getattr(intern!(py, "restrictable")) {
        Ok(flag) => flag.is_truthy()?,
        Err(_) => false,
    };
    let codec = PyCodec {
        name,
        encode_takes: Extras::of(&codec.getattr(intern!(py, "encode"))?)?,
        decode_takes: Extras::of(&codec.getattr(intern!(py, "decode"))?)?,
        object: codec.clone().unbind(),
        schema_addressed,
        restrictable,
    };
    // The registry may have to load plug-ins, which come back here.
    py.detach(|| Registry::global().register(Arc::new(codec)))
        .or_raise()
}

#[pyfunction]
fn unregister_codec(name: &str) -> PyResult<()> {
    Registry::global().unregister(name).or_raise()
}

/// All names, sorted.
#[pyfunction]
fn codec_names(py: Python<'_>) -> Vec<String> {
    py.detach(|| Registry::global().names())
}

/// The engine's name of the codec that a spec means; raises if there is none.
#[pyfunction]
fn find_codec(py: Python<'_>, spec: &str) -> PyResult<String> {
    py.detach(|| Registry::global().get(spec))
        .or_raise()
        .map(|codec| codec.name().to_owned())
}

/// (final type, codec names from the outermost on, store).
#[pyfunction]
fn resolve_codecs(
    py: Python<'_>,
    spec: &str,
    store: Option<&str>,
) -> PyResult<(String, Vec<String>, Option<String>)> {
    let chain = py
        .detach(|| Registry::global().resolve_in(spec, store))
        .or_raise()?;
    let names = chain.codecs.iter().map(|c| c.name().to_owned()).collect();
    Ok((chain.dtype, names, chain.store))
}

/// (name, store): none without `@`, `""` for a bare `@`.
#[pyfunction]
fn split_type_spec(spec: &str) -> (String, Option<String>) {
    parse_type_spec(spec)
}

#[pyfunction]
fn codec_dtype(name: &str, is_store: bool) -> PyResult<String> {
    Registry::global()
        .get(name)
        .or_raise()?
        .dtype(is_store)
        .or_raise()
}

fn mode_of(name: &str) -> Mode {
    mode_of_spec(&format!("<{name}>"))
}

#[pyfunction]
fn codec_validate(py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let value = from_py(value, mode_of(name))?;
    py.detach(|| Registry::global().get(name)?.validate(&value))
        .or_raise()
}

/// Encodes one value with one codec and writes its objects: what a user codec gets from `super().encode(…)` or
/// `get_codec("…").encode(…)`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn codec_encode<'py>(
    py: Python<'py>,
    name: &str,
    value: &Bound<'py, PyAny>,
    schema: &str,
    table: &str,
    attribute: &str,
    key: &Bound<'py, PyDict>,
    store: Option<&str>,
    config: &PyConfig,
) -> PyResult<Bound<'py, PyAny>> {
    let value = from_py(value, mode_of(name))?;
    let key = key_row(key)?;
    let (config, stores) = (&config.config, &config.stores);
    let encoded = py
        .detach(|| -> Result<Value> {
            let codec = Registry::global().get(name)?;
            let store = match store {
                // Its bytes are wanted, which the next codec of the chain will store.
                Some(_) if codec.name() == "attach" => None,
                Some(name) => Some(stores.resolve_name(Some(name))?),
                None => None,
            };
            let context = EncodeContext {
                schema,
                table,
                attribute,
                key: &key,
                store: store.as_deref(),
                stores: &**stores,
                config,
            };
            let mut encoded = codec.encode(value, &context)?;
            let outcomes = stores.put_all(&encoded.puts, &Silent)?;
            for (put, outcome) in encoded.puts.iter().zip(&outcomes) {
                record_write(&mut encoded.value, put, outcome.hash.as_deref())?;
            }
            Ok(encoded.value)
        })
        .or_raise()?;
    to_py(py, encoded)
}

fn stored_value(stored: &Bound<'_, PyAny>) -> PyResult<Value> {
    if stored.is_instance_of::<PyDict>() {
        return from_py(stored, Mode::Json);
    }
    if let Ok(text) = stored.cast::<PyString>()
        && text.to_str()?.trim_start().starts_with('{')
    {
        return Ok(Value::Json(Json::from_text(text.to_str()?)));
    }
    from_py(stored, Mode::Column)
}

/// Decodes one stored value with one codec.
#[pyfunction]
fn codec_decode<'py>(
    py: Python<'py>,
    name: &str,
    stored: &Bound<'py, PyAny>,
    config: &PyConfig,
) -> PyResult<Bound<'py, PyAny>> {
    let stored = stored_value(stored)?;
    decode(py, config, |context| {
        Registry::global().get(name)?.decode(stored, context)
    })
}

/// Decodes one stored value through the whole chain of a type.
#[pyfunction]
fn decode_chain<'py>(
    py: Python<'py>,
    spec: &str,
    stored: &Bound<'py, PyAny>,
    config: &PyConfig,
) -> PyResult<Bound<'py, PyAny>> {
    let stored = stored_value(stored)?;
    decode(py, config, |context| {
        Registry::global().resolve(spec)?.decode(stored, context)
    })
}

fn decode<'py>(
    py: Python<'py>,
    config: &PyConfig,
    act: impl FnOnce(&DecodeContext<'_>) -> Result<Value> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let stores: Arc<dyn Stores> = config.stores.clone();
    let config = &config.config;
    let value = py
        .detach(|| {
            let download = config
                .get_str("download_path")
                .unwrap_or_else(|| ".".into());
            act(&DecodeContext {
                stores: &stores,
                download_path: Path::new(&download),
                config,
                origin: None,
            })
        })
        .or_raise()?;
    to_py(py, value)
}
