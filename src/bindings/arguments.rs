//! What callers pass, checked and made into what the engine takes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType,
};

use super::calls::{Calls, Items};
use super::{errors, json};
use crate::message::{BackendName, Message, quote};

/// An argument that may be left out; `None` is not left out.
pub(super) enum Given<'py> {
    Missing,
    Value(Bound<'py, PyAny>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'py> {
    type Error = Infallible;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Self::Value(value.to_owned()))
    }
}

/// The name of a value's type, as Python's own errors have it.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    let class: Bound<'_, PyType> = value.get_type();
    class
        .name()
        .map_or_else(|_| "object".into(), |name| name.to_string())
}

/// Text that can be stored: a `str` without lone surrogates. `instead` says what to write for anything else.
fn text<'a>(
    what: &str,
    value: &'a Bound<'_, PyAny>,
    instead: fn(&Bound<'_, PyAny>) -> &'static str,
) -> PyResult<&'a str> {
    let Ok(string) = value.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "{what} must be a str, got {}.{}",
            type_name(value),
            instead(value)
        )));
    };
    string.to_str().map_err(|_| {
        PyValueError::new_err(format!(
            "{what} cannot be encoded as UTF-8: it has lone surrogates. Encode it otherwise, such as \
             with text.encode('utf-8', 'surrogateescape').hex()."
        ))
    })
}

/// A key: a non-empty `str`.
pub(super) fn key<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let key = text("key", value, |given| {
        if is_collection(given) {
            " Several keys go to read_messages, write_messages or delete_messages."
        } else if is_bytes(given) {
            " Write key.decode()."
        } else if given.is_none() {
            ""
        } else {
            " Write str(key)."
        }
    })?;
    if key.is_empty() {
        return Err(PyValueError::new_err(
            "key must not be empty. Pass a str of at least one character.",
        ));
    }
    Ok(key)
}

/// A bucket: a `str`, empty for none.
pub(super) fn bucket<'a>(given: &'a Given<'_>) -> PyResult<&'a str> {
    let Given::Value(value) = given else {
        return Ok("");
    };
    text("bucket", value, |given| {
        if given.is_none() {
            " Leave it out for no bucket."
        } else if given.is_instance_of::<PyBool>() {
            BY_NAME
        } else if is_bytes(given) {
            " Write bucket.decode()."
        } else if is_collection(given) {
            ""
        } else {
            " Write str(bucket)."
        }
    })
}

/// The marker after which a list goes on.
pub(super) fn start_after<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    text(
        "start_after",
        value,
        |_| " Pass the next_marker of the page before.",
    )
}

/// A backend's name; `local` when it is left out.
pub(super) fn backend(given: &Given<'_>) -> PyResult<BackendName> {
    let Given::Value(value) = given else {
        return Ok(BackendName::Local);
    };
    let name = text("backend", value, |given| {
        if given.is_none() {
            " Leave it out for 'local'."
        } else if given.is_instance_of::<PyBool>() {
            BY_NAME
        } else {
            " Pass 'local', 'dynamodb' or 'etcd'."
        }
    })?;
    BackendName::parse(name).map_err(|error| errors::to_python(value.py(), &error))
}

/// A flag in the place of a text: the arguments were counted wrongly.
const BY_NAME: &str = " Pass later arguments by name, such as queue=True.";

fn is_number(text: &Bound<'_, PyString>) -> bool {
    text.to_str()
        .is_ok_and(|text| text.trim().parse::<i64>().is_ok())
}

fn is_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>()
}

/// What people take for several keys at once.
fn is_collection(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
        || value.is_instance_of::<PyDict>()
}

