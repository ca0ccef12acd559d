"""Every key of the configuration: what it takes, and what it refuses by the name of its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

WORDS: dict[str, list[str]] = {
    "logging": ["debug", "info", "none"],
    "errors": ["raise", "log"],
    "local.synchronous": ["full", "normal", "off"],
    "queue_batch.when_full": ["block", "raise"],
}
SECONDS = [
    "local.busy_timeout",
    "dynamodb.timeout",
    "etcd.timeout",
    "queue_batch.timeout",
    "queue_batch.interval",
    "queue_batch.retry.initial",
    "queue_batch.retry.max",
    "queue_batch.retry.give_up_after",
    "queue_batch.exit_timeout",
]
INTEGERS = ["etcd.port", "queue_batch.size", "queue_batch.max_pending", "queue_batch.max_pending_bytes"]
BOOLEANS = ["debug", "dynamodb.create_table", "dynamodb.consistent_read", "etcd.use_ssl"]
TEXTS = [
    "local.filepath",
    "dynamodb.table_name",
    "dynamodb.region",
    "dynamodb.endpoint_url",
    "dynamodb.profile",
    "etcd.host",
    "etcd.username",
    "etcd.password",
]
FILES = ["etcd.ca_cert_file", "etcd.cert_file", "etcd.key_file"]
SECTIONS = ["local", "dynamodb", "etcd", "queue_batch", "queue_batch.retry"]
OTHERS = ["local.mode", "etcd.endpoints"]
ALL = [*WORDS, *SECONDS, *INTEGERS, *BOOLEANS, *TEXTS, *FILES, *SECTIONS, *OTHERS]

# Not JSON, or of a kind that the key does not take.
NO_TEXT: list[Any] = [1, 1.5, True, None, [], {}, b"x", "", "a\0b"]
NO_INTEGER: list[Any] = ["ten", "", 1.5, True, None, [], {}, 0, -1, 10**30, float("inf"), float("nan")]
NO_SECONDS: list[Any] = ["1s", "", True, None, [], {}, -1, -0.5, 1e300, 10**30, float("inf"), float("nan")]
NO_BOOLEAN: list[Any] = [0, 1, "true", "yes", "", None, [], {}]
NO_SECTION: list[Any] = ["text", 1, True, None, []]
NO_WORD: list[Any] = ["", "other", "FULL", 1, True, None, [], {}]


def config_with(path: str, value: Any) -> dict[str, Any]:
    """A configuration with `value` at `path`, and what must stand beside it."""
    config: dict[str, Any] = {}
    section = config
    *parents, key = path.split(".")
    for parent in parents:
        section = section.setdefault(parent, {})
    section[key] = value
    if parents == ["dynamodb"] and key != "table_name":
        section["table_name"] = "t"
    if path == "etcd.username":
        section["password"] = "p"
    if path == "etcd.password":
        section["username"] = "u"
    return config


def cases(keys: list[str], values: list[Any]) -> list[Any]:
    return [pytest.param(key, value, id=f"{key}-{value!r}") for key in keys for value in values]


@pytest.mark.parametrize(("path", "value"), [(key, word) for key, words in WORDS.items() for word in words])
def test_words_of_the_table_are_taken(path: str, value: str) -> None:
    DB(config_with(path, value))


@pytest.mark.parametrize(("path", "value"), cases(SECONDS, [1, 0.25, 3600]))
def test_seconds_are_taken_as_int_and_float(path: str, value: float) -> None:
    config = config_with(path, value)
    if path == "queue_batch.retry.initial":
        config["queue_batch"]["retry"]["max"] = 3600
    DB(config)


@pytest.mark.parametrize(("path", "value"), cases(INTEGERS, [1, 12345]))
def test_integers_are_taken(path: str, value: int) -> None:
    DB(config_with(path, value))


@pytest.mark.parametrize(("path", "value"), cases(BOOLEANS, [True, False]))
def test_booleans_are_taken(path: str, value: bool) -> None:
    DB(config_with(path, value))


@pytest.mark.parametrize("path", TEXTS)
def test_texts_are_taken(path: str) -> None:
    DB(config_with(path, "http://name" if path == "dynamodb.endpoint_url" else "näme"))


def test_filepath_is_taken_as_pathlike(tmp_path: Path) -> None:
    DB({"local": {"filepath": tmp_path / "x"}}).write_message("k", "v")
    assert (tmp_path / "x").exists()


@pytest.mark.parametrize("mode", ["0600", "600", "0666", "0o640"])
def test_mode_is_taken_as_octal_text(mode: str) -> None:
    DB({"local": {"mode": mode}})


@pytest.mark.parametrize(
    "endpoints",
    [["a:2379"], ["a:2379", "b:2379"], ["http://a:2379"], ["https://a:2379", "https://b:2379"]],
)
def test_endpoints_are_taken_as_host_and_port_or_url(endpoints: list[str]) -> None:
    DB({"etcd": {"endpoints": endpoints}})


def test_all_keys_of_a_section_are_taken_together() -> None:
    DB(
        {
            "debug": False,
            "errors": "raise",
            "local": {"filepath": "x", "synchronous": "full", "busy_timeout": 5, "mode": "0666"},
            "dynamodb": {
                "table_name": "t",
                "region": "eu-central-1",
                "endpoint_url": "http://localhost:8000",
                "profile": "p",
                "create_table": False,
                "consistent_read": True,
                "timeout": 10,
            },
            "etcd": {
                "host": "localhost",
                "port": 2379,
                "username": "u",
                "password": "p",
                "use_ssl": False,
                "timeout": 5,
            },
            "queue_batch": {
                "size": 10,
                "timeout": 2.0,
                "max_pending": 100_000,
                "max_pending_bytes": 64 << 20,
                "when_full": "block",
                "retry": {"initial": 0.1, "max": 5.0, "give_up_after": 300.0},
                "exit_timeout": 10,
            },
        }
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *cases(list(WORDS), NO_WORD),
        *cases(SECONDS, NO_SECONDS),
        *cases(INTEGERS, NO_INTEGER),
        *cases(BOOLEANS, NO_BOOLEAN),
        *cases([*TEXTS, *FILES], NO_TEXT),
        *cases(SECTIONS, NO_SECTION),
        *cases(["local.mode"], [0o600, "", "rw", "0999", "01777777", "-1", None]),
        *cases(["etcd.endpoints"], ["a:1", [], [1], [None], {}, 1, None]),
        *cases(["etcd.port"], [65536]),
        *cases(
            ["dynamodb.endpoint_url"], ["localhost:8000", "ftp://localhost", "http://", "http://two words"]
        ),
        *cases(["dynamodb.endpoint_url"], ["http://localhost:port", "http://localhost:65536"]),
    ],
)
def test_a_wrong_type_or_value_is_a_config_error_that_names_the_path_and_what_was_expected(
    path: str, value: Any
) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(config_with(path, value))
    named = [line for line in str(caught.value).splitlines() if line.startswith(f"{path}:")]
    assert len(named) == 1
    assert "expected" in named[0]


def test_table_name_is_required() -> None:
    with pytest.raises(ConfigError, match=r"dynamodb\.table_name: required"):
        DB({"dynamodb": {"region": "eu-central-1"}})


@pytest.mark.parametrize("path", ALL)
def test_an_unknown_key_is_named_by_its_path_and_the_nearest_known_key_is_suggested(path: str) -> None:
    mistyped = path + path[-1]
    with pytest.raises(ConfigError) as caught:
        DB(config_with(mistyped, 1))
    assert f"{mistyped}: unknown key. Did you mean '{path}'?" in str(caught.value)


@pytest.mark.parametrize("path", ["zzzzzzzzzz", "local.zzzzzzzzzz", "queue_batch.retry.zzzzzzzzzz"])
def test_an_unknown_key_that_resembles_none_is_named_with_the_known_keys(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(config_with(path, 1))
    known = {"zzzzzzzzzz": "queue_batch", "local.zzzzzzzzzz": "busy_timeout"}.get(path, "give_up_after")
    assert f"{path}: unknown key." in str(caught.value)
    assert known in str(caught.value)


@pytest.mark.parametrize("key", [1, None, b"local", ("local",)])
def test_a_key_that_is_no_str_is_refused(key: Any) -> None:
    with pytest.raises((ConfigError, TypeError), match="str"):
        DB({key: {}})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        DB({"debug": 1, "errors": "no", "local": {"mode": 7}, "queue_batch": {"size": 0, "retry": []}})
    for path in ["debug", "errors", "local.mode", "queue_batch.size", "queue_batch.retry"]:
        assert f"{path}: " in str(caught.value)


def test_how_to_sync_a_journal_needs_a_journal() -> None:
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal_sync: needs 'journal'"):
        DB({"queue_batch": {"journal_sync": "always"}})
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal_sync: .*always"):
        DB({"queue_batch": {"journal": "j", "journal_sync": "sometimes"}})


def test_a_journal_is_no_file_of_records(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal: is the file of local\.filepath"):
        DB({"local": {"filepath": path}, "queue_batch": {"journal": path}})
