//! The settings handle behind `lodestore.settings.Config`, and JSON both ways for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lodestore::ErrorKind;
use lodestore::config::{self, Config, Snapshot};
use lodestore::store::StoreSet;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Value as Json};

use crate::error::{ToPyResult, to_pyerr};

/// Adds the settings classes.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyConfig>()?;
    m.add_class::<PySnapshot>()?;
    m.add_function(wrap_pyfunction!(did_you_mean, m)?)?;
    Ok(())
}

/// One set of settings, shared by reference, and the stores that it names: everything that works with these settings
/// (a connection, codecs, references) shares their open stores, which matters for those in memory.
#[pyclass(frozen, name = "Config", module = "lodestore._lodestore")]
pub(crate) struct PyConfig {
    pub(crate) config: Config,
    pub(crate) stores: Arc<StoreSet>,
}

impl PyConfig {
    pub(crate) fn new(config: Config) -> PyConfig {
        let stores = Arc::new(StoreSet::new(config.clone()));
        PyConfig { config, stores }
    }
}

/// A saved state of settings.
#[pyclass(frozen, name = "ConfigSnapshot", module = "lodestore._lodestore")]
struct PySnapshot(Snapshot);

#[pymethods]
impl PyConfig {
    /// Reads environment, file and secrets; the second value are warnings.
    #[staticmethod]
    fn from_env() -> PyResult<(PyConfig, Vec<String>)> {
        let (config, warnings) = Config::from_env().or_raise()?;
        Ok((PyConfig::new(config), warnings))
    }

    /// Only defaults.
    #[staticmethod]
    fn defaults(directory: PathBuf) -> PyConfig {
        PyConfig::new(Config::defaults(directory))
    }

    #[staticmethod]
    fn find_config_file(start: PathBuf) -> Option<PathBuf> {
        config::find_config_file(&start)
    }

    #[staticmethod]
    fn save_template(path: PathBuf, minimal: bool, create_secrets: bool) -> PyResult<PathBuf> {
        Config::save_template(&path, minimal, create_secrets).or_raise()
    }

    #[staticmethod]
    fn is_secret(key: &str) -> bool {
        Config::is_secret(key)
    }

    /// A number of these settings, by which the Python object of a handle is found.
    #[getter]
    fn id(&self) -> usize {
        self.config.id()
    }

    /// Points the settings at a database URL.
    fn set_url(&self, url: &str) -> PyResult<()> {
        self.config.set_url(url).or_raise()
    }

    fn fork(&self) -> PyConfig {
        PyConfig::new(self.config.fork())
    }

    fn get<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.config.get(key) {
            Some(value) => json_value_to_py(py, &value),
            None => {
                let mut error = lodestore::Error::new(
                    ErrorKind::UnknownKey,
                    format!("there is no setting `{key}`"),
                );
                if let Some(hint) = lodestore::error::did_you_mean(key, Config::known_keys()) {
                    error = error.hint(hint);
                }
                Err(to_pyerr(error))
            }
        }
    }

    fn set(&self, key: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.config.set(key, json_value_from_py(value)?).or_raise()
    }

    fn unset(&self, key: &str) -> PyResult<()> {
        self.config.unset(key).or_raise()
    }

    fn keys(&self) -> Vec<String> {
        self.config.keys()
    }

    fn origin(&self, key: &str) -> Option<String> {
        self.config.origin(key).map(|o| o.to_string())
    }

    fn file(&self) -> Option<PathBuf> {
        self.config.file()
    }

    fn snapshot(&self) -> PySnapshot {
        PySnapshot(self.config.snapshot())
    }

    fn restore(&self, snapshot: &PySnapshot) {
        self.config.restore(snapshot.0.clone());
    }

    fn load(&self, path: PathBuf) -> PyResult<()> {
        self.config.load_file(&path).or_raise()
    }

    fn save(&self, path: PathBuf) -> PyResult<()> {
        self.config.save(Path::new(&path)).or_raise()
    }

    fn store_names(&self) -> Vec<String> {
        self.config.store_names()
    }

    fn set_store(&self, name: &str, spec: &Bound<'_, PyDict>) -> PyResult<()> {
        self.config
            .set_store(name, object_from_py(spec)?)
            .or_raise()
    }

    fn remove_store(&self, name: &str) -> bool {
        self.config.remove_store(name)
    }

    fn store_spec<'py>(
        &self,
        py: Python<'py>,
        name: Option<&str>,
        filepath: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let spec = self.config.store_spec(name, filepath).or_raise()?;
        json_value_to_py(py, &Json::Object(spec))
    }
}

/// A "did you mean" sentence, or None.
#[pyfunction]
fn did_you_mean(unknown: &str, known: Vec<String>) -> Option<String> {
    lodestore::error::did_you_mean(unknown, known.iter().map(String::as_str))
}

/// A JSON value as Python has it.
pub(crate) fn json_value_to_py<'py>(py: Python<'py>, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Json::Null => py.None().into_bound(py),
        Json::Bool(b) => PyBool::new(py, *b).to_owned().into_any(),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), _, _) => i.into_pyobject(py)?.into_any(),
            (_, Some(u), _) => u.into_pyobject(py)?.into_any(),
            (_, _, f) => PyFloat::new(py, f.unwrap_or(f64::NAN)).into_any(),
        },
        Json::String(s) => PyString::new(py, s).into_any(),
        Json::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(json_value_to_py(py, item)?)?;
            }
            list.into_any()
        }
        Json::Object(map) => {
            let dict = PyDict::new(py);
            for (key, item) in map {
                dict.set_item(key, json_value_to_py(py, item)?)?;
            }
            dict.into_any()
        }
    })
}

/// A Python value as JSON; numbers, text, truth values, None, lists, tuples and dicts with text keys.
pub(crate) fn json_value_from_py(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    if value.is_none() {
        Ok(Json::Null)
    } else if let Ok(b) = value.cast::<PyBool>() {
        Ok(Json::Bool(b.is_true()))
    } else if value.is_instance_of::<PyInt>() {
        match value.extract::<i64>() {
            Ok(i) => Ok(Json::from(i)),
            Err(_) => Ok(Json::from(value.extract::<f64>()?)),
        }
    } else if value.is_instance_of::<PyFloat>() {
        Ok(Json::from(value.extract::<f64>()?))
    } else if let Ok(s) = value.cast::<PyString>() {
        Ok(Json::String(s.to_str()?.to_owned()))
    } else if let Ok(dict) = value.cast::<PyDict>() {
        Ok(Json::Object(object_from_py(dict)?))
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let mut items = Vec::new();
        for item in value.try_iter()? {
            items.push(json_value_from_py(&item?)?);
        }
        Ok(Json::Array(items))
    } else {
        Err(to_pyerr(lodestore::Error::new(
            ErrorKind::Value,
            format!("a setting cannot be of type {}", value.get_type().name()?),
        )))
    }
}

fn object_from_py(dict: &Bound<'_, PyDict>) -> PyResult<Map<String, Json>> {
    let mut map = Map::new();
    for (key, value) in dict.iter() {
        map.insert(key.extract::<String>()?, json_value_from_py(&value)?);
    }
    Ok(map)
}