/// A timeout in seconds, as the moment it ends. `None`: as long as it takes.
pub(super) fn deadline(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Instant>> {
    let Some(timeout) = timeout else {
        return Ok(None);
    };
    let Ok(seconds) = timeout.extract::<f64>() else {
        let advice = if timeout.is_instance_of::<PyString>() {
            " Write float(timeout)."
        } else if timeout.some_attribute("total_seconds")?.is_some() {
            " Write timeout.total_seconds()."
        } else {
            ""
        };
        return Err(PyTypeError::new_err(format!(
            "timeout must be None or a number of seconds, got {}.{advice}",
            type_name(timeout)
        )));
    };
    if seconds.is_nan() || seconds < 0.0 {
        // As Python spells it.
        let got = if seconds.is_nan() {
            "nan".to_owned()
        } else {
            seconds.to_string()
        };
        return Err(PyValueError::new_err(format!(
            "timeout must be None or seconds of at least 0, got {got}. None waits as long as it takes."
        )));
    }
    // Longer than clocks count is as long as it takes.
    let duration = Duration::try_from_secs_f64(seconds).ok();
    Ok(duration.and_then(|duration| Instant::now().checked_add(duration)))
}

/// A flag: a `bool`, `default` when it is left out.
pub(super) fn flag(what: &str, given: &Given<'_>, default: bool) -> PyResult<bool> {
    match given {
        Given::Missing => Ok(default),
        Given::Value(value) => match value.cast::<PyBool>() {
            Ok(flag) => Ok(flag.is_true()),
            Err(_) => Err(PyTypeError::new_err(format!(
                "{what} must be a bool, got {}. Write True or False.",
                type_name(value)
            ))),
        },
    }
}

/// A page size: at least one.
pub(super) fn page_size(given: &Given<'_>, default: usize) -> PyResult<usize> {
    let Given::Value(value) = given else {
        return Ok(default);
    };
    let is_bool = value.is_instance_of::<PyBool>();
    if is_bool || !value.is_instance_of::<pyo3::types::PyInt>() {
        let advice = if value.is_none() {
            " Leave it out for the default."
        } else if value.cast::<PyString>().is_ok_and(is_number) {
            " Write int(page_size)."
        } else if value.is_instance_of::<PyString>() {
            " A bucket is passed by name: bucket=\"...\"."
        } else {
            ""
        };
        return Err(PyTypeError::new_err(format!(
            "page_size must be an int of at least 1, got {}.{advice}",
            type_name(value)
        )));
    }
    if value.lt(1)? {
        return Err(PyValueError::new_err(format!(
            "page_size must be at least 1, got {value}."
        )));
    }
    // More than can be counted is all there is.
    Ok(value.extract::<u32>().unwrap_or(u32::MAX) as usize)
}

thread_local! {
    /// Where a message is put together before its one allocation; kept, so that it is none itself.
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}
/// A scratch that one large value has made larger than this is not kept.
const SCRATCH_KEPT: usize = 64 * 1024;

/// A message of a key and a value: `str` or `dict`.
pub(super) fn message(
    bucket: &str,
    key_given: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<Message> {
    let key = key(key_given)?;
    // Taken, not borrowed: `json.dumps` may run code of the user's, and that may store something.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    if !bucket.is_empty() {
        scratch.push_str(bucket);
        scratch.push(':');
    }
    scratch.push_str(key);
    let key_len = scratch.len();
    push_value(value, &mut scratch)?;
    let message = Message::from_parts(&scratch, key_len);
    if scratch.capacity() <= SCRATCH_KEPT {
        SCRATCH.set(scratch);
    }
    Ok(message)
}

fn push_value(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    if let Ok(dict) = value.cast::<PyDict>() {
        return json::encode(dict, out);
    }
    if value.is_instance_of::<PyString>() {
        out.push_str(text("value", value, |_| "")?);
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "Expected str or dict, got {}.",
        type_name(value)
    )))
}

/// The messages of a mapping or an iterable of pairs. Nothing is written before all are in order.
pub(super) fn messages(bucket: &str, items: &Bound<'_, PyAny>) -> PyResult<Vec<Message>> {
    let mut messages = Vec::new();
    for (at, pair) in pairs(items)?.enumerate() {
        messages.push(message_of_pair(bucket, at, &pair?)?);
        if at % 4096 == 4095 {
            items.py().check_signals()?;
        }
    }
    Ok(messages)
}

/// The pairs of a mapping or an iterable of them.
pub(super) fn pairs<'py>(items: &Bound<'py, PyAny>) -> PyResult<Items<'py>> {
    let refused = || {
        PyTypeError::new_err(format!(
            "items must be a mapping or an iterable of (key, value) pairs, got {}. Pass {PAIRS}.",
            type_name(items)
        ))
    };
    if items.is_instance_of::<PyString>() || is_bytes(items) {
        return Err(refused());
    }
    let pairs = if items.is_mapping()? {
        items.run_method("items", ())?
    } else {
        items.clone()
    };
    pairs.items().map_err(|_| refused())
}

/// The two ways to write several messages.
const PAIRS: &str = "{key: value, ...} or [(key, value), ...]";

