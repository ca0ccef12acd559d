//! The constructor's arguments as a configuration.

use std::path::PathBuf;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::arguments::type_name;
use super::calls::Calls;
use super::errors;
use crate::config::{Config, Tree};

/// The JSON Schema of a configuration file: what `make schema` writes into the package.
#[pyfunction]
pub(super) fn config_schema() -> String {
    crate::config::schema()
}

/// The deepest nesting that a mapping is followed to; a configuration has three levels.
const DEEPEST: usize = 16;

/// Reads `config` (a path or a mapping) or `config_file` (a path); with neither, the embedded default.
pub(super) fn read(
    config: Option<&Bound<'_, PyAny>>,
    config_file: Option<&Bound<'_, PyAny>>,
) -> PyResult<Config> {
    let (config, py) = match (config, config_file) {
        (Some(config), Some(_)) => {
            let _ = config;
            return Err(PyValueError::new_err(
                "give either config or config_file, not both.",
            ));
        }
        (None, None) => {
            return Config::from_tree(Tree::Map(Vec::new())).map_err(|error| {
                // An empty configuration is valid; the type does not know.
                PyValueError::new_err(error.to_string())
            });
        }
        (Some(config), None) if config.is_mapping()? => (Ok(tree(config, DEEPEST)?), config.py()),
        (Some(config), None) => (Err((config, "config")), config.py()),
        (None, Some(file)) => (Err((file, "config_file")), file.py()),
    };
    let read = match config {
        Ok(tree) => Config::from_tree(tree),
        Err((path, argument)) => {
            let path: PathBuf = path_of(path, argument)?;
            py.detach(|| Config::from_file(&path))
        }
    };
    read.map_err(|error| errors::to_python(py, &error))
}

fn path_of(path: &Bound<'_, PyAny>, argument: &str) -> PyResult<PathBuf> {
    let fspath = match path.some_attribute("__fspath__") {
        Ok(Some(fspath)) => fspath.run(()),
        _ => Ok(path.clone()),
    };
    fspath.and_then(|path| path.extract()).map_err(|_| {
        let mapping = if argument == "config" {
            ", or a mapping"
        } else {
            ""
        };
        PyTypeError::new_err(format!(
            "{argument} must be a path (str or os.PathLike) of a JSON file{mapping}, got {}.",
            type_name(path)
        ))
    })
}

fn tree(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Tree> {
    let Some(depth) = depth.checked_sub(1) else {
        return Ok(Tree::Foreign("deeply nested object".into()));
    };
    if value.is_none() {
        return Ok(Tree::Null);
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Tree::Bool(truth.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        // Beyond 128 bits no key has a use for it; as infinity it is refused like any huge number.
        return Ok(value
            .extract::<i128>()
            .map_or(Tree::Float(f64::INFINITY), Tree::Int));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Tree::Float(number.value()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(match text.to_str() {
            Ok(text) => Tree::Text(text.to_owned()),
            Err(_) => Tree::Foreign("str with lone surrogates".into()),
        });
    }
    if value.is_mapping()? {
        let mut entries = Vec::new();
        for item in value.run_method("items", ())?.items()? {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            let Ok(key) = key.extract::<String>() else {
                let text = format!(
                    "config: keys must be str, got {} {}.",
                    type_name(&key),
                    key.represented()?
                );
                return Err(PyTypeError::new_err(text));
            };
            entries.push((key, tree(&value, depth)?));
        }
        return Ok(Tree::Map(entries));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items = value.items()?;
        let items: PyResult<Vec<_>> = items.map(|item| tree(&item?, depth)).collect();
        return Ok(Tree::List(items?));
    }
    if let Some(fspath) = value.some_attribute("__fspath__")?
        && let Ok(path) = fspath.run(())?.extract::<String>()
    {
        return Ok(Tree::Text(path));
    }
    Ok(Tree::Foreign(type_name(value)))
}
