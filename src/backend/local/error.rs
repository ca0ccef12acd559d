//! What `SQLite` and the file system say, as our errors: what it means, and whether to try again.

use std::fmt::Display;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, Kind};
use crate::message::BackendName;

/// What to do about a file that may not be written.
pub(super) const READ_ONLY: &str =
    "the file or its folder is read-only. Change its permissions, or local.filepath.";

/// An error of the local backend about `path`.
pub(super) fn local(kind: Kind, retryable: bool, path: &Path, text: impl Display) -> Error {
    Error::backend(
        kind,
        BackendName::Local,
        retryable,
        format!("{}: {text}", path.display()),
    )
}

/// The file or its folder cannot be used as the system is now.
pub(super) fn io(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    local(
        Kind::Backend,
        true,
        path,
        format!("{doing} failed: {error}. Check the path, its permissions and the free space."),
    )
}

/// Another process held its lock for longer than `busy_timeout`.
pub(super) fn busy(path: &Path, waited: std::time::Duration) -> Error {
    local(
        Kind::Timeout,
        true,
        path,
        format!(
            "another process (or another DB of this one) kept the file locked for longer than {:.1} s. \
             Nothing was written. Try again, shorten the other's transactions, or raise local.busy_timeout.",
            waited.as_secs_f64()
        ),
    )
}

/// Whether the library only asks to wait for another connection.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Whether the connection may go on after this error; if not, it is closed and opened anew.
pub(super) fn is_harmless(error: &rusqlite::Error) -> bool {
    is_busy(error)
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::DiskFull)
        )
}

/// Any error of the library while `doing` something.
pub(super) fn sqlite(path: &Path, doing: &str, error: &rusqlite::Error) -> Error {
    let (kind, retryable, advice) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Timeout,
            true,
            "Another process holds the lock; try again.",
        ),
        Some(ErrorCode::DiskFull) => (Kind::Backend, true, "Free space and try again."),
        Some(ErrorCode::SystemIoFailure) => (
            Kind::Backend,
            true,
            "Check the disk and its free space, then try again.",
        ),
        Some(ErrorCode::OutOfMemory) => (Kind::Backend, true, "Free memory and try again."),
        Some(ErrorCode::CannotOpen) => (
            Kind::Backend,
            true,
            "Check that the folder exists and may be written.",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (Kind::Backend, false, READ_ONLY)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            Kind::Corrupt,
            false,
            "Restore the file from a backup, or salvage it with `sqlite3 FILE .recover`.",
        ),
        Some(ErrorCode::TooBig) => (Kind::Limit, false, "Split the value."),
        Some(ErrorCode::ConstraintViolation) => (
            Kind::Backend,
            false,
            "A constraint or trigger of the file's own refused it.",
        ),
        _ => (
            Kind::Backend,
            false,
            "See the SQLite documentation of this error.",
        ),
    };
    local(
        kind,
        retryable,
        path,
        format!("{doing} failed: {error}. {advice}"),
    )
}
