//! Calls into Python code, from which a thread may not come back.
//!
//! When the program ends, the interpreter until Python 3.13 ends every other thread with `pthread_exit` as soon
//! as it stands in Python code. That unwinds the thread's stack, and no frame of Rust may be unwound so: the
//! process would abort. Here the thread is stopped instead, where it stands and for the short time that is
//! left, as Python 3.14 does itself. So whatever may run Python code is called through this file: functions,
//! iterators, attributes, `str`, and `isinstance` of an abstract class. Destructors are not: a `__del__` that is
//! still running then aborts the process.

use std::{hint, mem, thread};

use pyo3::BoundObject;
use pyo3::exceptions::PyAttributeError;
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::gate;

/// Dropped only by unwinding, which it stops.
struct Stay;

impl Drop for Stay {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

/// Functions of the C interface that a thread may be unwound out of.
macro_rules! guarded {
    ($($name:ident($($argument:ident),*) -> $result:ty;)*) => {$(
        #[expect(non_snake_case, reason = "the name of what it calls")]
        unsafe fn $name($($argument: *mut PyObject),*) -> $result {
            type Declared = unsafe extern "C" fn($(guarded!(@pointer $argument)),*) -> $result;
            type Unwinding = unsafe extern "C-unwind" fn($(guarded!(@pointer $argument)),*) -> $result;
            // The detour hides from the compiler that it knows this function as one that never unwinds.
            let declared = hint::black_box(ffi::$name as Declared);
            // SAFETY: the two types differ only in whether unwinding is expected.
            let function = unsafe { mem::transmute::<Declared, Unwinding>(declared) };
            let stay = Stay;
            // SAFETY: the caller keeps what the function asks for.
            let result = unsafe { function($($argument),*) };
            mem::forget(stay);
            result
        }
    )*};
    (@pointer $argument:ident) => { *mut PyObject };
}

guarded! {
    PyErr_WriteUnraisable(object) -> ();
    PyImport_Import(name) -> *mut PyObject;
    PyIter_Next(iterator) -> *mut PyObject;
    PyObject_Call(callable, arguments, keywords) -> *mut PyObject;
    PyObject_GetAttr(object, name) -> *mut PyObject;
    PyObject_GetIter(object) -> *mut PyObject;
    PyObject_IsInstance(object, class) -> std::ffi::c_int;
    PyObject_Repr(object) -> *mut PyObject;
    PyObject_Str(object) -> *mut PyObject;
}

/// What `function` returned, owned; `NULL` is a raised exception.
///
/// # Safety
/// `result` is a new reference, or `NULL` with an exception set.
unsafe fn owned(py: Python<'_>, result: *mut PyObject) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as the caller says.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

/// Imports a module, whose code may run. Nobody forks meanwhile: a child would wait for ever for a module that another
/// thread of its parent was importing.
pub(super) fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let name = PyString::new(py, name);
    // SAFETY: attached, and the name is alive; the result is a new reference or NULL with an exception.
    gate::within(py, || unsafe { owned(py, PyImport_Import(name.as_ptr())) })
}

/// Hands an exception that has nowhere to go to `sys.unraisablehook`.
pub(super) fn unraisable(py: Python<'_>, error: PyErr) {
    error.restore(py);
    // SAFETY: attached, with an exception set; no object goes with it.
    unsafe { PyErr_WriteUnraisable(std::ptr::null_mut()) }
}

/// An attribute of a module, looked up once. Whoever looks it up holds no lock meanwhile: a child forked then would wait
/// for ever for a look-up that its parent had begun.
pub(super) fn imported<'a>(
    py: Python<'a>,
    known: &'a PyOnceLock<Py<PyAny>>,
    module: &str,
    name: &str,
) -> PyResult<&'a Bound<'a, PyAny>> {
    let look = || {
        // A module with a dot in its name is imported as its first part.
        import(py, module)?;
        let modules = import(py, "sys")?.attribute("modules")?;
        modules.get_item(module)?.attribute(name).map(Bound::unbind)
    };
    if known.get(py).is_none() {
        // Another may have been faster, with the same.
        let _ = known.set(py, look()?);
    }
    let found = known.get(py).map(|known| known.bind(py));
    found.ok_or_else(|| PyAttributeError::new_err(format!("{module}.{name}")))
}

