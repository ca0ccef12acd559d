//! What to say of a key that is not known: which one was meant, and where it belongs. All out of the table in
//! `keys`, but for the other names that people give to its keys.

use super::keys::{LOCAL, ROOT};
use super::schema::Property;
use super::section::join;

/// Other names: the section they are written in, the names, and what is meant.
const OTHER_NAMES: [(&str, &[&str], &str); 26] = [
    (
        "",
        &["path", "file", "filename", "database", "db"],
        "local.filepath",
    ),
    ("", &["sqlite"], "local"),
    ("", &["aws"], "dynamodb"),
    ("", &["table"], "dynamodb.table_name"),
    ("", &["level", "log_level"], "logging"),
    ("", &["verbose"], "debug"),
    ("", &["hosts", "url"], "etcd.endpoints"),
    ("", &["user"], "etcd.username"),
    ("", &["tls", "ssl"], "etcd.use_ssl"),
    (
        "local",
        &["path", "file", "filename", "database", "db", "name"],
        "local.filepath",
    ),
    ("local", &["permissions"], "local.mode"),
    ("local", &["sync"], "local.synchronous"),
    ("dynamodb", &["table", "name"], "dynamodb.table_name"),
    (
        "dynamodb",
        &["endpoint", "url", "host"],
        "dynamodb.endpoint_url",
    ),
    (
        "etcd",
        &["url", "urls", "hosts", "nodes", "servers", "members"],
        "etcd.endpoints",
    ),
    ("etcd", &["tls"], "etcd.use_ssl"),
    ("etcd", &["ca", "ca_file"], "etcd.ca_cert_file"),
    ("etcd", &["cert"], "etcd.cert_file"),
    ("etcd", &["key"], "etcd.key_file"),
    (
        "queue_batch",
        &["wal", "file", "path"],
        "queue_batch.journal",
    ),
    ("queue_batch", &["delay", "wait"], "queue_batch.timeout"),
    ("queue_batch", &["limit"], "queue_batch.max_pending"),
    ("queue_batch", &["retries"], "queue_batch.retry"),
    (
        "queue_batch",
        &["max_retries", "attempts"],
        "queue_batch.retry.give_up_after",
    ),
    (
        "queue_batch.retry",
        &["timeout", "max_retries", "attempts", "max_attempts"],
        "queue_batch.retry.give_up_after",
    ),
    (
        "queue_batch.retry",
        &["delay", "backoff"],
        "queue_batch.retry.initial",
    ),
];

/// What is no key at all, and what it is instead.
const ELSEWHERE: [(&[&str], &str); 3] = [
    (
        &["bucket", "backend", "key"],
        "It is an argument of the verbs, such as db.read_message(\"key\", bucket=..., backend=...).",
    ),
    (
        &["on_error"],
        "It is an argument of DB: DB(config, on_error=...).",
    ),
    (
        &[
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "access_key",
            "access_key_id",
            "secret_key",
            "secret_access_key",
            "session_token",
            "credentials",
        ],
        "Credentials come from the environment (AWS_ACCESS_KEY_ID and so on) or from the profile that \
         'dynamodb.profile' names.",
    ),
];

/// What is longer resembles nothing, and would take its time to be compared.
const LONGEST: usize = 100;

/// One key of the table.
struct Known {
    section: String,
    name: &'static str,
    path: String,
}

/// What to do about `key`, which the section at `section` (empty: the top) does not have. `None`: nobody knows.
pub(super) fn advice(section: &str, key: &str) -> Option<String> {
    if key.len() > LONGEST {
        return None;
    }
    let all = known("", ROOT.keys);
    let plain = plain(key);
    if let Some(path) = dotted(section, &plain, &all) {
        let written = nested(&path);
        return Some(format!("A dot leads into no section: write {written}."));
    }
    let here = |known: &&Known| known.section == section;
    let inside = |known: &&Known| known.path.starts_with(section) && !here(known);
    let outside = |known: &&Known| !here(known);
    let other_name = |known: &&Known| {
        OTHER_NAMES.iter().any(|(place, names, path)| {
            *place == section && names.contains(&&*plain) && *path == known.path
        })
    };
    let same = |known: &&Known| known.name == plain;
    let choose = |choice: &dyn Fn(&&Known) -> bool| all.iter().filter(choice).collect::<Vec<_>>();
    let ways = [
        choose(&other_name),
        nearest(&plain, choose(&here), typing_errors),
        choose(&|known| inside(known) && same(known)),
    ];
    if let Some(meant) = ways.into_iter().find(|meant| !meant.is_empty()) {
        return Some(did_you_mean(section, &meant));
    }
    if let Some((_, text)) = ELSEWHERE.iter().find(|(names, _)| names.contains(&&*plain)) {
        return Some((*text).to_owned());
    }
    let ways = [
        choose(&|known| here(known) && is_related(&plain, known.name)),
        choose(&|known| outside(known) && same(known)),
        nearest(&plain, choose(&here), |length| length / 2),
        nearest(&plain, choose(&outside), typing_errors),
        choose(&|known| outside(known) && is_related(&plain, known.name)),
    ];
    let meant = ways.into_iter().find(|meant| !meant.is_empty())?;
    Some(did_you_mean(section, &meant))
}

