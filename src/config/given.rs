//! What stands at a key, and what errors say of it.

use super::tree::Tree;

/// Read, write and execute, for owner, group and others.
pub(super) const MOST_BITS: u32 = 0o777;

/// A value as given, and the environment variable it came from.
pub(super) struct Given {
    pub(super) tree: Tree,
    pub(super) variable: Option<String>,
}

impl Given {
    /// The value; text of an environment variable is read as the boolean or number it spells.
    pub(super) fn parsed(&self) -> Tree {
        if let (Some(_), Tree::Text(text)) = (&self.variable, &self.tree)
            && let Ok(tree) = serde_json::from_str::<Tree>(text)
        {
            return tree;
        }
        self.tree.clone()
    }

    /// What to do about text where a number or a boolean belongs.
    pub(super) fn unquote(&self) -> &'static str {
        let Tree::Text(text) = &self.tree else {
            return leave_out(&self.tree);
        };
        match serde_json::from_str::<Tree>(&text.to_lowercase()) {
            Ok(Tree::Int(_) | Tree::Float(_)) if self.variable.is_none() => {
                " Write the number without quotes."
            }
            Ok(Tree::Bool(_)) if self.variable.is_none() => " Write it without quotes.",
            _ => "",
        }
    }

    /// For an error: a number as it is, text by its type alone, since it may be a secret.
    pub(super) fn describe(&self) -> String {
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

/// What to do about nothing as a value.
pub(super) fn leave_out(tree: &Tree) -> &'static str {
    match tree {
        Tree::Null => " Leave the key out instead.",
        _ => "",
    }
}

/// What to write for permission bits that were given as a number: Python's `0o600` is 384, and JSON has no octal
/// numbers, so that there 600 was meant as one.
pub(super) fn octal_text(number: i128) -> String {
    let decimal = number.to_string();
    match u32::try_from(number) {
        Ok(bits) if bits <= MOST_BITS => format!(" 0o{bits:o} is written \"{bits:04o}\"."),
        Ok(_) if decimal.len() == 3 && !decimal.contains(['8', '9']) => {
            format!(" Write \"0{decimal}\".")
        }
        _ => String::new(),
    }
}

/// The NAME of a text that is `${NAME}` as a whole.
pub(super) fn variable_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then_some(name)
}
