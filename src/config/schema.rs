//! The JSON Schema of the configuration file, made of the keys themselves: editors complete and check by it.
//!
//! It refuses nothing that the reader takes. The reader refuses more: a file that is missing, a port that no
//! server can have, keys that contradict each other, a key that is given twice.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::keys;
use super::kinds::{
    Boolean, File, Integer, Key, LONGEST_WAIT, Object, Permissions, Rule, Seconds, Text, Texts,
    Word,
};

/// The schema, as JSON text.
pub fn schema() -> String {
    let mut schema = object(&keys::ROOT);
    let about =
        "The configuration of TetherDB, a key-value store. docs/configuration.md says more.";
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("TetherDB configuration");
    schema["description"] = json!(about);
    schema["$defs"] = json!({"variable": {
        "type": "string",
        "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$",
        "description": "\"${NAME}\" becomes the value of the environment variable NAME.",
    }});
    format!("{schema:#}\n")
}

/// One key, whatever its kind, as the schema sees it.
pub(super) trait Property: Sync {
    fn name(&self) -> &'static str;
    fn is_required(&self) -> bool;
    fn schema(&self) -> Value;
    /// Those of a section.
    fn keys(&self) -> &'static [&'static dyn Property];
}

impl<K: Shown + Sync> Property for Key<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_required(&self) -> bool {
        self.kind.is_required()
    }

    fn schema(&self) -> Value {
        let mut schema = self.kind.values();
        schema["description"] = json!(self.about);
        if let Some(default) = self.kind.default() {
            schema["default"] = default;
        }
        schema
    }

    fn keys(&self) -> &'static [&'static dyn Property] {
        self.kind.keys()
    }
}

/// A kind of key, as the schema sees it.
trait Shown {
    /// Which values it takes.
    fn values(&self) -> Value;

    fn default(&self) -> Option<Value> {
        None
    }

    fn is_required(&self) -> bool {
        false
    }

    fn keys(&self) -> &'static [&'static dyn Property] {
        &[]
    }
}

impl Shown for Boolean {
    fn values(&self) -> Value {
        or_variable(&json!({"type": "boolean"}))
    }

    fn default(&self) -> Option<Value> {
        Some(json!(self.default))
    }
}

impl Shown for Integer {
    fn values(&self) -> Value {
        or_variable(&json!({"type": "integer", "minimum": self.least, "maximum": self.most}))
    }

    fn default(&self) -> Option<Value> {
        Some(json!(self.default))
    }
}

impl Shown for Seconds {
    fn values(&self) -> Value {
        let least = if self.zero {
            "minimum"
        } else {
            "exclusiveMinimum"
        };
        or_variable(&json!({"type": "number", least: 0, "maximum": number(LONGEST_WAIT)}))
    }

    fn default(&self) -> Option<Value> {
        Some(seconds(self.default))
    }
}

impl<T: PartialEq> Shown for Word<T> {
    fn values(&self) -> Value {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        or_variable(&json!({"enum": words}))
    }

    fn default(&self) -> Option<Value> {
        let default = self
            .words
            .iter()
            .find(|(_, meaning)| *meaning == self.default);
        default.map(|(word, _)| json!(word))
    }
}

impl Shown for Text {
    fn values(&self) -> Value {
        match self.pattern {
            Some(pattern) => or_variable(&json!({"type": "string", "pattern": pattern})),
            // Which "${NAME}" is too.
            None => json!({"type": "string", "minLength": 1, "pattern": r"^[^\u0000]*$"}),
        }
    }

    fn default(&self) -> Option<Value> {
        self.default.map(|default| json!(default))
    }

    fn is_required(&self) -> bool {
        self.required
    }
}

impl Shown for File {
    fn values(&self) -> Value {
        // A path, and not the content of the file.
        json!({"type": "string", "minLength": 1, "pattern": r"^(?!-----BEGIN)[^\u0000\n]*$"})
    }
}

impl Shown for Permissions {
    fn values(&self) -> Value {
        or_variable(&json!({"type": "string", "pattern": "^(0o)?0*[0-7]{1,3}$"}))
    }

