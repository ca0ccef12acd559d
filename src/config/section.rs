//! Reading one object of the configuration: every problem is named by its path, none stops the reading.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::tree::Tree;

/// No wait in this library is longer than a year: what is larger is a mistake, and would overflow clocks.
const LONGEST_WAIT: f64 = 366.0 * 24.0 * 3600.0;

/// Keys that are looked for at the top, and where they belong.
const NESTED: [(&str, &str); 9] = [
    ("filepath", "local.filepath"),
    ("path", "local.filepath"),
    ("synchronous", "local.synchronous"),
    ("busy_timeout", "local.busy_timeout"),
    ("queue", "queue_batch"),
    ("size", "queue_batch.size"),
    ("timeout", "queue_batch.timeout"),
    ("retry", "queue_batch.retry"),
    ("table_name", "dynamodb.table_name"),
];

/// One object of the configuration while it is read.
pub(super) struct Section<'a> {
    path: &'static str,
    entries: Vec<(String, Tree)>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    /// Takes `tree` for the object at `path` (empty: the whole configuration).
    pub(super) fn new(path: &'static str, tree: Tree, problems: &'a mut Vec<String>) -> Self {
        let entries = match tree {
            Tree::Map(entries) => entries,
            other => {
                let name = if path.is_empty() {
                    "the configuration"
                } else {
                    path
                };
                problems.push(format!(
                    "{name}: expected an object, got {}.",
                    other.type_name()
                ));
                Vec::new()
            }
        };
        let mut seen = HashSet::new();
        for (key, _) in &entries {
            if !seen.insert(key.as_str()) {
                problems.push(format!("{}: given twice. Keep one.", join(path, key)));
            }
        }
        Self {
            path,
            entries,
            known: Vec::new(),
            problems,
        }
    }

    /// Names a problem of `key`.
    pub(super) fn problem(&mut self, key: &str, text: &str) {
        self.problems
            .push(format!("{}: {text}", join(self.path, key)));
    }

    /// The value of `key` with `${NAME}` resolved; `None` when it is absent (or unreadable, and named).
    pub(super) fn take(&mut self, key: &'static str) -> Option<Given> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, tree) = self.entries.swap_remove(at);
        self.resolve(key, tree)
    }

    fn resolve(&mut self, key: &str, tree: Tree) -> Option<Given> {
        let Tree::Text(text) = &tree else {
            return Some(Given {
                tree,
                variable: None,
            });
        };
        let Some(name) = variable_name(text) else {
            return Some(Given {
                tree,
                variable: None,
            });
        };
        if let Ok(value) = std::env::var(name) {
            return Some(Given {
                tree: Tree::Text(value),
                variable: Some(name.to_owned()),
            });
        }
        let text = format!(
            "the environment variable {name} is not set (or is no text). Set it, or write the value itself."
        );
        self.problem(key, &text);
        None
    }

    fn mismatch<T>(&mut self, key: &str, expected: &str, given: &Given) -> Option<T> {
        let text = format!("expected {expected}, got {}.", given.describe());
        self.problem(key, &text);
        None
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let given = self.take(key)?;
        match given.tree {
            Tree::Text(text) if !text.is_empty() && !text.contains('\0') => Some(text),
            Tree::Text(_) => {
                self.problem(key, "expected a non-empty string without NUL characters.");
                None
            }
            // By its type alone: it may be a secret.
            other => {
                let text = format!("expected a string, got {}.", other.type_name());
                self.problem(key, &text);
                None
            }
        }
    }

    /// A path of a file.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// One of a few words, with what each means.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let given = self.take(key)?;
        if let Tree::Text(text) = &given.tree
            && let Some((_, meaning)) = words.iter().find(|(word, _)| word == text)
        {
            return Some(*meaning);
        }
        let list: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let expected = format!("one of {}", list.join(", "));
        self.mismatch(key, &expected, &given)
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let given = self.take(key)?;
        match given.parsed() {
            Tree::Bool(value) => Some(value),
            _ => self.mismatch(key, "true or false", &given),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(&mut self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let given = self.take(key)?;
        let value = match given.parsed() {
            Tree::Int(value) => u64::try_from(value).ok(),
            _ => None,
        };
        match value {
            Some(value) if (least..=most).contains(&value) => Some(value),
            _ => {
                let expected = format!("an integer from {least} to {most}");
                self.mismatch(key, &expected, &given)
            }
        }
    }

    /// Seconds, zero allowed or not.
    pub(super) fn seconds(&mut self, key: &'static str, zero: bool) -> Option<Duration> {
        let given = self.take(key)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "far above the longest wait anyway"
        )]
        let value = match given.parsed() {
            Tree::Int(value) => value as f64,
            Tree::Float(value) => value,
            _ => f64::NAN,
        };
        let least_holds = if zero { value >= 0.0 } else { value > 0.0 };
        if least_holds && value <= LONGEST_WAIT {
            return Some(Duration::from_secs_f64(value));
        }
        let expected = if zero {
            "seconds, a number from 0 to 31622400"
        } else {
            "seconds, a number above 0 and at most 31622400"
        };
        self.mismatch(key, expected, &given)
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let given = self.take(key)?;
        let Tree::List(items) = given.tree else {
            return self.mismatch(key, "a list of strings", &given);
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let given = self.resolve(key, item)?;
            match given.tree {
                Tree::Text(text) => texts.push(text),
                _ => return self.mismatch(key, "a list of strings", &given),
            }
        }
        Some(texts)
    }

    /// Whether `key` is given, rightly or not.
    pub(super) fn gives(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// How many problems have been named so far, in all sections.
    pub(super) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// A file, read at once, so that a wrong path is named when the configuration is.
    pub(super) fn file(&mut self, key: &'static str) -> FileContent {
        let known = self.problems.len();
        let Some(path) = self.path(key) else {
            return if self.problems.len() == known {
                FileContent::Absent
            } else {
                FileContent::Unreadable
            };
        };
        let text = path.to_string_lossy();
        if text.contains('\n') || text.starts_with("-----BEGIN") {
            self.problem(key, "expected the path of a file, got the content of one.");
            return FileContent::Unreadable;
        }
        match std::fs::read(&path) {
            Ok(bytes) => FileContent::Read(bytes),
            Err(error) => {
                let text = format!("cannot read {}: {error}. Check the path.", path.display());
                self.problem(key, &text);
                FileContent::Unreadable
            }
        }
    }

    /// Names what is left over, with the nearest key that exists.
    pub(super) fn finish(self) {
        for (key, _) in &self.entries {
            let path = join(self.path, key);
            let nearest = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(key, known), *known))
                .filter(|(distance, known)| *distance <= known.len().max(key.len()) / 2)
                .min();
            let elsewhere = NESTED
                .iter()
                .find(|(name, path)| self.path.is_empty() && name == key && *path != key);
            let advice = match nearest {
                _ if elsewhere.is_some() => {
                    let path = elsewhere.map_or("", |(_, path)| path);
                    format!("Did you mean '{path}'?")
                }
                // A key given twice has been named already.
                Some((0, _)) => continue,
                Some((_, known)) => format!("Did you mean '{}'?", join(self.path, known)),
                None => format!("Known here: {}.", self.known.join(", ")),
            };
            self.problems.push(format!("{path}: unknown key. {advice}"));
        }
    }
}