/// The message of one of several pairs.
pub(super) fn message_of_pair(
    bucket: &str,
    at: usize,
    pair: &Bound<'_, PyAny>,
) -> PyResult<Message> {
    let Some((key, value)) = split(pair)? else {
        return Err(PyTypeError::new_err(format!(
            "items[{at}] must be a (key, value) pair, got {}. Pass {PAIRS}. Nothing was written.",
            kind_of(pair)
        )));
    };
    let message = message(bucket, &key, &value);
    message.map_err(|error| about_item(pair, at, &key, &error))
}

/// The type, and how many items a tuple or a list has, since that is what is wrong with it.
fn kind_of(pair: &Bound<'_, PyAny>) -> String {
    let name = type_name(pair);
    let len = match (pair.cast::<PyTuple>(), pair.cast::<PyList>()) {
        (Ok(tuple), _) => tuple.len(),
        (_, Ok(list)) => list.len(),
        _ => return name,
    };
    format!("{name} of length {len}")
}

/// The two halves of a pair: a tuple, a list, or whatever else unpacks into two, a `str` apart.
fn split<'py>(
    pair: &Bound<'py, PyAny>,
) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    if let Ok(halves) = pair.extract() {
        return Ok(Some(halves));
    }
    // These come apart too, but not into a key and its value.
    let is_no_pair = pair.is_instance_of::<PyString>()
        || pair.is_mapping()?
        || pair.is_instance_of::<PySet>()
        || pair.is_instance_of::<PyFrozenSet>();
    if is_no_pair {
        return Ok(None);
    }
    let Ok(halves) = pair.items() else {
        return Ok(None);
    };
    let mut halves = halves.take(3).collect::<PyResult<Vec<_>>>()?.into_iter();
    Ok(match (halves.next(), halves.next(), halves.next()) {
        (Some(key), Some(value), None) => Some((key, value)),
        _ => None,
    })
}

/// The same error, with the item it is about.
fn about_item(pair: &Bound<'_, PyAny>, at: usize, key: &Bound<'_, PyAny>, error: &PyErr) -> PyErr {
    let py = pair.py();
    let shown = match key.cast::<PyString>().map(|key| key.to_str().map(quote)) {
        Ok(Ok(shown)) => format!(" (key {shown})"),
        _ => String::new(),
    };
    let note = format!("items[{at}]{shown}: nothing was written.");
    let value = error.value(py);
    // Our own errors say it themselves; those of `json.dumps` stay as they are, with a note.
    if error.get_type(py).is(py.get_type::<PyTypeError>()) && is_ours(value) {
        return PyTypeError::new_err(format!("items[{at}]{shown}: {value} Nothing was written."));
    }
    if error.get_type(py).is(py.get_type::<PyValueError>()) && is_ours(value) {
        return PyValueError::new_err(format!("items[{at}]{shown}: {value} Nothing was written."));
    }
    // An exception without notes (none of CPython's) is raised as it is.
    let _ = value.run_method("add_note", (note,));
    error.clone_ref(py)
}

fn is_ours(value: &Bound<'_, pyo3::exceptions::PyBaseException>) -> bool {
    let text = value.to_string();
    ["key ", "value ", "bucket ", "Expected str or dict"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// The stored keys of an iterable.
pub(super) fn keys(bucket: &str, keys: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let items = key_items(keys)?.enumerate();
    items
        .map(|(at, item)| key_of_item(bucket, at, &item?))
        .collect()
}

/// The items of an iterable of keys.
pub(super) fn key_items<'py>(keys: &Bound<'py, PyAny>) -> PyResult<Items<'py>> {
    let refused = || {
        PyTypeError::new_err(format!(
            "keys must be an iterable of str, got {}. Pass a list: [key, ...].",
            type_name(keys)
        ))
    };
    // These are iterables too, of letters and of numbers.
    if keys.is_instance_of::<PyString>() || is_bytes(keys) {
        return Err(refused());
    }
    keys.items().map_err(|_| refused())
}

/// The stored key of one of several.
pub(super) fn key_of_item(bucket: &str, at: usize, item: &Bound<'_, PyAny>) -> PyResult<String> {
    let key = key(item).map_err(|error| {
        let py = item.py();
        let text = format!("keys[{at}]: {}", error.value(py));
        if error.is_instance_of::<PyTypeError>(py) {
            PyTypeError::new_err(text)
        } else {
            PyValueError::new_err(text)
        }
    })?;
    Ok(crate::message::stored_key(bucket, key))
}