    fn default(&self) -> Option<Value> {
        Some(json!(format!("{:04o}", self.default)))
    }
}

impl Shown for Texts {
    fn values(&self) -> Value {
        let item = or_variable(&json!({"type": "string", "pattern": self.pattern}));
        json!({"type": "array", "items": item, "minItems": 1})
    }
}

impl Shown for Object {
    fn values(&self) -> Value {
        object(self)
    }

    fn keys(&self) -> &'static [&'static dyn Property] {
        self.keys
    }
}

fn object(object: &Object) -> Value {
    let keys = object.keys.iter();
    let properties: Map<String, Value> = keys
        .clone()
        .map(|key| (key.name().to_owned(), key.schema()))
        .collect();
    let mut schema =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    let required: Vec<&str> = keys
        .filter(|key| key.is_required())
        .map(|key| key.name())
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    for rule in object.rules {
        match rule {
            Rule::Together {
                keys: [one, other], ..
            } => {
                schema["dependentRequired"][one] = json!([other]);
                schema["dependentRequired"][other] = json!([one]);
            }
            Rule::Needs { key, other, .. } => schema["dependentRequired"][key] = json!([other]),
            Rule::Instead { key, others, .. } => {
                for other in *others {
                    schema["dependentSchemas"][key]["properties"][other] = json!(false);
                }
            }
        }
    }
    schema
}

fn or_variable(values: &Value) -> Value {
    json!({"anyOf": [values, {"$ref": "#/$defs/variable"}]})
}

fn seconds(duration: Duration) -> Value {
    number(duration.as_secs_f64())
}

/// `5`, as people write it, rather than `5.0`.
fn number(value: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number of seconds, far below the limit"
    )]
    if value.fract() == 0.0 {
        return json!(value as i64);
    }
    json!(value)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Tree};
    use super::*;

    /// What the reader knows in the section at `path`, by its own words.
    fn known(path: &[&str]) -> Vec<String> {
        let unlike = "x".repeat(60);
        let mut tree = Tree::Map(vec![(unlike, Tree::Null)]);
        for section in path.iter().rev() {
            tree = Tree::Map(vec![((*section).to_owned(), tree)]);
        }
        let text = Config::from_tree(tree).err().unwrap().to_string();
        let (_, list) = text.split_once("Known here: ").unwrap();
        let (list, _) = list.split_once(".\n").unwrap_or((list, ""));
        let list = list.strip_suffix('.').unwrap_or(list);
        list.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn the_reader_asks_for_every_key_of_the_table_and_for_no_other() {
        for (path, object) in [
            (&[][..], &keys::ROOT),
            (&["local"], &keys::LOCAL.kind),
            (&["dynamodb"], &keys::DYNAMODB.kind),
            (&["etcd"], &keys::ETCD.kind),
            (&["queue_batch"], &keys::QUEUE_BATCH.kind),
            (&["queue_batch", "retry"], &keys::queue::RETRY.kind),
        ] {
            let table: Vec<_> = object.keys.iter().map(|key| key.name()).collect();
            assert_eq!(known(path), table, "{path:?}");
        }
    }

    #[test]
    fn the_defaults_of_the_schema_are_those_of_the_reader() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let read = Config::from_tree(serde_json::from_str("{}").unwrap()).unwrap();
        let queue = &schema["properties"]["queue_batch"]["properties"];
        assert_eq!(queue["size"]["default"], json!(read.queue.size.get()));
        assert_eq!(queue["timeout"]["default"], json!(2));
        let retry = &queue["retry"]["properties"];
        assert_eq!(
            retry["initial"]["default"],
            seconds(read.queue.retry.initial)
        );
        let local = &schema["properties"]["local"]["properties"];
        assert_eq!(local["mode"]["default"], json!("0666"));
        assert_eq!(local["synchronous"]["default"], json!("full"));
        assert_eq!(local["filepath"]["default"], json!("localdb"));
    }
}