/// What may run Python code, on any object.
pub(super) trait Calls<'py> {
    /// `self(*arguments)`
    fn run<A: IntoPyObject<'py, Target = PyTuple>>(
        &self,
        arguments: A,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// `self(*arguments, **keywords)`
    fn run_with<A: IntoPyObject<'py, Target = PyTuple>>(
        &self,
        arguments: A,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// `self.name(*arguments)`
    fn run_method<A: IntoPyObject<'py, Target = PyTuple>>(
        &self,
        name: &str,
        arguments: A,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// `self.name`
    fn attribute(&self, name: &str) -> PyResult<Bound<'py, PyAny>>;

    /// `self.name`, where there is one.
    fn some_attribute(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>>;

    /// `str(self)`, or what it raises
    fn shown(&self) -> PyResult<String>;

    /// `repr(self)`
    fn represented(&self) -> PyResult<String>;

    /// `iter(self)`
    fn items(&self) -> PyResult<Items<'py>>;

    /// Whether it is a `collections.abc.Mapping`.
    fn is_mapping(&self) -> PyResult<bool>;
}

impl<'py> Calls<'py> for Bound<'py, PyAny> {
    fn run<A: IntoPyObject<'py, Target = PyTuple>>(
        &self,
        arguments: A,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run_with(arguments, None)
    }

    fn run_with<A: IntoPyObject<'py, Target = PyTuple>>(
        &self,
        arguments: A,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let arguments = arguments
            .into_pyobject(py)
            .map_err(Into::into)?
            .into_bound();
        let keywords = keywords.map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: attached; a tuple, and a dict or NULL; the result is a new reference or NULL with an exception.
        unsafe {
            owned(
                py,
                PyObject_Call(self.as_ptr(), arguments.as_ptr(), keywords),
            )
        }
    }

    fn run_method<A: IntoPyObject<'py, Target = PyTuple>>(
        &self,
        name: &str,
        arguments: A,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.attribute(name)?.run(arguments)
    }

    fn attribute(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let name = PyString::new(self.py(), name);
        // SAFETY: attached; the result is a new reference or NULL with an exception.
        unsafe { owned(self.py(), PyObject_GetAttr(self.as_ptr(), name.as_ptr())) }
    }

    fn some_attribute(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.attribute(name) {
            Err(error) if error.is_instance_of::<PyAttributeError>(self.py()) => Ok(None),
            other => other.map(Some),
        }
    }

    fn shown(&self) -> PyResult<String> {
        // SAFETY: attached; the result is a new reference or NULL with an exception.
        let text = unsafe { owned(self.py(), PyObject_Str(self.as_ptr())) }?;
        Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
    }

    fn represented(&self) -> PyResult<String> {
        // SAFETY: attached; the result is a new reference or NULL with an exception.
        let text = unsafe { owned(self.py(), PyObject_Repr(self.as_ptr())) }?;
        Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
    }

    fn items(&self) -> PyResult<Items<'py>> {
        // SAFETY: attached; the result is a new reference or NULL with an exception.
        unsafe { owned(self.py(), PyObject_GetIter(self.as_ptr())) }.map(Items)
    }

    fn is_mapping(&self) -> PyResult<bool> {
        static MAPPING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if self.is_instance_of::<PyDict>() {
            return Ok(true);
        }
        let mapping = imported(self.py(), &MAPPING, "collections.abc", "Mapping")?;
        // SAFETY: attached; -1 comes with an exception.
        match unsafe { PyObject_IsInstance(self.as_ptr(), mapping.as_ptr()) } {
            -1 => Err(PyErr::fetch(self.py())),
            answer => Ok(answer == 1),
        }
    }
}

/// The items of an iterable, one after the other.
pub(super) struct Items<'py>(pub(super) Bound<'py, PyAny>);

impl<'py> Iterator for Items<'py> {
    type Item = PyResult<Bound<'py, PyAny>>;

    fn next(&mut self) -> Option<Self::Item> {
        let py = self.0.py();
        // SAFETY: attached, and an iterator; the result is a new reference, or NULL at the end or with an exception.
        let item = unsafe { Bound::from_owned_ptr_or_opt(py, PyIter_Next(self.0.as_ptr())) };
        match item {
            Some(item) => Some(Ok(item)),
            None => PyErr::take(py).map(Err),
        }
    }
}
