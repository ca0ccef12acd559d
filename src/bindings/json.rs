//! Values in both directions: what `json.dumps` and `json.loads` of the standard library would give.
//!
//! The fast paths here handle the exact builtin types and ordinary texts. Whatever else comes, errors
//! included, is handed to the `json` module itself, so that the result is the same by construction.

use std::fmt::Write;
use std::thread;

use jiter::{PythonParse, StringCacheMode};
use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::calls::{self, Calls};

/// Deeper structures go to `json.dumps`, which knows when to stop, and says what is wrong.
const DEEPEST: usize = 100;

/// Appends to `out` exactly what `json.dumps(value)` gives.
pub(super) fn encode(value: &Bound<'_, PyDict>, out: &mut String) -> PyResult<()> {
    let start = out.len();
    if value.cast_exact::<PyDict>().is_ok() && encode_dict(value, out, DEEPEST).is_some() {
        return Ok(());
    }
    out.truncate(start);
    let text = dumps(value.py())?.run((value,))?;
    out.push_str(text.cast::<PyString>()?.to_str()?);
    Ok(())
}

/// `None`: only `json.dumps` can tell.
fn encode_dict(dict: &Bound<'_, PyDict>, out: &mut String, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let mut separator = '{';
    for (key, value) in dict.iter() {
        out.push(separator);
        if separator == ',' {
            out.push(' ');
        }
        encode_str(key.cast_exact::<PyString>().ok()?, out)?;
        out.push_str(": ");
        encode_value(&value, out, depth)?;
        separator = ',';
    }
    if separator == '{' {
        out.push('{');
    }
    out.push('}');
    Some(())
}

fn encode_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut String,
    depth: usize,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        encode_value(&item, out, depth)?;
    }
    out.push(']');
    Some(())
}

fn encode_value(value: &Bound<'_, PyAny>, out: &mut String, depth: usize) -> Option<()> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return encode_str(text, out);
    }
    if let Ok(number) = value.cast_exact::<PyInt>() {
        out.push_str(itoa::Buffer::new().format(number.extract::<i64>().ok()?));
        return Some(());
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        if !number.value().is_finite() {
            return None;
        }
        let size = number.value().abs();
        // Here zmij spells a float as Python does, and in a third of the time; beyond it writes exponents otherwise.
        if size == 0.0 || (1e-4..1e16).contains(&size) {
            out.push_str(zmij::Buffer::new().format_finite(number.value()));
        } else {
            out.push_str(number.repr().ok()?.to_str().ok()?);
        }
        return Some(());
    }
    if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.push_str(if truth.is_true() { "true" } else { "false" });
        return Some(());
    }
    if value.is_none() {
        out.push_str("null");
        return Some(());
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return encode_dict(dict, out, depth);
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return encode_items(list.iter(), out, depth);
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return encode_items(tuple.iter(), out, depth);
    }
    None
}

/// Whether a byte of a string stands for itself.
fn is_plain(byte: u8) -> bool {
    (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// A string as `ensure_ascii` has it. Lone surrogates are no UTF-8, so `json.dumps` must spell them.
fn encode_str(text: &Bound<'_, PyString>, out: &mut String) -> Option<()> {
    let text = text.to_str().ok()?;
    out.push('"');
    // Without an early end, so that many bytes are looked at in one step.
    if text
        .bytes()
        .fold(true, |plain, byte| plain & is_plain(byte))
    {
        out.push_str(text);
        out.push('"');
        return Some(());
    }
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(byte) {
            continue;
        }
        // Inside a character of several bytes, which its first byte has already brought out.
        if at < plain {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => {
                let character = text[at..].chars().next()?;
                plain = at + character.len_utf8();
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").ok()?;
                }
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
    Some(())
}

/// The value that was stored as `text`: a `dict` where it is a JSON object, else the `str` as it is.
pub(super) fn decode<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let is_object = text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with('{');
    if !is_object {
        return Ok(PyString::new(py, text).into_any());
    }
    let parse = PythonParse {
        cache_mode: StringCacheMode::Keys,
        ..PythonParse::default()
    };
    if let Ok(value) = parse.python_parse(py, text.as_bytes()) {
        return Ok(value);
    }
    // Not an object after all, or something only the `json` module reads: NaN, lone surrogates, depth.
    let value = match loads(py)?.run((text,)) {
        Err(error) if error.is_instance_of::<PyRecursionError>(py) => load_afresh(py, text),
        other => other,
    };
    match value {
        Err(error)
            if error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyRecursionError>(py) =>
        {
            Ok(PyString::new(py, text).into_any())
        }
        other => other,
    }
}

/// On a stack of its own, so that what a deep text reads as does not depend on where it is read.
fn load_afresh<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let loaded = py.detach(|| {
        thread::scope(|scope| {
            let load = || Python::attach(|py| loads(py)?.run((text,)).map(Bound::unbind));
            scope.spawn(load).join().ok()
        })
    });
    match loaded {
        Some(value) => value.map(|value| value.into_bound(py)),
        None => Err(PyRecursionError::new_err("the text is nested too deeply.")),
    }
}

fn dumps(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    calls::imported(py, &DUMPS, "json", "dumps")
}

fn loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    calls::imported(py, &LOADS, "json", "loads")
}