/// The one of `words` that was meant by `given`.
pub(super) fn nearest_word<'a>(given: &str, words: &[&'a str]) -> Option<&'a str> {
    if given.len() > LONGEST {
        return None;
    }
    let given = plain(given.trim());
    words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&given, word), *word))
        .filter(|(distance, word)| *distance <= given.len().max(word.len()) / 2)
        .min()
        .map(|(_, word)| word)
}

/// How the section at `path` (empty: the whole configuration) is written, with the first of its keys.
pub(super) fn example(path: &str) -> String {
    let section = if path.is_empty() { LOCAL.name } else { path };
    let all = known("", ROOT.keys);
    let first = all.iter().find(|known| known.section == section);
    first.map_or_else(|| "{}".to_owned(), |known| nested(&known.path))
}

/// `{"queue_batch": {"size": ...}}` of `queue_batch.size`.
fn nested(path: &str) -> String {
    path.rsplit('.').fold("...".to_owned(), |inner, name| {
        format!("{{\"{name}\": {inner}}}")
    })
}

/// Every key of the table, sections included.
fn known(section: &str, keys: &[&'static dyn Property]) -> Vec<Known> {
    let mut all = Vec::new();
    for key in keys {
        let name = key.name();
        let path = join(section, name);
        let inner = known(&path, key.keys());
        all.push(Known {
            section: section.to_owned(),
            name,
            path,
        });
        all.extend(inner);
    }
    all
}

/// As the table spells keys: in lower case, with underscores.
fn plain(key: &str) -> String {
    key.to_lowercase().replace(['-', ' '], "_")
}

/// How many letters of a key so long may be wrong.
fn typing_errors(length: usize) -> usize {
    1 + length / 6
}

/// Those at the smallest distance, if that is allowed for their length.
fn nearest<'a>(
    key: &str,
    choice: Vec<&'a Known>,
    allowed: impl Fn(usize) -> usize,
) -> Vec<&'a Known> {
    let near = choice.into_iter().filter_map(|known| {
        let distance = strsim::damerau_levenshtein(key, known.name);
        (distance <= allowed(key.len().max(known.name.len()))).then_some((distance, known))
    });
    let nearest = near.min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, known)| known).into_iter().collect()
}

/// Whether one of the two has all words of the other, or begins like it.
fn is_related(key: &str, name: &str) -> bool {
    let has_all = |one: &str, other: &str| {
        other
            .split('_')
            .all(|word| one.split('_').any(|some| some == word))
    };
    has_all(key, name) || has_all(name, key) || key.len() > 2 && name.starts_with(key)
}

/// The key that a path with dots leads to, from `section` or from the top.
fn dotted(section: &str, key: &str, all: &[Known]) -> Option<String> {
    if !key.contains('.') {
        return None;
    }
    let follow = |start: &str| {
        key.split('.').try_fold(start.to_owned(), |section, part| {
            let here = |known: &&Known| known.section == section;
            let here: Vec<&Known> = all.iter().filter(here).collect();
            let meant = nearest(part, here.clone(), typing_errors)
                .into_iter()
                .next();
            let related = |known: &&Known| is_related(part, known.name);
            let meant = meant.or_else(|| here.into_iter().find(related))?;
            Some(meant.path.clone())
        })
    };
    follow(section).or_else(|| follow(""))
}