/// A value as given, and the environment variable it came from.
pub(super) struct Given {
    pub(super) tree: Tree,
    variable: Option<String>,
}

impl Given {
    /// The value; text of an environment variable is read as the boolean or number it spells.
    fn parsed(&self) -> Tree {
        if let (Some(_), Tree::Text(text)) = (&self.variable, &self.tree)
            && let Ok(tree) = serde_json::from_str::<Tree>(text)
        {
            return tree;
        }
        self.tree.clone()
    }

    /// For an error: a number as it is, text by its type alone, since it may be a secret.
    fn describe(&self) -> String {
        if let Some(name) = &self.variable {
            return format!("the text of the environment variable {name}");
        }
        match &self.tree {
            Tree::Int(value) => value.to_string(),
            Tree::Float(value) => format!("{value:?}"),
            Tree::Bool(value) => value.to_string(),
            other => other.type_name(),
        }
    }
}

/// A file that the configuration may name.
pub(super) enum FileContent {
    Absent,
    /// Named, with a problem that has been reported.
    Unreadable,
    Read(Vec<u8>),
}

impl FileContent {
    pub(super) fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Read(bytes) => Some(bytes),
            Self::Absent | Self::Unreadable => None,
        }
    }

    pub(super) fn read(self) -> Option<Vec<u8>> {
        match self {
            Self::Read(bytes) => Some(bytes),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}

/// The NAME of a text that is `${NAME}` as a whole.
fn variable_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then_some(name)
}
