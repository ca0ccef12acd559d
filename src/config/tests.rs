use super::*;

fn parse(json: &str) -> Result<Config> {
    Config::from_tree(serde_json::from_str(json).unwrap())
}

fn problem(json: &str) -> String {
    let error = parse(json).err().expect("this configuration is wrong");
    assert_eq!(error.kind(), Kind::Config);
    error.to_string()
}

#[test]
fn an_empty_configuration_is_the_embedded_default() {
    let config = parse("{}").unwrap();
    assert_eq!(config.local.filepath, PathBuf::from("localdb"));
    assert_eq!(config.queue.size.get(), 10);
    assert_eq!(config.queue.timeout, Duration::from_secs(2));
    assert_eq!(config.queue.max_pending.get(), 100_000);
    assert_eq!(config.queue.max_pending_bytes.get(), 64 << 20);
    assert!(config.dynamodb.is_none() && config.etcd.is_none());
}

#[test]
fn unknown_keys_are_named_by_path_with_the_nearest() {
    assert_eq!(
        problem(r#"{"local": {"filepth": "x"}}"#),
        "local.filepth: unknown key. Did you mean 'local.filepath'?"
    );
    assert!(
        problem(r#"{"queue_batch": {"retry": {"inital": 1}}}"#).contains(
            "queue_batch.retry.inital: unknown key. Did you mean 'queue_batch.retry.initial'?"
        )
    );
    assert!(problem(r#"{"zzzzzzzzzz": 1}"#).contains("Known here: debug, logging"));
}

#[test]
fn what_was_meant_is_said_of_wrong_values() {
    for (json, expected) in [
        (
            r#"{"logging": "INFO"}"#,
            r#"logging: expected one of "debug", "info", "none", got a string. Did you mean "info"?"#,
        ),
        (
            r#"{"local": {"synchronous": "fulll"}}"#,
            r#"local.synchronous: expected one of "full", "normal", "off", got a string. Did you mean "full"?"#,
        ),
        (
            r#"{"local": {"mode": 384}}"#,
            r#"local.mode: expected permission bits as octal text, such as "0600", got 384. 0o600 is written "0600"."#,
        ),
        (
            r#"{"local": {"mode": 644}}"#,
            r#"local.mode: expected permission bits as octal text, such as "0600", got 644. Write "0644"."#,
        ),
        (
            r#"{"local": {"mode": 999}}"#,
            r#"local.mode: expected permission bits as octal text, such as "0600", got 999."#,
        ),
        (
            r#"{"queue_batch": {"size": "10"}}"#,
            "queue_batch.size: expected an integer from 1 to 4294967295, got a string. Write the number \
             without quotes.",
        ),
        (
            r#"{"debug": "True"}"#,
            "debug: expected true or false, got a string. Write it without quotes.",
        ),
        (
            r#"{"etcd": {"endpoints": "a:1"}}"#,
            r#"etcd.endpoints: expected a list of strings, got a string. Put it into brackets: ["host:port"]."#,
        ),
        (
            r#"{"etcd": {"host": null}}"#,
            "etcd.host: expected a string, got null. Leave the key out instead.",
        ),
        (
            r#"{"dynamodb": "shop"}"#,
            r#"dynamodb: expected an object, got a string. Write {"dynamodb": {"table_name": ...}}."#,
        ),
        (
            r#"{"etcd": null}"#,
            r#"etcd: expected an object, got null. Write {"etcd": {"host": ...}}, or leave it out."#,
        ),
        (
            r#"{"queue_batch": {"retry": 3}}"#,
            "queue_batch.retry: expected an object, got an integer. Write \
             {\"queue_batch\": {\"retry\": {\"initial\": ...}}}.",
        ),
        (
            "[]",
            r#"the configuration: expected an object, got a list. Write {"local": {"filepath": ...}}, or {} for the defaults."#,
        ),
    ] {
        assert_eq!(problem(json), expected);
    }
}

#[test]
fn all_problems_are_named_at_once() {
    let text = problem(r#"{"debug": 1, "queue_batch": {"size": 0, "timeout": -1}, "local": []}"#);
    for part in [
        "debug: expected true or false, got 1.",
        "queue_batch.size: expected an integer from 1",
        "queue_batch.timeout: expected seconds",
        "local: expected an object, got a list.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn wrong_types_and_huge_numbers_are_refused() {
    for json in [
        r#"{"local": {"filepath": 1}}"#,
        r#"{"local": {"filepath": ""}}"#,
        r#"{"local": {"filepath": "a\u0000b"}}"#,
        r#"{"local": {"mode": "999"}}"#,
        r#"{"local": {"mode": "+600"}}"#,
        r#"{"local": {"busy_timeout": 1e300}}"#,
        r#"{"queue_batch": {"size": 1.5}}"#,
        r#"{"queue_batch": {"size": true}}"#,
        r#"{"queue_batch": {"max_pending_bytes": 99999999999999999999}}"#,
        r#"{"queue_batch": {"retry": {"initial": 9, "max": 1}}}"#,
        r#"{"queue_batch": {"retry": {"initial": 0}}}"#,
        r#"{"queue_batch": {"when_full": "drop"}}"#,
        r#"{"errors": "ignore"}"#,
        r#"{"etcd": {"port": 0}}"#,
        r#"{"etcd": {"host": null}}"#,
    ] {
        problem(json);
    }
}

#[test]
fn contradictions_are_refused() {
    assert!(problem(r#"{"debug": true, "logging": "info"}"#).contains("contradicts 'debug'"));
    assert!(problem(r#"{"debug": false, "logging": "debug"}"#).contains("contradicts 'debug'"));
    assert_eq!(
        parse(r#"{"debug": true, "logging": "debug"}"#)
            .unwrap()
            .logging,
        Logging::Debug
    );
    assert!(problem(r#"{"queue_batch": {"timeout": 1, "interval": 2}}"#).contains("another name"));
    assert_eq!(
        parse(r#"{"queue_batch": {"interval": 0.5}}"#)
            .unwrap()
            .queue
            .timeout,
        Duration::from_millis(500)
    );
}

#[test]
fn duplicate_keys_are_refused() {
    assert_eq!(
        problem(r#"{"local": {"filepath": "a", "filepath": "b"}}"#),
        "local.filepath: given twice. Keep one."
    );
}

#[test]
fn the_schema_that_a_file_names_is_for_editors() {
    assert!(parse(r#"{"$schema": "./config.schema.json"}"#).is_ok());
    assert_eq!(
        problem(r#"{"$schema": 1}"#),
        "$schema: expected a string, got an integer."
    );
    assert!(problem(r#"{"local": {"$schema": "x"}}"#).contains("local.$schema: unknown key"));
}

#[test]
fn unset_variables_are_named() {
    let text = problem(r#"{"local": {"filepath": "${TETHERDB_TEST_UNSET}"}}"#);
    assert!(
        text.contains("local.filepath") && text.contains("TETHERDB_TEST_UNSET"),
        "{text}"
    );
}

#[test]
fn variables_take_the_type_that_is_expected() {
    // PATH is set wherever tests run; it is text, and no integer.
    assert!(parse(r#"{"etcd": {"username": "${PATH}", "password": "${PATH}"}}"#).is_ok());
    let text = problem(r#"{"etcd": {"port": "${PATH}"}}"#);
    assert!(
        text.contains("the text of the environment variable PATH"),
        "{text}"
    );
}

#[test]
fn remote_sections_are_validated_whole() {
    assert!(problem(r#"{"dynamodb": {}}"#).contains("dynamodb.table_name: required"));
    assert!(
        problem(r#"{"dynamodb": {"table_name": "t", "endpoint_url": "x"}}"#).contains("http://")
    );
    assert!(problem(r#"{"etcd": {"username": "u"}}"#).contains("etcd.password: required"));
    assert!(problem(r#"{"etcd": {"endpoints": []}}"#).contains("empty list"));
    assert!(problem(r#"{"etcd": {"endpoints": ["a:1"], "port": 1}}"#).contains("either the list"));
    assert!(problem(r#"{"etcd": {"ca_cert_file": "/nonexistent/ca"}}"#).contains("cannot read"));
    let etcd = parse(r#"{"etcd": {"endpoints": ["https://a:1", "b:2"]}}"#)
        .unwrap()
        .etcd
        .unwrap();
    assert!(etcd.tls.is_some());
    assert_eq!(
        parse(r#"{"etcd": {}}"#).unwrap().etcd.unwrap().endpoints,
        ["localhost:2379"]
    );
}

#[test]
fn secrets_are_never_shown() {
    let text = problem(r#"{"etcd": {"username": "u", "password": ["hunter2"]}}"#);
    assert!(!text.contains("hunter2"), "{text}");
    let text = problem(r#"{"etcd": {"username": "u", "password": 20261234}}"#);
    assert!(!text.contains("20261234"), "{text}");
    let text = problem(r#"{"etcd": {"cert_file": "c", "key_file": "-----BEGIN KEY-----\nabc"}}"#);
    assert!(
        !text.contains("BEGIN") && text.contains("content"),
        "{text}"
    );
}

#[test]
fn broken_files_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, "{\n  \"debug\": true\n  \"errors\": 1}").unwrap();
    let text = Config::from_file(&path).err().unwrap().to_string();
    assert!(text.contains("line 3 column 3"), "{text}");
    let text = Config::from_file(folder.path()).err().unwrap().to_string();
    assert!(text.contains("directory"), "{text}");
    let text = Config::from_file(Path::new("")).err().unwrap().to_string();
    assert!(text.contains("is empty"), "{text}");
    let text = Config::from_file(&path.join("in"))
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("no directory"), "{text}");
    let text = Config::from_file(&folder.path().join("no"))
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("Create it"), "{text}");
}