fn did_you_mean(section: &str, meant: &[&Known]) -> String {
    let quoted: Vec<String> = meant
        .iter()
        .map(|known| format!("'{}'", known.path))
        .collect();
    let question = match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => {
            format!("Did you mean {} or {last}?", before.join(", "))
        }
        _ => format!("Did you mean {}?", quoted.concat()),
    };
    match meant {
        [one] if one.section == section => question,
        [one] if one.section.is_empty() => {
            format!("{question} It belongs at the top, in no section.")
        }
        [one] => {
            let (place, written) = (&one.section, nested(&one.path));
            format!("{question} It belongs in {place}: {written}.")
        }
        _ => question,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_name_leads_to_a_key_and_is_none_itself() {
        let all = known("", ROOT.keys);
        for (section, names, path) in OTHER_NAMES {
            assert!(all.iter().any(|known| known.path == path), "{path}");
            for name in names {
                let own = join(section, name);
                assert!(!all.iter().any(|known| known.path == own), "{own}");
            }
        }
    }

    #[test]
    fn a_key_of_the_section_is_found_by_its_words_and_its_letters() {
        for (section, key, meant) in [
            ("", "LOCAL", "'local'"),
            ("", "queueBatch", "'queue_batch'"),
            ("", "queue-batch", "'queue_batch'"),
            ("", "queue", "'queue_batch'"),
            ("", "DynamoDB", "'dynamodb'"),
            ("", "log_level", "'logging'"),
            ("local", "FilePath", "'local.filepath'"),
            ("local", "filename", "'local.filepath'"),
            ("local", "path", "'local.filepath'"),
            ("local", "timeout", "'local.busy_timeout'"),
            ("dynamodb", "table", "'dynamodb.table_name'"),
            ("dynamodb", "region_name", "'dynamodb.region'"),
            ("dynamodb", "endpoint", "'dynamodb.endpoint_url'"),
            ("etcd", "hosts", "'etcd.endpoints'"),
            ("etcd", "cert", "'etcd.cert_file'"),
            ("etcd", "ssl", "'etcd.use_ssl'"),
            ("etcd", "user", "'etcd.username'"),
            ("etcd", "ca_cert", "'etcd.ca_cert_file'"),
            ("queue_batch", "batch_size", "'queue_batch.size'"),
            ("queue_batch", "max_size", "'queue_batch.size'"),
            ("queue_batch", "timout", "'queue_batch.timeout'"),
            ("queue_batch", "retries", "'queue_batch.retry'"),
            ("queue_batch.retry", "inital", "'queue_batch.retry.initial'"),
        ] {
            let text = advice(section, key);
            let expected = format!("Did you mean {meant}?");
            assert_eq!(text.as_deref(), Some(&*expected), "{section} {key}");
        }
    }

    #[test]
    fn a_key_of_another_section_is_told_where_it_belongs() {
        let retry = "Did you mean 'queue_batch.retry.give_up_after'? It belongs in queue_batch.retry: \
                     {\"queue_batch\": {\"retry\": {\"give_up_after\": ...}}}.";
        for section in ["", "queue_batch", "etcd"] {
            assert_eq!(advice(section, "give_up_after").as_deref(), Some(retry));
        }
        for (section, key, begin) in [
            (
                "",
                "table",
                "Did you mean 'dynamodb.table_name'? It belongs in dynamodb",
            ),
            (
                "",
                "hosts",
                "Did you mean 'etcd.endpoints'? It belongs in etcd: ",
            ),
            ("", "host", "Did you mean 'etcd.host'? It belongs in etcd: "),
            (
                "",
                "filepth",
                "Did you mean 'local.filepath'? It belongs in local: ",
            ),
            (
                "",
                "batch_size",
                "Did you mean 'queue_batch.size'? It belongs in queue_batch: ",
            ),
            (
                "",
                "interval",
                "Did you mean 'queue_batch.interval'? It belongs in queue_batch: ",
            ),
            (
                "",
                "timeout",
                "Did you mean 'dynamodb.timeout', 'etcd.timeout' or 'queue_batch.timeout'?",
            ),
            (
                "queue_batch",
                "max",
                "Did you mean 'queue_batch.retry.max'? It belongs in ",
            ),
            (
                "local",
                "debug",
                "Did you mean 'debug'? It belongs at the top",
            ),
            ("", "bucket", "It is an argument of the verbs"),
            ("local", "bucket", "It is an argument of the verbs"),
            ("", "on_error", "It is an argument of DB"),
            (
                "dynamodb",
                "aws_access_key_id",
                "Credentials come from the environment",
            ),
        ] {
            let text = advice(section, key).unwrap();
            assert!(text.starts_with(begin), "{section} {key}: {text}");
        }
    }

    #[test]
    fn a_path_with_dots_is_written_as_sections() {
        for (section, key, written) in [
            ("", "queue_batch.size", r#"{"queue_batch": {"size": ...}}"#),
            (
                "",
                "queue_batch.batch_size",
                r#"{"queue_batch": {"size": ...}}"#,
            ),
            ("", "LOCAL.filepth", r#"{"local": {"filepath": ...}}"#),
            ("local", "local.filepath", r#"{"local": {"filepath": ...}}"#),
            (
                "queue_batch",
                "retry.max",
                r#"{"queue_batch": {"retry": {"max": ...}}}"#,
            ),
        ] {
            let expected = format!("A dot leads into no section: write {written}.");
            assert_eq!(advice(section, key), Some(expected), "{section} {key}");
        }
    }

    #[test]
    fn what_resembles_nothing_has_no_advice() {
        for key in ["zzzzzzzzzz", "", "a.b", ".", "\u{130}"] {
            assert_eq!(advice("", key), None, "{key:?}");
        }
        // At once, that is.
        let endless = "local.".repeat(1_000_000);
        assert_eq!(advice("", &endless), None);
        assert_eq!(nearest_word(&endless, &["info"]), None);
    }

    #[test]
    fn a_word_is_found_by_its_letters() {
        let words = ["debug", "info", "none"];
        assert_eq!(nearest_word("INFO", &words), Some("info"));
        assert_eq!(nearest_word(" debg", &words), Some("debug"));
        assert_eq!(nearest_word("hunter2", &words), None);
    }
}
