//! What a key of the configuration can be. The reader asks by it, and the schema shows it.

use std::time::Duration;

/// No wait in this library is longer than a year: what is larger is a mistake, and would overflow clocks.
pub(super) const LONGEST_WAIT: f64 = 366.0 * 24.0 * 3600.0;

/// One key, and all that is said of it.
pub(super) struct Key<K> {
    pub(super) name: &'static str,
    /// One sentence for people.
    pub(super) about: &'static str,
    pub(super) kind: K,
}

/// `true` or `false`.
pub(super) struct Boolean {
    pub(super) default: bool,
}

/// A whole number.
pub(super) struct Integer {
    pub(super) least: u64,
    pub(super) most: u64,
    pub(super) default: u64,
}

/// Seconds, whole or not.
pub(super) struct Seconds {
    /// Whether zero is allowed.
    pub(super) zero: bool,
    pub(super) default: Duration,
}

/// One of a few words, with what each means.
pub(super) struct Word<T: 'static> {
    pub(super) words: &'static [(&'static str, T)],
    pub(super) default: T,
}

/// A string that is not empty.
pub(super) struct Text {
    pub(super) default: Option<&'static str>,
    pub(super) required: bool,
    /// A regular expression for editors; the reader looks closer.
    pub(super) pattern: Option<&'static str>,
}

impl Text {
    /// What most are: left out, nothing takes its place.
    pub(super) const OPTIONAL: Self = Self {
        default: None,
        required: false,
        pattern: None,
    };
}

impl Key<Text> {
    /// What a missing value is read as; empty where nothing takes its place.
    pub(super) fn default(&self) -> &'static str {
        self.kind.default.unwrap_or_default()
    }
}

/// The path of a file that is read together with the configuration.
pub(super) struct File;

/// Permission bits, as octal text.
pub(super) struct Permissions {
    pub(super) default: u32,
}

/// A list of strings.
pub(super) struct Texts {
    /// Of each of them; see [`Text`].
    pub(super) pattern: &'static str,
}

/// An object with keys of its own.
pub(super) struct Object {
    /// In the order in which the reader asks for them.
    pub(super) keys: &'static [&'static dyn super::schema::Property],
    pub(super) rules: &'static [&'static Rule],
}

/// What the keys of one object say of each other.
pub(super) enum Rule {
    /// Both or none.
    Together {
        keys: [&'static str; 2],
        why: &'static str,
    },
    /// The first only beside the second.
    Needs {
        key: &'static str,
        other: &'static str,
        problem: &'static str,
    },
    /// The first never beside one of the others.
    Instead {
        key: &'static str,
        others: &'static [&'static str],
        problem: &'static str,
    },
}
