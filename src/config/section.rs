//! Reading one object of the configuration: every problem is named by its path, none stops the reading.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::advice::{advice, example, nearest_word};
use super::given::{FileContent, Given, MOST_BITS, leave_out, octal_text, variable_name};
use super::kinds::{
    Boolean, File, Integer, Key, LONGEST_WAIT, Object, Permissions, Rule, Seconds, Text, Texts,
    Word,
};
use super::tree::Tree;

/// One object of the configuration while it is read.
pub(super) struct Section<'a> {
    path: &'static str,
    is_object: bool,
    entries: Vec<(String, Tree)>,
    given: HashSet<String>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    /// Takes `tree` for the object at `path` (empty: the whole configuration).
    pub(super) fn new(path: &'static str, tree: Tree, problems: &'a mut Vec<String>) -> Self {
        let is_object = matches!(tree, Tree::Map(_));
        let entries = match tree {
            Tree::Map(entries) => entries,
            other => {
                let name = if path.is_empty() {
                    "the configuration"
                } else {
                    path
                };
                let got = other.type_name();
                let written = example(path);
                let or = match other {
                    _ if path.is_empty() => ", or {} for the defaults",
                    Tree::Null => ", or leave it out",
                    _ => "",
                };
                problems.push(format!(
                    "{name}: expected an object, got {got}. Write {written}{or}."
                ));
                Vec::new()
            }
        };
        let mut given = HashSet::new();
        for (key, _) in &entries {
            if !given.insert(key.clone()) {
                problems.push(format!("{}: given twice. Keep one.", join(path, key)));
            }
        }
        Self {
            path,
            is_object,
            entries,
            given,
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
    fn take(&mut self, key: &'static str) -> Option<Given> {
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
        self.mismatch_with(key, expected, given, leave_out(&given.tree))
    }

    /// As [`Self::mismatch`], with what to do about it.
    fn mismatch_with<T>(
        &mut self,
        key: &str,
        expected: &str,
        given: &Given,
        advice: &str,
    ) -> Option<T> {
        let text = format!("expected {expected}, got {}.{advice}", given.describe());
        self.problem(key, &text);
        None
    }

    /// An object with keys of its own, still unread.
    pub(super) fn object(&mut self, key: &Key<Object>) -> Option<Tree> {
        self.take(key.name).map(|given| given.tree)
    }

    /// A string.
    pub(super) fn text(&mut self, key: &Key<Text>) -> Option<String> {
        self.any_text(key.name)
    }

    fn any_text(&mut self, key: &'static str) -> Option<String> {
        let given = self.take(key)?;
        match given.tree {
            Tree::Text(text) if !text.is_empty() && !text.contains('\0') => Some(text),
            Tree::Text(_) => {
                self.problem(key, "expected a non-empty string without NUL characters.");
                None
            }
            // By its type alone: it may be a secret.
            other => {
                let got = other.type_name();
                let advice = leave_out(&other);
                self.problem(key, &format!("expected a string, got {got}.{advice}"));
                None
            }
        }
    }

    /// A path of a file.
    pub(super) fn path(&mut self, key: &Key<Text>) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// Permission bits.
    pub(super) fn permissions(&mut self, key: &Key<Permissions>) -> Option<u32> {
        const EXPECTED: &str = "permission bits as octal text, such as \"0600\"";
        let given = self.take(key.name)?;
        let text = match &given.tree {
            Tree::Text(text) => text,
            Tree::Int(number) => {
                let advice = octal_text(*number);
                return self.mismatch_with(key.name, EXPECTED, &given, &advice);
            }
            _ => return self.mismatch(key.name, EXPECTED, &given),
        };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if bits <= MOST_BITS && !digits.starts_with('+') => Some(bits),
            _ => {
                self.problem(key.name, &format!("expected {EXPECTED}."));
                None
            }
        }
    }

    /// One of a few words: what it means.
    pub(super) fn word<T: Copy>(&mut self, key: &Key<Word<T>>) -> Option<T> {
        let given = self.take(key.name)?;
        let words = key.kind.words;
        let mut advice = leave_out(&given.tree).to_owned();
        if let Tree::Text(text) = &given.tree {
            if let Some((_, meaning)) = words.iter().find(|(word, _)| word == text) {
                return Some(*meaning);
            }
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            if let Some(word) = nearest_word(text, &words) {
                advice = format!(" Did you mean \"{word}\"?");
            }
        }
        let list: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let expected = format!("one of {}", list.join(", "));
        self.mismatch_with(key.name, &expected, &given, &advice)
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, key: &Key<Boolean>) -> Option<bool> {
        let given = self.take(key.name)?;
        if let Tree::Bool(value) = given.parsed() {
            return Some(value);
        }
        self.mismatch_with(key.name, "true or false", &given, given.unquote())
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: &Key<Integer>) -> Option<u64> {
        let given = self.take(key.name)?;
        let (least, most) = (key.kind.least, key.kind.most);
        let value = match given.parsed() {
            Tree::Int(value) => u64::try_from(value).ok(),
            _ => None,
        };
        match value {
            Some(value) if (least..=most).contains(&value) => Some(value),
            _ => {
                let expected = format!("an integer from {least} to {most}");
                self.mismatch_with(key.name, &expected, &given, given.unquote())
            }
        }
    }

    /// Seconds.
    pub(super) fn seconds(&mut self, key: &Key<Seconds>) -> Option<Duration> {
        let given = self.take(key.name)?;
        let zero = key.kind.zero;
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
            format!("seconds, a number from 0 to {LONGEST_WAIT}")
        } else {
            format!("seconds, a number above 0 and at most {LONGEST_WAIT}")
        };
        self.mismatch_with(key.name, &expected, &given, given.unquote())
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, key: &Key<Texts>) -> Option<Vec<String>> {
        let key = key.name;
        let given = self.take(key)?;
        let Tree::List(items) = given.tree else {
            let advice = match given.tree {
                Tree::Text(_) => " Put it into brackets: [\"host:port\"].",
                _ => leave_out(&given.tree),
            };
            return self.mismatch_with(key, "a list of strings", &given, advice);
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

    /// Names what goes against `rule`. A key counts as given, rightly or not.
    pub(super) fn check(&mut self, rule: &Rule) {
        let has = |key: &str| self.given.contains(key);
        match rule {
            Rule::Together { keys, why } => {
                let (given, missing) = match keys.map(has) {
                    [true, false] => (keys[0], keys[1]),
                    [false, true] => (keys[1], keys[0]),
                    _ => return,
                };
                let text = format!("required, since '{given}' is given. {why}");
                self.problem(missing, &text);
            }
            Rule::Needs {
                key,
                other,
                problem,
            } => {
                if has(key) && !has(other) {
                    self.problem(key, problem);
                }
            }
            Rule::Instead {
                key,
                others,
                problem,
            } => {
                if has(key) && others.iter().any(|other| has(other)) {
                    self.problem(key, problem);
                }
            }
        }
    }

    /// Whether it is one at all; if not, that has been named.
    pub(super) fn is_object(&self) -> bool {
        self.is_object
    }

    /// How many problems have been named so far, in all sections.
    pub(super) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// A file, read at once, so that a wrong path is named when the configuration is.
    pub(super) fn file(&mut self, key: &Key<File>) -> FileContent {
        let key = key.name;
        let known = self.problems.len();
        let Some(path) = self.any_text(key).map(PathBuf::from) else {
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

    /// Names what is left over, with what was meant.
    pub(super) fn finish(self) {
        for (key, _) in &self.entries {
            // A key given twice has been named already.
            if self.known.contains(&&**key) {
                continue;
            }
            let path = join(self.path, key);
            let advice = advice(self.path, key)
                .unwrap_or_else(|| format!("Known here: {}.", self.known.join(", ")));
            self.problems.push(format!("{path}: unknown key. {advice}"));
        }
    }
}

/// The path of a key in a section; empty is the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}
